"""Planted bugs that show only at one place of a text or under one setting. A count over all tokens
hides them.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ...chance import Chance, Streams
from ...data import Completion, Draft, SamplingParams, Verdict
from ..subjects import Loop
from .loop_parts import OwnDistribution
from .loops import Rewrites
from .parts import assembled


class FirstTokenPlain(OwnDistribution):
    """The first token, drawn after the prefill, is drawn at temperature 1."""

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        params: Sequence[SamplingParams],
        chance: Chance | None = None,
    ) -> list[Completion]:
        self.begun = False
        return super().generate(prompts, params, chance)

    def distribution_of(self, plain: Tensor, p: Tensor, last: Tensor) -> Tensor:
        first, self.begun = not self.begun, True
        if not first:
            return p
        greedy = p[:, :1].amax(-1, keepdim=True) == 1
        return torch.cat((torch.where(greedy, p[:, :1], plain[:, :1]), p[:, 1:]), 1)


class ColdIsGreedy(Rewrites):
    def rewritten(self, params: Sequence[SamplingParams]) -> list[SamplingParams]:
        return [
            replace(s, temperature=0.0 if s.temperature < 0.3 else s.temperature) for s in params
        ]


class OneParameterAtATime(Rewrites):
    """If a filter is given, the temperature is ignored."""

    def rewritten(self, params: Sequence[SamplingParams]) -> list[SamplingParams]:
        return [replace(s, temperature=1.0) if s.top_k and s.temperature else s for s in params]


class FilterKeepsItsMass(OwnDistribution):
    """A filtered p is not normalised before it is compared with q, so too many draft tokens are
    rejected.
    """

    def judge(self, draft: Draft, p: Tensor, chance: Chance) -> Verdict:
        left = (self.kept.scores.softmax(-1) * (p > 0)).sum(-1, keepdim=True)
        alone = p.amax(-1, keepdim=True) > 0.999  # greedy and cold rows have no filter
        return assembled(checked=False)(draft, torch.where(alone, p, left * p), chance)


class BonusOfFirstRow(OwnDistribution):
    """The bonus tokens of all rows are drawn at the first row's temperature."""

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        params: Sequence[SamplingParams],
        chance: Chance | None = None,
    ) -> list[Completion]:
        self.heat = params[0].temperature if len({s.temperature for s in params}) > 1 else 0.0
        return super().generate(prompts, params, chance)

    def distribution_of(self, plain: Tensor, p: Tensor, last: Tensor) -> Tensor:
        if not self.heat:
            return p
        sampled = p.amax(-1, keepdim=True) < 1
        return torch.where(
            last & sampled, (plain.clamp(min=1e-30).log() / self.heat).softmax(-1), p
        )


class FilterOfFirstRow(Rewrites):
    def rewritten(self, params: Sequence[SamplingParams]) -> list[SamplingParams]:
        first = params[0]
        return [
            replace(s, min_p=first.min_p) if s.temperature and first.temperature else s
            for s in params
        ]


class TemperaturesStay(OwnDistribution):
    """After requests have left the batch, the other rows use the temperatures at their new index in
    the list of the full batch.
    """

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        params: Sequence[SamplingParams],
        chance: Chance | None = None,
    ) -> list[Completion]:
        self.heats = torch.tensor([s.temperature for s in params])[:, None, None]
        return super().generate(prompts, params, chance)

    def distribution_of(self, plain: Tensor, p: Tensor, last: Tensor) -> Tensor:
        heats = self.heats[: len(p)]
        if len(p) == len(self.heats):
            return p
        # greedy and filtered rows keep the right p
        sampled = (heats > 0) & (p > 0).all(-1, keepdim=True)
        return torch.where(
            sampled, (plain.clamp(min=1e-30).log() / heats.clamp(min=1e-3)).softmax(-1), p
        )


class SeedCut(Loop):
    def chance(self, params: Sequence[SamplingParams]) -> Chance:
        return Streams([None if s.seed is None else s.seed & 255 for s in params])


class SeedZero(Loop):
    def chance(self, params: Sequence[SamplingParams]) -> Chance:
        return Streams([s.seed or None for s in params])
