"""The serving bench asks each mode for the same work, and its figures are arithmetic on what the
loads showed. Here the loads are given, so that each figure is known beforehand.

Protects: which engine, work and clients stand behind each published figure.
"""

from types import SimpleNamespace

import pytest
import torch
from specref.data import Completion
from specref.draft.model import ModelDrafter
from specref.draft.none import NoDrafter
from specref.measure.serving import bench as module
from specref.measure.serving.arrivals import Arrival, arrivals
from specref.measure.serving.bench import ServingBench, crossover_batch, token_bytes
from specref.measure.serving.clients import Clients, ServedLoad
from specref.serve.depth_policy import DepthPolicy

from tests.stub import tiny

TARGET = tiny(seed=1, vocabulary=256, layers=2, context=320, dtype=torch.float32)
DRAFT = tiny(seed=2, vocabulary=256, layers=1, context=320, dtype=torch.float32)
POLICY = DepthPolicy(lambda rows, tokens: 1.0)
RATES = {"plain": 100.0, "speculative": 150.0, "adaptive": 180.0}
SIZES = (1, 2, 4, 8, 16, 32, 64)


class Given:
    """Loads are given; what was asked for is remembered."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.calibrated: tuple = ()
        self.loads: list[tuple] = []
        self.texts = {number: [number] for number in range(48)}
        self.alone: list[tuple] = []
        given = {
            "calibrate": self.calibrate,
            "ServingEngine": self.engine,
            "serve_load": self.serve_load,
            "generate": self.generate,
        }
        for name, stand_in in given.items():
            monkeypatch.setattr(module, name, stand_in)

    def calibrate(self, *words) -> DepthPolicy:
        self.calibrated = words
        return POLICY

    def engine(self, target, drafter, rule, settings):
        assert rule.__name__ == "rejection"
        return SimpleNamespace(
            target=target, drafter=drafter, settings=settings, hits=30, looked=40, preemptions=7
        )

    def mode(self, engine) -> str:
        if isinstance(engine.drafter, NoDrafter):
            return "plain"
        return "speculative" if engine.settings.depth_policy is None else "adaptive"

    def serve_load(self, engine, work, params, clients, longest=0) -> ServedLoad:
        self.loads.append((engine, work, params, clients, longest))
        rate = RATES[self.mode(engine)]
        return ServedLoad(
            seconds=2,
            tokens=int(2 * rate),
            held=[10],
            needed=[5],
            contiguous=[20],
            texts=dict(self.texts),
        )

    def generate(self, target, drafter, rule, prompts, params, gamma):
        """Writes the seed: what the loads hold, for all but the last of eight."""
        self.alone.append((target, drafter, prompts, params, gamma))
        tokens = [params.seed] if params.seed != 7 else [99]
        return [Completion(tokens, "length", 1, 0, 0)]


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Given:
    return Given(monkeypatch)


def test_every_size_asks_each_mode_for_the_same_requests(given: Given) -> None:
    """Half as many again as there are clients, four at least; no two sizes the same."""
    result = ServingBench(TARGET, DRAFT, 3).run()
    assert [batch["size"] for batch in result["batches"]] == list(SIZES)
    counts = []
    for size, first in zip(SIZES, range(0, 21, 3), strict=True):
        loads = given.loads[first : first + 3]
        assert [given.mode(engine) for engine, *_ in loads] == list(RATES)
        works = [work for _, work, *_ in loads]
        assert works[0] == works[1] == works[2]
        counts.append(len(works[0]))
        for engine, _, params, clients, _ in loads:
            assert clients == Clients(size)
            assert params.temperature == 1
            assert engine.settings.rows == size
    assert counts == [4, 4, 6, 12, 24, 48, 96]
    beginnings = {given.loads[first][1][0].at for first in range(0, 21, 3)}
    assert len(beginnings) == len(SIZES)
    assert {mode: result["batches"][0][mode] for mode in RATES} == RATES
    latency = result["batches"][0]["latency"]
    assert {mode: latency[mode]["tokens_per_second"] for mode in RATES} == RATES


def test_each_mode_has_its_drafter_depth_and_policy(given: Given) -> None:
    ServingBench(TARGET, DRAFT, 3).run()
    engines = {given.mode(engine): engine for engine, *_ in given.loads[:3]}
    assert {mode: one.settings.gamma for mode, one in engines.items()} == {
        "plain": 0,
        "speculative": 3,
        "adaptive": 3,
    }
    policies = {mode: one.settings.depth_policy for mode, one in engines.items()}
    assert policies == {"plain": None, "speculative": None, "adaptive": POLICY}
    for engine in engines.values():
        assert engine.target is TARGET
        assert (engine.settings.block_size, engine.settings.chunk) == (16, 64)
    target, drafter, _, gamma, rows = given.calibrated
    assert (target, type(drafter), gamma, rows) == (TARGET, ModelDrafter, 3, 64)


def test_the_trace_offers_three_quarters_of_what_plain_decoding_serves(given: Given) -> None:
    """48 requests for 16 rows; the offered tokens a second are 0.75 of plain's 100, whatever the
    mode; a row of contiguous memory has room for the longest request, its draft and the pending
    token."""
    result = ServingBench(TARGET, DRAFT, 3).run()
    trace = arrivals(48)
    tokens = sum(one.new_tokens for one in trace) / 48
    for engine, work, _, clients, longest in given.loads[21:]:
        assert work == trace
        assert engine.settings.rows == 16
        assert clients.count is None
        assert tokens / clients.between == pytest.approx(75)
        assert longest == 4 + max(len(one.prompt) + one.new_tokens for one in trace)
    assert len(given.loads) == 24
    said = result["trace"]
    assert (said["requests"], said["rows"]) == (48, 16)
    assert tokens / said["seconds_between"] == pytest.approx(75)
    assert said["arrivals"] == [[one.at, len(one.prompt), one.new_tokens] for one in trace]
    assert said["prefix_hits"] == dict.fromkeys(RATES, 0.75)
    assert said["preemptions"] == dict.fromkeys(RATES, 7)
    assert {mode: said[mode]["tokens_per_second"] for mode in RATES} == RATES


def test_the_rest_of_the_result(given: Given) -> None:
    """Two layers of two key heads of 4 numbers, keys and values, four bytes each: 128 a token."""
    result = ServingBench(TARGET, DRAFT, 3).run()
    assert result["memory"] == {"paged": 1280, "contiguous": 2560, "needed": 640}
    assert (result["gamma"], result["crossover_batch"]) == (3, None)
    assert result["settings"] == {
        "block_size": 16,
        "chunk": 64,
        "temperature": 1.0,
        "clock": "process",
        "rule": "rejection",
    }


def test_eight_texts_of_the_trace_are_written_again_alone(given: Given) -> None:
    """The eighth differs here."""
    result = ServingBench(TARGET, DRAFT, 3).run()
    assert result["same_tokens_float32"] == "7 of 8"
    trace = arrivals(48)
    for number, (target, drafter, prompts, params, gamma) in enumerate(given.alone):
        assert (target, type(drafter), gamma) == (TARGET, ModelDrafter, 3)
        assert prompts == [trace[number].prompt]
        assert (params.seed, params.max_new_tokens) == (number, trace[number].new_tokens)
        assert params.temperature == 1


@pytest.mark.parametrize(
    ("dtype", "count"), [(torch.float32, 128), (torch.float64, 256), (torch.bfloat16, 64)]
)
def test_bytes_of_a_token(dtype: torch.dtype, count: int) -> None:
    assert token_bytes(tiny(layers=2, dtype=dtype)) == count


@pytest.mark.parametrize("speeds", [[(2, 2)], [(2, 1), (2, 2)]])
def test_as_fast_as_plain_is_not_slower(speeds: list[tuple[int, int]]) -> None:
    rows = [{"size": n, "plain": a, "speculative": b} for n, (a, b) in enumerate(speeds)]
    assert crossover_batch(rows) is None


SHORT = [Arrival(0, [1 + n, 2, 3], 6) for n in range(8)]


def test_requests_together_are_compared_with_each_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real models here: the answers are the same; and one that is told wrongly is seen, whichever
    of the eight it is."""
    monkeypatch.setattr(module, "arrivals", lambda count, seed: SHORT[:count])
    bench = ServingBench(TARGET, DRAFT, 2)
    target, draft = TARGET.double(), DRAFT.double()
    assert bench.same_tokens_as_alone(target, draft) is True
    alone = ServingBench._alone
    for wrong in (0, 7):

        def spoiled(self, target, draft, one, seed, wrong=wrong):
            tokens = alone(self, target, draft, one, seed)
            return [*tokens[:-1], 0] if seed == wrong and tokens[-1] else tokens

        monkeypatch.setattr(ServingBench, "_alone", spoiled)
        assert bench.same_tokens_as_alone(target, draft) is False
