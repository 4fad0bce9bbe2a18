"""Sequential tests: does a sample follow a distribution? They may look after every draw.

Each test computes an e-process: evidence that starts at 1 and whose expectation does not grow while
the null hypothesis holds. The probability that it ever reaches 1/alpha is at most alpha (Ville's
inequality). So the test may stop at any moment, and a test that has failed is never run again.

One sample, known distribution p: the evidence is a likelihood ratio, a mixture of alternatives
against p. The alternatives are fixed beforehand, so each ratio has expectation 1 under p after any
number of draws, and so has the mixture. There are three kinds of alternatives:

    spread   theta ~ Dirichlet(s p): all outcomes deviate; many sizes s (`power.concentrations`)
    single   the probability of one outcome changes, the others keep their proportions
    towards  (1 - w) p + w q for a named distribution q and w = 1, 1/2, 1/4, ...: most bugs move the
             target's distribution towards the draft's

Two samples, unknown distributions: Turner, Ly, Grunwald 2024 (arXiv:2106.02693). A pair of draws,
one from each sample, contributes a(first)/m(first) times b(second)/m(second) with m = (a + b)/2.
With pi = a/(a + b) that is 2 pi(first) times 2 (1 - pi(second)). If the distributions are equal,
its expectation is at most 1 for any pi in [0,1]^K, because the expectations of the two factors add
up to 2. So every outcome has a pi of its own, with a Beta(b,b) prior, and the mixture is a product
of closed forms.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..data import SpecrefError
from .finding import Finding
from .power import PLAN, SINGLE, TOWARDS, concentrations, mde


class EProcess:
    """Counts for each outcome, the largest evidence so far, and the finding."""

    method, arms = "", 1

    def __init__(self, cells: int, alpha: float, plan: float = PLAN):
        if not 0 < alpha < 1:
            raise SpecrefError(
                f"alpha = {alpha} is not a false-alarm rate: give one between 0 and 1"
            )
        self.alpha, self.plan = alpha, plan
        self.counts = torch.zeros(self.arms, cells, dtype=torch.float64)
        # log E now, and at its largest; before the first draw E = 1
        self.latest = self.largest = 0.0

    @property
    def n(self) -> int:
        """Draws so far, of each sample."""
        return int(self.counts[0].sum())

    @property
    def rejected(self) -> bool:
        return self.largest >= -math.log(self.alpha)

    @property
    def cells(self) -> int:
        return self.counts.shape[1]

    def log_e(self) -> float:
        raise SpecrefError(f"{type(self).__name__} has no evidence: define log_e()")

    def region(self, level: float) -> tuple[float, float, float]:
        raise SpecrefError(f"{type(self).__name__} has no interval: define region(level)")

    def _add(self, fresh: Tensor) -> bool:
        if fresh.shape != self.counts.shape or not bool((fresh >= 0).all()):
            raise SpecrefError(
                f"counts of shape {list(fresh.shape)[1:]}, smallest {float(fresh.min()):g}: give"
                f" one count of 0 or more for each of the {self.counts.shape[1]} outcomes"
            )
        self.counts += fresh
        self.latest = self.log_e()
        self.largest = max(self.largest, self.latest)
        return self.rejected

    def finding(
        self, seed: int | None = None, power: float = 0.999, level: float = 0.95
    ) -> Finding:
        """The verdict on everything seen so far."""
        tv, low, high = self.region(level)
        return Finding(
            self.method,
            self.rejected,
            self.n,
            self.alpha,
            mde(self.n, self.cells, self.alpha, power, self.arms, self.plan),
            power,
            tv,
            (low, high),
            level,
            self.largest,
            seed,
        )


class OneSample(EProcess):
    """Is p the distribution of the sample? An outcome with p = 0 rejects at once.

    Args:
        p: [K] distribution.
        alpha: false-alarm rate.
        toward: distributions [K] that a bug might move p towards.
        plan: the TV to be sharpest for.
    """

    method = "e-process, one sample"

    def __init__(self, p: Tensor, alpha: float, toward: Sequence[Tensor] = (), plan: float = PLAN):
        super().__init__(len(p), alpha, plan)
        self.p = _distribution("p", p, len(p))
        uniform = torch.full_like(self.p, 1 / len(p))
        shares = torch.tensor([2.0**-i for i in range(11)], dtype=torch.float64)[:, None]
        distributions = [
            _distribution("toward", distribution, len(p)) for distribution in (uniform, *toward)
        ]
        # [D,K]
        self.towards = torch.cat(
            [(1 - shares) * self.p + shares * distribution for distribution in distributions]
        )

    @property
    def cells(self) -> int:
        return int((self.p > 0).sum())

    def update(self, counts: Tensor) -> bool:
        """Add a batch's counts [K]; returns whether the distribution is rejected by now."""
        return self._add(torch.as_tensor(counts).double()[None])

    def log_e(self) -> float:
        """log of the evidence against p: a mean of 1 under p, whatever n; +inf after an impossible
        outcome.
        """
        log_p = float(torch.xlogy(self.counts[0], self.p).sum())
        return math.inf if log_p == -math.inf else self._log_marginal() - log_p

    def _log_marginal(self) -> float:
        """Log probability of the draws, in their order, under the mixture."""
        c = self.counts[0]
        n, support = c.sum(), self.p > 0
        towards = torch.logsumexp(torch.xlogy(c, self.towards).sum(1), 0) + math.log(
            TOWARDS / len(self.towards)
        )
        if bool((c[~support] > 0).any()):
            return float(towards)
        c, p = c[support], self.p[support]
        base = torch.xlogy(c, p).sum()
        s, log_weight = concentrations(len(p), self.plan, self.arms)
        spread = log_weight + _rising(s[:, None] * p, c).sum(1) - _rising(s, n)
        if len(p) > 1:
            s = concentrations(2, self.plan, self.arms)[0][:, None]
            single = _rising(s * p, c) + _rising(s * (1 - p), n - c) - _rising(s, n)
            single = single - torch.xlogy(c, p) - torch.special.xlog1py(n - c, -p) + base  # [M,K]
            share = math.log(SINGLE / single.numel())
        else:
            single, share = base[None], math.log(SINGLE)
        parts = torch.cat((spread, single.flatten() + share, towards[None]))
        return float(torch.logsumexp(parts, 0))

    def region(self, level: float) -> tuple[float, float, float]:
        """TV of the sample to p, and an interval for its distribution's TV to p.

        The distributions theta that the mixture does not reject at 1 - level lie in a ball
        KL(sample, theta) <= r. The upper end follows from Pinsker's inequality. The lower end is
        the largest theta(A) - p(A) over the sets A where the sample exceeds p most; each theta(A)
        is bounded by its binary KL.
        """
        if not self.n:
            return 0.0, 0.0, 1.0
        sample = self.counts[0] / self.n
        radius = (
            float(torch.xlogy(self.counts[0], sample).sum())
            - self._log_marginal()
            - math.log(1 - level)
        ) / self.n
        tv = float((sample - self.p).clamp(min=0).sum())
        order = (sample / self.p.clamp(min=1e-300)).argsort(descending=True)
        inside, p = sample[order].cumsum(0).clamp(max=1), self.p[order].cumsum(0)
        low = float((binary_lower(inside, radius) - p).amax().clamp(min=0))
        return tv, low, min(tv + math.sqrt(radius / 2), 1.0)


