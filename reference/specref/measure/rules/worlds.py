"""The worlds that rules are compared on, and the drafts.

A world is a pair of distributions (p, q) over a few tokens. After a text both are turned round by
the sum of its tokens, so that a rule that reads the wrong row is seen while sum min(p, q) is the
same at every place.
"""

from collections.abc import Sequence
from dataclasses import dataclass


def turned_round(row: Sequence[float], text: Sequence[int]) -> tuple[float, ...]:
    """The distribution after `text`, where it is `row` after the context."""
    start = sum(text) % len(row)
    return (*row[start:], *row[:start])


@dataclass(frozen=True)
class RuleWorld:
    """p and q after the context."""

    name: str
    p: tuple[float, ...]
    q: tuple[float, ...]

    def target(self, text: Sequence[int], greedy: bool = False) -> tuple[float, ...]:
        """p after a text; greedy: at temperature 0, all on the likeliest token, the first of
        equals.
        """
        row = turned_round(self.p, text)
        if not greedy:
            return row
        best = row.index(max(row))
        return tuple(float(x == best) for x in range(len(row)))


RULE_WORLDS = (
    RuleWorld("near", (0.5, 0.3, 0.15, 0.05), (0.4, 0.35, 0.15, 0.1)),
    RuleWorld("peaked", (0.94, 0.03, 0.02, 0.01), (0.85, 0.1, 0.04, 0.01)),
    RuleWorld("flat", (0.28, 0.26, 0.24, 0.22), (0.22, 0.24, 0.26, 0.28)),
    RuleWorld("flat target, sure draft", (0.25, 0.25, 0.25, 0.25), (0.85, 0.05, 0.05, 0.05)),
    RuleWorld("sure target, flat draft", (0.85, 0.05, 0.05, 0.05), (0.25, 0.25, 0.25, 0.25)),
    RuleWorld("opposed", (0.6, 0.3, 0.09, 0.01), (0.01, 0.09, 0.3, 0.6)),
    RuleWorld("equal", (0.4, 0.3, 0.2, 0.1), (0.4, 0.3, 0.2, 0.1)),
    RuleWorld("zeros", (0.5, 0.5, 0.0, 0.0), (0.0, 0.4, 0.6, 0.0)),
    RuleWorld("disjoint", (0.7, 0.3, 0.0, 0.0), (0.0, 0.0, 0.5, 0.5)),
)


@dataclass(frozen=True)
class DraftShape:
    """How a draft is drawn. parents: of its nodes; replacement: whether siblings may be equal."""

    name: str
    parents: tuple[int, ...]
    replacement: bool = True

    @property
    def candidates(self) -> int:
        """How many nodes are drawn for the first place."""
        return self.parents.count(-1)

    @property
    def depth(self) -> int:
        """How many tokens the longest path has."""
        depths: list[int] = []
        for parent in self.parents:
            depths.append(1 if parent < 0 else depths[parent] + 1)
        return max(depths)


CHAIN = DraftShape("chain of 3", (-1, 0, 1))
PAIR = DraftShape("2 chains of 2", (-1, -1, 0, 1))
PAIR_APART = DraftShape("2 different chains of 2", (-1, -1, 0, 1), replacement=False)
