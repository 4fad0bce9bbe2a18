"""Sample sizes and minimum detectable effects are what the noncentral chi-square distribution says.

Protects: the worst-case noncentrality, the e-process's critical value, the inverse, and the figures
that verdicts and plans are read by.
"""

import math

import pytest
import torch
from hypothesis import given
from scipy import stats
from specref.data import SpecrefError
from specref.stats.power import concentrations, fixed_mde, fixed_samples, mde, samples

from tests.distributions import a_distribution


@given(p=a_distribution(6).filter(lambda p: min(p) > 0), other=a_distribution(6))
def test_no_distribution_at_a_distance_hides_better_than_the_worst_case(
    p: list[float], other: list[float]
) -> None:
    """Chi-square divergence >= 4 TV^2, and sum (a-b)^2/(a+b) >= 2 TV^2 for two unknown
    distributions (Cauchy-Schwarz).
    """
    a, b = torch.tensor(p, dtype=torch.float64), torch.tensor(other, dtype=torch.float64)
    tv = float((a - b).abs().sum()) / 2
    assert float(((a - b).square() / a).sum()) >= 4 * tv**2 - 1e-12
    assert float(((a - b).square() / (a + b)).sum()) >= 2 * tv**2 - 1e-12


@pytest.mark.parametrize(
    ("cells", "thousands"), [(2, 159), (8, 205), (16, 240), (64, 354), (512, 764), (4096, 1915)]
)
def test_known_sample_sizes_of_the_chi_square_test(cells: int, thousands: int) -> None:
    """TV .01, false alarm 1e-6, power .999."""
    assert fixed_samples(0.01, cells, 1e-6) / 1000 == pytest.approx(thousands, rel=0.004)


def test_draws_go_with_the_inverse_square_of_the_distance() -> None:
    """And two unknown distributions need twice as many in each sample."""
    assert fixed_samples(0.01, 16, 1e-6) == pytest.approx(
        25 * fixed_samples(0.05, 16, 1e-6), rel=0.001
    )
    assert fixed_samples(0.05, 16, 1e-6, arms=2) == pytest.approx(
        2 * fixed_samples(0.05, 16, 1e-6), rel=0.001
    )


@pytest.mark.parametrize("cells", [2, 16, 512])
def test_looking_all_the_time_costs_little(cells: int) -> None:
    """For certain detection the e-process plans 15 to 25% more draws than the fixed test, which may
    look only once.
    """
    assert 1.1 < samples(0.05, cells, 1e-6) / fixed_samples(0.05, cells, 1e-6) < 1.3


@pytest.mark.parametrize("arms", [1, 2])
@pytest.mark.parametrize("tv", [0.2, 0.03])
def test_samples_inverts_mde(tv: float, arms: int) -> None:
    n = samples(tv, 16, 1e-6, arms=arms)
    assert (
        mde(n, 16, 1e-6, arms=arms, plan=tv)
        <= tv
        < mde(int(n * 0.999) - 1, 16, 1e-6, arms=arms, plan=tv)
    )
    n = fixed_samples(tv, 16, 1e-6, arms=arms)
    assert (
        fixed_mde(n, 16, 1e-6, arms=arms) <= tv < fixed_mde(int(n * 0.999) - 1, 16, 1e-6, arms=arms)
    )


def test_more_draws_see_less_and_more_cells_see_more() -> None:
    effects = [mde(n, 16, 1e-6) for n in (0, 10, 100, 1000, 10_000, 100_000)]
    assert effects == sorted(effects, reverse=True)
    assert effects[:2] == [1.0, 1.0]
    assert mde(10_000, 4, 1e-6) < mde(10_000, 16, 1e-6) < mde(10_000, 256, 1e-6)
    assert mde(10_000, 16, 1e-3) < mde(10_000, 16, 1e-6)
    assert mde(10_000, 16, 1e-6, power=0.5) < mde(10_000, 16, 1e-6)
    assert mde(10_000, 16, 1e-6) < mde(10_000, 16, 1e-6, arms=2)


def test_one_possible_outcome_is_seen_by_support() -> None:
    """p = 1 on one token: a run misses a TV of e with probability (1 - e)^n."""
    assert (1 - mde(100, 1, 1e-6)) ** 100 == pytest.approx(0.001)
    assert (1 - fixed_mde(100, 1, 1e-6)) ** 100 == pytest.approx(0.001)


@pytest.mark.parametrize(("arms", "worst"), [(1, 4), (2, 2)])
def test_two_outcomes_are_a_question_of_the_normal_distribution(arms: int, worst: int) -> None:
    """A coin's chi-square is the square of a normal variable: sqrt(worst n) e = z(alpha/2) + z(1 -
    power).
    """
    for alpha, power in ((1e-6, 0.999), (0.01, 0.9)):
        z = stats.norm.isf(alpha / 2) + stats.norm.isf(1 - power)
        assert fixed_mde(10_000, 2, alpha, power, arms) == pytest.approx(
            z / math.sqrt(worst * 10_000), rel=1e-6
        )


