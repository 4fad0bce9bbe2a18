"""The most that a rule can accept: two computations that share nothing agree, and known cases.

Protects: the linear program's rows, candidates with and without replacement.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from specref.exact.transport import (
    best_acceptance,
    smallest_cut,
    with_replacement,
    without_replacement,
)

from tests.distributions import a_pair

EXACT = 1e-8  # 100 times the solver's tolerance of one constraint


@pytest.mark.parametrize("draw", [with_replacement, without_replacement])
@given(pair=st.integers(2, 5).flatmap(a_pair), k=st.integers(1, 3))
@settings(max_examples=40)
def test_the_linear_program_is_its_minimum_cut(draw, pair, k):
    p, q = pair
    candidates = draw(q, k)
    assert abs(sum(candidates.values()) - 1) < EXACT
    assert best_acceptance(p, candidates) == pytest.approx(smallest_cut(p, candidates), abs=EXACT)


@given(pair=st.integers(2, 6).flatmap(a_pair))
@settings(max_examples=40)
def test_of_one_candidate_it_is_the_sum_of_the_smaller_probabilities(pair):
    p, q = pair
    shared = sum(map(min, p, q))
    assert best_acceptance(p, with_replacement(q, 1)) == pytest.approx(shared, abs=EXACT)


def test_a_case_by_hand():
    """p = (1/2, 1/2), q = (9/10, 1/10), two draws: token 1 is among them with 1 - .81 = .19, and
    token 0 can be emitted half of the time: .5 + .19.
    """
    assert best_acceptance([0.5, 0.5], with_replacement([0.9, 0.1], 2)) == pytest.approx(0.69)
    assert best_acceptance([0.5, 0.5], without_replacement([0.9, 0.1], 2)) == pytest.approx(1)


def test_candidates_without_replacement_end_where_q_does():
    assert without_replacement([0.25, 0.75, 0.0], 3) == {(0, 1): 0.25, (1, 0): 0.75}


@given(pair=st.integers(2, 4).flatmap(a_pair), k=st.integers(1, 3))
@settings(max_examples=30)
def test_one_more_candidate_never_lowers_the_bound(pair, k):
    p, q = pair
    more, less = with_replacement(q, k + 1), with_replacement(q, k)
    assert best_acceptance(p, more) >= best_acceptance(p, less) - EXACT
