"""Orders of the vocabulary that only what stands before may decide, and what it means when tokens are too far in front."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .asking import Row
from .reading import Laws
from .toys import Toy, scores

Order = Callable[[Toy, Sequence[Row], Sequence[list[int]], Sequence[Laws]], list[Tensor]]  # keys [n,V] a text, high first


@dataclass(frozen=True)
class Direction:
    """An order, and what it means when tokens are too far in front, or too far behind."""

    name: str
    keys: Order
    front: str
    behind: str


def _likely(toy: Toy, rows: Sequence[Row], texts: Sequence[list[int]], tables: Sequence[Laws]) -> list[Tensor]:
    return [table.law for table in tables]


def _drafted(toy: Toy, rows: Sequence[Row], texts: Sequence[list[int]], tables: Sequence[Laws]) -> list[Tensor]:
    whole = [[*prompt, *text] for (prompt, _), text in zip(rows, texts, strict=True)]
    drafts = scores(toy.draft, whole, [len(prompt) for prompt, _ in rows])
    return [draft - table.scores for draft, table in zip(drafts, tables, strict=True)]


def _looked_up(toy: Toy, rows: Sequence[Row], texts: Sequence[list[int]], tables: Sequence[Laws]) -> list[Tensor]:
    keys = []
    for (prompt, _), text, table in zip(rows, texts, tables, strict=True):
        key, whole = table.law.clone(), [*prompt, *text]
        following: dict[int, int] = {}
        for i, token in enumerate(whole):
            if i >= len(prompt) - 1 and token in following:
                key[i - len(prompt) + 1, following[token]] += 1
            if i + 1 < len(whole):
                following[token] = whole[i + 1]
        keys.append(key)
    return keys


def _plain(toy: Toy, rows: Sequence[Row], texts: Sequence[list[int]], tables: Sequence[Laws]) -> list[Tensor]:
    return [table.scores.softmax(-1) - table.law for table in tables]


def _before(toy: Toy, rows: Sequence[Row], texts: Sequence[list[int]], tables: Sequence[Laws]) -> list[Tensor]:
    return [torch.cat((table.law[:1], table.scores[:-1] - table.scores[1:])) for table in tables]


LIKELY = Direction("by p", _likely, "likely tokens come out too often, as at a lower temperature or by argmax",
                   "unlikely tokens come out too often, as at a higher temperature or without a filter")
DRAFTED = Direction("by q/p", _drafted, "tokens that the draft likes come out too often: too much is accepted, the q "
                    "reported is not the q drawn from, or the residual is not max(p - q, 0)",
                    "tokens that the draft likes come out too seldom: too much is rejected, or the residual takes off too "
                    "much")
LOOKED_UP = Direction("looked up", _looked_up, "tokens that were looked up come out too often: too much is accepted, or "
                      "their q is not taken for a point mass", "tokens that were looked up come out too seldom")
PLAIN = Direction("by the plain law", _plain, "tokens come out as if the parameter were not there on some rows",
                  "the parameter is applied too strongly, or twice")
_TWICE = "a token depends on the coins of the token before: random numbers are used twice, or the law of each is off"
NEIGHBOURS = Direction("of neighbours", _likely, _TWICE, _TWICE)
BESIDE = Direction("of rows side by side", _likely, "rows share random numbers", "rows share random numbers")
BEFORE = Direction("by the row before", _before, "tokens come out by the law of the place before: the wrong row is sampled",
                   "tokens shun what the place before liked")
