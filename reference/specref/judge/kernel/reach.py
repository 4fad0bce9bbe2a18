"""What a run would have convicted, by class of fault, from the sums of its own stream.

A "lean" turns p into p (1 + e s) / Z along a direction, s its centred score. Over tokens with sum V
of E s^2 the expert of that direction wins, with a stake w, about

    w e V - psi(w) V +- w sqrt(V)

(wealth.py). So with power .999 it convicts from e = (need + psi(w) V) / (w V) + z / sqrt(V) on,
the least over w. The TV of such a fault is e E|s| / 2.

A "bias" has signs of its own in each context. The table of its class, with a doubt of a, gains
2 t^2 n^2 / (n + a) in a context of n tokens at a TV of t, and pays (M - 1)/2 log(1 + n/a) for it,
as a Dirichlet mixture does (stats/power.py).

`stats/rehearse.py` plants the faults instead; tests/judge/test_kernel_bets.py holds the two
against each other.
"""

import math
from collections.abc import Mapping

import torch
from scipy.stats import norm
from torch import Tensor

from ...stats.betting import DOUBTS, Bettor, context_sizes, log_shares
from ...stats.questions import EVERYWHERE, Observed
from ...stats.rehearse import FaultClass
from ...stats.wealth import PSI, STAKES
from ..verdict import Reach
from .questions import ON_EVERY_TOKEN

_POWER = 0.999
MOST_TV = 1.0
NOTHING = 1e-9  # a mean square of scores that are 0 but for rounding
_STEPS = 40  # of the bisection of a bias


class ReachSums:
    """Sums over a stream, in each context of each class: tokens, E s^2, E |s|."""

    def __init__(self, bettor: Bettor, faults: Mapping[FaultClass, str]):
        self.bettor, self.faults = bettor, faults
        self.sizes = context_sizes(bettor.questions)
        self.sums = {fault: torch.zeros(3, self.sizes[fault.context]).double() for fault in faults}

    def add(self, call: Observed) -> None:
        """What one call of the stream adds."""
        for fault in self.faults:
            context = call.context.get(fault.context, torch.zeros(call.n, dtype=torch.int64))
            values = [torch.ones(call.n, dtype=torch.float64)]
            if fault.kind == "score":
                values += _moments(call, fault, self.bettor)
            else:
                values += [(call.p[fault.what] > 0).sum(1).double() - 1] * 2
            for total, value in zip(self.sums[fault], values, strict=True):
                total += torch.bincount(context, value, len(total))

    def sizes_found(self) -> tuple[Reach, ...]:
        """The least TV of each class that is found with power .999, there where it acts."""
        found = []
        for fault, words in self.faults.items():
            tv = self.size(fault)
            found.append(Reach(words, None if tv >= MOST_TV else tv, fault in ON_EVERY_TOKEN))
        return tuple(found)

    def size(self, fault: FaultClass) -> float:
        need = -math.log(self.bettor.alpha) - log_shares(self.bettor.questions)[fault.kind]
        n, squares, size = self.sums[fault]
        if fault.kind == "table":
            return _bias(n, squares, need)
        need += math.log(self.sizes[fault.context] * 2 * len(STAKES))
        some = squares > NOTHING * n  # where p is q there is no lean
        if fault.context != EVERYWHERE:
            some[-1] = False  # what a rejection leaves over is the judge's own
        if not bool(some.any()):
            return MOST_TV
        found = least_lean(squares[some], need) * size[some] / n[some] / 2
        return min(float(found.max()), MOST_TV)


def _moments(call: Observed, fault: FaultClass, bettor: Bettor) -> list[Tensor]:
    """[n] E s^2 and E |s| of the centred score under p."""
    p = call.p[bettor.questions.direction[fault.what].outcome]
    g = call.direction[fault.what]
    s = g - (p * g).sum(1, keepdim=True)
    return [(p * s.square()).sum(1), (p * s.abs()).sum(1)]


def least_lean(squares: Tensor, need: float) -> Tensor:
    """[C] sums of E s^2 -> the least e that is found."""
    stakes, psi = STAKES[:, None], PSI[:, None]
    V = squares.clamp(min=1e-300)
    e = (need + psi * V) / (stakes * V) + float(norm.ppf(_POWER)) / V.sqrt()
    return e.amin(0)


def _bias(n: Tensor, free: Tensor, need: float) -> float:
    """The least TV at which a table convicts. n: [C] tokens; free: [C] sums of cells less 1."""
    some = n > 0
    n, free = n[some], free[some] / n[some]
    low, high = 0.0, MOST_TV
    if not len(n) or _table_wins(n, free, high) < need:
        return MOST_TV
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if _table_wins(n, free, middle) < need else (low, middle)
    return high


def _table_wins(n: Tensor, free: Tensor, tv: float) -> float:
    """The log wealth that all but 1 - _POWER of the faults of this TV bring, at the best doubt."""
    z = float(norm.ppf(_POWER))
    best = -math.inf
    for doubt in DOUBTS:
        gain = 2 * tv**2 * n.square() / (n + doubt) - free / 2 * torch.log1p(n / doubt)
        total = float(gain.sum()) - z * math.sqrt(4 * tv**2 * float(n.sum()))
        best = max(best, total)
    return best
