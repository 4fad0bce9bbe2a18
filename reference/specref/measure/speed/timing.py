"""Timing side by side. The speed of a machine drifts, so the runs that are compared take turns, and
the result is the median of their ratios.
"""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

import torch


@dataclass(frozen=True)
class Timed:
    """Seconds of one generation."""

    total: float  # prefill included
    decode: float  # after the first emitted tokens
    tokens: int  # all of them
    decoded: int  # those after the first

    @property
    def per_token(self) -> float:
        return self.total / self.tokens

    @property
    def per_decoded(self) -> float:
        return self.decode / max(1, self.decoded)


class WorkClock:
    """Seconds of work: process time on one processor thread, so that other programs do not count;
    else wall-clock time. `wait` moves the clock forward and does not sleep.
    """

    def __init__(self, device: torch.device):
        alone = device.type == "cpu" and torch.get_num_threads() == 1
        self.name = "process" if alone else "wall"
        self.read = time.process_time if alone else time.perf_counter
        self.waited = 0.0

    def now(self) -> float:
        return self.read() + self.waited

    def wait(self, seconds: float) -> None:
        self.waited += max(0.0, seconds)


class Stopwatch:
    """Times one generation. It starts when it is made; report the first tokens, then stop it."""

    def __init__(self, device: torch.device):
        self.device, self.clock = device, WorkClock(device)
        self.begin = self._now()
        self.first: float | None = None
        self.first_tokens = 0

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return self.clock.now()

    def emitted(self, tokens: int) -> None:
        """Called at every emission; only the first counts."""
        if self.first is None:
            self.first, self.first_tokens = self._now(), tokens

    def stop(self, tokens: int) -> Timed:
        end = self._now()
        first = end if self.first is None else self.first
        return Timed(end - self.begin, end - first, tokens, tokens - self.first_tokens)


def in_turn(
    runs: Mapping[str, Callable[[int], Timed]],
    rounds: int,
    warmup: int = 1,
    report: Callable[[int], None] = lambda done: None,
) -> dict[str, list[Timed]]:
    """Do every run once a round: A B C, A B C, ... Each run gets the round's number; warm-up rounds
    are dropped.
    """
    result: dict[str, list[Timed]] = {name: [] for name in runs}
    for number in range(-warmup, rounds):
        for name, run in runs.items():
            timed = run(max(0, number))
            if number >= 0:
                result[name].append(timed)
        report(number + 1)
    return result


def speedup(baseline: list[Timed], other: list[Timed], decode_only: bool = False) -> float:
    """Median over the rounds of baseline seconds a token / other's."""
    ratios = []
    for ours, theirs in zip(other, baseline, strict=True):
        if decode_only:
            ratios.append(theirs.per_decoded / ours.per_decoded)
        else:
            ratios.append(theirs.per_token / ours.per_token)
    return median(ratios)


def speedup_interval(
    baseline: list[Timed], other: list[Timed], draws: int = 2000
) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the median ratio, with the rounds as the sample."""
    ratios = [a.per_token / b.per_token for a, b in zip(baseline, other, strict=True)]
    source = random.Random(0)
    medians = sorted(median(source.choices(ratios, k=len(ratios))) for _ in range(draws))
    return medians[int(0.025 * draws)], medians[int(0.975 * draws) - 1]


def microseconds(
    works: Mapping[str, Callable[[], object]], device: torch.device, rounds: int = 40
) -> dict[str, float]:
    """Median microseconds of each short piece of work on `device`, measured in turn."""
    clock = WorkClock(device)
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(3):  # warm-up
        for work in works.values():
            work()
    for _ in range(rounds):
        for name, work in works.items():
            begin = clock.now()
            work()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            taken[name].append(clock.now() - begin)
    return {name: median(values) * 1e6 for name, values in taken.items()}
