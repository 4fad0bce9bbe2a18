"""Timing side by side: machines drift, so what is compared runs in turn, and medians of ratios are
what is quoted.
"""

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
    """Seconds of work. On one processor thread, the time that this process was at work: what a
    clock shows on a machine that nobody else uses. Else the wall clock. Waiting is not waited for,
    the clock is put forward."""

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
    """Times one generation: start it, tell it of the first tokens, stop it."""

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
    ways: Mapping[str, Callable[[int], Timed]],
    rounds: int,
    warmup: int = 1,
    report: Callable[[int], None] = lambda done: None,
) -> dict[str, list[Timed]]:
    """Run every way once a round: A B C, A B C, ... Each way gets the round's number; warm-up
    rounds are dropped.
    """
    result: dict[str, list[Timed]] = {name: [] for name in ways}
    for number in range(-warmup, rounds):
        for name, way in ways.items():
            timed = way(max(0, number))
            if number >= 0:
                result[name].append(timed)
        report(number + 1)
    return result


def speedup(baseline: list[Timed], other: list[Timed], decode_only: bool = False) -> float:
    """Median over the rounds of baseline seconds a token / other's."""
    each = (lambda t: t.per_decoded) if decode_only else (lambda t: t.per_token)
    return median(each(a) / each(b) for a, b in zip(baseline, other, strict=True))


def microseconds(
    ways: Mapping[str, Callable[[], object]], device: torch.device, rounds: int = 40
) -> dict[str, float]:
    """Median microseconds of each short piece of work on `device`, measured in turn."""
    clock = WorkClock(device)
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(3):
        for way in ways.values():
            way()
    for _ in range(rounds):
        for name, way in ways.items():
            begin = clock.now()
            way()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            taken[name].append(clock.now() - begin)
    return {name: median(values) * 1e6 for name, values in taken.items()}
