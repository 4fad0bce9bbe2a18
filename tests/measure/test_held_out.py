"""Prompts come from texts that no bundled model learned from, spread evenly, and those of a
calibration are not those of the measurement.

Protects: published acceptance and speeds from texts that were seen before, and a trace of requests
that says one thing and sends another.
"""

from statistics import mean

import pytest
from specref.measure import held_out as module
from specref.measure.held_out import held_out_prompts
from specref.measure.serving.arrivals import Arrival, arrivals

LETTERS = {  # the bytes say where they stand
    "a": bytes(range(100)),
    "b": bytes(range(100, 160)),
    "c": bytes(range(200, 217)),  # 17 bytes
    "short": bytes(range(220, 236)),  # 16 bytes
}


@pytest.fixture
def letters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "held_out", lambda: dict(LETTERS))


def begins(count: int, length: int, skip: int = 0) -> list[int]:
    """Where the prompts begin; each is one stretch of a text, as long as was asked."""
    prompts = held_out_prompts(count, length, skip)
    for prompt in prompts:
        assert prompt == list(range(prompt[0], prompt[0] + length))
    return [prompt[0] for prompt in prompts]


@pytest.mark.usefixtures("letters")
def test_prompts_are_spread_evenly_over_the_texts() -> None:
    """Six prompts of 4 bytes from three texts: two of each, half of its length (without room for
    two prompts at its end) apart: 46, 26 and 4 bytes. A text of four prompts is too short."""
    assert begins(6, 4) == [0, 100, 200, 46, 126, 204]
    assert begins(2, 4) == [0, 100]
    assert begins(0, 4) == []


@pytest.mark.usefixtures("letters")
def test_skip_moves_each_prompt_by_so_many_lengths_within_its_stretch() -> None:
    assert begins(6, 4, skip=1) == [4, 104, 200, 50, 130, 204]
    assert begins(6, 4, skip=12) == [2, 122, 200, 48, 148, 204]  # 48 bytes, around 46, 26 and 4


@pytest.mark.usefixtures("letters")
def test_more_prompts_than_a_text_has_places_begin_at_its_beginning() -> None:
    """Fifteen prompts of the smallest text, which has room for fifteen beginnings without a
    stretch between them."""
    count = 4 * 16  # four texts, sixteen prompts of each
    assert begins(count, 1, skip=1)[2::4] == [200] * 16


def test_a_calibration_reads_other_bytes_than_the_measurement() -> None:
    measured, calibrated = held_out_prompts(8, 96), held_out_prompts(8, 96, skip=1)
    assert not {tuple(one) for one in measured} & {tuple(one) for one in calibrated}


MANY = arrivals(3000)


def test_a_trace_is_the_same_each_time_and_another_for_another_seed() -> None:
    assert arrivals(20, seed=3) == arrivals(20, seed=3) != arrivals(20)
    assert MANY[:1] == [Arrival(MANY[0].at, MANY[0].prompt, MANY[0].new_tokens)]
    assert arrivals(3) == arrivals(3, seed=0)


def test_requests_come_one_a_unit_of_time_on_average() -> None:
    times = [one.at for one in MANY]
    gaps = [after - before for before, after in zip([0.0, *times], times, strict=False)]
    assert min(gaps) > 0
    assert mean(gaps) == pytest.approx(1, abs=0.06)
    assert mean(gap > 1 for gap in gaps) == pytest.approx(0.368, abs=0.03), "exponential: 1/e"
    assert min(arrivals(1, seed)[0].at for seed in range(20)) < 0.3, "the clock begins at 0"


def test_prompts_have_24_to_160_bytes_and_answers_16_to_80() -> None:
    assert {len(one.prompt) for one in MANY[::2]} == set(range(24, 161))
    assert {one.new_tokens for one in MANY} == set(range(16, 81))


def test_every_second_prompt_begins_with_the_same_64_bytes() -> None:
    """The others begin as their own texts do. Behind the 64 come 24 to 96 bytes of their own."""
    common = MANY[1].prompt[:64]
    shared = [one.prompt for one in MANY[1::2]]
    assert all(prompt[:64] == common for prompt in shared)
    assert len({prompt[64] for prompt in shared}) > 1
    assert {len(prompt) for prompt in shared} == set(range(64 + 24, 161))
    assert not any(one.prompt[:64] == common for one in MANY[::2])
