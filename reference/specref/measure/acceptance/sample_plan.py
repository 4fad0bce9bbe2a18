"""How many texts a measurement of acceptance needs, and whether simulated measurements keep what
the plan states.

The spread between texts comes from a pilot, which is itself a sample, and the measurement estimates
the spread anew. The ratio of the two estimated variances has an F distribution (exact for normal
residuals). The plan takes its upper quantile, so that the half width is met in a stated share of
all pairs of a pilot and a measurement, and not in half of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from ...errors import SpecrefError
from .rates import clopper_pearson, effective_size, rate_by_text

_MOST = 1_000_000  # texts
TextCounts = tuple[np.ndarray, np.ndarray]  # accepted and judged tokens of each text [T]
Population = Callable[[int], TextCounts]


@dataclass(frozen=True)
class Pilot:
    """What a pilot says of the texts. spread: standard deviation of the linearised rate of one
    text. judged: tokens of a text, mean.
    """

    rate: float
    spread: float
    judged: float
    texts: int

    @classmethod
    def of(cls, accepted: np.ndarray, judged: np.ndarray) -> "Pilot":
        """From the counts of each text [T].

        Errors:
            SpecrefError for fewer than three texts, or where all or no tokens were accepted.
        """
        texts = len(judged)
        if texts < 3:
            raise SpecrefError(f"a pilot of {texts} texts shows no spread: measure 3 or more")
        rate, mean = float(accepted.sum() / judged.sum()), float(judged.mean())
        if not 0 < rate < 1:
            raise SpecrefError(
                f"the pilot accepted {rate:.0%} of its tokens and shows no spread: measure more"
                " texts"
            )
        residuals = (accepted - rate * judged) / mean
        return cls(rate, float(np.sqrt(np.square(residuals).sum() / (texts - 1))), mean, texts)


def texts_needed(pilot: Pilot, half_width: float, share: float = 0.9, level: float = 0.95) -> int:
    """The fewest texts whose interval is at most `half_width` to either side, in a share of the
    measurements, each with a pilot of its own.

    Errors:
        SpecrefError for an impossible half width or share, and beyond a million texts.
    """
    if not 0 < half_width < 0.5:
        raise SpecrefError(
            f"a half width of {half_width} is not possible: give one between 0 and 0.5"
        )
    if not 0 < share < 1:
        raise SpecrefError(f"a share of {share} is not possible: give one between 0 and 1")

    def wide(texts: int) -> bool:
        return _half_width(pilot, texts, share, level) > half_width

    low, high = 2, 3
    while wide(high):
        low, high = high, 2 * high
        if high > _MOST:
            raise SpecrefError(
                f"a half width of {half_width} needs more than {_MOST:,} texts: give a wider one"
            )
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if wide(middle) else (low, middle)
    return high


def _half_width(pilot: Pilot, texts: int, share: float, level: float) -> float:
    widest = float(stats.f.ppf(share, texts - 1, pilot.texts - 1))
    variance, total = pilot.spread**2 * widest / texts, texts * pilot.judged
    effective = effective_size(pilot.rate, variance, texts, total, level)
    low, high = clopper_pearson(pilot.rate * effective, effective, level)
    return (high - low) / 2


def resampled(accepted: np.ndarray, judged: np.ndarray, random: np.random.Generator) -> Population:
    """Texts drawn from the pilot's own, with replacement."""

    def draw(texts: int) -> TextCounts:
        chosen = random.integers(len(judged), size=texts)
        return accepted[chosen], judged[chosen]

    return draw


def beta_texts(pilot: Pilot, judged: np.ndarray, random: np.random.Generator) -> Population:
    """Texts whose own acceptance is a beta variable and whose tokens are independent given it, with
    the pilot's mean and spread. Lengths are drawn from the pilot's.
    """
    within = pilot.rate * (1 - pilot.rate) / pilot.judged
    between = min(max(pilot.spread**2 - within, 1e-9), 0.9 * pilot.rate * (1 - pilot.rate))
    strength = pilot.rate * (1 - pilot.rate) / between - 1

    def draw(texts: int) -> TextCounts:
        own = random.beta(pilot.rate * strength, (1 - pilot.rate) * strength, texts)
        lengths = judged[random.integers(len(judged), size=texts)]
        return random.binomial(lengths.astype(int), own).astype(float), lengths

    return draw


def simulate(
    draw: Population, texts: int, rate: float, half_width: float, runs: int
) -> dict[str, Any]:
    """Measure `runs` times: how often the interval is as narrow as planned, and how often it holds
    the population's `rate`.
    """
    narrow = holds = 0
    for _ in range(runs):
        accepted, judged = draw(texts)
        found = rate_by_text(accepted.tolist(), judged.tolist())
        narrow += found.high - found.low <= 2 * half_width
        holds += found.low <= rate <= found.high
    return {"texts": texts, **_shares(narrow, holds, runs)}


def simulate_with_pilots(
    draw: Population,
    rate: float,
    pilot_texts: int,
    half_width: float,
    share: float,
    runs: int,
) -> dict[str, Any]:
    """The same for the whole procedure: a new pilot each time, the plan that it gives, and a
    measurement of that size. texts: the median plan. A pilot without spread plans nothing and
    counts as not met.
    """
    narrow = holds = 0
    sizes = []
    for _ in range(runs):
        try:
            needed = texts_needed(Pilot.of(*draw(pilot_texts)), half_width, share)
        except SpecrefError:
            continue
        sizes.append(needed)
        accepted, judged = draw(needed)
        found = rate_by_text(accepted.tolist(), judged.tolist())
        narrow += found.high - found.low <= 2 * half_width
        holds += found.low <= rate <= found.high
    median = int(np.median(sizes)) if sizes else None
    return {"texts": median, **_shares(narrow, holds, runs)}


def _shares(narrow: int, holds: int, runs: int) -> dict[str, Any]:
    return {
        "runs": runs,
        "met": narrow / runs,
        "met_interval": list(clopper_pearson(narrow, runs)),
        "covered": holds / runs,
        "covered_interval": list(clopper_pearson(holds, runs)),
    }


def sample_plan(
    accepted: np.ndarray,
    judged: np.ndarray,
    half_width: float,
    runs: int,
    share: float = 0.9,
    seed: int = 0,
) -> dict[str, Any]:
    """The plan from a pilot's counts by text [T], and what `runs` simulated measurements of that
    size show, for three populations.
    """
    pilot = Pilot.of(accepted, judged)
    texts = texts_needed(pilot, half_width, share)
    random = np.random.default_rng(seed)
    made = beta_texts(pilot, judged, random)
    checks = [
        ("texts of the pilot, drawn again", resampled(accepted, judged, random)),
        ("texts with a beta acceptance", made),
    ]
    rows = [
        {"population": name} | simulate(draw, texts, pilot.rate, half_width, runs)
        for name, draw in checks
    ]
    whole = simulate_with_pilots(made, pilot.rate, pilot.texts, half_width, share, runs)
    rows.append({"population": "the same, with a new pilot each time"} | whole)
    within = pilot.rate * (1 - pilot.rate) / pilot.judged
    return {
        "half_width": half_width,
        "share": share,
        "pilot_texts": pilot.texts,
        "spread": pilot.spread,
        "design_effect": pilot.spread**2 / within,
        "texts": texts,
        "judged": round(texts * pilot.judged),
        "simulated": rows,
    }
