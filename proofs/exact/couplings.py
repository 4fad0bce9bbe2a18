"""Couplings of two laws: all joint laws with given marginals, by their extreme points."""

from fractions import Fraction
from functools import cache
from itertools import chain, combinations
from typing import TypeAlias

from .program import Dist

# (x, y, probability), x drafted and y emitted
Coupling: TypeAlias = tuple[tuple[int, int, Fraction], ...]


def extreme_couplings(q: Dist, p: Dist) -> set[Coupling]:
    """The extreme points of the couplings of q and p; every coupling is a mixture of them.

    The cells of an extreme point form a forest, and a forest has a leaf: a cell that is alone in
    its row or column, so that it holds all that is left of the one or of the other. Taking leaves
    away one by one gives every extreme point.
    """

    @cache
    def fill(rows: Dist, columns: Dist) -> frozenset[Coupling]:
        if not any(rows):
            return frozenset({()})
        found = set()
        for x, y in ((x, y) for x, a in enumerate(rows) if a for y, b in enumerate(columns) if b):
            take = min(rows[x], columns[y])
            rest = fill(_less(rows, x, take), _less(columns, y, take))
            found |= {tuple(sorted((*cells, (x, y, take)))) for cells in rest}
        return frozenset(found)

    return set(fill(q, p))


def _less(d: Dist, x: int, take: Fraction) -> Dist:
    return (*d[:x], d[x] - take, *d[x + 1 :])


def agreement(coupling: Coupling) -> Fraction:
    """P(X = Y)."""
    return sum((weight for x, y, weight in coupling if x == y), Fraction(0))


def events(size: int) -> list[tuple[int, ...]]:
    """All sets of tokens."""
    return list(chain.from_iterable(combinations(range(size), k) for k in range(size + 1)))


def complement(event: tuple[int, ...], size: int) -> tuple[int, ...]:
    """The tokens that are not in the event."""
    return tuple(x for x in range(size) if x not in event)


def measure(d: Dist, event: tuple[int, ...]) -> Fraction:
    return sum((d[x] for x in event), Fraction(0))
