"""Evidence from many samples at once, each with a distribution of its own: small leanings that all
of them share add up.

Both are e-processes as in `sequential.py`: a mixture of fixed alternatives, whose likelihood ratio
has a mean of 1 (at most 1 in `AtMost`) while the null hypothesis holds, whatever the sizes of the
samples and whenever one looks.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..data import SpecrefError

# shares of the alternatives: 1, 1/sqrt(2) .. 1/2900, a factor apart that hides little
STEP, STEPS = math.sqrt(2), 24
POWER = 0.999
# t of Chernoff's bound P(L < x) <= e^(t x) E e^(-t L): best where alpha is 1e-6, costs 2% where it
# is .05
TILT = 0.6


def shares() -> Tensor:
    return STEP ** -torch.arange(STEPS, dtype=torch.float64)


class Leaning:
    """Do C samples, whose distributions should be p, lean towards q, or away from it? The
    alternatives are (1 - w) p + w q for one w in all of them, w positive or negative.

    Args:
        p, q: [C,K] distributions; q is taken within what p allows.
        alpha: false-alarm rate.
    """

    def __init__(self, p: Tensor, q: Tensor, alpha: float):
        if p.shape != q.shape:
            raise SpecrefError(
                f"p has shape {list(p.shape)} and q {list(q.shape)}: give one q for each p"
            )
        self.p, self.alpha = p.double(), alpha
        within = q.double() * (p > 0)
        mass = within.sum(1, keepdim=True)
        # every alternative is then a distribution
        self.q = torch.where(mass > 0, within / mass, self.p)
        self.counts = torch.zeros_like(self.p)
        self.largest = 0.0
        self.gain = ((self.q - self.p) / self.p).nan_to_num()  # [C,K]; both are 0 where p is
        # the largest -w: no alternative may be negative
        self.away = 1 / max(float(self.gain.amax()), 1.0)
        w = torch.cat((shares(), -shares() * self.away)) * (1 - 1e-9)
        self.logs = torch.log1p(w[:, None, None] * self.gain)  # [W,C,K]

    @property
    def rejected(self) -> bool:
        return self.largest >= -math.log(self.alpha)

    @property
    def n(self) -> int:
        return int(self.counts.sum())

    def update(self, counts: Tensor) -> bool:
        """Add fresh counts [C,K]; returns whether the samples are known to lean by now."""
        self.counts += counts * (self.p > 0)
        self.largest = max(self.largest, self.log_e())
        return self.rejected

    def log_e(self) -> float:
        each = (self.logs * self.counts).sum((1, 2))
        return float(torch.logsumexp(each, 0)) - math.log(len(each))

    @property
    def lean(self) -> float:
        """The w that fits best, to first order: 0 where the samples have their distributions, 1
        where they have the draft's.
        """
        size = float((self.counts.sum(1, keepdim=True) * self.p * self.gain.square()).sum())
        # under p the gain has mean 0
        return float((self.counts * self.gain).sum()) / size if size else 0.0

    @property
    def mde(self) -> float:
        """The mean TV over the samples of a leaning, towards q or away from it, that is found with
        power .999 at least; 1 where not even q in the place of p is."""
        n = self.counts.sum(1)
        powers = (-TILT * self.logs).exp()  # [W,C,K]
        under_p, under_q = (powers * self.p).sum(2), (powers * self.q).sum(2)
        enough = math.log(len(self.logs) / self.alpha)  # for one alternative

        def found(w: float) -> bool:
            missed = TILT * enough + (n * ((1 - w) * under_p + w * under_q).log()).sum(1)  # [W]
            return float(missed.amin()) <= math.log(1 - POWER)

        if not found(1.0):
            return 1.0
        share = max(_least(found, 1.0), -_least(found, -self.away))
        return share * float((n * (self.p - self.q).abs().sum(1)).sum()) / (2 * self.n)


class AtMost:
    """Does an event happen with probability `bound` at most? Alternatives: bound + w (1 -
    bound).
    """

    def __init__(self, bound: float, alpha: float):
        self.bound, self.alpha = bound, alpha
        self.hits = self.n = 0
        self.largest = 0.0
        w = shares() * (1 - 1e-9)
        # by what share each raises each alternative's evidence
        self.hit, self.miss = w * (1 - bound) / bound, -w
        self.known = (-1, 1.0)  # an n, and its MDE

    @property
    def rejected(self) -> bool:
        return self.largest >= -math.log(self.alpha)

    def update(self, hits: int, n: int) -> bool:
        """Add n fresh trials with so many hits; returns whether the bound is known to be passed by
        now.
        """
        self.hits, self.n = self.hits + hits, self.n + n
        self.largest = max(self.largest, self.log_e())
        return self.rejected

    def log_e(self) -> float:
        hits, misses = torch.tensor(self.hits).double(), torch.tensor(self.n - self.hits).double()
        each = torch.special.xlog1py(hits, self.hit) + torch.special.xlog1py(misses, self.miss)
        return float(torch.logsumexp(each, 0)) - math.log(len(each))

    @property
    def mde(self) -> float:
        """How far above the bound is found with power .999 at least, by Chernoff's bound; where
        nothing is, as far as there is."""
        if self.known[0] != self.n:
            self.known = self.n, self._mde()
        return self.known[1]

    def _mde(self) -> float:
        win, lose = self.hit.log1p(), self.miss.log1p()
        needed = math.log(STEPS / self.alpha)
        # enough for one alternative
        hits = max(math.ceil(float(((needed - self.n * lose) / (win - lose)).amin())), 1)
        if hits > self.n:
            return 1 - self.bound
        return 1 - coin_lower(1 - (hits - 1) / self.n, -math.log(1 - POWER) / self.n) - self.bound


def coin_lower(x: float, radius: float) -> float:
    """`sequential.binary_lower` of one number."""

    def over(weight: float, y: float) -> float:
        return weight * math.log(y) if weight else 0.0

    most = over(x, x) + over(1 - x, 1 - x) - radius
    low, high = 0.0, x
    for _ in range(60):
        y = (low + high) / 2
        low, high = (y, high) if over(x, y) + over(1 - x, 1 - y) < most else (low, y)
    return low


def _least(found: Callable[[float], bool], far: float) -> float:
    """The w nearest to 0, on the side of `far`, from where on everything is found."""
    near = 0.0
    for _ in range(24):
        middle = (near + far) / 2
        near, far = (near, middle) if found(middle) else (middle, far)
    return far
