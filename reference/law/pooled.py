"""Evidence from many samples at once, each with a law of its own: small leanings that all of them share add up.

Both are e-processes as in `sequential.py`: a mixture of fixed alternatives, whose likelihood ratio has a mean of 1 (at most
1 in `AtMost`) while the null hypothesis holds, whatever the sizes of the samples and whenever one looks.
"""

import math

import torch
from torch import Tensor

from ..types import SpecdecError

STEP, STEPS = math.sqrt(2), 24  # shares of the alternatives: 1, 1/sqrt(2) .. 1/3400, a factor apart that hides little


def shares() -> Tensor:
    return STEP ** -torch.arange(STEPS, dtype=torch.float64)


def effect(information: float, alternatives: int, alpha: float, normal: float = 3.09) -> float:
    """The share that is found with power .999 (normal 3.09): log E is about normal, with the mean (r - r^2/2) x^2 and the
    deviation r x at an alternative r times the truth, x^2 = share^2 information. r is off by a factor of 2^(1/4) at most.
    """
    if information <= 0:
        return 1.0
    needed = math.log(alternatives / alpha)
    worst = 0.0
    for r in (2**-0.25, 2**0.25):
        mean = r - r * r / 2
        worst = max(worst, (normal * r + math.sqrt((normal * r) ** 2 + 4 * mean * needed)) / (2 * mean))
    return min(worst / math.sqrt(information), 1.0)


class Leaning:
    """Do C samples, whose laws should be p, lean towards q, or away from it? The alternatives are (1 - w) p + w q for one
    w in all of them, w positive or negative.

    Args:
        p, q: [C,K] laws; q is taken within what p allows. alpha: false-alarm rate.
    """

    def __init__(self, p: Tensor, q: Tensor, alpha: float):
        if p.shape != q.shape:
            raise SpecdecError(f"p has shape {list(p.shape)} and q {list(q.shape)}: give one q for each p")
        self.p, self.alpha = p.double(), alpha
        within = q.double() * (p > 0)
        mass = within.sum(1, keepdim=True)
        self.q = torch.where(mass > 0, within / mass, self.p)  # every alternative is then a law
        self.counts = torch.zeros_like(self.p)
        self.largest = 0.0
        ratio = torch.where(self.p > 0, self.q / self.p, 1.0)  # [C,K]
        least = 1 / (ratio.amax().clamp(min=1 + 1e-9) - 1)  # no alternative may be negative
        w = torch.cat((shares() * (1 - 1e-9), -shares() * least.clamp(max=1) * (1 - 1e-9)))
        self.logs = torch.log1p(w[:, None, None] * (ratio - 1))  # [W,C,K]

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
        """The w that fits best, to first order: 0 where the samples have their laws, 1 where they have the draft's."""
        gain = torch.where(self.p > 0, self.q / self.p, 1.0) - 1
        size = (self.counts.sum(1, keepdim=True) * self.p * gain.square()).sum()
        return float((self.counts * gain).sum() - (self.counts.sum(1, keepdim=True) * self.p * gain).sum()) / max(
            float(size), 1e-300)

    @property
    def mde(self) -> float:
        """The mean TV over the samples of a leaning that is found with power .999."""
        n = self.counts.sum(1)
        if not self.n:
            return 1.0
        chi = torch.where(self.p > 0, (self.q - self.p).square() / self.p, 0).sum(1)
        distance = (self.p - self.q).abs().sum(1) / 2
        share = effect(float((n * chi).sum()), len(self.logs), self.alpha)
        return min(share * float((n * distance).sum()) / self.n, 1.0)


class AtMost:
    """Does an event happen with probability `bound` at most? Alternatives: bound + w (1 - bound)."""

    def __init__(self, bound: float, alpha: float):
        self.bound, self.alpha = bound, alpha
        self.hits = self.n = 0
        self.largest = 0.0

    @property
    def rejected(self) -> bool:
        return self.largest >= -math.log(self.alpha)

    def update(self, hits: int, n: int) -> bool:
        """Add n fresh trials with so many hits; returns whether the bound is known to be passed by now."""
        self.hits, self.n = self.hits + hits, self.n + n
        self.largest = max(self.largest, self.log_e())
        return self.rejected

    def log_e(self) -> float:
        if self.bound >= 1:
            return 0.0
        if self.bound <= 0:
            return math.inf if self.hits else 0.0
        up = self.bound + (1 - self.bound) * shares() * (1 - 1e-9)
        hits, misses = torch.tensor(self.hits).double(), torch.tensor(self.n - self.hits).double()
        each = torch.xlogy(hits, up / self.bound) + torch.xlogy(misses, (1 - up) / (1 - self.bound))
        return float(torch.logsumexp(each, 0)) - math.log(len(each))

    @property
    def mde(self) -> float:
        """How far above the bound is found with power .999."""
        if self.bound >= 1 or not self.n:
            return float(self.bound < 1)
        surely = 1 - 0.001 ** (1 / self.n)  # one hit is enough where the bound is 0
        spread = self.bound * (1 - self.bound)
        return max(surely, effect(self.n / spread, STEPS, self.alpha) if spread else 0.0)
