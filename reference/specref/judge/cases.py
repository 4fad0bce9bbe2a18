"""Small distributions on which wrong rules part from right ones: constructed, since random pairs
hide bugs.

A case is a target p and a draft q that depend on what came before, as tables over every prefix.
Cases of one shape stand together in one `Tables`, so that all of them are enumerated as rows of one
batch.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

CaseRow = Sequence[float]


@dataclass(frozen=True, eq=False)
class Tables:
    """C cases with vocabulary V and K draft tokens at most."""

    names: tuple[str, ...]
    # K+1 of them; [C,V^i,V] float64: the target's distribution after each prefix of i tokens
    p: tuple[Tensor, ...]
    q: tuple[Tensor, ...]  # K of them; [C,V^i,V]
    lengths: Tensor  # [C] draft tokens of each case; less than K makes a ragged batch

    @property
    def vocabulary(self) -> int:
        return self.p[0].shape[2]

    @property
    def draft_tokens(self) -> int:
        return len(self.q)

    def prefixes(self, tokens: Tensor) -> Tensor:
        """tokens [W,i] -> [W]: the number of the prefix in the tables."""
        number = torch.zeros(len(tokens), dtype=torch.int64)
        for column in tokens.T:
            number = number * self.vocabulary + column
        return number

    def rows(self, distribution: Sequence[Tensor], case: Tensor, tokens: Tensor) -> Tensor:
        """The distributions along drafted tokens: case [W], tokens [W,K] ->
        [W,len(distribution),V].
        """
        return torch.stack(
            [table[case, self.prefixes(tokens[:, :i])] for i, table in enumerate(distribution)], 1
        )


def _distribution(weights: CaseRow) -> Tensor:
    row = torch.tensor(weights, dtype=torch.float64)
    return row / row.sum()


PAIRS: dict[str, tuple[CaseRow, CaseRow]] = {
    "opposed": ((4, 3, 2, 1), (1, 2, 3, 4)),
    "close": ((40, 30, 20, 10), (37, 32, 22, 9)),
    "peaked target": ((97, 1, 1, 1), (1, 1, 1, 1)),
    "peaked draft": ((1, 1, 1, 1), (97, 1, 1, 1)),
    "disjoint": ((3, 1, 0, 0), (0, 0, 1, 2)),
    "zeros": ((5, 3, 0, 2), (2, 2, 5, 1)),
    "zero draft": ((2, 2, 5, 1), (5, 3, 0, 2)),
    "ties": ((2, 2, 1, 1), (1, 1, 2, 2)),
    "equal": ((4, 3, 2, 1), (4, 3, 2, 1)),
    "certain target": ((0, 1, 0, 0), (4, 3, 2, 1)),
    "certain draft": ((4, 3, 2, 1), (0, 0, 1, 0)),
    "certain both": ((0, 1, 0, 0), (0, 0, 1, 0)),
    "cyclic": ((1, 6, 3, 0), (6, 3, 1, 0)),
    "reversed of 8": ((8, 7, 6, 5, 4, 3, 2, 1), (1, 2, 3, 4, 5, 6, 7, 8)),
    "close of 16": (
        tuple(range(16, 0, -1)),
        tuple(16 - i + 3 * (-1) ** i * (i < 12) for i in range(16)),
    ),
    "two tokens": ((9, 1), (2, 8)),
}

CHAINS: dict[str, tuple[CaseRow, CaseRow]] = {
    "opposed": ((6, 3, 1), (1, 3, 6)),
    "close": ((50, 30, 20), (46, 35, 19)),
    "zeros": ((3, 1, 0), (1, 1, 2)),
    "cyclic": ((1, 6, 3), (6, 3, 1)),
    "near-certain": ((98, 1, 1), (96, 1, 3)),
}

# one token certain, and another all but impossible
_ALMOST: dict[str, tuple[CaseRow, CaseRow]] = {
    "of four": ((0, 1, 0, 0), (0, 1, 1e-12, 0)),
    "of two": ((1, 0), (1, 1e-6)),
}


@cache
def pairs() -> tuple[Tables, ...]:
    """One draft token."""
    by_size: dict[int, list[str]] = {}
    for name, (p, _) in PAIRS.items():
        by_size.setdefault(len(p), []).append(name)
    return tuple(
        _pairs(names, [tuple(map(_distribution, PAIRS[name])) for name in names])
        for names in by_size.values()
    )


def _pairs(names: Sequence[str], distributions: Sequence[tuple[Tensor, ...]]) -> Tables:
    p, q = (
        torch.stack([p for p, _ in distributions])[:, None],
        torch.stack([q for _, q in distributions])[:, None],
    )
    # what follows an accepted token: another distribution than p
    after = p.roll(1, -1).expand(-1, p.shape[2], -1)
    return Tables(tuple(names), (p, after), (q,), torch.ones(len(names), dtype=torch.int64))


def _chain(weights: CaseRow, count: int) -> list[Tensor]:
    """Tables for prefixes of 0..count-1 tokens: the base distribution, turned by the sum of the
    last two tokens and the length.
    """
    base = _distribution(weights)
    size = len(base)
    return [
        torch.stack([base.roll(prefix + prefix // size + i) for prefix in range(size**i)])
        for i in range(count)
    ]


@cache
def chains(count: int = 3, *, equal: bool = False, ragged: bool = False) -> Tables:
    """`count` draft tokens, distributions that depend on the prefix. equal: the draft is the
    target. ragged: every case with every length, padded to `count`."""
    names, p, q, lengths = [], [], [], []
    for name, (target, draft) in CHAINS.items():
        for length in range(count + 1) if ragged else (count,):
            names.append(f"{name}, {length} draft tokens")
            p.append(_chain(target, count + 1))
            q.append(_chain(target if equal else draft, count))
            lengths.append(length)
    return Tables(
        tuple(names),
        tuple(map(torch.stack, zip(*p))),
        tuple(map(torch.stack, zip(*q))),
        torch.tensor(lengths),
    )


@cache
def near_equal_pairs() -> Tables:
    """p = q up to rounding. Where every q(x) is a little above p(x), a rejection leaves nothing of
    p - q.
    """
    base = _distribution((4, 3, 2, 1))
    bump = torch.tensor([1e-7, -1e-7, 0, 0], dtype=torch.float64)
    named = {
        "q above p everywhere": (base, base * (1 + 1e-7)),
        "p above q everywhere": (base, base * (1 - 1e-7)),
        "1e-7 moved": (base, base + bump),
        "equal": (base, base),
        "one ulp": (base, base * (1 + 2**-52)),
        "certain and almost certain": tuple(map(_distribution, _ALMOST["of four"])),
    }
    return _pairs(list(named), list(named.values()))


@cache
def long_sum() -> Tables:
    """Equal tokens, then zeros: a float32 running sum stops short of 1 before the zeros."""
    count = next(n for n in itertools.count(1) if float(torch.full((n,), 1 / n).cumsum(0)[-1]) < 1)
    distribution = torch.zeros(count + 2, dtype=torch.float64)
    distribution[:count] = 1 / count
    return _pairs([f"{count} equal tokens, then zeros"], [(distribution, distribution.roll(1))])


def chosen(names: Sequence[str], table: dict[str, tuple[CaseRow, CaseRow]] = PAIRS) -> Tables:
    """One draft token, for some of the pairs."""
    return _pairs(names, [tuple(map(_distribution, table[name])) for name in names])


def turned(
    count: int, size: int, table: dict[str, tuple[CaseRow, CaseRow]], *, equal: bool = False
) -> Tables:
    """`count` draft tokens over distributions of one size that depend on the prefix."""
    named = {
        name: distributions
        for name, distributions in table.items()
        if len(distributions[0]) == size
    }
    p = [_chain(target, count + 1) for target, _ in named.values()]
    q = [_chain(target if equal else draft, count) for target, draft in named.values()]
    return Tables(
        tuple(named),
        tuple(map(torch.stack, zip(*p))),
        tuple(map(torch.stack, zip(*q))),
        torch.full((len(named),), count),
    )


# target and draft: the first token's distribution, then the second's after each first one; the
# third's, to be turned
WEIGHED: tuple[tuple[tuple[CaseRow, ...], ...], tuple[tuple[CaseRow, ...], ...], CaseRow] = (
    (((7, 11, 2),), ((8, 11, 1), (13, 1, 6), (12, 6, 2))),
    (((4, 16, 1),), ((1, 4, 14), (9, 10, 1), (4, 16, 1))),
    (15, 4, 1),
)
# coins of few bits hit some of these and miss others
RARE: tuple[CaseRow, CaseRow] = ((985, *[1] * 15), (985, *[1] * 15))
TWOS: dict[str, tuple[CaseRow, CaseRow]] = {"opposed": ((7, 3), (2, 8)), "likely": ((9, 1), (6, 4))}


def off_by_rounding(count: int = 1) -> Tables:
    """q a little above p everywhere, as distributions of half precision are: a rejection is rare
    and leaves nothing of p - q. `count` draft tokens alike.
    """
    base = _distribution((3, 1))
    one = _pairs(
        ["q above p everywhere", "equal", "one token certain"],
        [(base, base * (1 + 9e-5)), (base, base), tuple(map(_distribution, _ALMOST["of two"]))],
    )
    p, q = (
        tuple(table[0].expand(-1, one.vocabulary**i, -1) for i in range(count))
        for table in (one.p, one.q)
    )
    last = one.p[1][:, :1].expand(-1, one.vocabulary**count, -1)
    return Tables(one.names, (*p, last), q, one.lengths * count)


def wide(size: int) -> Tables:
    """Many tokens, all likely in one of the distributions."""
    up = torch.arange(1, size + 1, dtype=torch.float64)
    return _pairs([f"{size} tokens, opposed"], [(up.flip(0) / up.sum(), up / up.sum())])


def weighed() -> Tables:
    """Two draft tokens where what the first one lacks counts in the second's residual: block
    verification that forgets its weights is off by a TV of .05."""
    target, draft, last = WEIGHED
    p, q = (
        [torch.stack([_distribution(w) for w in rows]) for rows in tables]
        for tables in (target, draft)
    )
    p.append(_chain(last, 3)[-1])
    return Tables(
        ("weighed",), tuple(t[None] for t in p), tuple(t[None] for t in q), torch.tensor([2])
    )


def joined(*parts: Tables) -> Tables:
    """The cases of tables of one shape."""
    p, q = (
        [torch.cat(distributions) for distributions in zip(*tables, strict=True)]
        for tables in zip(*((t.p, t.q) for t in parts))
    )
    return Tables(
        tuple(name for t in parts for name in t.names),
        tuple(p),
        tuple(q),
        torch.cat([t.lengths for t in parts]),
    )
