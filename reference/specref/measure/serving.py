"""Measuring a serving engine: a closed loop of clients, and a trace that is replayed in time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import mean

import numpy as np

from ..data import SamplingParams
from ..serve import ServingEngine
from ..serve.sequence import Event
from .arrivals import Arrival
from .timing import WorkClock


@dataclass
class Served:
    """What a run showed. Times in seconds."""

    seconds: float = 0.0
    tokens: int = 0
    first: list[float] = field(default_factory=list)  # from a request's arrival to its first tokens
    # of every later token, its share of the time since the tokens before
    gaps: list[float] = field(default_factory=list)
    drafted: int = 0
    accepted: int = 0
    # after each step, tokens that its blocks have room for
    held: list[int] = field(default_factory=list)
    needed: list[int] = field(default_factory=list)  # and tokens in them
    # room that its rows would take with a stretch each for the longest
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
            "first_token_p50": _part(self.first, 50),
            "first_token_p95": _part(self.first, 95),
            "token_p50": _part(self.gaps, 50),
            "token_p95": _part(self.gaps, 95),
            "acceptance": self.accepted / max(1, self.drafted),
            "drafted": self.drafted,
        }


def _part(values: Sequence[float], percent: float) -> float:
    return float(np.percentile(values, percent)) if values else 0.0


def serve(
    engine: ServingEngine,
    work: Sequence[Arrival],
    params: SamplingParams,
    clients: int | None = None,
    between: float = 0.0,
    longest: int = 0,
) -> Served:
    """Serve all of `work` to its end.

    Args:
        clients: that many, each of which sends its next request when it has its answer; None:
            requests come in time, with `between` seconds between two of them on average. params: of
                every request, with a seed and a length of its own.
        longest: room that contiguous memory would give a row.
    """
    result, came, last = Served(), dict[int, float](), dict[int, float]()
    clock = WorkClock(engine.target.device)
    begin = clock.now()
    left = iter(enumerate(work))
    upcoming = next(left, None)
    while upcoming is not None or engine.busy:
        now = clock.now() - begin
        while upcoming is not None and _here(
            upcoming[1], now, between, len(engine.by_number), clients
        ):
            number, one = upcoming
            own = SamplingParams(
                temperature=params.temperature, seed=number, max_new_tokens=one.new_tokens
            )
            engine.add(one.prompt, own, str(number))
            came[number] = now if clients is not None else one.at * between
            upcoming = next(left, None)
        events = engine.step()
        if not events and not engine.busy and upcoming is not None:
            clock.wait(upcoming[1].at * between - now)
        _record(result, engine, events, came, last, clock.now() - begin, longest)
    result.seconds = clock.now() - begin
    return result


def _here(one: Arrival, now: float, between: float, inside: int, clients: int | None) -> bool:
    return inside < clients if clients is not None else one.at * between <= now


def _record(
    result: Served,
    engine: ServingEngine,
    events: Sequence[Event],
    came: dict[int, float],
    last: dict[int, float],
    now: float,
    longest: int,
) -> None:
    for event in _checked(events):
        number = int(event.name)
        if number in last:
            result.gaps += [(now - last[number]) / len(event.tokens)] * len(event.tokens)
        else:
            result.first.append(now - came[number])
        last[number] = now
        result.tokens += len(event.tokens)
        if event.ended:
            result.drafted += event.so_far.drafted
            result.accepted += event.so_far.accepted
            result.texts[number] = event.so_far.tokens
    held, needed = engine.memory
    if held:
        result.held.append(held)
        result.needed.append(needed)
        result.contiguous.append(len(engine.running) * longest)


def _checked(events: Sequence[Event]) -> Iterator[Event]:
    for event in events:
        if event.error:
            raise RuntimeError(event.error)
        if event.tokens:
            yield event


def memory(run: Served, token_bytes: int) -> dict[str, float]:
    """Mean bytes over the steps of a run: held in pages, in one stretch a row, and needed for the
    tokens that are there.
    """
    return {
        "paged": mean(run.held) * token_bytes,
        "contiguous": mean(run.contiguous) * token_bytes,
        "needed": mean(run.needed) * token_bytes,
    }
