"""Orders of the vocabulary that only what stands before may decide, and what it means when tokens are too far in front."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from .asking import Row
from .reading import Laws
from .toys import Toy, scores

Pairs = Callable[[Sequence[int]], tuple[Tensor, Tensor]]  # lengths -> where each first token stands, and its second, or -1
Order = Callable[[Toy, Sequence[Row], Sequence[list[int]], Sequence[Laws]], list[Tensor]]  # keys [n,V] a text, high first


@dataclass(frozen=True)
class Direction:
    """An order, and what it means when tokens are too far in front, or too far behind; or when two of them, which stand as
    `pairs` says, depend on each other."""

    name: str
    keys: Order
    front: str
    behind: str
    pairs: Pairs | None = None


def _next_token(lengths: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Tokens 1 and 2 of a text, 3 and 4, .."""
    begin = 0
    first: list[int] = []
    second: list[int] = []
    for length in lengths:
        first += range(begin, begin + length, 2)
        second += [at if at < begin + length else -1 for at in range(begin + 1, begin + length + 1, 2)]
        begin += length
    return torch.tensor(first, dtype=torch.int64), torch.tensor(second, dtype=torch.int64)


def _next_row(lengths: Sequence[int], later: int = 0) -> tuple[Tensor, Tensor]:
    """The tokens at the same place of texts 1 and 2, 3 and 4, ..; or those of the first that stand so much later."""
    begin = 0
    first: list[int] = []
    second: list[int] = []
    for one, other in zip(lengths[::2], lengths[1::2], strict=False):
        first += range(begin + later, begin + one)
        second += [begin + one + place if place < other else -1 for place in range(one - later)]
        begin += one + other
    return torch.tensor(first, dtype=torch.int64), torch.tensor(second, dtype=torch.int64)


def _first_of_next(lengths: Sequence[int], later: int) -> tuple[Tensor, Tensor]:
    """The first tokens of texts 2, 4, .., and those of texts 1, 3, .. that stand so much later in theirs."""
    begin = 0
    first: list[int] = []
    second: list[int] = []
    for one, other in zip(lengths[::2], lengths[1::2], strict=False):
        if one and other:
            first.append(begin + one)
            second.append(begin + later if later < one else -1)
        begin += one + other
    return torch.tensor(first, dtype=torch.int64), torch.tensor(second, dtype=torch.int64)


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
NEIGHBOURS = Direction("of neighbours", _likely, _TWICE, _TWICE, _next_token)
_SHARED = "rows share random numbers"
BESIDE = Direction("of rows side by side", _likely, _SHARED, _SHARED, _next_row)
ASKEW = Direction("of a row and the next token of the row before", _likely, _SHARED, _SHARED, partial(_next_row, later=1))
AHEAD = tuple(Direction(f"of a first token and token {later + 1} of the row before", _likely, _SHARED, _SHARED,
                        partial(_first_of_next, later=later)) for later in (1, 2, 3, 4))
BEFORE = Direction("by the row before", _before, "tokens come out by the law of the place before: the wrong row is sampled",
                   "tokens shun what the place before liked")
