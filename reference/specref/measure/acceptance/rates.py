"""Acceptance rates with confidence intervals.

The expected acceptance at one position is sum_x min(p(x), q(x)) (Leviathan et al. 2023,
arXiv:2211.17192, Corollary 3.6). The measured rate is accepted tokens over judged tokens.

Tokens of one text are not independent: a hard text rejects many in a row, so the binomial interval
is too short. `rate_by_text` treats texts as the sampled units. A ratio estimator takes the variance
from the spread between texts, and the effective sample size that follows goes into the exact
binomial interval (Korn and Graubard 1998), which stays inside [0, 1]. The result is in closed form
and needs no seed; a bootstrap over texts estimates the same variance.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from torch import Tensor

from ...errors import SpecrefError


@dataclass(frozen=True)
class Rate:
    """A measured rate. independent: the effective sample size, as many independent tokens would
    give the same interval.
    """

    estimate: float
    low: float
    high: float
    level: float
    judged: int
    independent: float
    method: str


def expected_acceptance(p: Tensor, q: Tensor) -> Tensor:
    """The probability that a draw from q is accepted: sum_x min(p(x), q(x)) = 1 - TV(p, q).

    p, q [..., V] -> [...].
    """
    if p.shape != q.shape:
        raise SpecrefError(
            f"p has shape {list(p.shape)} and q {list(q.shape)}: compare distributions at the same"
            " positions"
        )
    return p.minimum(q).sum(-1)


def clopper_pearson(accepted: float, judged: float, level: float = 0.95) -> tuple[float, float]:
    """Exact interval of a binomial rate: it covers with probability `level` at least, for
    independent trials. Fractions of a trial are allowed, because an effective sample size has them.
    Without trials it is (0, 1).
    """
    _refuse(
        0 <= accepted <= judged,
        f"{accepted} of {judged} accepted is not possible: count every judged token",
    )
    _refuse(0 < level < 1, f"level = {level} is not possible: give one between 0 and 1")
    tail = (1 - level) / 2
    low = float(stats.beta.ppf(tail, accepted, judged - accepted + 1)) if accepted > 0 else 0.0
    high = (
        float(stats.beta.isf(tail, accepted + 1, judged - accepted)) if accepted < judged else 1.0
    )
    return low, high


def wilson(accepted: float, judged: float, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval (1927): shorter, and it covers with probability `level` on average.
    `sample_size` inverts it.
    """
    _refuse(
        0 <= accepted <= judged and judged > 0,
        f"{accepted} of {judged} accepted is not possible: judge some",
    )
    z = float(stats.norm.isf((1 - level) / 2))
    rate = accepted / judged
    middle = (rate + z * z / (2 * judged)) / (1 + z * z / judged)
    spread = math.sqrt(rate * (1 - rate) / judged + (z / (2 * judged)) ** 2)
    half = z / (1 + z * z / judged) * spread
    return max(middle - half, 0.0), min(middle + half, 1.0)


def rate_by_text(accepted: Sequence[int], judged: Sequence[int], level: float = 0.95) -> Rate:
    """Acceptance over texts that were sampled independently.

    Args:
        accepted, judged: tokens of each text [T]. Texts in which nothing was judged are left out.
    Errors:
        SpecrefError for impossible counts, and for fewer than two texts, which have no spread.
    """
    a, n = np.asarray(accepted, dtype=float), np.asarray(judged, dtype=float)
    _refuse(
        a.shape == n.shape and a.ndim == 1 and bool(((a >= 0) & (a <= n)).all()),
        "a text has more accepted than judged tokens, or a count is missing: give both for every"
        " text",
    )
    a, n = a[n > 0], n[n > 0]
    texts = len(n)
    _refuse(
        texts >= 2,
        f"{texts} texts with judged tokens say nothing about the spread between texts: give at"
        " least 2",
    )
    total, rate = float(n.sum()), float(a.sum() / n.sum())
    if 0 < rate < 1:
        variance = texts / (texts - 1) * float(np.square(a - rate * n).sum()) / total**2
        effective = effective_size(rate, variance, texts, total, level)
    else:
        # No spread is seen, so it is unknown: each text counts as a single token.
        effective = float(texts)
    low, high = clopper_pearson(rate * effective, effective, level)
    return Rate(
        rate,
        low,
        high,
        level,
        int(total),
        effective,
        "exact binomial at the effective size by text",
    )


def effective_size(
    rate: float, variance: float, texts: float, total: float, level: float = 0.95
) -> float:
    """Independent tokens that would give the same interval.

    Args:
        variance: of the rate. texts, total: sampled texts and judged tokens. Few texts estimate
            their spread badly, so Student's quantile takes the place of the normal one.
    """
    effective = rate * (1 - rate) / variance if variance > 0 else total
    tail = (1 - level) / 2
    effective *= float(stats.norm.isf(tail) / stats.t.isf(tail, texts - 1)) ** 2
    return min(effective, total)


def rates_by_position(
    accepted: Sequence[int], lengths: Sequence[int], texts: Sequence[int], level: float = 0.95
) -> list[Rate]:
    """Acceptance at each position of the draft, given that every position before it was accepted.

    Args:
        accepted, lengths: accepted and drafted tokens of each cycle [C]. texts: the text of each
            cycle [C].
    Returns:
        one rate for each position that was judged in at least two texts, up to the first that was
        not. `cost.expected_tokens` takes their estimates.
    """
    a, n, text = (np.asarray(x, dtype=int) for x in (accepted, lengths, texts))
    _refuse(
        a.shape == n.shape == text.shape and bool(((a >= 0) & (a <= n)).all()),
        "a cycle accepted more than it drafted, or a count is missing: give all three for every"
        " cycle",
    )
    names, index = np.unique(text, return_inverse=True)
    rates = []
    for position in range(int(n.max(initial=0))):
        reached = (n > position) & (a >= position)
        judged = np.bincount(index, reached, len(names))
        if (judged > 0).sum() < 2:
            break
        kept = np.bincount(index, reached & (a > position), len(names))
        rates.append(rate_by_text(kept.tolist(), judged.tolist(), level))
    return rates


def sample_size(
    half_width: float, alpha: float = 0.5, level: float = 0.95, design_effect: float = 1.0
) -> int:
    """Judged tokens after which the interval reaches `half_width` to either side.

    Args:
        alpha: the expected acceptance; 1/2 needs the most tokens.
        design_effect: judged / independent tokens of a `rate_by_text` pilot: what the dependence
            within texts costs.
    """
    _refuse(
        0 < half_width < 0.5,
        f"half_width = {half_width} is not possible: give one between 0 and 0.5",
    )
    _refuse(
        0 <= alpha <= 1 and design_effect > 0,
        f"alpha = {alpha}, design_effect = {design_effect} is not possible: "
        "give a rate from 0 to 1 and a factor above 0",
    )

    def wide(judged: int) -> bool:
        low, high = wilson(alpha * judged, judged, level)
        return high - low > 2 * half_width

    low, high = 0, 1
    while wide(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if wide(middle) else (low, middle)
    return math.ceil(high * design_effect)


def _refuse(good: bool, message: str) -> None:
    if not good:
        raise SpecrefError(message)
