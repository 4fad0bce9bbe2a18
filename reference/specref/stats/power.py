"""What a sample can see: the smallest difference that a test detects, and the samples a difference
needs.

Differences are total variation (TV). Of all distributions at TV e from p, the hardest to see shift
probability evenly between two halves of p: their chi-square divergence is 4 e^2, and none at TV e
has less (Cauchy-Schwarz). So n draws have a noncentrality of at least 4 n e^2, and n pairs of draws
from two unknown distributions at least 2 n e^2.

Two tests are planned here. A fixed-sample chi-square test (`fixed_`) is the yardstick. The
e-process of `sequential.py` is the one in use; its power is that of a chi-square test too, because
to second order its evidence is

    log E = log sum_s w_s exp(x/2 n/(n+s) - df/2 log(1 + n/s)),    x the chi-square statistic, s a
        concentration,

which rises with x, so E passes 1/alpha exactly where x passes a critical value.
`tests/stats` runs the real test at the effect computed here. The figure is for a look at n
alone: every earlier look can only add power. It is an estimate, a little bold where outcomes are
many more than draws: at 3,000 draws of 32,768, 997 of 1,000 runs are found that should be 999, and
290 of 300 that should be 297 (power .99).
"""

import math
from collections.abc import Callable

import torch
from scipy.optimize import brentq
from scipy.special import chdtri, chndtrinc
from torch import Tensor

from ..data import SpecrefError

FAR = 1e12  # more than any chi-square statistic in question
PLAN = 0.01  # the TV that a test is sharpest for unless told otherwise
EFFECTS = tuple(2.0**-i for i in range(1, 11))  # the others it is ready for, 1/2 to 1/1024
# Prior weight of the alternatives: spread over all outcomes at the planned size and at every size,
# in one outcome alone, towards a named distribution. Half for the plan: measured at K = 16 and TV
# .01 (median draws to rejection, 100 runs) it costs 125k, the one best concentration 122k, and an
# even split over ten sizes 138k.
PLANNED, SIZES, SINGLE, TOWARDS = 0.5, 0.25, 0.125, 0.125


def concentrations(cells: int, plan: float, arms: int) -> tuple[Tensor, Tensor]:
    """The Dirichlet mixture spread over all outcomes: concentrations [M] and the logarithms of
    their weights [M].

    A Dirichlet of concentration s about p has mean chi-square divergence (cells - 1)/s, so s =
    (cells - 1)/(4 e^2) is the prior of a worst-case TV of e in one sample, and (cells - 1)/(2 e^2)
    in two.
    """
    effects = torch.tensor((plan, *EFFECTS), dtype=torch.float64)
    weights = torch.tensor([PLANNED] + [SIZES / len(EFFECTS)] * len(EFFECTS), dtype=torch.float64)
    return max(cells - 1, 1) / (_information(arms) * effects.square()), weights.log()


def fixed_mde(n: int, cells: int, alpha: float, power: float = 0.999, arms: int = 1) -> float:
    """Smallest TV that a chi-square test of n draws (a sample) finds with this power, by the
    noncentral distribution.

    Args: as `mde`. Planning only: at small expected counts the test's own level is off.
    """
    _refuse(n, cells, alpha, power, arms)
    if n == 0 or cells == 1:
        return _certain(n, power)
    return _effect(chdtri(cells - 1, alpha), n, cells, power, arms)


def fixed_samples(tv: float, cells: int, alpha: float, power: float = 0.999, arms: int = 1) -> int:
    """Draws (a sample) that a chi-square test needs to find a TV: the inverse of `fixed_mde`."""
    return _samples(lambda n: fixed_mde(n, cells, alpha, power, arms), tv)


def mde(
    n: int, cells: int, alpha: float, power: float = 0.999, arms: int = 1, plan: float = PLAN
) -> float:
    """Smallest TV that the e-process finds in n draws (a sample) with this power, in the worst
    case.

    Args:
        n: draws.
        cells: outcomes of positive probability.
        alpha: false-alarm rate.
        arms: 1 known distribution and one sample, 2 samples.
        plan: the TV that the mixture is sharpest for.
    Returns:
        TV in (0,1]; 1 where nothing less is sure to be found.
    Errors:
        SpecrefError for a count or a rate out of range.
    """
    _refuse(n, cells, alpha, power, arms)
    if not 0 < plan <= 1:
        raise SpecrefError(
            f"plan = {plan} is no TV to plan for: give a number above 0 and at most 1"
        )
    if n == 0 or cells == 1:
        return _certain(n, power)
    s, log_weight = concentrations(cells, plan, arms)
    penalty = (cells - 1 if arms == 1 else cells) / 2 * torch.log1p(n / s)

    def evidence(x: float) -> float:
        return float(torch.logsumexp(log_weight + x / 2 * n / (n + s) - penalty, 0)) + math.log(
            alpha
        )

    return _effect(brentq(evidence, 0.0, FAR), n, cells, power, arms)


def samples(
    tv: float,
    cells: int,
    alpha: float,
    power: float = 0.999,
    arms: int = 1,
    plan: float | None = None,
) -> int:
    """Draws (a sample) after which the e-process has found a TV with this power: the inverse of
    `mde`.

    plan: default the TV itself. Half of all runs need little more than half of it, since the test
    may stop early.
    """
    return _samples(lambda n: mde(n, cells, alpha, power, arms, tv if plan is None else plan), tv)


def _information(arms: int) -> int:
    """Worst-case noncentrality of one draw (a sample), in units of TV squared."""
    return 4 if arms == 1 else 2


def _certain(n: int, power: float) -> float:
    """One possible outcome: any other rejects at once, so only a run without one misses."""
    return 1 - (1 - power) ** (1 / n) if n else 1.0


def _effect(critical: float, n: int, cells: int, power: float, arms: int) -> float:
    """The TV whose worst-case statistic passes the critical value with this power."""
    noncentrality = float(chndtrinc(critical, cells - 1, 1 - power))
    return min(math.sqrt(noncentrality / (_information(arms) * n)), 1.0)


def _samples(detected: Callable[[int], float], tv: float) -> int:
    if not 0 < tv < 1:
        raise SpecrefError(f"a TV of {tv} cannot be planned for: give a number between 0 and 1")
    low = high = 1
    while detected(high) > tv:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if detected(middle) > tv else (low, middle)
    return high


def _refuse(n: int, cells: int, alpha: float, power: float, arms: int) -> None:
    rules = (
        ("n", n, n >= 0, "0 or more draws"),
        ("cells", cells, cells >= 1, "at least one outcome"),
        ("alpha", alpha, 0 < alpha < 1, "a rate between 0 and 1"),
        ("arms", arms, arms in (1, 2), "1 or 2"),
        ("power", power, alpha < power < 1, "a rate between alpha and 1"),
    )
    for name, value, good, wanted in rules:
        if not good:
            raise SpecrefError(f"{name} = {value} is not possible: give {wanted}")
