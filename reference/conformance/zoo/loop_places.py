"""Planted bugs that show in one place or under one setting alone, and drown where all tokens are counted together."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ...chance import Chance, Streams
from ...types import Completion, Draft, SamplingParams, Verdict
from ..subjects import Loop
from .loop_parts import OwnLaw
from .loops import Rewrites
from .parts import assembled


class FirstTokenPlain(OwnLaw):
    """What the prefill gives is drawn at temperature 1."""

    def generate(self, prompts: Sequence[Sequence[int]], params: Sequence[SamplingParams],
                 chance: Chance | None = None) -> list[Completion]:
        self.begun = False
        return super().generate(prompts, params, chance)

    def law_of(self, plain: Tensor, p: Tensor, last: Tensor) -> Tensor:
        first, self.begun = not self.begun, True
        if not first:
            return p
        greedy = p[:, :1].amax(-1, keepdim=True) == 1
        return torch.cat((torch.where(greedy, p[:, :1], plain[:, :1]), p[:, 1:]), 1)


class ColdIsGreedy(Rewrites):
    def rewritten(self, params: Sequence[SamplingParams]) -> list[SamplingParams]:
        return [replace(s, temperature=0.0 if s.temperature < 0.3 else s.temperature) for s in params]


class OneParameterAtATime(Rewrites):
    """Where there is a filter, the temperature is forgotten."""

    def rewritten(self, params: Sequence[SamplingParams]) -> list[SamplingParams]:
        return [replace(s, temperature=1.0) if s.top_k and s.temperature else s for s in params]


class FilterKeepsItsMass(OwnLaw):
    """What a filter leaves of p is not brought to 1 again before it is compared with q: too much is rejected."""

    def judge(self, draft: Draft, p: Tensor, chance: Chance) -> Verdict:
        left = (self.kept.scores.softmax(-1) * (p > 0)).sum(-1, keepdim=True)
        alone = p.amax(-1, keepdim=True) > 0.999  # greedy and cold rows have no filter
        return assembled(checked=False)(draft, torch.where(alone, p, left * p), chance)


class SeedCut(Loop):
    def chance(self, params: Sequence[SamplingParams]) -> Chance:
        return Streams([None if s.seed is None else s.seed & 255 for s in params])


class SeedZero(Loop):
    def chance(self, params: Sequence[SamplingParams]) -> Chance:
        return Streams([s.seed or None for s in params])
