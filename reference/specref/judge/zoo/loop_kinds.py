"""More planted bugs of the loop: rows that change each other, streams that are used twice,
attention windows, counts and what is reported.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ...chance import Chance, Streams
from ...data import Completion, Draft, SamplingParams, Verdict
from ...draft.base import Drafter, Text
from ...draft.model import ModelDrafter
from ...draft.ngram import NGramDrafter
from ...model.cache import Cache
from ...model.cache import Step as Place
from ...model.transformer import Transformer
from ...verify.rejection import rejection
from ..loops import NGram
from ..subjects import Loop
from .loop_parts import Other, OwnDistribution
from .loops import Rewrites

_WINDOW = 64


class TwoRanks(Loop):
    """One rank decides which tokens are accepted; another rank, with random numbers of its own,
    draws the next token.
    """

    def judge(self, draft: Draft, p: Tensor, chance: Chance) -> Verdict:
        first, second = rejection(draft, p, chance), rejection(draft, p, chance)
        return replace(first, next_token=second.next_token)


class Neighbours(ModelDrafter):
    def propose(self, text: Text, budget: Tensor, chance: Chance) -> Draft:
        draft = super().propose(text, budget, chance)
        if draft.q is None:
            return draft
        # the mean of both, so that no drafted token has q = 0
        return replace(draft, q=draft.q.roll(1, 0).lerp(draft.q, 0.5))


class NeighboursDistribution(Loop):
    """A row's q is averaged with the q of the neighbouring row."""

    def drafter(self) -> Drafter:
        return Neighbours(self.draft)


class Restarting(Streams):
    """Every cycle restarts its streams, so the same uniforms come again."""

    def accept(self, probability: Tensor, asked: Tensor | None = None) -> Tensor:
        self.streams = list(Streams([stream.seed for stream in self.streams]).streams)
        return super().accept(probability, asked)

    def rows(self, index: Sequence[int]) -> "Restarting":
        return Restarting(streams=[self.streams[row] for row in index])


class StreamRestarts(Loop):
    def chance(self, params: Sequence[SamplingParams]) -> Chance:
        return Restarting([s.seed for s in params])


class SeedByPlace(Loop):
    """A request without a seed is seeded with its row's number: the rows differ, but every call
    gives the same texts.
    """

    def chance(self, params: Sequence[SamplingParams]) -> Chance:
        return Streams([row if s.seed is None else s.seed for row, s in enumerate(params)])


class UnseededGreedy(Rewrites):
    """In a batch with seeded rows, rows without a seed are decoded greedily."""

    def rewritten(self, params: Sequence[SamplingParams]) -> list[SamplingParams]:
        mixed = any(s.seed is not None for s in params) and any(s.seed is None for s in params)
        return [replace(s, temperature=0.0) if mixed and s.seed is None else s for s in params]


class OneMoreOfTopK(Rewrites):
    def rewritten(self, params: Sequence[SamplingParams]) -> list[SamplingParams]:
        return [replace(s, top_k=s.top_k + 1) if s.top_k else s for s in params]


class Certainly(NGramDrafter):
    """An n-gram lookup that reports a soft q from which its tokens were not drawn."""

    def propose(self, text: Text, budget: Tensor, chance: Chance) -> Draft:
        draft = super().propose(text, budget, chance)
        soft = torch.nn.functional.one_hot(draft.index[..., 0], text.vocabulary).float()
        return replace(draft, q=0.5 * soft + 0.5 / text.vocabulary)


class LookupSoftQ(NGram):
    def drafter(self) -> Drafter:
        return Certainly(2, 1)


