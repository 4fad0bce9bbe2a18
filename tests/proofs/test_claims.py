"""Every claim of proofs/exact on its grids of small cases, and on cases that Hypothesis draws."""

from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proofs.exact import claims, counterexamples, several_claims
from proofs.exact.cases import (
    CASES,
    siblings_with_certainty,
    siblings_with_replacement,
    siblings_without_replacement,
    table,
)
from proofs.exact.chain import draft
from proofs.exact.lossy import medusa
from proofs.exact.program import Dist, Model, is_law
from proofs.exact.step import point_mass, with_replacement, without_replacement
from proofs.exact.tree import Fork, NodeLaw, Shape, Tip, tree_draft

FEW = settings(max_examples=100, deadline=None, derandomize=True, database=None)
FEWER = settings(FEW, max_examples=40)


@pytest.mark.parametrize("claim", CASES, ids=lambda claim: claim.__name__)
def test_claim_on_its_grid(claim: Callable[..., None]) -> None:
    count = 0
    for case in CASES[claim]():
        claim(*case)
        count += 1
    assert count >= 50


def dists(size: int) -> st.SearchStrategy[Dist]:
    """Laws with zeros and ties: small whole weights, and the one-hot laws."""
    weights = st.lists(st.integers(0, 4), min_size=size, max_size=size).filter(any)
    mixed = weights.map(lambda w: tuple(Fraction(a, sum(w)) for a in w))
    return st.one_of(mixed, st.integers(0, size - 1).map(lambda x: point_mass(x, size)))


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Dist, Dist]:
    """Any two laws, equal ones, and disjoint ones."""
    size = draw(st.integers(2, 4))
    p, q = draw(dists(size)), draw(dists(size))
    kind = draw(st.sampled_from(["any", "any", "equal", "disjoint"]))
    if kind == "equal":
        return p, p
    if kind == "disjoint":
        outside = tuple(Fraction(not weight) for weight in p)
        return p, tuple(weight / sum(outside) for weight in outside) if any(outside) else p
    return p, q


@st.composite
def models(
    draw: st.DrawFn, sizes: tuple[int, int] = (2, 4), rows: int = 4
) -> tuple[Model, Model, int, int]:
    """p, q, gamma, n with a tree of outcomes that stays small."""
    size = draw(st.integers(*sizes))
    tables = [draw(st.lists(dists(size), min_size=1, max_size=rows)) for _ in range(2)]
    gamma = draw(st.integers(0, 3 if size < 4 else 2))
    salt = draw(st.integers(0, 3))
    p = table(tables[0])
    q = p if salt == 0 and draw(st.booleans()) else table(tables[1], salt)
    return p, q, gamma, draw(st.integers(0, 6 - size))


def shapes() -> st.SearchStrategy[Shape]:
    """Trees of five nodes at most, so that what is drawn eagerly stays small."""

    def nodes(s: Shape) -> int:
        return 1 + nodes(s.below) + nodes(s.next) if s else 0

    tips: st.SearchStrategy[Shape] = st.just(Tip)
    return st.recursive(tips, lambda inner: st.builds(Fork, inner, inner), max_leaves=6).filter(
        lambda s: nodes(s) < 5
    )


@FEW
@given(pairs())
def test_one_token(pair: tuple[Dist, Dist]) -> None:
    assert all(map(is_law, pair))
    for claim in (
        claims.T1_lossless_step,
        claims.T2_acceptance,
        claims.T3_no_coupling_accepts_more,
        claims.T11_price,
        several_claims.T12_one_candidate,
        several_claims.T14_canonical_best,
        several_claims.T15_gumbel,
        counterexamples.C1_resample_from_p,
        counterexamples.C2_unnormalised_residual,
    ):
        claim(*pair)


