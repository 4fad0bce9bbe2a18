"""What a batch may be like: its sizes, how it lies in memory, what the kernel is told; and the
smallest batch that fails.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from ..session import Session
from .rows import LAYOUTS, MixedRows, RowKind, chain_parents, mixed_rows

VOCABULARY_SIZES = (2, 5, 8, 37, 64, 129, 300, 1000, 2053, 4097, 32_768, 131_072)
DRAFT_LENGTHS = tuple(range(13))  # K
ROW_COUNTS = (1, 2, 3, 5, 8, 13, 24, 33, 64, 129, 250)
MOST_NUMBERS = 2**20  # numbers in p, where two rows allow it
SEARCHED = 18  # bisections
SURE = 16  # batches that have to pass on the other side of an edge


@dataclass(frozen=True)
class Scenario:
    """One kind of batch. draft_tokens: K. parents: of a tree, instead of K. told: whether q is.
    dense: all of the vocabulary is possible. alone: siblings are drawn without replacement."""

    vocabulary: int = 8
    draft_tokens: int = 1
    rows: int = 2
    told: bool = True
    layout: str = LAYOUTS[0]
    own_ids: bool = True
    parents: tuple[int, ...] | None = None
    dense: bool = False
    alone: bool = False
    dtype: torch.dtype = torch.float32

    @property
    def nodes(self) -> tuple[int, ...]:
        return chain_parents(self.draft_tokens) if self.parents is None else self.parents

    def batch(self, generator: torch.Generator, calls: int = 1) -> MixedRows:
        """The rows of so many calls, one after the other."""
        kind = RowKind(
            self.nodes,
            self.vocabulary,
            self.parents is not None,
            self.own_ids,
            self.dense,
            self.alone,
            self.dtype,
        )
        made = mixed_rows(self.rows * calls, kind, generator)
        return replace(made, told=self.told)

    def within(self, session: Session) -> "Scenario":
        """As many rows as memory and the kernel's pace allow."""
        return replace(self, rows=session.fit(min(self.rows, max(2, self.room))))

    @property
    def room(self) -> int:
        """Rows that memory allows."""
        return MOST_NUMBERS // ((len(self.nodes) + 1) * self.vocabulary)

    def __str__(self) -> str:
        tree = f"parents {list(self.nodes)}"
        parts = [
            f"V = {self.vocabulary:,}",
            f"K = {self.draft_tokens}" if self.parents is None else tree,
            "1 row" if self.rows == 1 else f"{self.rows} rows that differ",
        ]
        if self.dense:
            parts.append("every token possible")
        elif not self.own_ids:
            parts.append("the same possible tokens in each")
        if self.alone:
            parts.append("siblings drawn without replacement")
        if not self.told:
            parts.append("q = None")
        if self.dtype != torch.float32:
            parts.append(str(self.dtype).removeprefix("torch."))
        if self.layout != LAYOUTS[0]:
            parts.append(f"p, q and draft lie {self.layout}")
        return ", ".join(parts)


@dataclass(frozen=True)
class Axes:
    """Values that scenarios run through; one that stands twice comes twice as often."""

    vocabulary: Sequence[int] = VOCABULARY_SIZES
    draft_tokens: Sequence[int] = DRAFT_LENGTHS
    rows: Sequence[int] = ROW_COUNTS
    dense: Sequence[bool] = (False, False, True)


def covering(seed: int, axes: Axes = Axes()) -> Iterator[Scenario]:
    """Scenarios without end. Each axis runs through its values in a random order, then through
    another: after n of them every value of an axis of m came n/m times, and pairs come at random.
    """
    shuffle = random.Random(seed)
    values = (axes.vocabulary, axes.draft_tokens, axes.rows, (True, True, False), axes.dense)
    rounds = [_round(shuffle, each) for each in values]
    layouts, owns = _round(shuffle, LAYOUTS), _round(shuffle, (True, False))
    while True:
        vocabulary, count, rows, told, dense = (next(one) for one in rounds)
        yield Scenario(
            vocabulary, count, rows, told or not count, next(layouts), next(owns), dense=dense
        )


TREE_AXES = Axes(VOCABULARY_SIZES[1:-1], range(1, 9))


def covering_trees(seed: int, axes: Axes = TREE_AXES) -> Iterator[Scenario]:
    """As `covering`, with another tree of so many nodes in each."""
    for one in covering(seed, axes):
        shuffle = random.Random(f"{seed} {one}")
        parents = tuple(shuffle.randrange(-1, node) for node in range(one.draft_tokens))
        alone = (shuffle.random() < 0.5 or not one.told) and not one.dense
        yield replace(one, draft_tokens=0, parents=parents, alone=alone)


def _round(shuffle: random.Random, values: Sequence[Any]) -> Iterator[Any]:
    """Each of the values once in a random order, again and again."""
    while True:
        order = list(values)
        shuffle.shuffle(order)
        yield from order


def shrunk(failing: Scenario, fails: Callable[..., bool]) -> tuple[Scenario, str]:
    """The smallest scenario that fails, one axis after the other; and the nearest one that passes,
    in words.

    fails: whether one of so many batches of a scenario fails; without a number, of a few.
    """
    passing: list[str] = []
    for name, values in _simpler(failing):
        for value in values:
            smaller = replace(failing, **{name: value})
            if not _is_smaller(getattr(failing, name), value):
                continue
            if fails(smaller):
                failing = smaller
                break
            passing.append(f"with {_named(name, value)}")
    low = _vocabulary_edge(failing, fails)
    if low:
        failing, passing = replace(failing, vocabulary=low + 1), [f"with V = {low:,}", *passing]
    return failing, passing[0] if passing else ""


def _simpler(scenario: Scenario) -> list[tuple[str, tuple[Any, ...]]]:
    """Axis -> values to try instead, the simplest first."""
    shapes: list[tuple[str, tuple[Any, ...]]] = [
        ("rows", (1, 2, 3, 4, 8, 16)),
        ("layout", LAYOUTS[:1]),
        ("told", (True,)),
        ("dense", (False,)),
        ("alone", (False,)),
    ]
    if scenario.parents is None:
        return [*shapes, ("draft_tokens", (0, 1, 2, 4, 8))]
    starts = [scenario.parents[:count] for count in range(1, len(scenario.parents))]
    return [*shapes, ("parents", tuple(starts))]


def _is_smaller(now: Any, value: Any) -> bool:
    """Whether a value to try is not the present one, nor above it where it is a number."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value < now
    return bool(value != now)


_SAID = {
    "layout": "contiguous tensors",
    "told": "q told",
    "dense": "few possible tokens",
    "alone": "siblings drawn with replacement",
}


def _named(name: str, value: object) -> str:
    if name == "rows":
        return "1 row" if value == 1 else f"{value} rows"
    if name in _SAID:
        return _SAID[name]
    return f"K = {value}" if name == "draft_tokens" else f"parents {value}"


def _vocabulary_edge(failing: Scenario, fails: Callable[..., bool]) -> int:
    """The largest vocabulary below the failing one that passes, by bisection; 0 where none does for
    sure."""
    low, high = 8, failing.vocabulary
    if high <= low or fails(replace(failing, vocabulary=low)):
        return 0
    for _ in range(SEARCHED):
        if high - low <= 1:
            break
        middle = (low + high) // 2
        low, high = (low, middle) if fails(replace(failing, vocabulary=middle)) else (middle, high)
    return 0 if fails(replace(failing, vocabulary=low), SURE) else low
