"""Acceptance rates come with intervals that hold for tokens as they are: dependent within a text.

Protects: the exact binomial interval, the effective sample size by text, rates by place of the
draft, the sample-size plan, and the expected acceptance sum min(p, q).
"""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from specref.data import SpecrefError
from specref.measure.acceptance.rates import (
    clopper_pearson,
    expected_acceptance,
    rate_by_text,
    rates_by_position,
    sample_size,
    wilson,
)

from tests.distributions import a_distribution


@given(p=a_distribution(5), q=a_distribution(5))
def test_expected_acceptance_is_one_minus_total_variation(p: list[float], q: list[float]) -> None:
    a, b = torch.tensor([p, q], dtype=torch.float64), torch.tensor([q, q], dtype=torch.float64)
    accepted = expected_acceptance(a, b)
    assert accepted.tolist() == pytest.approx([1 - float((a[0] - b[0]).abs().sum()) / 2, 1])
    with pytest.raises(SpecrefError, match="same positions"):
        expected_acceptance(a, b[:1])


@given(judged=st.integers(1, 500), share=st.floats(0, 1), level=st.sampled_from([0.8, 0.95, 0.999]))
def test_clopper_pearson_is_the_exact_test_inverted(
    judged: int, share: float, level: float
) -> None:
    """Each end is the rate at which the observed count, or a more extreme one, has probability (1 -
    level)/2.
    """
    accepted = round(share * judged)
    low, high = clopper_pearson(accepted, judged, level)
    assert 0 <= low <= accepted / judged <= high <= 1
    assert (
        low == 0
        if accepted == 0
        else stats.binom.sf(accepted - 1, judged, low) == pytest.approx((1 - level) / 2)
    )
    assert (
        high == 1
        if accepted == judged
        else stats.binom.cdf(accepted, judged, high) == pytest.approx((1 - level) / 2)
    )


@given(judged=st.integers(1, 500), share=st.floats(0, 1))
def test_wilson_solves_its_quadratic(judged: int, share: float) -> None:
    """Its ends are the rates at which the observed one is z standard errors away, or 0 and 1."""
    accepted, z = round(share * judged), stats.norm.isf(0.025)
    for end in wilson(accepted, judged):
        if 1e-12 < end < 1 - 1e-12:
            assert abs(accepted / judged - end) == pytest.approx(
                z * math.sqrt(end * (1 - end) / judged)
            )


def test_the_interval_by_text_covers_where_the_binomial_one_does_not() -> None:
    """Texts of acceptance Beta(8,2), 200 tokens each: over 400 studies of 25 texts, at level .95,
    the binomial interval covers less than .6 of the time, the one by text .92 to .98."""
    generator = np.random.default_rng(0)
    covered = {"text": 0, "token": 0}
    for _ in range(400):
        judged = generator.integers(100, 300, 25)
        accepted = generator.binomial(judged, generator.beta(8, 2, 25))
        rate = rate_by_text(accepted.tolist(), judged.tolist())
        covered["text"] += rate.low <= 0.8 <= rate.high
        low, high = clopper_pearson(int(accepted.sum()), int(judged.sum()))
        covered["token"] += low <= 0.8 <= high
    assert 0.92 <= covered["text"] / 400 <= 0.98
    assert covered["token"] / 400 < 0.6


def test_independent_tokens_lose_little_by_text() -> None:
    """Where texts do not differ, the effective size is nearly the number of tokens."""
    generator = np.random.default_rng(1)
    accepted = generator.binomial(100, 0.7, 400)
    rate = rate_by_text(accepted.tolist(), [100] * 400)
    assert 0.8 * 40_000 < rate.independent <= 40_000 == rate.judged
    assert rate.estimate == accepted.sum() / 40_000
    low, high = clopper_pearson(int(accepted.sum()), 40_000)
    assert rate.high - rate.low == pytest.approx(high - low, rel=0.15)


def test_copies_of_tokens_add_nothing() -> None:
    """Every token of a text alike: 30 texts of 100 tokens say as much as 30 tokens."""
    accepted = [100] * 20 + [0] * 10
    rate = rate_by_text(accepted, [100] * 30)
    assert rate.independent == pytest.approx(
        29 * (stats.norm.isf(0.025) / stats.t.isf(0.025, 29)) ** 2
    )
    assert rate.independent < 30


def test_all_accepted_is_not_certainty() -> None:
    """With no spread to see, each of 20 texts counts once: the lower end is the exact one for 20 of
    20.
    """
    rate = rate_by_text([50] * 20, [50] * 20)
    assert (rate.estimate, rate.high) == (1.0, 1.0)
    assert rate.low == pytest.approx(0.025 ** (1 / 20))


def test_rates_by_place_count_only_what_was_judged() -> None:
    """Two texts, drafts of 3, 2 and 0 tokens: a place counts where it exists and all before it was
    accepted.
    """
    accepted, lengths, texts = [3, 1, 0, 2, 0, 0], [3, 3, 2, 2, 0, 3], [7, 7, 7, 9, 9, 9]
    places = rates_by_position(accepted, lengths, texts)
    # place 3: one text only
    assert [(round(p.estimate * p.judged), p.judged) for p in places] == [(3, 5), (2, 3)]
    with pytest.raises(SpecrefError, match="more than it drafted"):
        rates_by_position([2], [1], [0])


