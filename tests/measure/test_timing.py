"""Times are differences of one clock, and a speedup is the median of ratios of rounds that belong
together. A clock whose every reading is known stands for the machine's.

Protects: every speedup, interval and cost that is published.
"""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch
from specref.measure.speed import timing
from specref.measure.speed.timing import (
    Stopwatch,
    Timed,
    WorkClock,
    in_turn,
    microseconds,
    speedup,
    speedup_interval,
)

CPU = torch.device("cpu")


def readings(monkeypatch: pytest.MonkeyPatch, *seconds: float) -> None:
    """The process clock gives these, one a reading; the wall clock may not be read."""
    given: Iterator[float] = iter(seconds)
    clocks = SimpleNamespace(process_time=lambda: next(given), perf_counter=None)
    monkeypatch.setattr(timing, "time", clocks)


@pytest.mark.parametrize(
    ("device", "threads", "name"),
    [("cpu", 1, "process"), ("cpu", 2, "wall"), ("cuda", 1, "wall"), ("cuda", 2, "wall")],
)
def test_the_clock_is_the_process_only_on_one_processor_thread(
    device: str, threads: int, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a device or another thread works is not in the process time of this one."""
    clocks = SimpleNamespace(process_time=lambda: 1.0, perf_counter=lambda: 2.0)
    monkeypatch.setattr(timing, "time", clocks)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    clock = WorkClock(torch.device(device))
    assert clock.name == name
    assert clock.now() == {"process": 1.0, "wall": 2.0}[name]


def test_waiting_moves_the_clock_forward_and_never_back(monkeypatch: pytest.MonkeyPatch) -> None:
    readings(monkeypatch, 5, 5, 5)
    clock = WorkClock(CPU)
    assert clock.now() == 5
    clock.wait(0.5)
    clock.wait(0.25)
    assert clock.now() == 5.75
    clock.wait(-3)
    assert clock.now() == 5.75


def test_a_stopwatch_parts_the_first_tokens_from_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begun at 10, three tokens at 12, the last at 19 of eleven in all."""
    readings(monkeypatch, 10, 12, 19)
    watch = Stopwatch(CPU)
    watch.emitted(3)
    watch.emitted(8)
    timed = watch.stop(11)
    assert timed == Timed(total=9, decode=7, tokens=11, decoded=8)
    assert timed.per_token == 9 / 11
    assert timed.per_decoded == 7 / 8
    assert Timed(total=4, decode=3, tokens=2, decoded=1).per_decoded == 3


def test_a_generation_that_emitted_nothing_has_no_time_of_decoding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    readings(monkeypatch, 10, 14)
    timed = Stopwatch(CPU).stop(0)
    assert timed == Timed(total=4, decode=0, tokens=0, decoded=0)
    assert timed.per_decoded == 0


def test_runs_take_turns_and_the_warm_up_is_dropped() -> None:
    """A B, A B, ... with the number of the round; a warm-up round has the number of the first."""
    order: list[tuple[str, int]] = []
    reported: list[int] = []

    def run(name: str):
        def timed(number: int) -> Timed:
            order.append((name, number))
            return Timed(len(order), 0, 1, 0)

        return timed

    seen = in_turn({"a": run("a"), "b": run("b")}, 3, report=reported.append)
    rounds = [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2), ("b", 2)]
    assert order == [("a", 0), ("b", 0), *rounds]
    assert [one.total for one in seen["a"]] == [3, 5, 7]
    assert [one.total for one in seen["b"]] == [4, 6, 8]
    assert reported == [0, 1, 2, 3]


# seconds of ten tokens, of which eight come after the first emission
PLAIN = [Timed(20, 16, 10, 8), Timed(40, 16, 10, 8), Timed(10, 16, 10, 8)]
OURS = [Timed(10, 4, 10, 8), Timed(10, 2, 10, 8), Timed(10, 16, 10, 8)]


def test_a_speedup_is_the_median_of_the_rounds_ratios() -> None:
    """Ratios 2, 4 and 1 of whole generations; 4, 8 and 1 without the prefill."""
    assert speedup(PLAIN, OURS) == 2
    assert speedup(PLAIN, OURS, decode_only=True) == 4
    assert speedup(OURS, PLAIN) == 0.5


def test_rounds_without_a_partner_are_refused() -> None:
    for compare in (speedup, speedup_interval):
        with pytest.raises(ValueError, match="argument"):
            compare(PLAIN, OURS[:2])


def test_the_interval_is_the_middle_95_in_100_of_the_resampled_medians() -> None:
    """Of three rounds the median of a resample is the smallest with probability 7/27, the largest
    with 7/27; of one round there is nothing to resample."""
    assert speedup_interval(PLAIN, OURS) == (1, 4)
    assert speedup_interval(PLAIN[:1], OURS[:1]) == (2, 2)
    assert speedup_interval(PLAIN[:1], PLAIN[1:2]) == (0.5, 0.5)


def test_the_interval_cuts_one_in_forty_at_either_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eighty resamples whose medians are 1 to 80: two lie below the interval and two above."""
    medians = iter(range(80, 0, -1))
    monkeypatch.setattr(timing, "median", lambda values: next(medians))
    assert speedup_interval(PLAIN, OURS, draws=80) == (3, 78)


def test_an_interval_is_the_same_each_time_it_is_made() -> None:
    """40 rounds of ratios 1 to 40: the interval is about that of the sample median, by its order
    statistics: ranks 20.5 -+ 1.96 * sqrt(40) / 2."""
    plain, ours = [Timed(i, 0, 1, 0) for i in range(1, 41)], [Timed(1, 0, 1, 0)] * 40
    low, high = speedup_interval(plain, ours)
    assert (low, high) == speedup_interval(plain, ours)
    assert low == pytest.approx(14.3, abs=1.5)
    assert high == pytest.approx(26.7, abs=1.5)


def test_each_piece_of_work_has_its_median_in_microseconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Three rounds: the works take 1, 5, 2 and 30, 10, 20 seconds. The work itself moves the
    clock."""
    seconds = {"short": iter([1, 5, 2]), "long": iter([30, 10, 20])}
    now, warming = 0.0, {"short": 3, "long": 3}

    def work(name: str):
        def run() -> None:
            nonlocal now
            warming[name] -= 1
            now += 1000 if warming[name] >= 0 else next(seconds[name])

        return run

    clocks = SimpleNamespace(process_time=lambda: now, perf_counter=None)
    monkeypatch.setattr(timing, "time", clocks)
    works = {name: work(name) for name in seconds}
    assert microseconds(works, CPU, rounds=3) == {"short": 2e6, "long": 20e6}