@FEW
@given(pairs(), st.integers(0, 4))
def test_candidates(pair: tuple[Dist, Dist], k: int) -> None:
    p, q = pair
    claims.T5_with_replacement(p, q, min(k, 3))
    claims.T5_without_replacement(p, q, k)
    if k < 3:
        several_claims.T12_candidates_bound(p, with_replacement(q), k)
        several_claims.T12_candidates_bound(p, without_replacement(q), k)


@FEW
@given(pairs(), st.integers(1, 3), st.fractions(1, 3, max_denominator=6))
def test_thresholds(pair: tuple[Dist, Dist], k: int, rho: Fraction) -> None:
    several_claims.T13_k_sequential(*pair, k, rho)


@FEW
@given(pairs(), st.lists(st.fractions(0, 1, max_denominator=5), min_size=16, max_size=16))
def test_weights_of_pairs(pair: tuple[Dist, Dist], table: list[Fraction]) -> None:
    several_claims.T14_canonical(*pair, lambda x, y: table[4 * x + y])


@FEW
@given(
    st.integers(2, 3).flatmap(
        lambda size: st.tuples(dists(size), st.lists(dists(size), min_size=1, max_size=5))
    ),
    st.integers(0, 3),
)
def test_candidates_of_any_law(case: tuple[Dist, list[Dist]], k: int) -> None:
    claims.T5_recursive_rejection(case[0], table(case[1]), k)


@FEWER
@given(models())
def test_chains(case: tuple[Model, Model, int, int]) -> None:
    p, q, gamma, n = case
    claims.T4_chain(p, lambda root: q, lambda root: gamma, n, ())
    claims.T9_block_lossless(p, lambda root: q, lambda root: gamma, n, ())
    claims.T7_tokens_per_cycle(p, q, gamma, ())
    claims.T9_block_accepts_more(p, q, gamma, ())
    claims.T10_chain_is_a_tree(p, q, gamma, (0,))
    several_claims.T16_chain_is_block(p, q, gamma, (0,))


@FEWER
@given(models((2, 3)))
def test_drafters(case: tuple[Model, Model, int, int]) -> None:
    p, q, gamma, n = case
    claims.T6_greedy(p, lambda c: draft(q, gamma, c), n, ())
    claims.T11_matching(p, lambda c: draft(q, gamma, c), n, ())
    claims.T11_target_only(p, lambda c: draft(q, gamma, c), min(n, 2), ())


KINDS: dict[str, Callable[[Model], NodeLaw]] = {
    "with": siblings_with_replacement,
    "without": siblings_without_replacement,
    "certain": siblings_with_certainty,
}


@FEWER
@given(models((2, 3)), shapes(), st.sampled_from(sorted(KINDS)))
def test_trees(case: tuple[Model, Model, int, int], s: Shape, kind: str) -> None:
    p, q, _, n = case
    law = KINDS[kind](q)
    claims.T10_trees(p, law, s, min(n, 2), ())
    several_claims.T16_traversal(p, law, s, min(n, 2), ())
    claims.T11_target_only_trees(p, lambda c: tree_draft(law, s, c), min(n, 2), ())


@FEW
@given(pairs(), st.fractions(0, 1, max_denominator=6), st.fractions(0, 1, max_denominator=6))
def test_typical(pair: tuple[Dist, Dist], tau: Fraction, delta: Fraction) -> None:
    counterexamples.C4_typical(*pair, tau)
    counterexamples.C4_typical_cycle(*pair, medusa(tau, delta))


@FEW
@given(st.integers(2, 4).flatmap(lambda size: st.tuples(dists(size), dists(size), dists(size))))
def test_wrong_q(case: tuple[Dist, Dist, Dist]) -> None:
    counterexamples.C3_wrong_q(*case)


@FEW
@given(
    st.fractions(0, Fraction(15, 16), max_denominator=16),
    st.fractions(0, 1, max_denominator=16),
    st.fractions(Fraction(1, 16), 1, max_denominator=16),
)
def test_speed(a: Fraction, c: Fraction, b: Fraction) -> None:
    claims.T8_speed_model(a, c, b, 12)
