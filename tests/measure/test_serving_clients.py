"""What clients see is counted on a clock and an engine whose every step is known.

Protects: the latencies, rates and memory that the serving bench publishes, and the arrival of
requests at their times.
"""

from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
import torch
from specref.data import Completion, SamplingParams
from specref.measure.serving import clients as module
from specref.measure.serving.arrivals import Arrival
from specref.measure.serving.clients import Clients, ServedLoad, serve_load
from specref.serve.sequence import Event

PARAMS = SamplingParams(temperature=0.5)
BEGIN = 100.0  # what the clock says at first


class Clock:
    """Moves only where it is told to."""

    moment = BEGIN
    waits: list[float]

    def __init__(self, device: torch.device):
        assert device.type == "cpu"
        Clock.moment, Clock.waits = BEGIN, []

    def now(self) -> float:
        return Clock.moment

    def wait(self, seconds: float) -> None:
        Clock.waits.append(seconds)
        Clock.moment += seconds


@dataclass
class Steady:
    """A step of its running requests takes a second and gives each up to `pace` tokens; idle it
    takes no time. A prompt of more than 3 tokens is read in a step of its own."""

    pace: int = 2
    error: str | None = None
    by_number: dict[int, str] = field(default_factory=dict)
    asked: list[tuple] = field(default_factory=list)
    left: dict[str, int] = field(default_factory=dict)
    written: dict[str, list[int]] = field(default_factory=dict)
    reading: set[str] = field(default_factory=set)
    target = SimpleNamespace(device=torch.device("cpu"))

    @property
    def busy(self) -> bool:
        return bool(self.by_number)

    @property
    def running(self) -> list[str]:
        return list(self.by_number.values())

    @property
    def memory(self) -> tuple[int, int]:
        return 8 * len(self.by_number), sum(len(self.written[name]) for name in self.running)

    def add(self, prompt: list[int], params: SamplingParams, name: str) -> None:
        self.asked.append((prompt, params, name, Clock.moment - BEGIN))
        self.by_number[len(self.asked)] = name
        self.left[name], self.written[name] = params.max_new_tokens, []
        if len(prompt) > 3:
            self.reading.add(name)

    def step(self) -> list[Event]:
        if self.busy:
            Clock.moment += 1
        return [self.event(number, name) for number, name in list(self.by_number.items())]

    def event(self, number: int, name: str) -> Event:
        count = min(self.pace, self.left[name])
        if name in self.reading:
            self.reading.remove(name)
            count = 0
        tokens = [int(name)] * count
        self.left[name] -= count
        self.written[name] += tokens
        reason = ""
        if not self.left[name]:
            reason = "length"
            del self.by_number[number]
        done = Completion(list(self.written[name]), reason, 1, 3, 2)
        return Event(name, done, tokens, error=self.error)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WorkClock", Clock)


def served(work: list[Arrival], clients: Clients, engine: Steady) -> ServedLoad:
    return serve_load(engine, work, PARAMS, clients, longest=50)  # type: ignore[arg-type]


def test_each_client_sends_its_next_request_when_it_has_its_answer() -> None:
    """Two clients, three requests of 4, 2 and 2 tokens, two tokens a second: the third comes after
    a second, when the second has ended. Times of arrival do not matter."""
    engine = Steady()
    load = served([Arrival(9, [1], 4), Arrival(9, [2], 2), Arrival(9, [3], 2)], Clients(2), engine)
    assert [(prompt, at) for prompt, _, _, at in engine.asked] == [([1], 0), ([2], 0), ([3], 1)]
    assert (load.seconds, load.tokens, load.rate) == (2, 8, 4)
    assert load.first == [1, 1, 1]
    assert load.gaps == [0.5, 0.5], "two tokens, a second after those before them"
    assert load.texts == {0: [0] * 4, 1: [1] * 2, 2: [2] * 2}
    assert (load.drafted, load.accepted) == (9, 6), "once a request, at its end"
    assert Clock.waits == []


def test_every_request_has_its_number_as_its_seed_and_a_length_of_its_own() -> None:
    engine = Steady()
    served([Arrival(0, [1], 4), Arrival(0, [2], 2)], Clients(2), engine)
    assert [(name, params) for _, params, name, _ in engine.asked] == [
        (str(seed), SamplingParams(temperature=0.5, seed=seed, max_new_tokens=count))
        for seed, count in ((0, 4), (1, 2))
    ]


