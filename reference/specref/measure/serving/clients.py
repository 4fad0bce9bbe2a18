"""Clients of a serving engine and what they see: a closed loop, or arrivals over time."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import mean

import numpy as np

from ...data import SamplingParams
from ...serve import ServingEngine
from ...serve.sequence import Event
from ..speed.timing import WorkClock
from .arrivals import Arrival


@dataclass
class ServedLoad:
    """What a run showed. Times in seconds."""

    seconds: float = 0.0
    tokens: int = 0
    first: list[float] = field(default_factory=list)  # from a request's arrival to its first tokens
    gaps: list[float] = field(default_factory=list)  # of each later token, since those before it
    drafted: int = 0
    accepted: int = 0
    # after each step: tokens that the blocks have room for, tokens in them, and the room that the
    # running rows would take with one contiguous stretch each for the longest request
    held: list[int] = field(default_factory=list)
    needed: list[int] = field(default_factory=list)
    contiguous: list[int] = field(default_factory=list)
    texts: dict[int, list[int]] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Tokens a second."""
        return self.tokens / self.seconds

    def summary(self) -> dict[str, float]:
        """Rates a second, times in seconds."""
        return {
            "tokens_per_second": self.rate,
            "first_token_p50": _percentile(self.first, 50),
            "first_token_p95": _percentile(self.first, 95),
            "token_p50": _percentile(self.gaps, 50),
            "token_p95": _percentile(self.gaps, 95),
            "acceptance": self.accepted / max(1, self.drafted),
            "drafted": self.drafted,
        }

    def memory(self, token_bytes: int) -> dict[str, float]:
        """Mean bytes over the steps: held in pages, in one stretch a row, and needed for the tokens
        that are there.
        """
        return {
            "paged": mean(self.held) * token_bytes,
            "contiguous": mean(self.contiguous) * token_bytes,
            "needed": mean(self.needed) * token_bytes,
        }


def _percentile(values: Sequence[float], percent: float) -> float:
    return float(np.percentile(values, percent)) if values else 0.0


@dataclass(frozen=True)
class Clients:
    """How requests arrive. count: that many clients, each of which sends its next request when it
    has its answer; None: requests arrive over time, `between` seconds apart on average.
    """

    count: int | None = None
    between: float = 0.0

    def due(self, request: Arrival, now: float, inside: int) -> bool:
        """Whether a request arrives by now, with `inside` requests in the engine."""
        if self.count is not None:
            return inside < self.count
        return request.at * self.between <= now

    def arrived(self, request: Arrival, now: float) -> float:
        """When a request that is due arrived."""
        return now if self.count is not None else request.at * self.between


class _Run:
    """One engine, its clients, and the record of what they saw."""

    def __init__(self, engine: ServingEngine, clients: Clients, longest: int):
        self.engine, self.clients, self.longest = engine, clients, longest
        self.load = ServedLoad()
        self.came: dict[int, float] = {}  # number -> arrival
        self.last: dict[int, float] = {}  # number -> its latest tokens
        self.clock = WorkClock(engine.target.device)
        self.began = self.clock.now()

    def now(self) -> float:
        return self.clock.now() - self.began

    def serve(self, work: Sequence[Arrival], params: SamplingParams) -> ServedLoad:
        left = list(enumerate(work))[::-1]
        while left or self.engine.busy:
            now = self.now()
            while left and self.clients.due(left[-1][1], now, len(self.engine.by_number)):
                number, request = left.pop()
                own = replace(params, seed=number, max_new_tokens=request.new_tokens)
                self.engine.add(request.prompt, own, str(number))
                self.came[number] = self.clients.arrived(request, now)
            events = self.engine.step()
            if left and not events and not self.engine.busy:
                self.clock.wait(self.clients.arrived(left[-1][1], now) - now)
            now = self.now()
            for event in events:
                self._take(event, now)
            self._measure_memory()
        self.load.seconds = self.now()
        return self.load

    def _take(self, event: Event, now: float) -> None:
        if event.error:
            raise RuntimeError(event.error)
        if not event.tokens:
            return
        number, count = int(event.name), len(event.tokens)
        if number in self.last:
            self.load.gaps += [(now - self.last[number]) / count] * count
        else:
            self.load.first.append(now - self.came[number])
        self.last[number] = now
        self.load.tokens += count
        if event.ended:
            self.load.drafted += event.so_far.drafted
            self.load.accepted += event.so_far.accepted
            self.load.texts[number] = event.so_far.tokens

    def _measure_memory(self) -> None:
        held, needed = self.engine.memory
        if held:
            self.load.held.append(held)
            self.load.needed.append(needed)
            self.load.contiguous.append(len(self.engine.running) * self.longest)


def serve_load(
    engine: ServingEngine,
    work: Sequence[Arrival],
    params: SamplingParams,
    clients: Clients,
    longest: int = 0,
) -> ServedLoad:
    """Serve all of `work` to its end.

    Args:
        params: of every request, which gets a seed and a length of its own.
        longest: tokens of room that contiguous memory would give a row.
    """
    return _Run(engine, clients, longest).serve(work, params)
