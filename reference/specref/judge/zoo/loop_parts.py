"""Wrong parts of the loop: caches, verifiers that make their own distribution, drafters that lose
their place.
"""

from dataclasses import replace

import torch
from torch import Tensor

from ...chance import Chance
from ...data import Draft, Verdict
from ...draft.base import Text
from ...draft.model import ModelDrafter
from ...model.cache import Cache, Step
from ...model.transformer import Output, Transformer
from ...verify.rejection import rejection
from ..subjects import Loop


class Other(Transformer):
    """The same weights with another cache class. It keeps the last scores, for loops that make
    their own distributions of them.
    """

    def __init__(self, model: Transformer, cache: type[Cache] = Cache):
        self.__dict__.update(model.__dict__)
        self.cache_type, self.scores = cache, torch.empty(0)

    def new_cache(self, batch: int, capacity: int) -> Cache:
        made = super().new_cache(batch, 4 * capacity)  # room for tokens that are wrongly kept
        made.__class__ = self.cache_type
        return made

    def forward(
        self,
        tokens: Tensor,
        cache: Cache | None = None,
        parents: Tensor | None = None,
        counts: Tensor | None = None,
    ) -> Output:
        output = super().forward(tokens, cache, parents, counts)
        self.scores = output.logits
        return output


class Stale(Cache):
    def commit(self, path: Tensor, accepted: Tensor) -> None:
        self.lengths += path.shape[1] + 1  # rejected tokens stay


class Shifted(Cache):
    def step(self, count: int, parents: Tensor | None = None, counts: Tensor | None = None) -> Step:
        step = super().step(count, parents, counts)
        # a token that is fed alone gets a position that is too large by one
        return replace(step, positions=step.positions + (count == 1))


class NotRolledBack(Loop):
    def __init__(
        self, target: Transformer, draft: Transformer, gamma: int = 2, rests: bool = False
    ):
        super().__init__(Other(target, Stale), draft, gamma, rests)


class DraftShifted(Loop):
    def __init__(
        self, target: Transformer, draft: Transformer, gamma: int = 2, rests: bool = False
    ):
        super().__init__(target, Other(draft, Shifted), gamma, rests)


class OwnDistribution(Loop):
    """A verifier that makes its own distribution from the scores [B,N+1,V]. `p` is the right
    distribution; `last` [B,N+1] marks the bonus row.
    """

    def __init__(
        self, target: Transformer, draft: Transformer, gamma: int = 2, rests: bool = False
    ):
        self.kept = Other(target)
        super().__init__(self.kept, draft, gamma, rests)

    def judge(self, draft: Draft, p: Tensor, chance: Chance) -> Verdict:
        last = torch.arange(p.shape[1]) == draft.lengths[:, None]
        return rejection(
            draft, self.distribution_of(self.kept.scores.softmax(-1), p, last[..., None]), chance
        )

    def distribution_of(self, plain: Tensor, p: Tensor, last: Tensor) -> Tensor:
        return plain  # every parameter ignored


class DraftRowsPlain(OwnDistribution):
    def distribution_of(self, plain: Tensor, p: Tensor, last: Tensor) -> Tensor:
        return torch.where(last, p, plain)


class BonusPlain(OwnDistribution):
    def distribution_of(self, plain: Tensor, p: Tensor, last: Tensor) -> Tensor:
        return torch.where(last, plain, p)


class LaterRowsPlain(OwnDistribution):
    def distribution_of(self, plain: Tensor, p: Tensor, last: Tensor) -> Tensor:
        return torch.cat((p[:, :1], plain[:, 1:]), 1)


class DividesByZero(OwnDistribution):
    def distribution_of(self, plain: Tensor, p: Tensor, last: Tensor) -> Tensor:
        greedy = p.amax(-1, keepdim=True) == 1
        if bool(greedy.all()):  # only a wholly greedy batch takes the greedy path
            return p
        return torch.where(greedy, (plain.log() / 0).softmax(-1), p)


class MissesLast(ModelDrafter):
    def propose(self, text: Text, budget: Tensor, chance: Chance) -> Draft:
        self.drafted = budget
        return super().propose(text, budget, chance)

    def commit(self, accepted: Tensor) -> None:
        whole = (accepted == self.drafted) & (accepted > 0)  # its last token was never fed
        self.cache.lengths = torch.where(
            whole, self.base + accepted, torch.minimum(self.cache.lengths, self.base + accepted)
        )


class MissesPending(ModelDrafter):
    def propose(self, text: Text, budget: Tensor, chance: Chance) -> Draft:
        self.empty = budget == 0
        return super().propose(text, budget, chance)

    def commit(self, accepted: Tensor) -> None:
        super().commit(accepted)
        # the pending token was never fed
        self.cache.lengths = torch.where(self.empty, self.base, self.cache.lengths)


class KeepsRejected(ModelDrafter):
    """A drafter that reads a text of its own, in which rejected tokens stay."""

    def begin(self, text: Text, capacity: int) -> None:
        super().begin(text, 4 * capacity)
        self.own: list[list[int]] = [[] for _ in text.tokens]
        self.heard = [0] * len(text.tokens)

    def propose(self, text: Text, budget: Tensor, chance: Chance) -> Draft:
        for row, tokens in enumerate(text.tokens):
            self.own[row] += tokens[self.heard[row] :]
            self.heard[row] = len(tokens)
        self.last = super().propose(replace(text, tokens=self.own), budget, chance)
        return self.last

    def commit(self, accepted: Tensor) -> None:
        super().commit(accepted)
        for row, count in enumerate(self.last.lengths.tolist()):
            self.own[row] += self.last.tokens[row, :count].tolist()
            self.heard[row] += int(accepted[row])

    def rows(self, index: list[int]) -> None:
        super().rows(index)
        self.own, self.heard = [self.own[i] for i in index], [self.heard[i] for i in index]


class OwnTemperature(ModelDrafter):
    """Draws its drafts at temperature 0.5 and reports the distribution of temperature 1."""

    def propose(self, text: Text, budget: Tensor, chance: Chance) -> Draft:
        cooler = replace(
            text, params=[replace(s, temperature=s.temperature / 2) for s in text.params]
        )
        draft = super().propose(cooler, budget, chance)
        q = None if draft.q is None else draft.q.sqrt()
        return replace(draft, q=None if q is None else q / q.sum(-1, keepdim=True))


class AnyVocabulary(ModelDrafter):
    def begin(self, text: Text, capacity: int) -> None:
        self.wanted = text.vocabulary
        super().begin(replace(text, vocabulary=self.model.config.vocab_size), capacity)

    def propose(self, text: Text, budget: Tensor, chance: Chance) -> Draft:
        draft = super().propose(text, budget, chance)
        return replace(draft, tokens=draft.tokens.clamp(max=self.wanted - 1), q=None)