def test_memory_is_seen_after_each_step_while_blocks_are_held() -> None:
    """After a second the first request alone goes on, with two tokens; at the end nothing is
    held."""
    load = served([Arrival(0, [1], 4), Arrival(0, [2], 2)], Clients(2), Steady())
    assert (load.held, load.needed, load.contiguous) == ([8], [2], [50])
    load = served([Arrival(0, [1], 4), Arrival(0, [2], 4)], Clients(2), Steady())
    assert (load.held, load.needed, load.contiguous) == ([16], [4], [100])


def test_requests_come_at_their_times_and_nobody_waits_idly() -> None:
    """Ten seconds a unit: requests at 5, 5.5, 7 and 30 seconds. The second comes within a step and
    is seen a half second late, at 6, which counts against its first tokens; the third comes just as
    a step ends. From 9 to 30 nothing is there, and the clock is moved on."""
    engine = Steady()
    work = [Arrival(0.5, [1], 4), Arrival(0.55, [2], 2), Arrival(0.7, [3], 4), Arrival(3, [4], 2)]
    load = served(work, Clients(between=10), engine)
    assert [at for _, _, _, at in engine.asked] == [5, 6, 7, 30]
    assert load.first == [1, 1.5, 1, 1]
    assert load.gaps == [0.5] * 4
    assert Clock.waits == [5, 21]
    assert load.seconds == 31


def test_a_step_that_only_reads_gives_no_tokens_and_no_latency() -> None:
    engine = Steady()
    load = served([Arrival(0, [1, 1, 1, 1], 2)], Clients(1), engine)
    assert (load.first, load.gaps, load.tokens) == ([2], [], 2)
    assert load.contiguous == [50]


def test_a_request_that_fails_ends_the_run() -> None:
    with pytest.raises(RuntimeError, match="a bug"):
        served([Arrival(0, [1], 2)], Clients(1), Steady(error="a bug"))


def test_who_is_due() -> None:
    """A closed loop has at most so many inside; an open one looks at the time alone."""
    request = Arrival(2.0, [1], 1)
    closed = Clients(3, between=10)
    assert [closed.due(request, 0.0, inside) for inside in (0, 2, 3, 4)] == [
        True,
        True,
        False,
        False,
    ]
    assert closed.arrived(request, 7.0) == 7
    timed = Clients(between=10)
    assert [timed.due(request, now, 99) for now in (19.9, 20.0, 20.1)] == [False, True, True]
    assert timed.arrived(request, 27.0) == 20
    assert Clients().due(request, 0.0, 99), "without a time between them all come at once"


def test_a_load_begins_with_nothing() -> None:
    load = ServedLoad()
    assert (load.seconds, load.tokens, load.drafted, load.accepted) == (0, 0, 0, 0)
    assert load.first == load.gaps == load.held == load.needed == load.contiguous == []


def test_a_summary_has_medians_and_95th_percentiles() -> None:
    load = ServedLoad(
        seconds=4,
        tokens=10,
        first=[float(i) for i in range(100, -1, -1)],
        gaps=[2.0 * i for i in range(101)],
        drafted=8,
        accepted=6,
    )
    assert load.summary() == {
        "tokens_per_second": 2.5,
        "first_token_p50": 50,
        "first_token_p95": 95,
        "token_p50": 100,
        "token_p95": 190,
        "acceptance": 0.75,
        "drafted": 8,
    }


def test_a_summary_without_drafts_and_gaps_has_zeros() -> None:
    summary = ServedLoad(seconds=4, tokens=10, first=[3.0]).summary()
    assert (summary["acceptance"], summary["token_p50"], summary["token_p95"]) == (0, 0, 0)
    assert ServedLoad(seconds=1, drafted=1, accepted=1).summary()["acceptance"] == 1


def test_memory_is_the_mean_over_the_steps_in_bytes() -> None:
    load = ServedLoad(held=[16, 32], needed=[10, 20], contiguous=[50, 100])
    assert load.memory(4) == {"paged": 96, "contiguous": 300, "needed": 60}
