"""The serving engine as any other engine: continuous batching over a cache that is too small for
all, so that rows wait, are preempted and share prompt beginnings while they are judged."""

from pathlib import Path

import torch
from torch import Tensor

from ..data import SamplingParams
from ..draft.base import Drafter
from ..draft.model import ModelDrafter
from ..draft.ngram import NGramDrafter
from ..draft.none import NoDrafter
from ..judge.contract import CAPABILITIES, Completion, Engine, Metrics, Scheduler
from ..model.checkpoint import load
from ..serve import ServingEngine, ServingSettings
from ..serve.depth_policy import AcceptanceHistory, DepthPolicy
from ..verify import RULES


class Serving(Engine):
    """Without a draft model it looks n-grams up."""

    name = "reference: serving"
    supports = CAPABILITIES
    gamma, rows, size, chunk = 3, 16, 4, 8

    def __init__(self, target: Path, draft: Path | None):
        self.target = load(target)
        self.drafter: Drafter = NGramDrafter(2, 1) if draft is None else ModelDrafter(load(draft))
        self.engines = {speculative: self.engine(speculative) for speculative in (False, True)}

    def engine(self, speculative: bool) -> ServingEngine:
        room = self.target.config.max_position_embeddings + self.gamma
        return ServingEngine(
            self.target,
            self.drafter if speculative else NoDrafter(),
            RULES["rejection"],
            ServingSettings(
                gamma=self.gamma if speculative else 0,
                rows=self.rows,
                block_size=self.size,
                chunk=self.chunk,
                blocks=-(-4 * room // self.size),
            ),
        )

    def generate(
        self,
        prompts: list[list[int]],
        params: SamplingParams | list[SamplingParams],
        *,
        speculative: bool,
    ) -> list[Completion]:
        return [
            Completion(
                one.tokens,
                one.finish_reason,
                one.logprobs,
                Metrics(one.target_steps, one.drafted, one.accepted),
            )
            for one in self.engines[speculative].generate(prompts, params)
        ]


def _time(rows: int, tokens: int) -> float:
    """A forward that costs as much as 8 tokens before its first one."""
    return 8.0 + tokens


class Depths(Scheduler):
    """The serving engine's depth policy: it looks at the accepted counts of finished cycles."""

    name = "reference: depth policy"

    def __init__(self) -> None:
        self.policy = DepthPolicy(_time)
        self.begin(0)

    def begin(self, rows: int) -> None:
        self.histories = {row: AcceptanceHistory() for row in range(rows)}
        self.lengths = [0] * rows

    def admit(self, q: Tensor, draft: Tensor, confidence: Tensor | None, seed: int) -> Tensor:
        depths = self.policy.depths(self.histories, draft.shape[1])
        self.lengths = [depths[row] for row in self.histories]
        return torch.tensor(self.lengths, dtype=torch.int64)

    def observe(self, accepted: Tensor) -> None:
        for row, (drafted, kept) in enumerate(zip(self.lengths, accepted.tolist(), strict=True)):
            self.histories[row].add(drafted, kept)