class TwoSample(EProcess):
    """Do two samples follow one distribution, whatever it is? Both arms grow by equally many draws.

    Args:
        cells: K, the number of outcomes. alpha: false-alarm rate. plan: the TV to be sharpest for.
    """

    method, arms = "e-process, two samples", 2

    def update(self, first: Tensor, second: Tensor) -> bool:
        """Add a batch's counts [K] of each arm, equal in total; returns whether the distributions
        are known to differ by now.
        """
        fresh = torch.stack((torch.as_tensor(first).double(), torch.as_tensor(second).double()))
        if float(fresh[0].sum()) != float(fresh[1].sum()):
            sizes = " and ".join(f"{float(arm.sum()):g}" for arm in fresh)
            raise SpecrefError(f"the arms hold {sizes} draws: give equally many")
        return self._add(fresh)

    def log_e(self) -> float:
        """log of the evidence against equal distributions: a mean of at most 1 where they are
        equal, whatever n.
        """
        total = self.counts.sum(0)
        s, log_weight = concentrations(self.cells, self.plan, self.arms)
        b = (s / self.cells)[:, None]
        each = (
            total * math.log(2)
            + _rising(b, self.counts[0])
            + _rising(b, self.counts[1])
            - _rising(2 * b, total)
        )
        spread = log_weight + math.log((1 - SINGLE) / (1 - SINGLE - TOWARDS)) + each.sum(1)
        single = each.flatten() + math.log(SINGLE / each.numel())
        return float(torch.logsumexp(torch.cat((spread, single)), 0))

    def region(self, level: float) -> tuple[float, float, float]:
        """TV of the samples, and an interval for their distributions' TV (Manole and Ramdas 2023,
        arXiv:2103.09267).

        The distance between a sample and its distribution is a reverse submartingale. So a bound
        that holds at m = 1.1^k pairs holds from there on. Bounded differences give the bound; the
        values of k share the error probability.
        """
        if not self.n:
            return 0.0, 0.0, 1.0
        tv = float((self.counts[0] - self.counts[1]).abs().sum()) / (2 * self.n)
        k = math.floor(math.log(self.n) / math.log(1.1))
        m = math.ceil(1.1**k)
        error = math.sqrt((self.cells - 1) / (2 * m)) + math.sqrt(
            math.log((k + 1) * (k + 2) / (1 - level)) / m
        )
        return tv, max(tv - error, 0.0), min(tv + error, 1.0)


def run(test: OneSample, sample: Callable[[int], Tensor], most: int, batch: int = 10_000) -> bool:
    """Draw until the test rejects or `most` draws are used; sample(n) returns the counts [K] of n
    fresh draws.
    """
    while not test.rejected and test.n < most:
        test.update(sample(min(batch, most - test.n)))
    return test.rejected


def _rising(a: Tensor, count: Tensor) -> Tensor:
    """log of a (a + 1) .. (a + count - 1)."""
    return torch.lgamma(a + count) - torch.lgamma(a)


def _distribution(name: str, distribution: Tensor, cells: int) -> Tensor:
    distribution = torch.as_tensor(distribution).double()
    if (
        distribution.shape != (cells,)
        or not bool((distribution >= 0).all())
        or not abs(float(distribution.sum()) - 1) <= 1e-4
    ):
        raise SpecrefError(
            f"{name} of shape {list(distribution.shape)} is no distribution of {cells} outcomes:"
            " give probabilities that sum to 1"
        )
    return distribution / distribution.sum()


def binary_lower(x: Tensor, radius: float) -> Tensor:
    """The least y with KL(x, y) <= radius between coins, elementwise, by bisection: within x /
    2^60, from below.
    """
    rest = 1 - x
    # of x log y + (1 - x) log(1 - y) where y is too far
    most = torch.xlogy(x, x) + torch.xlogy(rest, rest) - radius
    low, high = torch.zeros_like(x), x.clone()
    for _ in range(60):
        y = (low + high) / 2
        far = torch.xlogy(x, y) + torch.xlogy(rest, 1 - y) < most
        low, high = torch.where(far, y, low), torch.where(far, high, y)
    return low
