"""The speed model is Leviathan et al.'s where its assumptions hold, and the rule's own distribution
where they do not.

Protects: tokens per cycle, the cost of a cycle with a measured verify curve, the best draft length
and break-even.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from specref.data import SpecrefError
from specref.measure.speed.cost import (
    best_gamma,
    break_even_alpha,
    cycle_cost,
    expected_tokens,
    operations_factor,
    predicted_speedup,
    verify_steps,
    with_prefill,
)
from specref.verify import RULES

from tests.distributions import World, outcomes

ALPHA, GAMMA = st.floats(0, 0.999), st.integers(0, 12)


@given(alpha=ALPHA, gamma=GAMMA, c=st.floats(0, 1))
def test_theorem_3_8_is_the_case_of_free_verification(alpha: float, gamma: int, c: float) -> None:
    """Equation 1 and Theorem 3.8 of Leviathan et al. 2023."""
    tokens = (1 - alpha ** (gamma + 1)) / (1 - alpha)
    assert expected_tokens(alpha, gamma) == pytest.approx(tokens)
    assert predicted_speedup(alpha, gamma, None, c) == pytest.approx(tokens / (gamma * c + 1))
    assert predicted_speedup(alpha, gamma, [1.0] * (gamma + 1), c) == pytest.approx(
        tokens / (gamma * c + 1)
    )
    assert expected_tokens([alpha] * (gamma + 2), gamma) == pytest.approx(tokens)
    assert expected_tokens(1.0, gamma) == gamma + 1


@pytest.mark.parametrize(
    ("alpha", "gamma", "operations", "speed"),
    [
        (0.6, 2, 1.53, 1.96),
        (0.7, 3, 1.58, 2.53),
        (0.8, 2, 1.23, 2.44),
        (0.8, 5, 1.63, 3.69),
        (0.9, 2, 1.11, 2.71),
        (0.9, 10, 1.60, 6.86),
    ],
)
def test_operations_and_speed_are_those_of_the_papers_table(
    alpha: float, gamma: int, operations: float, speed: float
) -> None:
    """Leviathan et al. 2023, table 1, where the draft is taken to cost nothing."""
    assert round(operations_factor(alpha, gamma), 2) == operations
    assert round(predicted_speedup(alpha, gamma), 2) == speed


@given(alpha=ALPHA, gamma=GAMMA, c=st.floats(0, 1))
def test_theorem_3_11(alpha: float, gamma: int, c: float) -> None:
    factor = (1 - alpha) * (gamma * c + gamma + 1) / (1 - alpha ** (gamma + 1))
    assert operations_factor(alpha, gamma, c) == pytest.approx(factor)
    assert operations_factor(alpha, gamma, c) >= 1 - 1e-12
    assert operations_factor(1.0, gamma, c) == pytest.approx((gamma * c + gamma + 1) / (gamma + 1))


def test_operations_are_counted_from_the_rules_own_emissions() -> None:
    """A cycle of three target tokens, and two draft tokens of half their arithmetic, over the exact
    mean of what `rejection` emits.
    """
    pools = [[([0.9, 0.1], [0.4, 0.6])] * 7]  # overlap 1/2 everywhere
    world = World(2, 2, [2], False, pools)
    mean = sum(
        weight * len(emitted)
        for (emitted, _), weight in outcomes(world, RULES["rejection"])[0].items()
    )
    assert operations_factor(0.5, 2, 0.5) == pytest.approx((3 + 2 * 0.5) / mean, abs=1e-12)


@pytest.mark.parametrize("c", [-0.1, float("nan")])
def test_a_ratio_of_operations_is_0_or_more(c: float) -> None:
    with pytest.raises(SpecrefError, match="give 0 or more"):
        operations_factor(0.5, 2, c)


def test_tokens_by_place_are_those_of_the_rule() -> None:
    """A draft whose distributions differ from place to place: the exact mean of emitted tokens, by
    enumeration of `rejection`.
    """
    pools = [
        [
            ([0.5, 0.5], [0.5, 0.5]),
            ([0.9, 0.1], [0.4, 0.6]),
            ([0.9, 0.1], [0.4, 0.6]),
            *[([0.2, 0.8], [0.7, 0.3])] * 4,
        ]
    ]
    world = World(2, 2, [2], False, pools)
    mean = sum(
        weight * len(emitted)
        for (emitted, _), weight in outcomes(world, RULES["rejection"])[0].items()
    )
    assert mean == pytest.approx(expected_tokens([1.0, 0.5], 2), abs=1e-12)


def test_a_cycle_is_drafts_plus_one_forward_plus_overhead() -> None:
    steps = [1.0, 1.1, 1.2, 1.5]
    assert cycle_cost(3, steps, 0.1, 0.05) == pytest.approx(3 * 0.1 + 1.5 + 0.05)
    assert cycle_cost(0, steps) == 1.0
    assert predicted_speedup([0.8, 0.5, 0.5], 3, steps, 0.1, 0.05) == pytest.approx(
        (1 + 0.8 + 0.4 + 0.2) / 1.85
    )


@given(alpha=ALPHA, c=st.floats(0.001, 0.5), slope=st.floats(0, 0.3))
def test_best_gamma_beats_every_other(alpha: float, c: float, slope: float) -> None:
    steps = [1 + slope * i for i in range(17)]
    best = best_gamma(alpha, steps, c)
    speed = predicted_speedup(alpha, best, steps, c)
    for gamma in range(17):
        assert predicted_speedup(alpha, gamma, steps, c) <= speed
        if gamma < best:
            assert predicted_speedup(alpha, gamma, steps, c) < speed


def test_best_gamma_looks_no_further_than_was_measured() -> None:
    assert best_gamma(0.99, [1.0, 1.0, 1.0]) == 2
    assert best_gamma([0.99, 0.99, 0.99]) == 3
    assert best_gamma(0.99, most=7) == 7
    assert best_gamma(0.3, c=0.5) == 0  # a plain loop is best


@given(gamma=st.integers(1, 8), c=st.floats(0.01, 1.5))
def test_break_even_separates_gain_from_loss(gamma: int, c: float) -> None:
    steps = [1 + 0.05 * i for i in range(9)]
    alpha = break_even_alpha(gamma, steps, c)
    if alpha is None:
        assert predicted_speedup(1.0, gamma, steps, c) < 1
    else:
        assert predicted_speedup(alpha, gamma, steps, c) == pytest.approx(1, abs=1e-9)
        assert predicted_speedup(alpha * 0.99, gamma, steps, c) < 1
    if c < 1:
        assert break_even_alpha(1, None, c) == pytest.approx(c, abs=1e-9)  # Corollary 3.9


def test_verify_steps_fill_a_measured_curve_with_straight_lines() -> None:
    assert verify_steps({1: 2.0, 5: 4.0, 3: 2.0}) == pytest.approx([1.0, 1.0, 1.0, 1.5, 2.0])
    assert verify_steps({1: 4.0}) == [1.0]
    assert verify_steps({1: 0.25, 2: 0.5}) == [1.0, 2.0]
    assert verify_steps({1: 4.0, 2: 2.0, 4: 8.0}) == pytest.approx([1.0, 0.5, 1.25, 2.0])
    nan, infinite = float("nan"), float("inf")
    for bad in (
        {},
        {2: 1.0},
        {1: 0.0},
        {1: -1.0},
        {1: nan},
        {1: 1.0, 2: nan},
        {1: 1.0, 2: infinite},
        {1: 1.0, 2: 0.0},
    ):
        with pytest.raises(SpecrefError, match="verify curve is measured at"):
            verify_steps(bad)


def test_prefill_dilutes_the_speedup() -> None:
    assert with_prefill(2.0, 0.0) == 2.0
    assert with_prefill(2.0, 1.0) == 1.0
    assert with_prefill(2.0, 0.2, 1.5) == pytest.approx(1 / (0.3 + 0.4))
    assert with_prefill(0.5, 0.5, 0.0) == 1.0
    for bad in ((2.0, 1.2), (2.0, -0.1), (0.0, 0.5), (-1.0, 0.5), (2.0, 0.5, -0.1)):
        with pytest.raises(SpecrefError, match="give a share of 0 to 1"):
            with_prefill(*bad)


def test_of_equal_lengths_the_shortest_is_best() -> None:
    """A second token that is never accepted costs nothing here and brings nothing; nor does a first
    one."""
    assert best_gamma([0.5, 0.0, 0.0]) == 1
    assert best_gamma([0.0, 0.0]) == 0
    assert best_gamma(0.0) == 0


def test_certain_drafts_that_cost_nothing_are_as_long_as_is_looked() -> None:
    assert best_gamma(1.0) == 32
    assert best_gamma(1) == 32
    assert best_gamma([1.0] * 50) == 32
    assert best_gamma(1.0, [1.0] * 50) == 32


def test_costs_count_in_every_choice() -> None:
    """One token in two: 1.5 for 1 + c + overhead. Two tokens, 1.75 for 1 + 2 c + overhead."""
    assert predicted_speedup(0.5, 1, None, 0.125, 0.125) == pytest.approx(1.2)
    assert best_gamma(0.5, None, 0.125) == 2
    assert best_gamma(0.5, None, 0.25) == 1
    assert best_gamma(0.5, None, 0.25, 0.5) == 0
    assert best_gamma(0.9, None, 0.125, 1.0) > best_gamma(0.9, None, 0.125)
    assert break_even_alpha(1, None, 0.25, 0.25) == pytest.approx(0.5)
    assert break_even_alpha(1, [1.0, 1.5], 0.25) == pytest.approx(0.75)
    assert break_even_alpha(1, None, 1.0) == pytest.approx(1.0), "every token is just enough"
    assert break_even_alpha(1, None, 1.01) is None


@pytest.mark.parametrize("rate", [0.0, 1.0, 0, 1])
def test_never_and_always_are_possible_rates(rate: float) -> None:
    assert expected_tokens(rate, 2) == 1 + 2 * rate
    assert expected_tokens([rate, rate], 2) == 1 + 2 * rate
    assert expected_tokens(rate, 0) == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda: expected_tokens(0.5, -1),
        lambda: expected_tokens(1.5, 2),
        lambda: expected_tokens(-0.1, 2),
        lambda: expected_tokens([0.5, 1.5], 2),
        lambda: expected_tokens([0.5, -0.5], 2),
        lambda: cycle_cost(2, [1.0, 1.0]),
        lambda: cycle_cost(1, overhead=-0.1),
        lambda: expected_tokens([0.5], 2),
        lambda: expected_tokens(float("nan"), 1),
        lambda: cycle_cost(1, [1.0]),
        lambda: cycle_cost(1, c=-0.1),
        lambda: cycle_cost(1, overhead=float("nan")),
    ],
)
def test_impossible_inputs_are_refused(call: object) -> None:
    with pytest.raises(SpecrefError):
        call()  # type: ignore[operator]
