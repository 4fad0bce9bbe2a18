"""The bridge from proofs/exact to reference/verify: a rule of the reference, re-executed over every
outcome of its own randomness, has the law of the specification of that name, for every draft that
can be drawn."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from math import prod
from typing import Any, cast

import pytest
import torch
from specref.chance import Chance
from specref.data import Draft, Verdict
from specref.exact.enumerate import Forking, distributions
from specref.verify.block import block
from specref.verify.canonical import canonical
from specref.verify.greedy import greedy
from specref.verify.gumbel import gumbel
from specref.verify.k_sequential import _threshold, k_sequential
from specref.verify.matching import matching
from specref.verify.pair_weights import pair_weights
from specref.verify.rejection import rejection
from specref.verify.traversal import traversal
from specref.verify.tree import tree
from specref.verify.typical import LossyTypical
from torch import Tensor

from proofs.exact import chain as spec
from proofs.exact import lossy, several
from proofs.exact import tree as spec_tree
from proofs.exact.cases import (
    HARD,
    SHAPES,
    WIDE,
    first_rows,
    grid,
    siblings_with_replacement,
    siblings_without_replacement,
    table,
)
from proofs.exact.program import Context, Dist, Model, Prog, bind, law
from proofs.exact.step import point_mass
from proofs.exact.tree import NodeLaw, Shape, Tree, certain

Rule = Callable[[Draft, Tensor, Chance], Verdict]
CLOSE = 1e-12


@dataclass(frozen=True)
class Row:
    """One drafted tree with the laws that belong to it, and the law that the specification gives to
    the text.
    """

    tokens: tuple[int, ...]
    parents: tuple[int, ...]
    p: tuple[Dist, ...]  # row 0 after the context, row i + 1 after node i
    q: tuple[Dist, ...] | None
    want: dict[Context, Fraction]

    @staticmethod
    def chain(xs: Context, p: Model, q: Model | None, want: Prog[Context]) -> "Row":
        ends = [xs[:i] for i in range(len(xs) + 1)]
        rows = None if q is None else tuple(map(q, ends[:-1]))
        return Row(xs, tuple(range(-1, len(xs) - 1)), tuple(map(p, ends)), rows, law(want))


def different(
    got: Mapping[Hashable, float], want: Mapping[Any, Fraction]
) -> dict[Hashable, tuple[float, float]]:
    """The texts whose probabilities are not the same: (got, want)."""
    expected: dict[Hashable, float] = {text: float(weight) for text, weight in want.items()}
    both = {
        text: (got.get(text, 0.0), expected.get(text, 0.0)) for text in got.keys() | expected.keys()
    }
    return {text: (a, b) for text, (a, b) in both.items() if not abs(a - b) <= CLOSE}


def floats(d: Dist) -> list[float]:
    return [float(weight) for weight in d]


def compare(rule: Rule, rows: Sequence[Row]) -> None:
    """All rows as one ragged batch, padded with laws that must not be read."""
    count, size = max(len(row.tokens) for row in rows), len(rows[0].p[0])
    flat = (Fraction(1, size),) * size

    def padded(dists: Sequence[Dist], length: int) -> list[list[float]]:
        return [floats(d) for d in (*dists, *[flat] * (length - len(dists)))]

    def indices(values: Callable[[Row], tuple[int, ...]]) -> Tensor:
        table = [[*values(row), *[0] * (count - len(values(row)))] for row in rows]
        return torch.tensor(table).reshape(len(rows), count)

    sure = rows[0].q is None
    q = (
        None
        if sure
        else torch.tensor([padded(row.q or (), count) for row in rows], dtype=torch.float64)
    )
    draft = Draft(
        indices(lambda row: row.tokens).long(),
        indices(lambda row: row.parents).long(),
        None if q is None else q.reshape(len(rows), count, size),
        torch.tensor([len(row.tokens) for row in rows]),
    )
    p = torch.tensor([padded(row.p, count + 1) for row in rows], dtype=torch.float64)

    def program(chance: Forking, root: Tensor) -> list[Hashable]:
        part = draft.rows(root)
        return [tuple(tokens) for tokens in rule(part, p[root], chance).emitted(part)]

    for row, got in zip(rows, distributions(program, len(rows)), strict=True):
        assert not different(got, row.want), (
            f"{rule.__name__} on {row.tokens}: {different(got, row.want)}"
        )


def model_pairs() -> Iterator[tuple[Model, Model, int]]:
    """p, q and the longest draft: a grid over two tokens, and laws with zeros, ties, equal and
    disjoint ones.
    """
    for rows in product(grid(2, 2), grid(2, 4), grid(2, 3), grid(2, 4)):
        yield first_rows((rows[1], rows[0], rows[2])), first_rows((rows[3], rows[2], rows[1])), 2
    for salt in range(3):
        yield table(HARD, salt), table(HARD[::-1], salt + 1), 3
        yield table(HARD, salt), table(HARD, salt), 2
    yield table(WIDE), table(WIDE[::-1], 1), 3


Spec = Callable[[Model, Model, Context], Prog[Context]]


def chain_rows(want: Spec, sure: bool) -> Iterator[list[Row]]:
    """One batch for each size of vocabulary: every draft of every length that q can draw, or any
    draft at all.
    """
    batches: dict[int, list[Row]] = {}
    for p, q, longest in model_pairs():
        size = len(p(()))
        for length in range(longest + 1):
            for xs in product(range(size), repeat=length):
                if sure or all(q(xs[:i])[x] for i, x in enumerate(xs)):
                    batches.setdefault(size, []).append(
                        Row.chain(xs, p, None if sure else q, want(p, q, xs))
                    )
    yield from batches.values()


def proposed(xs: Context, size: int) -> Model:
    """The law of a draft that is certain."""
    return lambda c: point_mass(xs[len(c)], size)


def sure(rule: Callable[[Model, Model, Context, Context], Prog[Context]]) -> Spec:
    return lambda p, q, xs: rule(p, proposed(xs, len(p(()))), (), xs)


def target_only(p: Model, q: Model, xs: Context) -> Prog[Context]:
    return spec.target_only_verify(p, (), xs)


def greedy_text(p: Model, q: Model, xs: Context) -> Prog[Context]:
    return spec.greedy_cycle(p, xs, ())


def typical(epsilon: Fraction, delta: Fraction) -> Spec:
    return lambda p, q, xs: lossy.typical_verify(lossy.medusa(epsilon, delta), p, (), xs)


CHAINS: list[tuple[str, Rule, Spec, bool]] = [
    ("verify", rejection, lambda p, q, xs: spec.verify(p, q, (), xs), False),
    ("verify, q a point mass", rejection, sure(spec.verify), True),
    ("target_only_verify", rejection, target_only, True),
    ("block_verify", block, lambda p, q, xs: spec.block_verify(p, q, (), xs), False),
    ("block_verify, q a point mass", block, sure(spec.block_verify), True),
    ("greedy_cycle", greedy, greedy_text, True),
    ("greedy_cycle, q not looked at", greedy, greedy_text, False),
    ("matching_verify", matching, lambda p, q, xs: spec.matching_verify(p, (), xs), True),
    (
        "matching_verify, q not looked at",
        matching,
        lambda p, q, xs: spec.matching_verify(p, (), xs),
        False,
    ),
    ("typical_verify", LossyTypical(), typical(Fraction(9, 100), Fraction(3, 10)), True),
    (
        "typical_verify, strict",
        LossyTypical(0.5, 0.9),
        typical(Fraction(1, 2), Fraction(9, 10)),
        True,
    ),
    (
        "block_verify, by traversal",
        traversal,
        lambda p, q, xs: spec.block_verify(p, q, (), xs),
        False,
    ),
    ("verify, as a tree", tree, lambda p, q, xs: spec.verify(p, q, (), xs), False),
    ("target_only_verify, as a tree", tree, target_only, True),
]


@pytest.mark.parametrize(
    ("rule", "want", "sure"), [case[1:] for case in CHAINS], ids=[case[0] for case in CHAINS]
)
def test_chain_rule_has_the_law_of_its_specification(rule: Rule, want: Spec, sure: bool) -> None:
    batches = list(chain_rows(want, sure))
    assert sum(map(len, batches)) > 500
    for rows in batches:
        compare(rule, rows)


def flatten(
    t: Tree, p: Model, breadth_first: bool
) -> tuple[list[int], list[int], list[Dist], list[Dist]]:
    """tokens, parents, p rows and q rows of a tree; siblings stay in their order."""
    tokens: list[int] = []
    parents: list[int] = []
    p_rows, q_rows = [p(())], list[Dist]()
    pending: list[tuple[Tree, Context, int]] = [(t, (), -1)]
    while pending:
        node, c, parent = pending.pop(0 if breadth_first else -1)
        if node is None:
            continue
        here = len(tokens)
        tokens.append(node.x)
        parents.append(parent)
        q_rows.append(node.row)
        p_rows.append(p((*c, node.x)))
        later = (node.next, c, parent)
        below = (node.below, (*c, node.x), here)
        pending += [
            later,
            below,
        ]  # from the end: below first, depth first; from the front: siblings first
    return tokens, parents, p_rows, q_rows


def tree_cases() -> Iterator[tuple[Model, NodeLaw, Shape]]:
    for salt, s in product(range(3), SHAPES):
        p = table(HARD, salt)
        yield p, siblings_without_replacement(table(HARD[2:], salt)), s
        if s is not SHAPES[-1]:
            yield p, siblings_with_replacement(table(HARD[2:], salt)), s
            yield table(WIDE, salt), siblings_without_replacement(table(WIDE[::2])), s


TreeSpec = Callable[[Model, Tree, Context], Prog[Context]]
TREES: list[tuple[Rule, TreeSpec]] = [
    (tree, lambda p, t, c: spec_tree.tree_verify(p, t, c, p(c))),
    (traversal, several.traversal_verify),
]


@pytest.mark.parametrize("breadth_first", [False, True], ids=["depth first", "breadth first"])
@pytest.mark.parametrize("sure", [False, True], ids=["drawn", "certain"])
@pytest.mark.parametrize(("rule", "verified"), TREES, ids=["tree_verify", "traversal_verify"])
def test_tree_rule_has_the_law_of_its_specification(
    rule: Rule, verified: TreeSpec, sure: bool, breadth_first: bool
) -> None:
    batches: dict[int, list[Row]] = {}
    for p, q, s in tree_cases():
        for t in law(spec_tree.tree_draft(q, s, ())):
            judged = certain(t, len(p(()))) if sure else t
            want = verified(p, judged, ())
            tokens, parents, p_rows, q_rows = flatten(t, p, breadth_first)
            batches.setdefault(len(p(())), []).append(
                Row(
                    tuple(tokens),
                    tuple(parents),
                    tuple(p_rows),
                    None if sure else tuple(q_rows),
                    law(want),
                )
            )
    assert sum(map(len, batches.values())) > 500
    for rows in batches.values():
        compare(rule, rows)


def fan_rows(p: Dist, q: Dist, drawn: Context) -> tuple[Draft, Tensor]:
    """Candidates for one place as one row: every node's bonus row is p too."""
    k = len(drawn)
    rows = torch.tensor([floats(q)] * k, dtype=torch.float64)
    tokens = torch.tensor([drawn])
    draft = Draft(tokens, torch.full((1, k), -1), rows[None], torch.tensor([k]))
    return draft, torch.tensor([[floats(p)] * (k + 1)], dtype=torch.float64)


