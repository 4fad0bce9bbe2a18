"""Many requests at once: plain, speculative and adaptive decoding, in pages of one cache."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ...data import SamplingParams
from ...decode import generate
from ...draft.base import Drafter
from ...draft.model import ModelDrafter
from ...draft.none import NoDrafter
from ...model.transformer import Transformer
from ...serve import ServingEngine, ServingSettings
from ...serve.calibrate import calibrate
from ...serve.depth_policy import DepthPolicy
from ...verify.rejection import rejection
from ..speed.timing import WorkClock
from .arrivals import Arrival, arrivals
from .clients import Clients, ServedLoad, serve_load

SERVING_MODES = ("plain", "speculative", "adaptive")
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)
BLOCKS, BLOCK_SIZE, CHUNK = 2048, 16, 64
TRACE_REQUESTS, TRACE_ROWS = 48, 16
LOAD = 0.75  # of what plain decoding can serve, in the trace


@dataclass(frozen=True)
class ReplayedTrace:
    """One mode on the trace. between: mean seconds between two requests."""

    load: ServedLoad
    engine: ServingEngine
    between: float


class ServingBench:
    """One bench of a target and a draft."""

    def __init__(
        self,
        target: Transformer,
        draft: Transformer,
        gamma: int,
        report: Callable[[str], None] = lambda line: None,
    ):
        self.target, self.draft, self.gamma, self.report = target, draft, gamma, report
        self.policy: DepthPolicy | None = None

    def run(self) -> dict[str, Any]:
        """What `specref bench --serving --json` writes but `same_tokens` and some settings."""
        self.report("measuring what a step costs ...")
        drafter, most = ModelDrafter(self.draft), max(BATCH_SIZES)
        self.policy = calibrate(self.target, drafter, rejection, self.gamma, most)
        batches = [self._batch(size) for size in BATCH_SIZES]
        traces = {mode: self._replay(mode, batches) for mode in SERVING_MODES}
        return {
            "batches": batches,
            "crossover_batch": crossover_batch(batches),
            "gamma": self.gamma,
            "same_tokens_float32": self._same_texts(traces["speculative"].load),
            "memory": traces["speculative"].load.memory(token_bytes(self.target)),
            "trace": _describe_traces(traces),
            "settings": {
                "block_size": BLOCK_SIZE,
                "chunk": CHUNK,
                "temperature": 1.0,
                "clock": WorkClock(self.target.device).name,
                "rule": "rejection",
            },
        }

    def _engine(self, mode: str, rows: int) -> ServingEngine:
        drafter: Drafter = NoDrafter() if mode == "plain" else ModelDrafter(self.draft)
        return ServingEngine(
            self.target,
            drafter,
            rejection,
            ServingSettings(
                gamma=0 if mode == "plain" else self.gamma,
                rows=rows,
                blocks=BLOCKS,
                block_size=BLOCK_SIZE,
                chunk=CHUNK,
                depth_policy=self.policy if mode == "adaptive" else None,
            ),
        )

    def _batch(self, size: int) -> dict[str, Any]:
        """A closed loop of `size` clients; each mode gets the same requests."""
        work, clients = arrivals(max(4, size + size // 2), seed=size), Clients(size)
        loads = {}
        for mode in SERVING_MODES:
            loads[mode] = serve_load(self._engine(mode, size), work, SamplingParams(), clients)
        rates = {mode: load.rate for mode, load in loads.items()}
        said = ", ".join(f"{mode} {rate:.0f} tokens/s" for mode, rate in rates.items())
        self.report(f"batch {size}: {said}")
        latency = {mode: load.summary() for mode, load in loads.items()}
        return {"size": size, **rates, "latency": latency}

    def _replay(self, mode: str, batches: Sequence[Mapping[str, Any]]) -> ReplayedTrace:
        """The trace in time, at LOAD of what plain decoding can serve with so many rows."""
        work = arrivals(TRACE_REQUESTS)
        rate = next(batch["plain"] for batch in batches if batch["size"] == TRACE_ROWS)
        tokens = sum(one.new_tokens for one in work) / len(work)
        between = tokens / (LOAD * rate)
        longest = max(len(one.prompt) + one.new_tokens for one in work) + self.gamma + 1
        engine = self._engine(mode, TRACE_ROWS)
        load = serve_load(engine, work, SamplingParams(), Clients(between=between), longest)
        self.report(f"trace, {mode}: {load.seconds:.0f} s")
        return ReplayedTrace(load, engine, between)

    def _same_texts(self, load: ServedLoad) -> str:
        """How many of the trace's first texts are those that `decode.generate` writes alone, in the
        type that was measured.
        """
        work = arrivals(TRACE_REQUESTS)[:8]
        equal = 0
        for number, one in enumerate(work):
            equal += self._alone(self.target, self.draft, one, number) == load.texts[number]
        return f"{equal} of {len(work)}"

    def _alone(self, target: Transformer, draft: Transformer, one: Arrival, seed: int) -> list[int]:
        params = SamplingParams(seed=seed, max_new_tokens=one.new_tokens)
        drafter, gamma = ModelDrafter(draft), self.gamma
        return generate(target, drafter, rejection, [one.prompt], params, gamma=gamma)[0].tokens

    def same_tokens_as_alone(self, target: Transformer, draft: Transformer) -> bool:
        """Whether eight requests served together get the tokens that each gets alone."""
        work = arrivals(8, seed=1)
        engine = ServingEngine(
            target,
            ModelDrafter(draft),
            rejection,
            ServingSettings(gamma=self.gamma, rows=4, blocks=48, block_size=BLOCK_SIZE, chunk=32),
        )
        load = serve_load(engine, work, SamplingParams(), Clients(8))
        for number, one in enumerate(work):
            if self._alone(target, draft, one, number) != load.texts[number]:
                return False
        return True


def crossover_batch(batches: Sequence[Mapping[str, Any]]) -> int | None:
    """The smallest batch from which on speculation of fixed depth is slower than plain decoding;
    None where it never is.
    """
    smallest = None
    for batch in reversed(batches):
        if batch["speculative"] >= batch["plain"]:
            break
        smallest = batch["size"]
    return smallest


def token_bytes(target: Transformer) -> int:
    """Bytes of one token's keys and values in all layers."""
    config = target.config
    numbers = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim
    return numbers * torch.finfo(target.dtype).bits // 8


def _describe_traces(traces: Mapping[str, ReplayedTrace]) -> dict[str, Any]:
    """The recorded trace, and what each mode made of it."""
    result: dict[str, Any] = {
        "requests": TRACE_REQUESTS,
        "rows": TRACE_ROWS,
        "seconds_between": traces["plain"].between,
        "arrivals": [],
        "prefix_hits": {},
        "preemptions": {},
    }
    for one in arrivals(TRACE_REQUESTS):
        result["arrivals"].append([one.at, len(one.prompt), one.new_tokens])
    for mode, trace in traces.items():
        result[mode] = trace.load.summary()
        result["prefix_hits"][mode] = trace.engine.hits / trace.engine.looked
        result["preemptions"][mode] = trace.engine.preemptions
    return result