class CountsRejected(ModelDrafter):
    """Rejected draft tokens stay in the history that the penalties count."""

    def begin(self, text: Text, capacity: int) -> None:
        super().begin(text, capacity)
        self.wasted: list[list[int]] = [[] for _ in text.tokens]

    def propose(self, text: Text, budget: Tensor, chance: Chance) -> Draft:
        for row, s in enumerate(text.params):
            bias = dict(s.logit_bias)
            for token in self.wasted[row]:
                bias[token] = bias.get(token, 0.0) - s.frequency_penalty
            for token in {*self.wasted[row]} - {*text.tokens[row][text.prompts[row] :]}:
                bias[token] -= s.presence_penalty
            text.params[row] = replace(s, logit_bias=bias)
        self.last = super().propose(text, budget, chance)
        return self.last

    def commit(self, accepted: Tensor) -> None:
        super().commit(accepted)
        for row, (count, length) in enumerate(
            zip(accepted.tolist(), self.last.lengths.tolist(), strict=True)
        ):
            self.wasted[row] = self.last.tokens[row, count:length].tolist()

    def rows(self, index: list[int]) -> None:
        super().rows(index)
        self.wasted = [self.wasted[i] for i in index]


class PenaltiesCountRejected(Loop):
    def drafter(self) -> Drafter:
        return CountsRejected(self.draft)


class Forgets(Cache):
    """Past a window of _WINDOW tokens, the first tokens are masked."""

    def step(
        self, count: int, parents: Tensor | None = None, counts: Tensor | None = None
    ) -> Place:
        made = super().step(count, parents, counts)
        if made.stop <= _WINDOW:
            return made
        mask = made.mask.clone()
        mask[..., : made.stop - _WINDOW] = -torch.inf
        return replace(made, mask=mask)


class LateDrift(Loop):
    def __init__(
        self, target: Transformer, draft: Transformer, gamma: int = 2, rests: bool = False
    ):
        super().__init__(Other(target, Forgets), draft, gamma, rests)


class Padded(Cache):
    """The positions of shorter rows are shifted to those of the longest row."""

    def step(
        self, count: int, parents: Tensor | None = None, counts: Tensor | None = None
    ) -> Place:
        made = super().step(count, parents, counts)
        gap = (self.lengths.max() - self.lengths) * (self.lengths > 0)
        return replace(made, positions=made.positions + gap[:, None].to(made.positions.device))


class RaggedPositions(Loop):
    def __init__(
        self, target: Transformer, draft: Transformer, gamma: int = 2, rests: bool = False
    ):
        super().__init__(Other(target, Padded), draft, gamma, rests)


class BonusSharpened(OwnDistribution):
    """The temperature is applied to the bonus row twice."""

    def distribution_of(self, plain: Tensor, p: Tensor, last: Tensor) -> Tensor:
        heat = (
            p.clamp(min=1e-30).log().amax(-1, keepdim=True)
            - p.clamp(min=1e-30).log().amin(-1, keepdim=True)
        ) / (
            # 1 / temperature, of an unfiltered distribution
            plain.log().amax(-1, keepdim=True) - plain.log().amin(-1, keepdim=True)
        )
        return torch.where(last & (heat < 10), (p.clamp(min=1e-30).log() * heat).softmax(-1), p)


class EndsWithReject(Loop):
    """A text of two drafted tokens or more, none of them accepted, loses its last token."""

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        params: Sequence[SamplingParams],
        chance: Chance | None = None,
    ) -> list[Completion]:
        done = super().generate(prompts, params, chance)
        return [
            (
                replace(one, tokens=one.tokens[:-1])
                if one.drafted > 1 and not one.accepted and len(one.tokens) > 1
                else one
            )
            for one in done
        ]


class CountsAllRows(Loop):
    """Every request reports the counts of the whole batch."""

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        params: Sequence[SamplingParams],
        chance: Chance | None = None,
    ) -> list[Completion]:
        done = super().generate(prompts, params, chance)
        drafted, accepted = sum(one.drafted for one in done), sum(one.accepted for one in done)
        return [replace(one, drafted=drafted, accepted=accepted) for one in done]


class SaysLength(Loop):
    """A text that ended at a stop reports the finish reason "length"."""

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        params: Sequence[SamplingParams],
        chance: Chance | None = None,
    ) -> list[Completion]:
        return [
            replace(one, finish_reason="length")
            for one in super().generate(prompts, params, chance)
        ]