def fan_law(rule: Rule, p: Dist, q: Dist, k: int) -> dict[Hashable, float]:
    """(first token, whether a candidate was accepted) -> probability, drafts included."""
    found: dict[Hashable, float] = {}
    for drawn in product(range(len(q)), repeat=k):
        weight = float(prod(q[x] for x in drawn))
        if not weight:
            continue
        draft, rows = fan_rows(p, q, drawn)

        def program(
            chance: Forking, root: Tensor, draft: Draft = draft, rows: Tensor = rows
        ) -> Any:
            part = draft.rows(torch.zeros_like(root))
            verdict = rule(part, rows.expand(len(root), -1, -1), chance)
            emitted = verdict.emitted(part)
            return [(text[0], bool(kept)) for text, kept in zip(emitted, verdict.accepted)]

        for outcome, share in distributions(program, 1)[0].items():
            found[outcome] = found.get(outcome, 0.0) + weight * share
    return found


FANS = [(p, q) for p, q in product(grid(3, 3), repeat=2) if sum(map(bool, q)) > 1]


@pytest.mark.parametrize("pair", FANS[::4])
def test_k_sequential_has_the_law_of_its_specification_at_its_own_rho(
    pair: tuple[Dist, Dist],
) -> None:
    p, q = pair
    p_row, q_row = (torch.tensor([floats(d)], dtype=torch.float64) for d in (p, q))
    rho = Fraction(float(_threshold(p_row, q_row, torch.tensor([2]))))
    want = law(several.k_sequential(p, q, 2, rho))
    assert not different(fan_law(k_sequential, p, q, 2), want)


