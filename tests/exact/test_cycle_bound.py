"""The most that any lossless rule emits: block reaches it on chains, no rule passes it.

Protects: the linear program over whole drafts, and with it the optimality that the papers claim.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from specref.exact.cycle_bound import most_accepted
from specref.exact.transport import best_acceptance, with_replacement
from specref.measure.rules.compare import most_tokens
from specref.measure.rules.cycles import rule_cycle
from specref.measure.rules.worlds import DraftShape, RuleWorld
from specref.verify import RESEARCH_RULES, RULES

from tests.distributions import a_pair

EXACT = 1e-8  # 100 times the solver's tolerance of one constraint
CHAINS = [DraftShape("", parents) for parents in ((-1,), (-1, 0), (-1, 0, 1))]
WITH = DraftShape("", (-1, -1, 0, 1))
WITHOUT = DraftShape("", (-1, -1, 0, 1), replacement=False)


def a_world(size: int) -> st.SearchStrategy[RuleWorld]:
    return a_pair(size).map(lambda pair: RuleWorld("", tuple(pair[0]), tuple(pair[1])))


worlds = st.integers(2, 3).flatmap(a_world)


@settings(max_examples=40, deadline=None)
@given(world=worlds, shape=st.sampled_from(CHAINS))
def test_block_verification_reaches_the_bound_on_chains(world, shape):
    """Sun et al. 2024, Theorem 2: no lossless rule accepts more of a chain."""
    found = rule_cycle(RULES["block"], world, shape).tokens
    assert found == pytest.approx(most_tokens(world, shape, False), abs=EXACT)


@pytest.mark.parametrize("rule", ["tree", "naive", "traversal", "k_sequential", "canonical"])
@settings(max_examples=12, deadline=None)
@given(world=worlds, replacement=st.booleans())
def test_no_rule_passes_the_bound_on_trees(rule, world, replacement):
    takes_any = rule in ("tree", "naive", "traversal")
    shape = WITH if replacement or not takes_any else WITHOUT
    found = rule_cycle((RULES | RESEARCH_RULES)[rule], world, shape).tokens
    assert found <= most_tokens(world, shape, False) + EXACT


@settings(max_examples=30, deadline=None)
@given(pair=st.integers(2, 4).flatmap(a_pair), k=st.integers(1, 3))
def test_for_one_place_it_is_the_transport_bound(pair, k):
    p, q = pair
    drafts: dict[frozenset, float] = {}
    for drawn, weight in with_replacement(q, k).items():
        texts = frozenset((x,) for x in drawn)
        drafts[texts] = drafts.get(texts, 0.0) + weight
    most = most_accepted(lambda text: p, drafts)
    assert most == pytest.approx(best_acceptance(p, with_replacement(q, k)), abs=EXACT)


def test_a_known_example():
    """Sun et al. 2024, section 2: p = (1/3, 2/3), q = (2/3, 1/3): 11/9 of two tokens. With p the
    same after every text, the world is not turned.
    """
    one = {0: 2 / 3, 1: 1 / 3}
    drafts = {frozenset({(x,), (x, y)}): one[x] * one[y] for x in one for y in one}
    assert most_accepted(lambda text: (1 / 3, 2 / 3), drafts) == pytest.approx(11 / 9)
