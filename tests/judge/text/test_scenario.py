"""A scenario as data, on a command line and in words."""

import math

import pytest
from specref.data import SamplingParams, SpecrefError
from specref.judge.text.scenario import TextCall, TextRequest, TextScenario, in_words

FULL = SamplingParams(
    temperature=0.7,
    top_k=3,
    logit_bias={4: -math.inf},
    stop_ids=(31,),
    stop_sequences=((1, 2),),
    seed=5,
    max_new_tokens=9,
)
ONE, TWO = TextRequest((1, 2), FULL), TextRequest((3,), SamplingParams(max_new_tokens=9))
SCENARIO = TextScenario(
    "long-wide", (TextCall((ONE, TWO, TWO), False), TextCall((ONE,), fresh=True)), False
)


def test_a_command_line_brings_the_same_scenario_again() -> None:
    """The `again` line of a report has to repeat what failed, infinite biases too."""
    assert TextScenario.from_text(SCENARIO.as_text()) == SCENARIO


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"world":"long-wide"}',
        '{"world":"x","drafts":true,"calls":[]}',
        '{"world":"long-wide","drafts":true,"calls":[]}',
        TextScenario("long-wide", (TextCall((TextRequest((), FULL),)),)).as_text(),
        TextScenario("long-wide", (TextCall((TextRequest((32,), FULL),)),)).as_text(),
    ],
)
def test_what_is_no_scenario_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(SpecrefError) as refused:
        TextScenario.from_text(text)
    assert "\n" not in str(refused.value)
    assert "scenario" in str(refused.value)


def test_words_name_every_setting_once() -> None:
    """A reader has to be able to build the scenario from the sentence."""
    said = in_words(SCENARIO)
    assert said.startswith("toy long-wide, no draft model; call 1: without speculation, row 1: ")
    assert "rows 2-3: prompt of 1, 9 new, temperature 1" in said
    assert "then call 2: speculative, a fresh engine, prompt of 2" in said
    for setting in ("top_k=3", "logit_bias={4: -inf}", "seed=5", "stop_sequences=((1, 2),)"):
        assert said.count(setting) == 2
