"""Orders of the vocabulary that only what stands before may decide, and what it means when tokens
are too far in front.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from .engine_handle import EngineRow
from .expected import Distributions
from .toys import Toy, scores

# lengths -> where the tokens of each group stand [G,m], the first of them or -1
_Groups = Callable[[Sequence[int]], Tensor]
WHOLE = 48  # tokens of a text that are taken together
# keys [n,V] a text, high first
_Order = Callable[
    [Toy, Sequence[EngineRow], Sequence[list[int]], Sequence[Distributions]], list[Tensor]
]


@dataclass(frozen=True)
class Ordering:
    """An order, and what it means when tokens are too far in front, or too far behind; or when
    several of them, which stand as `groups` says, depend on each other. beside: so few groups that
    its MDE is not the check's."""

    name: str
    keys: _Order
    front: str
    behind: str
    groups: _Groups | None = None
    beside: bool = False


def _next_token(lengths: Sequence[int]) -> Tensor:
    """Tokens 1 and 2 of a text, 3 and 4, ..; in every other text 2 and 3, 4 and 5, ..: cycles may
    be of even length.
    """
    begin = 0
    first: list[int] = []
    second: list[int] = []
    for number, length in enumerate(lengths):
        odd, end = begin + number % 2, begin + length
        first += range(odd, end, 2)
        second += [at if at < end else -1 for at in range(odd + 1, end + 1, 2)]
        begin = end
    return torch.tensor([first, second], dtype=torch.int64).T


def _next_row(lengths: Sequence[int], later: int = 0) -> Tensor:
    """The tokens at the same place of texts 1 and 2, 3 and 4, ..; or those of the first that stand
    so much later.
    """
    begin = 0
    first: list[int] = []
    second: list[int] = []
    for one, other in zip(lengths[::2], lengths[1::2], strict=False):
        first += range(begin + later, begin + one)
        second += [begin + one + place if place < other else -1 for place in range(one - later)]
        begin += one + other
    return torch.tensor([first, second], dtype=torch.int64).T


def _first_of_next(lengths: Sequence[int], later: int) -> Tensor:
    """The first tokens of texts 2, 4, .., and those of texts 1, 3, .. that stand so much later in
    theirs.
    """
    begin = 0
    first: list[int] = []
    second: list[int] = []
    for one, other in zip(lengths[::2], lengths[1::2], strict=False):
        if one and other:
            first.append(begin + one)
            second.append(begin + later if later < one else -1)
        begin += one + other
    return torch.tensor([first, second], dtype=torch.int64).T


def _whole(lengths: Sequence[int]) -> Tensor:
    """The first tokens of each text."""
    ends = torch.tensor(lengths, dtype=torch.int64).cumsum(0)[:, None]
    begins = torch.nn.functional.pad(ends, (0, 0, 1, 0))[:-1]
    index = begins + torch.arange(WHOLE)
    return index.where(index < ends, -1)[ends[:, 0] > begins[:, 0]]


def _likely(
    toy: Toy, rows: Sequence[EngineRow], texts: Sequence[list[int]], tables: Sequence[Distributions]
) -> list[Tensor]:
    return [table.distribution for table in tables]


def _by_id(
    toy: Toy, rows: Sequence[EngineRow], texts: Sequence[list[int]], tables: Sequence[Distributions]
) -> list[Tensor]:
    return [
        -torch.arange(table.distribution.shape[1]).expand_as(table.distribution) for table in tables
    ]


def _drafted(
    toy: Toy, rows: Sequence[EngineRow], texts: Sequence[list[int]], tables: Sequence[Distributions]
) -> list[Tensor]:
    whole = [[*prompt, *text] for (prompt, _), text in zip(rows, texts, strict=True)]
    drafts = scores(toy.draft, whole, [len(prompt) for prompt, _ in rows])
    return [draft - table.scores for draft, table in zip(drafts, tables, strict=True)]


def _looked_up(
    toy: Toy, rows: Sequence[EngineRow], texts: Sequence[list[int]], tables: Sequence[Distributions]
) -> list[Tensor]:
    keys = []
    for (prompt, _), text, table in zip(rows, texts, tables, strict=True):
        key, whole = table.distribution.clone(), [*prompt, *text]
        following: dict[int, int] = {}
        for i, token in enumerate(whole):
            if i >= len(prompt) - 1 and token in following:
                key[i - len(prompt) + 1, following[token]] += 1
            if i + 1 < len(whole):
                following[token] = whole[i + 1]
        keys.append(key)
    return keys


def _plain(
    toy: Toy, rows: Sequence[EngineRow], texts: Sequence[list[int]], tables: Sequence[Distributions]
) -> list[Tensor]:
    return [table.scores.softmax(-1) - table.distribution for table in tables]


def _before(
    toy: Toy, rows: Sequence[EngineRow], texts: Sequence[list[int]], tables: Sequence[Distributions]
) -> list[Tensor]:
    return [
        torch.cat((table.distribution[:1], table.scores[:-1] - table.scores[1:]))
        for table in tables
    ]


def _grouped(
    name: str, means: str, groups: _Groups, beside: bool = False
) -> tuple[Ordering, Ordering]:
    """In both orders in which engines draw. Draws that share a coin are alike, or mirrored, in the
    order of the sum that the coin is held against, even where their distributions differ."""
    return (
        Ordering(name, _likely, means, means, groups, beside),
        Ordering(f"{name}, by id", _by_id, means, means, groups, beside),
    )


LIKELY = Ordering(
    "by p",
    _likely,
    "likely tokens come out too often, as at a lower temperature or by argmax",
    "unlikely tokens come out too often, as at a higher temperature or without a filter",
)
DRAFTED = Ordering(
    "by q/p",
    _drafted,
    "tokens that the draft likes come out too often: too much is accepted, the q "
    "reported is not the q drawn from, or the residual is not max(p - q, 0)",
    "tokens that the draft likes come out too seldom: too much is rejected, or the residual takes"
    " off too much",
)
LOOKED_UP = Ordering(
    "looked up",
    _looked_up,
    "tokens that were looked up come out too often: too much is accepted, or "
    "their q is not taken for a point mass",
    "tokens that were looked up come out too seldom",
)
PLAIN = Ordering(
    "by the plain distribution",
    _plain,
    "tokens come out as if the parameter were not there on some rows",
    "the parameter is applied too strongly, or twice",
)
_TWICE = (
    "a token depends on the coins of the token before: random numbers are used twice, or the"
    " distribution of each is off"
)
_SEVERAL = (
    "tokens of a text depend on each other's coins: random numbers are used twice, or the"
    " distribution of each is off"
)
NEIGHBOURS = (
    *_grouped("of neighbours", _TWICE, _next_token),
    *_grouped("of a whole text", _SEVERAL, _whole, beside=True),
)
_SHARED = "rows share random numbers"
BESIDE = _grouped("of rows side by side", _SHARED, _next_row)
ASKEW = _grouped(
    "of a row and the next token of the row before", _SHARED, partial(_next_row, later=1)
)
AHEAD = tuple(
    way
    for later in (1, 2, 3, 4)
    for way in _grouped(
        f"of a first token and token {later + 1} of the row before",
        _SHARED,
        partial(_first_of_next, later=later),
    )
)
BEFORE = Ordering(
    "by the row before",
    _before,
    "tokens come out by the distribution of the place before: the wrong row is sampled",
    "tokens shun what the place before liked",
)