@pytest.mark.parametrize(
    ("half_width", "alpha", "known"), [(0.01, 0.5, 9604), (0.02, 0.8, 1537), (0.05, 0.9, 139)]
)
def test_sample_size_reaches_the_half_width(half_width: float, alpha: float, known: int) -> None:
    """The smallest such number, near z^2 a(1-a)/h^2; dependence multiplies it."""
    n = sample_size(half_width, alpha)
    assert n == pytest.approx(known, rel=0.02)
    for judged, enough in ((n, True), (n - 1, False)):
        low, high = wilson(alpha * judged, judged)
        assert (high - low <= 2 * half_width) == enough
    assert sample_size(half_width, alpha, design_effect=4.0) == 4 * n


def test_half_of_the_tokens_accepted_needs_the_most_and_is_what_is_assumed() -> None:
    assert sample_size(0.01) == sample_size(0.01, 0.5) == pytest.approx(9604, rel=0.001)
    assert sample_size(0.01) > max(sample_size(0.01, alpha) for alpha in (0.0, 0.4, 0.6, 1.0))


def test_a_level_is_0_95_unless_it_is_given_and_is_told() -> None:
    accepted, judged = [7, 9, 5, 8], [10, 10, 10, 10]
    for function in (clopper_pearson, wilson):
        assert function(70, 100) == function(70, 100, 0.95) != function(70, 100, 0.9)
    assert rate_by_text(accepted, judged) == rate_by_text(accepted, judged, 0.95)
    assert rate_by_text(accepted, judged).level == 0.95
    cycles = [2, 1, 0, 2], [2, 2, 2, 2], [0, 0, 1, 1]
    assert rates_by_position(*cycles) == rates_by_position(*cycles, 0.95)
    assert [rate.level for rate in rates_by_position(*cycles, 0.8)] == [0.8, 0.8]
    assert sample_size(0.05) == sample_size(0.05, level=0.95) > sample_size(0.05, level=0.9)


def test_texts_that_do_not_differ_count_every_token() -> None:
    """No spread between the texts is seen, and every rate is possible: the tokens count as
    independent, with Student's quantile for twenty texts."""
    rate = rate_by_text([50] * 20, [100] * 20)
    student = (stats.norm.isf(0.025) / stats.t.isf(0.025, 19)) ** 2
    assert rate.independent == pytest.approx(2000 * student)


def test_the_effective_size_is_that_of_the_ratio_estimator() -> None:
    """Texts of 10 and 30 tokens with 4 and 24 accepted: 28 of 40, so 0.7. The residuals are
    4 - 7 = -3 and 24 - 21 = 3, and the variance 2 / 1 * (9 + 9) / 40^2 = 0.0225: it would be that
    of 0.21 / 0.0225 independent tokens, before Student's quantile for two texts."""
    rate = rate_by_text([4, 24], [10, 30])
    student = (stats.norm.isf(0.025) / stats.t.isf(0.025, 1)) ** 2
    assert rate.estimate == pytest.approx(0.7)
    assert rate.judged == 40
    assert rate.independent == pytest.approx(0.21 / 0.0225 * student)
    low, high = clopper_pearson(0.7 * rate.independent, rate.independent)
    assert (rate.low, rate.high) == pytest.approx((low, high))


def test_texts_without_judged_tokens_are_left_out() -> None:
    assert rate_by_text([4, 0, 24], [10, 0, 30]) == rate_by_text([4, 24], [10, 30])
    with pytest.raises(SpecrefError, match="1 texts"):
        rate_by_text([4, 0], [10, 0])


def test_without_trials_every_rate_is_possible() -> None:
    assert clopper_pearson(0, 0) == (0, 1)


def test_wilson_at_the_ends() -> None:
    """0 of n: the interval ends at z^2 / (n + z^2), and n of n is its mirror."""
    z = stats.norm.isf(0.025)
    assert wilson(0, 10) == pytest.approx((0, z**2 / (10 + z**2)))
    assert wilson(10, 10) == pytest.approx((10 / (10 + z**2), 1))


def test_cycles_without_drafts_have_no_places() -> None:
    assert rates_by_position([0, 0], [0, 0], [1, 2]) == []
    assert rates_by_position([], [], []) == []


def test_a_place_that_one_text_alone_reached_ends_the_list() -> None:
    """Place 1 is judged in both texts; place 2 in the first one only."""
    rates = rates_by_position([2, 2, 0, 0], [3, 3, 3, 3], [0, 0, 1, 1])
    assert [(rate.judged, rate.estimate) for rate in rates] == [(4, 0.5)]


@pytest.mark.parametrize(
    "call",
    [
        lambda: sample_size(0.5),
        lambda: sample_size(0.1, -0.1),
        lambda: clopper_pearson(-1, 2),
        lambda: clopper_pearson(1, 2, 0.0),
        lambda: wilson(-1, 3),
        lambda: wilson(3, 2),
        lambda: rate_by_text([-1, 1], [2, 2]),
        lambda: rate_by_text([[1]], [[2]]),  # type: ignore[list-item]
        lambda: rates_by_position([1, 1], [1, 1], [0]),
        lambda: rates_by_position([-1], [1], [0]),
        lambda: rate_by_text([1, 2], [1, 1]),
        lambda: rate_by_text([1], [2]),
        lambda: rate_by_text([1, 1], [2]),
        lambda: rate_by_text([0, 1], [0, 2]),
        lambda: clopper_pearson(2, 1),
        lambda: clopper_pearson(1, 2, 1.0),
        lambda: wilson(0, 0),
        lambda: sample_size(0.0),
        lambda: sample_size(0.1, 1.5),
        lambda: sample_size(0.1, 0.5, design_effect=0),
    ],
)
def test_impossible_counts_are_refused(call: object) -> None:
    with pytest.raises(SpecrefError):
        call()  # type: ignore[operator]
