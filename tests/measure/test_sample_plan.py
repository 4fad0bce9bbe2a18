"""A plan of texts keeps the share that it states, and a forecast keeps to its interval.

Protects: readers from a plan that is met in half of the measurements only, as one from the
estimated spread alone is. The simulations have fixed seeds; their bounds are exact binomial
intervals at level 1 - 1e-6, so a right plan fails here once in a million seeds.
"""

import numpy as np
import pytest
from specref.errors import SpecrefError
from specref.measure.acceptance.forecast import forecast
from specref.measure.acceptance.rates import clopper_pearson
from specref.measure.acceptance.sample_plan import (
    Pilot,
    beta_texts,
    sample_plan,
    simulate_with_pilots,
    texts_needed,
)

RUNS = 400
PILOT = Pilot(0.7, 0.1, 100.0, 20)
LENGTHS = np.full(20, 100.0)


def texts(count: int, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    return beta_texts(PILOT, LENGTHS, np.random.default_rng(seed))(count)


def test_the_whole_procedure_meets_the_stated_share() -> None:
    """Detects a share that is off by .12 with probability .999 or more: the chi-square plan, which
    takes the pilot's spread for the truth, meets about .7.
    """
    draw = beta_texts(PILOT, LENGTHS, np.random.default_rng(0))
    seen = simulate_with_pilots(draw, PILOT.rate, 20, 0.03, 0.9, RUNS)
    low, high = clopper_pearson(seen["met"] * RUNS, RUNS, 1 - 1e-6)
    assert low <= 0.9 <= high, seen
    assert clopper_pearson(seen["covered"] * RUNS, RUNS, 1 - 1e-6)[1] >= 0.95


def test_narrower_intervals_and_larger_shares_need_more_texts() -> None:
    sizes = [texts_needed(PILOT, half) for half in (0.1, 0.05, 0.02, 0.01)]
    assert sizes == sorted(sizes)
    assert sizes[-1] > 3 * sizes[-2]
    assert texts_needed(PILOT, 0.03, 0.5) < texts_needed(PILOT, 0.03, 0.95)


def test_the_spread_of_beta_texts_is_the_pilots() -> None:
    pilot = Pilot.of(*texts(20_000))
    assert pilot.rate == pytest.approx(PILOT.rate, abs=0.005)
    assert pilot.spread == pytest.approx(PILOT.spread, rel=0.03)


def test_the_plan_reports_three_populations() -> None:
    plan = sample_plan(*texts(20), half_width=0.05, runs=20)
    assert [row["runs"] for row in plan["simulated"]] == [20] * 3
    assert plan["judged"] == 100 * plan["texts"]


def test_a_forecast_needs_texts_and_states_its_error() -> None:
    assert forecast(*texts(5)) is None
    seen = forecast(*texts(60), splits=200)
    assert seen is not None
    assert 0 < seen["mean_error"] < seen["half_width"]
    assert seen["held"] > 0.8
    apart = np.r_[np.full(30, 20.0), np.full(30, 90.0)]
    wide = forecast(apart, np.full(60, 100.0), splits=50)
    assert wide is not None
    assert wide["half_width"] > 2 * seen["half_width"]


@pytest.mark.parametrize(
    ("half", "share", "mend"),
    [(0.0, 0.9, "half width"), (0.1, 1.0, "share"), (1e-5, 0.9, "million|more than")],
)
def test_an_impossible_plan_is_refused(half: float, share: float, mend: str) -> None:
    with pytest.raises(SpecrefError, match=mend):
        texts_needed(PILOT, half, share)


def test_a_pilot_without_a_spread_is_refused() -> None:
    for accepted in ([1.0, 2.0], [10.0, 10.0, 10.0]):
        with pytest.raises(SpecrefError, match="shows no spread"):
            Pilot.of(np.array(accepted), np.full(len(accepted), 10.0))
