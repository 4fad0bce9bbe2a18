"""The frontier of typical acceptance: lossless at distance 0, lossy at a distance that two methods agree on.

Protects: the exact TV of the toy, the closed form behind the estimate, the tokens a cycle.
"""

import pytest

from reference.decode import generate
from reference.draft.medusa import MedusaDrafter, best_first
from reference.draft.none import NoDrafter
from reference.law.enumerate import laws, total_variation
from reference.measure.frontier import exact_tv, point, toy
from reference.types import SamplingParams
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
    # Two tokens: one guess is judged in the first cycle, from this one context. Its law is a point or p itself.
    once = point(rule, 0.3, 10.0, TARGET, drafter, 2, [[1, 2, 3]], 2, 0.0)
    cycles = round(2 / once.tokens_per_cycle)
    assert once.tv * cycles == pytest.approx(first_token_tv(rule, drafter), abs=1e-12)


def first_token_tv(rule, drafter) -> float:
    """TV between p and the law of the first of two tokens, enumerated."""
    def law(rule, drafter):
        def program(chance, root):
            done = generate(TARGET, drafter, rule, [[1, 2, 3]] * len(root), SamplingParams(max_new_tokens=2), gamma=2,
                            chance=chance)
            return [one.tokens[0] for one in done]
        return laws(program, 1)[0]
    return total_variation(law(rule, drafter), law(RULES["rejection"], NoDrafter()))


def test_the_tree_rule_is_reported_without_distance():
    seen = point(RULES["tree"], 0, 0, TARGET, MedusaDrafter(HEADS, best_first(2, 2)), 2, [[1, 2, 3]], 8, 0.0)
    assert seen.tv == seen.error == 0