@pytest.mark.parametrize("pair", FANS[::4])
def test_canonical_has_the_law_of_its_specification_at_its_own_weights(
    pair: tuple[Dist, Dist],
) -> None:
    p, q = pair
    p_row, q_row = (torch.tensor([floats(d)], dtype=torch.float64) for d in (p, q))
    win = pair_weights(p_row, q_row)[0].tolist()
    want = law(several.picked_step(p, q, lambda x, y: Fraction(win[x][y])))
    first: dict[Hashable, float] = {}
    for outcome, weight in fan_law(canonical, p, q, 2).items():
        token = cast(tuple[int, bool], outcome)[0]
        first[(token,)] = first.get((token,), 0.0) + weight
    assert not different(first, {(x,): weight for x, weight in want.items()})


@pytest.mark.parametrize("pair", FANS[::4])
def test_gumbel_has_the_law_of_its_specification(pair: tuple[Dist, Dist]) -> None:
    p, q = pair
    want: dict[tuple[int, bool], Fraction] = {}
    for (x, y), weight in law(several.race_step(p, q)).items():
        want[y, x == y] = want.get((y, x == y), Fraction(0)) + weight
    assert not different(fan_law(gumbel, p, q, 1), want)


CYCLES: list[tuple[Rule, Callable[[Model, Model, int], Prog[Context]]]] = [
    (rejection, lambda p, q, gamma: spec.cycle(p, q, gamma, ())),
    (block, lambda p, q, gamma: spec.block_cycle(p, q, gamma, ())),
    (
        greedy,
        lambda p, q, gamma: bind(spec.draft(q, gamma, ()), lambda xs: spec.greedy_cycle(p, xs, ())),
    ),
    (matching, lambda p, q, gamma: spec.matching_cycle(p, q, gamma, ())),
    (
        tree,
        lambda p, q, gamma: spec_tree.eager_tree_cycle(
            p, siblings_with_replacement(q), spec_tree.chain_shape(gamma), ()
        ),
    ),
]


