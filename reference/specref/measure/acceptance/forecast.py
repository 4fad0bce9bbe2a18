"""How well a forecast from a part of the texts holds on the rest.

The texts are split in two many times. One half gives an interval for what the other half will show,
and the share of splits in which the other half keeps to it is reported beside the level. The splits
use the same texts, so they are no independent trials: the share describes these texts.
"""

from typing import Any

import numpy as np
from scipy import stats

from ...errors import SpecrefError
from .sample_plan import Pilot

_FEWEST = 6


def forecast(
    accepted: np.ndarray, judged: np.ndarray, splits: int = 400, level: float = 0.95, seed: int = 0
) -> dict[str, Any] | None:
    """From the counts by text [T].

    Returns:
        the mean and the largest error of the forecast, the mean half width that was stated, and the
        share of splits that kept to it; None for fewer than 6 texts, or where a half has no spread.
    """
    texts = len(judged)
    if texts < _FEWEST:
        return None
    random, half = np.random.default_rng(seed), texts // 2
    errors, widths = [], []
    for _ in range(splits):
        order = random.permutation(texts)
        first, rest = order[:half], order[half:]
        try:
            seen = Pilot.of(accepted[first], judged[first])
        except SpecrefError:
            return None
        came = accepted[rest].sum() / judged[rest].sum()
        errors.append(abs(float(came) - seen.rate))
        quantile = float(stats.t.isf((1 - level) / 2, half - 1))
        widths.append(quantile * seen.spread * float(np.sqrt(1 / half + 1 / len(rest))))
    held = np.array(errors) <= np.array(widths)
    return {
        "texts": texts,
        "forecast_from": half,
        "splits": splits,
        "level": level,
        "mean_error": float(np.mean(errors)),
        "largest_error": max(errors),
        "half_width": float(np.mean(widths)),
        "held": float(held.mean()),
    }