@pytest.mark.parametrize("cells", [2, 3, 40])
@pytest.mark.parametrize("arms", [1, 2])
def test_at_the_critical_value_the_evidence_is_one_over_alpha(cells: int, arms: int) -> None:
    """Back from the effect: its noncentrality, the statistic that passes it with the power, and
    there the mean over the sizes s of exp(x/2 n/(n+s)) (1 + n/s)^(-df/2), where two unknown
    distributions lose one more degree of freedom."""
    n, alpha, power, plan, worst = 5000, 1e-4, 0.9, 0.07, (4, 2)[arms - 1]
    effect = mde(n, cells, alpha, power, arms, plan)
    x = stats.ncx2.isf(power, cells - 1, worst * n * effect**2)
    evidence = 0.0
    for weight, size in ((0.5, plan), *((0.025, 1 / 2**i) for i in range(1, 11))):
        s = (cells - 1) / (worst * size**2)
        evidence += (
            weight
            * math.exp(x / 2 * n / (n + s))
            * (1 + n / s) ** (-(cells - 1 if arms == 1 else cells) / 2)
        )
    assert evidence == pytest.approx(1 / alpha, rel=1e-6)


def test_what_is_not_said_is_power_999_one_sample_and_a_plan_of_01() -> None:
    assert fixed_mde(3000, 4, 1e-6) == fixed_mde(3000, 4, 1e-6, 0.999, 1)
    assert fixed_samples(0.1, 4, 1e-6) == fixed_samples(0.1, 4, 1e-6, 0.999, 1)
    assert mde(3000, 4, 1e-6) == mde(3000, 4, 1e-6, 0.999, 1, 0.01)
    assert samples(0.1, 4, 1e-6) == samples(0.1, 4, 1e-6, 0.999, 1, 0.1)
    assert samples(0.1, 4, 1e-6, plan=0.01) > samples(0.1, 4, 1e-6)


@pytest.mark.parametrize("tv", [0.9995, 0.999, 0.99, 0.9, 0.5, 0.01, 0.0003])
def test_samples_are_the_fewest(tv: float) -> None:
    """One possible outcome: the smallest n with (1 - tv)^n <= 1 - power, which is 1 draw above
    .999.
    """
    n = samples(tv, 1, 1e-6)
    assert (1 - tv) ** n <= 0.001 * (1 + 1e-9)
    assert n == 1 or (1 - tv) ** (n - 1) > 0.001


def test_what_n_draws_see_needs_n_draws() -> None:
    for n in (1, 2, 7, 64, 1000):
        assert samples(mde(n, 1, 1e-6), 1, 1e-6) == n


def test_nothing_is_seen_in_no_draws() -> None:
    for cells in (1, 4):
        for arms in (1, 2):
            assert mde(0, cells, 1e-6, arms=arms) == fixed_mde(0, cells, 1e-6, arms=arms) == 1
    assert mde(1, 4, 1e-6) == fixed_mde(1, 4, 1e-6) == 1


def test_the_sizes_are_the_plan_and_halves_down_to_a_1024th() -> None:
    """With half of the weight for the plan. A coin and a single outcome have the same ones."""
    for cells in (1, 2):
        s, log_weight = concentrations(cells, 0.5, 1)
        assert s.tolist() == [1.0, *(4.0**i / 4 for i in range(1, 11))]
        assert log_weight.exp().tolist() == pytest.approx([0.5] + [0.025] * 10)


def test_the_mixture_is_a_distribution_over_effects() -> None:
    """Its weights, with those of the other alternatives, add up to 1: more would raise false
    alarms.
    """
    for arms in (1, 2):
        s, log_weight = concentrations(16, 0.02, arms)
        assert float(log_weight.exp().sum()) == pytest.approx(0.75)
        assert float(s[0]) == pytest.approx(15 / ((4 if arms == 1 else 2) * 0.02**2))


@pytest.mark.parametrize(
    "bad",
    [
        {"n": -1},
        {"cells": 0},
        {"alpha": 0.0},
        {"alpha": 1.0},
        {"alpha": 1.5},
        {"power": 1.0},
        {"power": 1e-9},
        {"alpha": 0.1, "power": 0.1},
        {"arms": 0},
        {"arms": 3},
        {"plan": 0.0},
        {"plan": 1.5},
    ],
)
def test_impossible_plans_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(SpecrefError, match=f"^{[*bad][-1]} = .* give"):
        mde(**({"n": 100, "cells": 4, "alpha": 1e-6} | bad))  # type: ignore[arg-type]
    for tv in (0.0, 1.0, float("nan")):
        with pytest.raises(SpecrefError, match="cannot be planned"):
            samples(tv, 4, 1e-6)


def test_plans_at_the_edge_of_what_is_possible_are_made() -> None:
    assert 0 < mde(1000, 1, 1e-6, plan=1.0) < 1
    assert 0 < mde(1000, 2, 0.5, power=0.5 + 1e-9) < 1
    assert 0 < mde(1000, 2, 1e-300, power=1 - 1e-9) < 1
