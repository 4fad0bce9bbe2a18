"""Sample sizes and minimum detectable effects are what the noncentral chi-square law says.

Protects: the worst-case noncentrality, our own chi-square tail against scipy's, the inverse, and the figures that
verdicts and plans are read by.
"""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from reference.law.power import chi_square_tail, concentrations, fixed_mde, fixed_samples, mde, samples
from reference.types import SpecdecError
from tests.laws import a_law


@given(x=st.floats(0.01, 400), df=st.integers(1, 600), noncentrality=st.floats(0, 300))
def test_chi_square_tail_equals_scipys(x: float, df: int, noncentrality: float) -> None:
    expected = stats.ncx2.sf(x, df, noncentrality) if noncentrality > 0 else stats.chi2.sf(x, df)
    assert chi_square_tail(x, df, noncentrality) == pytest.approx(expected, abs=1e-8)
    assert chi_square_tail(x, df) == pytest.approx(stats.chi2.sf(x, df), rel=1e-7, abs=1e-300)


@given(p=a_law(6).filter(lambda p: min(p) > 0), other=a_law(6))
def test_no_law_at_a_distance_hides_better_than_the_worst_case(p: list[float], other: list[float]) -> None:
    """Chi-square divergence >= 4 TV^2, and sum (a-b)^2/(a+b) >= 2 TV^2 for two unknown laws (Cauchy-Schwarz)."""
    a, b = torch.tensor(p, dtype=torch.float64), torch.tensor(other, dtype=torch.float64)
    tv = float((a - b).abs().sum()) / 2
    assert float(((a - b).square() / a).sum()) >= 4 * tv**2 - 1e-12
    assert float(((a - b).square() / (a + b)).sum()) >= 2 * tv**2 - 1e-12


@pytest.mark.parametrize(("cells", "thousands"), [(2, 159), (8, 205), (16, 240), (64, 354), (512, 764), (4096, 1915)])
def test_known_sample_sizes_of_the_chi_square_test(cells: int, thousands: int) -> None:
    """TV .01, false alarm 1e-6, power .999."""
    assert fixed_samples(0.01, cells, 1e-6) / 1000 == pytest.approx(thousands, rel=0.004)


def test_draws_go_with_the_inverse_square_of_the_distance() -> None:
    """And two unknown laws need twice as many in each sample."""
    assert fixed_samples(0.01, 16, 1e-6) == pytest.approx(25 * fixed_samples(0.05, 16, 1e-6), rel=0.001)
    assert fixed_samples(0.05, 16, 1e-6, arms=2) == pytest.approx(2 * fixed_samples(0.05, 16, 1e-6), rel=0.001)


@pytest.mark.parametrize("cells", [2, 16, 512])
def test_looking_all_the_time_costs_little(cells: int) -> None:
    """For certain detection the e-process plans 15 to 25% more draws than the fixed test, which may look only once."""
    assert 1.1 < samples(0.05, cells, 1e-6) / fixed_samples(0.05, cells, 1e-6) < 1.3


@pytest.mark.parametrize("arms", [1, 2])
@pytest.mark.parametrize("tv", [0.2, 0.03])
def test_samples_inverts_mde(tv: float, arms: int) -> None:
    n = samples(tv, 16, 1e-6, arms=arms)
    assert mde(n, 16, 1e-6, arms=arms, plan=tv) <= tv < mde(int(n * 0.999) - 1, 16, 1e-6, arms=arms, plan=tv)
    n = fixed_samples(tv, 16, 1e-6, arms=arms)
    assert fixed_mde(n, 16, 1e-6, arms=arms) <= tv < fixed_mde(int(n * 0.999) - 1, 16, 1e-6, arms=arms)


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


def test_the_mixture_is_a_law_over_effects() -> None:
    """Its weights, with those of the other alternatives, add up to 1: more would raise false alarms."""
    for arms in (1, 2):
        s, log_weight = concentrations(16, 0.02, arms)
        assert float(log_weight.exp().sum()) == pytest.approx(0.75)
        assert float(s[0]) == pytest.approx(15 / ((4 if arms == 1 else 2) * 0.02**2))


@pytest.mark.parametrize("bad", [{"n": -1}, {"cells": 0}, {"alpha": 0.0}, {"alpha": 1.0}, {"power": 1.0}, {"power": 1e-9},
                                 {"arms": 3}, {"plan": 0.0}])
def test_impossible_plans_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(SpecdecError, match="give"):
        mde(**({"n": 100, "cells": 4, "alpha": 1e-6} | bad))  # type: ignore[arg-type]
    for tv in (0.0, 1.0, float("nan")):
        with pytest.raises(SpecdecError, match="cannot be planned"):
            samples(tv, 4, 1e-6)