@pytest.mark.parametrize(("rule", "want"), CYCLES, ids=[rule.__name__ for rule, _ in CYCLES])
@pytest.mark.parametrize("gamma", [0, 1, 3])
def test_cycle_with_its_draft_drawn_by_the_same_chance(
    rule: Rule, want: Callable[[Model, Model, int], Prog[Context]], gamma: int
) -> None:
    p, q = table(HARD), table(HARD[::-1], 1)

    def rows(model: Model, contexts: list[Context]) -> Tensor:
        return torch.tensor([floats(model(c)) for c in contexts], dtype=torch.float64)

    def program(chance: Forking, root: Tensor) -> list[Hashable]:
        texts: list[Context] = [()] * len(root)
        q_rows, p_rows = [], [rows(p, texts)]
        for _ in range(gamma):
            q_rows.append(rows(q, texts))
            drawn = chance.draw(q_rows[-1]).tolist()
            texts = [(*text, x) for text, x in zip(texts, drawn, strict=True)]
            p_rows.append(rows(p, texts))
        tokens = torch.tensor(texts, dtype=torch.int64).reshape(len(root), gamma)
        draft = Draft.chain(
            tokens, torch.stack(q_rows, 1) if gamma else torch.zeros(len(root), 0, 3)
        )
        return [tuple(text) for text in rule(draft, torch.stack(p_rows, 1), chance).emitted(draft)]

    assert not different(distributions(program, 1)[0], law(want(p, q, gamma)))
