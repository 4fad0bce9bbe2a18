"""The smallest scenario that fails, and what it needs."""

import random
from dataclasses import replace

from specref.data import SamplingParams
from specref.judge.text.relations import RelationFinding
from specref.judge.text.scenario import TextCall, TextRequest, TextScenario
from specref.judge.text.shrink import TextShrinker, simpler_scenarios

RNG = random.Random(0)
SHORT = [TextRequest((i, 1, 2), SamplingParams()) for i in range(7)]
FAR = SamplingParams(top_k=3, top_p=0.9, max_new_tokens=40)
WHOLE = [TextRequest(tuple(RNG.choices(range(31), k=90)), replace(FAR, seed=i)) for i in range(5)]
NOTHING = TextCall((), speculative=False)
BIG = TextScenario("long-wide", (TextCall(tuple(SHORT)), TextCall(tuple(WHOLE)), NOTHING))


def _needs_65_and_top_k(scenario: TextScenario) -> RelationFinding | None:
    """A fault of a speculative row with a prompt of 65 tokens and top-k."""
    for c, call in enumerate(scenario.calls):
        for r, one in enumerate(call.requests):
            if call.speculative and len(one.prompt) >= 65 and one.params.top_k:
                return RelationFinding("wrong", c, r)
    return None


def test_the_smallest_scenario_is_the_fault_itself() -> None:
    """One call, one row, 65 tokens of prompt and not one less, top-k and nothing else."""
    found = TextShrinker(_needs_65_and_top_k, 60.0).shrink(BIG, RelationFinding("wrong", 1, 0))
    (call,) = found.scenario.calls
    (one,) = call.requests
    assert len(one.prompt) == 65
    assert replace(one.params, top_k=0) == SamplingParams(temperature=0.0, max_new_tokens=1)
    assert one.params.top_k == 3
    assert found.scenario.world == "long-same"
    assert found.complete


def test_the_words_name_the_nearest_scenario_that_passes() -> None:
    """Both sides of the edge: 65 fails, 64 passes."""
    found = TextShrinker(_needs_65_and_top_k, 60.0).shrink(BIG, RelationFinding("wrong", 1, 0))
    assert "with prompt tokens up to 64" in found.words
    assert "up to 32" not in found.words
    assert "without top_k" in found.words
    assert "without speculation" in found.words


def test_company_that_is_needed_stays() -> None:
    """A fault that needs two unlike rows keeps two."""

    def fails(scenario: TextScenario) -> RelationFinding | None:
        for c, call in enumerate(scenario.calls):
            if len({one.prompt for one in call.requests}) > 1:
                return RelationFinding("company", c, 0)
        return None

    found = TextShrinker(fails, 60.0).shrink(BIG, RelationFinding("company", 1, 0))
    (call,) = found.scenario.calls
    assert len(call.requests) == 2
    assert "alone" in found.words


def test_a_fault_that_chance_hides_is_asked_more_than_once() -> None:
    """Requests without a seed: one run in which it does not show is no pass."""
    runs = []

    def fails(scenario: TextScenario) -> RelationFinding | None:
        runs.append(scenario)
        return RelationFinding("chance") if len(runs) % 3 == 0 else None

    one = TextScenario(
        "long-same", (TextCall((TextRequest((1, 2), SamplingParams(max_new_tokens=1)),)),)
    )
    shrinker = TextShrinker(fails, 60.0)
    assert shrinker.shrink(one, RelationFinding("chance")).scenario != one


def test_time_that_runs_out_is_said() -> None:
    found = TextShrinker(_needs_65_and_top_k, 0.0).shrink(BIG, RelationFinding("wrong", 1, 0))
    assert not found.complete
    assert found.scenario == BIG


def test_every_simpler_scenario_differs() -> None:
    """One that is the same would go on for ever."""
    for simpler in simpler_scenarios(BIG, RelationFinding("wrong", 1, 0)):
        assert simpler.scenario != BIG, simpler.passes
