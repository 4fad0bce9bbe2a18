"""The frontier of typical acceptance: lossless at distance 0, lossy at a distance that two methods agree on.

Protects: the exact TV of the toy, the closed form behind the estimate, the tokens a cycle.
"""

import pytest

from reference.draft.medusa import MedusaDrafter, best_first
from reference.measure.frontier import exact_tv, point, toy
from reference.verify import RULES, LossyTypical

TARGET, HEADS = toy()


def test_the_lossless_tree_rule_is_at_distance_0():
    assert exact_tv(RULES["tree"], TARGET, HEADS) < 1e-12


def test_accepting_more_moves_the_law_further():
    strict, loose = (exact_tv(LossyTypical(epsilon, 10.0), TARGET, HEADS) for epsilon in (0.5, 0.05))
    assert 0 < strict < loose


def test_the_estimate_of_the_first_token_is_the_enumerated_distance():
    """From one context the estimate has no noise: its mean over first cycles is the exact TV of one token."""
    rule = LossyTypical(0.3, 10.0)
    drafter = MedusaDrafter(HEADS, best_first(2, 2))
    seen = point(rule, 0.3, 10.0, TARGET, drafter, 2, [[1, 2, 3]] * 5, 3, 0.0)
    assert seen.tokens_per_cycle >= 1
    first = point(rule, 0.3, 10.0, TARGET, drafter, 2, [[1, 2, 3]], 1, 0.0)
    assert first.tv == 0, "with one token to go nothing is drafted, and nothing is lost"
    two = exact_tv(rule, TARGET, HEADS, tokens=2)
    once = point(rule, 0.3, 10.0, TARGET, drafter, 2, [[1, 2, 3]], 2, 0.0)
    assert once.tv == pytest.approx(two, abs=0.35)


def test_the_tree_rule_is_reported_without_distance():
    seen = point(RULES["tree"], 0, 0, TARGET, MedusaDrafter(HEADS, best_first(2, 2)), 2, [[1, 2, 3]], 8, 0.0)
    assert seen.tv == seen.error == 0
