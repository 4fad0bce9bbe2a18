"""Hypothesis-drawn worlds for the rules: distributions p and q that depend on everything before, as
tables over all prefixes.

A prefix of depth d over V tokens is a node of the V-ary tree: the empty one is node 0, and token x
leads from node i to node V i + 1 + x. A table [nodes, V] holds the distribution after each prefix.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import cast

import torch
from hypothesis import strategies as st
from specref.chance import Chance
from specref.data import Draft, Verdict
from specref.exact.enumerate import distributions
from torch import Tensor

Pair = tuple[list[float], list[float]]
Outcome = tuple[tuple[int, ...], int]  # emitted tokens, accepted count
# V and the largest K: every draft length 0..4 and vocabulary 2..8 occurs, and the trees stay small
# enough to enumerate.
SIZES = [
    (2, 4),
    (2, 2),
    (3, 4),
    (3, 2),
    (4, 3),
    (4, 1),
    (5, 2),
    (6, 2),
    (7, 1),
    (8, 2),
    (8, 1),
    (2, 0),
    (5, 0),
]


@dataclass(frozen=True)
class World:
    """R cases that run as rows of one batch. Case r has draft length lengths[r]; node i of it has
    the distributions pools[r][i modulo their number]."""

    vocabulary: int
    count: int  # K: lengths are at most this
    lengths: list[int]
    certain: bool  # the draft is told as q None; then q is one-hot
    pools: list[list[Pair]]
    p: Tensor = field(init=False, repr=False)  # [R, nodes, V]
    q: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        nodes = sum(self.vocabulary**depth for depth in range(self.count + 1))
        cases = [[*islice(cycle(pool), nodes)] for pool in self.pools]
        table = torch.tensor(cases, dtype=torch.float64)  # [R, nodes, 2, V]
        p, q = table.unbind(2)
        if self.certain:
            q = torch.zeros_like(q).scatter_(2, q.argmax(-1, keepdim=True), 1)
        object.__setattr__(self, "p", p)
        object.__setattr__(self, "q", q)


def normalised(weights: Sequence[float]) -> list[float]:
    return [weight / sum(weights) for weight in weights]


def one_hot(token: int, size: int) -> list[float]:
    return [float(i == token) for i in range(size)]


def a_distribution(size: int) -> st.SearchStrategy[list[float]]:
    """Distributions with zeros and ties (small whole weights), smooth ones, and the one-hot
    ones.
    """
    coarse = st.lists(st.integers(0, 3), min_size=size, max_size=size).filter(any).map(normalised)
    smooth = st.lists(st.floats(1e-6, 1), min_size=size, max_size=size).map(normalised)
    return st.one_of(
        coarse, smooth, st.integers(0, size - 1).map(lambda token: one_hot(token, size))
    )


@st.composite
def a_pair(draw: st.DrawFn, size: int) -> Pair:
    """p and q: any, equal, disjoint, nearly equal."""
    p, kind = (
        draw(a_distribution(size)),
        draw(st.sampled_from(["any", "any", "equal", "disjoint", "near"])),
    )
    if kind == "equal":
        return p, p
    if kind == "disjoint":
        outside = [float(weight == 0) for weight in p]
        return (
            (p, normalised(outside))
            if any(outside)
            else (one_hot(0, size), one_hot(size - 1, size))
        )
    if kind == "near":
        nudges = draw(
            st.lists(
                st.sampled_from([1.0, 1 + 1e-15, 1 - 1e-9, 1 + 1e-6]), min_size=size, max_size=size
            )
        )
        return p, normalised([weight * nudge for weight, nudge in zip(p, nudges)])
    return p, draw(a_distribution(size))


@st.composite
def worlds(draw: st.DrawFn, certain: bool | None = None) -> World:
    """Up to three cases of one size, of ragged draft lengths."""
    size, count = draw(st.sampled_from(SIZES))
    told = draw(st.booleans()) if certain is None else certain
    roots = draw(st.integers(1, 3))
    pools = draw(
        st.lists(st.lists(a_pair(size), min_size=1, max_size=4), min_size=roots, max_size=roots)
    )
    lengths = draw(st.lists(st.integers(0, count), min_size=roots, max_size=roots))
    return World(size, count, lengths, told, pools)


def outcomes(
    world: World, rule: Callable[[Draft, Tensor, Chance], Verdict]
) -> list[dict[Outcome, float]]:
    """For every case, the exact distribution of (emitted tokens, accepted count): draft a chain
    from q, then judge it.

    What padding holds is nonsense on purpose, distributions of NaN and a token that is none or
    looks like one: a rule that reads it fails.
    """

    def program(chance: Chance, root: Tensor) -> list[Hashable]:
        rows, size = len(root), world.vocabulary
        lengths = torch.tensor(world.lengths)[root]
        node = torch.zeros_like(root)
        p = [world.p[root, node]]
        q, tokens = [], []
        for i in range(world.count):
            going = i < lengths
            distribution = world.q[root, node]
            token = chance.draw(distribution, going)
            node = torch.where(going, size * node + 1 + token, node)
            q.append(torch.where(going[:, None], distribution, torch.nan))
            tokens.append(torch.where(going, token, -(root % 2)))
            p.append(torch.where(going[:, None], world.p[root, node], torch.nan))
        draft = Draft.chain(
            torch.stack(tokens, 1) if tokens else torch.zeros(rows, 0, dtype=torch.int64),
            torch.stack(q, 1) if q and not world.certain else None,
            lengths,
        )
        verdict = rule(draft, torch.stack(p, 1), chance)
        return [
            (tuple(emitted), int(accepted))
            for emitted, accepted in zip(verdict.emitted(draft), verdict.accepted, strict=True)
        ]

    return cast(list[dict[Outcome, float]], distributions(program, len(world.lengths)))


def target_distribution(world: World, root: int, length: int) -> dict[Hashable, float]:
    """The distribution of the first `length` tokens drawn from the target alone."""
    return continued(world, root, {(): 1.0}, length)


def continued(
    world: World, root: int, emitted: dict[tuple[int, ...], float], length: int
) -> dict[Hashable, float]:
    """A distribution of token runs, each run continued from the target to `length` tokens: never
    condition on acceptance.
    """
    result: dict[Hashable, float] = {}
    table = world.p[root].tolist()
    for run, weight in emitted.items():
        node = 0
        for token in run:
            node = world.vocabulary * node + 1 + token
        ends = [(node, run, weight)]
        for _ in range(length - len(run)):
            ends = [
                (world.vocabulary * at + 1 + token, (*text, token), mass * chance)
                for at, text, mass in ends
                for token, chance in enumerate(table[at])
                if chance > 0
            ]
        for _, text, mass in ends:
            result[text] = result.get(text, 0.0) + mass
    return result
