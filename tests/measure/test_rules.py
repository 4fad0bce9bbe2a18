"""Claimed and computed: the worlds are what they say, lossless claims hold, the false one is
refuted by a world that one can check by hand, and the numbers are those of formulas.

Protects: the comparison behind `specref rules`.
"""

import pytest
from specref.measure.rules.claims import CLAIMED_RULES, LOSSLESS, ClaimedRule, lossy_rules
from specref.measure.rules.compare import (
    compare_in,
    compare_rule,
    frontier,
    smallest_counterexample,
)
from specref.measure.rules.own_cut import CutByOwnToken
from specref.measure.rules.worlds import CHAIN, PAIR, RULE_WORLDS, DraftShape, turned_round
from specref.verify import LossyEnsemble, canonical, rejection

EXACT = 1e-12
SOLVED = 1e-8  # 100 times the solver's tolerance of one constraint
WORLD = {world.name: world for world in RULE_WORLDS}
FALSE = [one.name for one in CLAIMED_RULES if isinstance(one.rule, CutByOwnToken)]


def test_the_worlds_are_distributions_and_cover_what_they_say() -> None:
    for world in RULE_WORLDS:
        assert abs(sum(world.p) - 1) < EXACT
        assert abs(sum(world.q) - 1) < EXACT
    assert WORLD["equal"].p == WORLD["equal"].q
    assert all(min(pair) == 0 for pair in zip(WORLD["disjoint"].p, WORLD["disjoint"].q))
    assert 0 in WORLD["zeros"].p
    assert 0 in WORLD["zeros"].q
    assert max(WORLD["peaked"].p) > 0.9
    assert max(WORLD["flat"].p) < 0.3


def test_a_world_turns_with_the_text_and_its_greedy_target_too() -> None:
    world = WORLD["near"]
    assert world.target((1, 2)) == turned_round(world.p, (3,)) == (0.05, 0.5, 0.3, 0.15)
    assert world.target((1, 2), greedy=True) == (0, 1, 0, 0)
    assert WORLD["flat target, sure draft"].target((), greedy=True) == (1, 0, 0, 0)


@pytest.mark.parametrize("claimed", CLAIMED_RULES, ids=lambda one: one.name)
def test_lossless_claims_hold_and_the_false_one_does_not(claimed: ClaimedRule) -> None:
    for world in (WORLD["near"], WORLD["zeros"], WORLD["equal"]):
        found = compare_in(claimed, world)
        assert (found.tv > EXACT) == (claimed.name in FALSE and world.name != "zeros")
        assert found.acceptance <= found.bound + SOLVED
        assert 1 <= found.tokens <= found.most_tokens + SOLVED


def test_the_numbers_are_the_formulas() -> None:
    """Rejection accepts sum min(p, q) at each place, and an ensemble is (1 - w) TV(p, q) away at
    the first; block is the best for a chain.
    """
    world = WORLD["opposed"]
    alpha = sum(map(min, world.p, world.q))
    one = compare_in(ClaimedRule("", rejection, CHAIN, LOSSLESS, ""), world)
    assert one.acceptance == pytest.approx(alpha)
    assert one.bound == pytest.approx(alpha)
    assert one.tokens == pytest.approx(1 + alpha + alpha**2 + alpha**3)
    place = DraftShape("one", (-1,))
    mixed = compare_in(ClaimedRule("", LossyEnsemble(0.6), place, "lossy", ""), world)
    assert mixed.tv == pytest.approx(0.4 * (1 - alpha))
    pair = compare_in(ClaimedRule("", canonical, PAIR, LOSSLESS, ""), world)
    assert pair.acceptance == pytest.approx(pair.bound, abs=SOLVED)


def test_the_smallest_counterexample_is_right_by_hand() -> None:
    """p = q = (1/4, 3/4) and tokens with q < .3 cut: token 0 is redrawn from p, so token 1 comes
    out with 3/4 + 1/4 * 3/4 = 15/16.
    """
    claimed = next(one for one in CLAIMED_RULES if one.name in FALSE)
    assert smallest_counterexample(claimed) == {
        "p": ["1/4", "3/4"],
        "q": ["1/4", "3/4"],
        "parents": [-1],
        "tv": pytest.approx(15 / 16 - 3 / 4),
    }
    right = ClaimedRule("", rejection, DraftShape("one", (-1,)), LOSSLESS, "")
    assert smallest_counterexample(right, finest=3) is None


def test_a_row_says_whether_the_claim_holds() -> None:
    rows = [compare_rule(one, RULE_WORLDS[:2]) for one in CLAIMED_RULES if one.shape is CHAIN]
    assert [row["name"] for row in rows if not row["holds"]] == FALSE
    for row in rows:
        assert (row["counterexample"] is None) == row["holds"]
        assert row["share"] == pytest.approx(row["acceptance"] / row["bound"])


def test_the_frontier_leaves_out_what_another_beats() -> None:
    rows = [
        {"name": "lossless", "tv_mean": 1e-16, "tokens": 2.0},
        {"name": "slower", "tv_mean": 0.0, "tokens": 1.5},
        {"name": "worse", "tv_mean": 0.1, "tokens": 2.0},
        {"name": "buys", "tv_mean": 0.1, "tokens": 2.5},
        {"name": "farther", "tv_mean": 0.2, "tokens": 2.4},
    ]
    assert frontier(rows) == ["lossless", "buys"]


def test_lossy_rules_have_names_of_their_own() -> None:
    names = [one.name for one in (*CLAIMED_RULES, *lossy_rules())]
    assert len(set(names)) == len(names)
    assert all("lossy" in one.rule.__name__ for one in lossy_rules())
