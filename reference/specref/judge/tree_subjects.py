"""What a tree check puts to the test: one step over a tree, a loop that proposes trees, and
Medusa's heads.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..chance import Chance
from ..data import Draft, Verdict
from ..draft.base import Drafter, Text
from ..draft.medusa import MedusaDrafter, MedusaHeads
from ..model.transformer import Transformer
from ..train.losses import medusa_loss
from ..verify import Rule
from ..verify.tree import tree
from . import oracle
from .subjects import Loop

Parents = tuple[int, ...]
_Guess = Callable[[Tensor, Tensor, Chance, Tensor], tuple[Tensor, Tensor | None]]


def untried(distribution: Tensor, earlier: Tensor) -> Tensor:
    """distribution [W,V] without the tokens of the earlier siblings [W,S], normalised; any other
    token where nothing is left.
    """
    free = torch.ones_like(distribution).scatter_(1, earlier, 0)
    left = distribution * free
    left = torch.where(left.sum(-1, keepdim=True) > 0, left, free)
    return left / left.sum(-1, keepdim=True)


def anew(
    distribution: Tensor, earlier: Tensor, chance: Chance, asked: Tensor
) -> tuple[Tensor, Tensor | None]:
    """Siblings drawn with replacement: distribution [W,V] -> token [W], 0 where not asked [W], and
    the q it was drawn from.
    """
    return chance.draw(distribution, asked), distribution


def without(
    distribution: Tensor, earlier: Tensor, chance: Chance, asked: Tensor
) -> tuple[Tensor, Tensor | None]:
    """Siblings drawn without replacement."""
    q = untried(distribution, earlier)
    return chance.draw(q, asked), q


def best(
    distribution: Tensor, earlier: Tensor, chance: Chance, asked: Tensor
) -> tuple[Tensor, Tensor | None]:
    """The likeliest tokens, proposed with certainty."""
    return torch.where(asked, untried(distribution, earlier).argmax(-1), 0), None


def grow(
    distributions: Callable[[Tensor], Tensor],
    parents: Parents,
    lengths: Tensor,
    guess: _Guess,
    chance: Chance,
) -> Draft:
    """Guess a tree node by node. distributions: the tokens from the context down to a node [W,d] ->
    the draft's distribution [W,V].
    """
    batch = len(lengths)
    texts = [torch.zeros(batch, 0, dtype=torch.int64)]  # of the context, then of every node
    tokens: list[Tensor] = []
    reported: list[Tensor] = []
    for node, parent in enumerate(parents):
        above = texts[parent + 1]
        siblings = [tokens[i] for i in range(node) if parents[i] == parent]
        earlier = torch.stack(siblings, 1) if siblings else torch.zeros(batch, 0, dtype=torch.int64)
        token, q = guess(distributions(above), earlier, chance, lengths > node)
        tokens.append(token)
        texts.append(torch.cat((above, token[:, None]), 1))
        reported += [] if q is None else [q]
    none = torch.zeros(batch, 0, dtype=torch.int64)
    return Draft(
        torch.stack(tokens, 1) if tokens else none,
        torch.tensor(parents, dtype=torch.int64).expand(batch, -1),
        torch.stack(reported, 1) if reported else None,
        lengths,
    )


@dataclass(frozen=True)
class TreeStep:
    """One step over a tree: how its nodes are guessed, in which order they stand, and the rule that
    judges them.
    """

    rule: Rule = tree
    guess: _Guess = anew
    order: Callable[[Parents], Parents] = lambda parents: parents
    level: str = "tree"


class Branching(Drafter):
    """Guesses a tree of one shape with a draft model, by forwards without a cache; cut to the
    budget's depth.
    """

    def __init__(self, model: Transformer, parents: Parents, guess: _Guess):
        self.model, self.parents, self.guess = model, parents, guess
        self.depths: list[int] = []
        for parent in parents:  # never falls: a tree in order of depth
            self.depths.append(1 if parent < 0 else self.depths[parent] + 1)

    def nodes(self, gamma: int) -> int:
        return sum(depth <= gamma for depth in self.depths)

    def propose(self, text: Text, budget: Tensor, chance: Chance) -> Draft:
        lengths = (torch.tensor(self.depths) <= budget[:, None]).sum(1)

        def distributions(tokens: Tensor) -> Tensor:
            rows = [[*old, *new] for old, new in zip(text.tokens, tokens.tolist(), strict=True)]
            return oracle.distribution_after(self.model, rows, text.prompts, text.params)

        return grow(distributions, self.parents[: int(lengths.max())], lengths, self.guess, chance)


class TreeLoop(Loop):
    """Our loop with trees. Subclasses override one part."""

    distribution = ""
    parents: Parents = (-1, -1, 0, 1)

    def guess(
        self, distribution: Tensor, earlier: Tensor, chance: Chance, asked: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        return best(distribution, earlier, chance, asked)

    def drafter(self) -> Drafter:
        return Branching(self.draft, self.parents, self.guess)

    def judge(self, draft: Draft, p: Tensor, chance: Chance) -> Verdict:
        return tree(draft, p, chance)


@dataclass(frozen=True)
class Heads:
    """Medusa's heads: how they are made, taught, and drafted with."""

    make: Callable[[Transformer, int], MedusaHeads] = MedusaHeads.of
    loss: Callable[[MedusaHeads, Transformer], Callable[[Tensor], Tensor]] = medusa_loss
    drafter: Callable[[MedusaHeads, Sequence[tuple[int, ...]]], Drafter] = MedusaDrafter
    level: str = "heads"
