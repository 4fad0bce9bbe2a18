"""What a run would have convicted, by class of fault: a rehearsal on the run's own distributions
and contexts.

A smallest detectable TV exists only for a class of faults (proofs/written/S2_mde_needs_a_class.md).
So faults of each class are planted in the stream that the run has seen, at a growing mean TV, and
the expert that is made for the class bets on the result:

    table class   in each context of a class, a random half of the outcome's cells gets the sign
                  h = 1 and the others h = -1, and p becomes p exp(theta h) / Z
    score class   p becomes p exp(theta g) / Z along a direction g, and then exp(-theta g), in the
                  whole stream or in that one context of a class which has the fewest tokens

The stated size is the smallest at which mean - k sd over the repeats reaches the root of
log(1/alpha), for both signs of a lean; mean and sd are those of the root of the log wealth, which
grows as the size while its spread does not. k is the one-sided tolerance factor of a normal sample:
with confidence CONFIDENCE, at least `power` of all faults of that size win more. The other experts
of the mixture can only help.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from scipy.stats import nct, norm
from torch import Tensor

from ..errors import SpecrefError
from .betting import Scores, Table, betting_slices, context_sizes, log_shares
from .lags import centred
from .questions import EVERYWHERE, Observed, Questions

FIRST, LAST = 0.004, 0.9  # the smallest and the largest TV that is tried
STEEPEST, MATCHES = 30.0, 4  # the largest theta; corrections until a tilt has the TV that it should
COARSE, REPEATS = 2, 16  # while the TV is doubled, and after that
GUESSES, CLOSE = 6, 0.05  # of the search for the least TV, at most; how near it has to come
REACHED = 0.9  # of a TV: a tilt that falls short of this has not got it
ENOUGH = 4096  # tokens that the tilt of a mean TV is found on
CONFIDENCE = 0.9

Wealth = Callable[[float, int], Tensor]  # TV, repeats -> [S,repeats] log wealth


@dataclass(frozen=True)
class FaultClass:
    """kind: "table" or "score"; what: the outcome or the direction; context: the class of contexts
    whose faults are meant; within: a context class and its group that a table's faults keep to, and
    the words for it."""

    kind: str
    what: str
    context: str = EVERYWHERE
    within: tuple[str, int, str] | None = None


@dataclass(frozen=True)
class Detectable:
    """What a run would have found of a class.

    tv: the mean TV over the tokens where the fault is; None: not even the largest that was tried.
    share: of all tokens, those where the fault is. group: the context that a score class was
    planted in.
    """

    fault: FaultClass
    words: str
    tv: float | None
    share: float
    power: float
    group: int = 0

    def __str__(self) -> str:
        if self.tv is None:
            return f"{self.words}: of no size for sure"
        where = "" if self.share == 1 else " there"
        return f"{self.words}: TV {self.tv:.3g}{where}"


def rehearse(
    questions: Questions,
    calls: Sequence[Observed],
    alpha: float,
    faults: Sequence[FaultClass],
    seed: int,
    power: float = 0.999,
) -> list[Detectable]:
    """For each class the least TV that this run would have convicted with `power`.

    Args:
        calls: the run's calls, as its `Bettor` got them. alpha: the run's own.
    Errors:
        SpecrefError for a class that the questions do not ask about, or a run without a token.
    """
    run = SeenRun(questions, [call.checked(questions) for call in calls])
    return [
        rehearse_one(run, alpha, fault, seed + number, power) for number, fault in enumerate(faults)
    ]


def rehearse_one(
    run: "SeenRun", alpha: float, fault: FaultClass, seed: int, power: float = 0.999
) -> Detectable:
    """As `rehearse`, of one class."""
    _refuse(run.questions, fault)
    g = torch.Generator().manual_seed(seed)
    trial = (_TableTrial if fault.kind == "table" else _ScoreTrial)(run, fault, g)
    tv = _least(trial.wealth, -math.log(alpha), power)
    return Detectable(fault, _said(run.questions, fault), tv, trial.share, power, trial.group)


def tilted(p: Tensor, h: Tensor, theta: float) -> Tensor:
    """p exp(theta h) / Z: [n,M] distributions."""
    weights = p * (theta * h).exp()
    return weights / weights.sum(1, keepdim=True)


def random_signs(shape: tuple[int, ...], g: torch.Generator) -> Tensor:
    """[..,M] -1 or 1: half of the M cells each (one more is 1 for an odd M), in a random order."""
    order = torch.rand(shape, generator=g).argsort(-1)
    return (1 - order % 2 * 2).double()


def mean_tv(p: Tensor, h: Tensor, theta: float) -> float:
    """Mean TV of the tilted distributions to p."""
    return float((tilted(p, h, theta) - p).abs().sum(1).mean() / 2)


def tilt_of(p: Tensor, h: Tensor, tv: float) -> float:
    """The theta > 0 whose mean TV is tv, within a few percent; STEEPEST where none is."""
    centre = (p * h).sum(1, keepdim=True)
    slope = float((p * (h - centre).abs()).sum(1).mean() / 2)  # of the TV at theta = 0
    theta = min(tv / max(slope, 1e-12), STEEPEST)
    for _ in range(MATCHES):
        theta = min(theta * tv / max(mean_tv(p, h, theta), 1e-12), STEEPEST)
    return theta


def tolerance_factor(repeats: int, power: float) -> float:
    """k such that mean - k sd of `repeats` normal draws lies, with CONFIDENCE, below all but
    1 - power of the distribution (one-sided tolerance interval, by the noncentral t)."""
    root = math.sqrt(repeats)
    return float(nct.ppf(CONFIDENCE, repeats - 1, norm.ppf(power) * root)) / root


class SeenRun:
    """Checked calls as one stream. bounds: first and last token of each slice."""

    def __init__(self, questions: Questions, calls: Sequence[Observed]):
        if not sum(call.n for call in calls):
            raise SpecrefError("a run without a token would have found nothing: feed it first")
        self.questions, self.calls = questions, calls
        self.bounds: list[tuple[int, int]] = []
        for call in calls:
            before = self.bounds[-1][1] if self.bounds else 0
            for part in betting_slices(call, before):
                first = self.bounds[-1][1] if self.bounds else 0
                self.bounds.append((first, first + part.n))
        self.n = self.bounds[-1][1]

    def p(self, outcome: str) -> Tensor:
        return torch.cat([call.p[outcome] for call in self.calls])

    def tol(self, outcome: str) -> Tensor | None:
        if any(call.tol is None for call in self.calls):
            return None
        return torch.cat([call.tol[outcome] for call in self.calls if call.tol is not None])

    def context(self, name: str) -> Tensor:
        return torch.cat([call.context[name] for call in self.calls])

    def direction(self, name: str) -> Tensor:
        return torch.cat([call.direction[name] for call in self.calls])


class _TableTrial:
    """Faults of random sign in each cell and context, and the table that looks for them."""

    group = 0

    def __init__(self, run: SeenRun, fault: FaultClass, g: torch.Generator):
        self.run = run
        self.p, self.slack = run.p(fault.what), run.tol(fault.what)
        used, self.context = run.context(fault.context).unique(return_inverse=True)
        # contexts that never came have no wealth of their own: log(1 - rho + rho 1) = 0
        self.contexts, self.cells = len(used), self.p.shape[1]
        self.log_share = log_shares(run.questions)["table"]
        shape = (REPEATS, self.contexts, self.cells)
        self.signs = random_signs(shape, g)
        self.u = torch.rand(REPEATS, run.n, generator=g, dtype=torch.float64)
        self.here = torch.ones(run.n, dtype=torch.bool)
        if fault.within is not None:
            name, group, _ = fault.within
            self.here = run.context(name) == group
        self.share = float(self.here.double().mean())

    def wealth(self, tv: float, repeats: int) -> Tensor:
        """[1,repeats] log of the table's share times its wealth."""
        return torch.tensor([[self._one(tv, i) for i in range(repeats)]])

    def _one(self, tv: float, repeat: int) -> float:
        p, h = self.p[self.here], self.signs[repeat][self.context[self.here]]  # [m,M]
        law = self.p.clone()
        some = slice(None, None, max(1, len(p) // ENOUGH))
        theta = tilt_of(p[some], h[some], tv)
        if mean_tv(p[some], h[some], theta) < REACHED * tv:
            return -math.inf
        law[self.here] = tilted(p, h, theta)
        cell = cells_drawn(law, self.u[repeat])
        table = Table(self.contexts, self.cells)
        for first, last in self.run.bounds:
            tol = None if self.slack is None else self.slack[first:last]
            table.update(self.p[first:last], cell[first:last], self.context[first:last], tol)
        return self.log_share + float(torch.logsumexp(table.log_wealth().flatten(), 0))


class _ScoreTrial:
    """A lean along a direction, in one context, and the sums that look for it."""

    def __init__(self, run: SeenRun, fault: FaultClass, g: torch.Generator):
        outcome = run.questions.direction[fault.what].outcome
        context, contexts = run.context(fault.context), context_sizes(run.questions)[fault.context]
        counts = torch.bincount(context, minlength=contexts)
        self.group = int(torch.where(counts > 0, counts, run.n + 1).argmin())
        here = context == self.group
        self.share = float(here.double().mean())
        self.p, self.direction = run.p(outcome)[here], run.direction(fault.what)[here]
        tol = run.tol(outcome)
        self.slack = torch.zeros(len(self.p), dtype=torch.float64)
        if tol is not None:
            mean = (self.p * self.direction).sum(1, keepdim=True)
            self.slack = (tol[here] * (self.direction - mean).abs()).sum(1)
        share = log_shares(run.questions)["score"]
        self.log_share = share - math.log(contexts)
        self.u = torch.rand(REPEATS, len(self.p), generator=g, dtype=torch.float64)

    def wealth(self, tv: float, repeats: int) -> Tensor:
        """[2,repeats] log of the score's share times its wealth, away and towards."""
        won = torch.full((2, repeats), -math.inf, dtype=torch.float64)
        some = slice(None, None, max(1, len(self.p) // ENOUGH))
        for side, h in enumerate((-self.direction, self.direction)):
            theta = tilt_of(self.p[some], h[some], tv)
            if mean_tv(self.p[some], h[some], theta) >= REACHED * tv:
                law = tilted(self.p, h, theta)
                won[side] = torch.tensor([self._one(law, i) for i in range(repeats)])
        return won

    def _one(self, law: Tensor, repeat: int) -> float:
        cell = cells_drawn(law, self.u[repeat])
        scores, all_here = Scores(1), torch.zeros(len(cell), dtype=torch.int64)
        scores.update(centred(self.direction, self.p, cell), self.slack, all_here)
        return self.log_share + float(scores.log_wealth())


def cells_drawn(p: Tensor, u: Tensor) -> Tensor:
    """[n,M] distributions, [n] uniforms -> [n] cells, by the inverse distribution function."""
    upto = p.cumsum(1)
    return (upto <= (u * upto[:, -1])[:, None]).sum(1).clamp(max=p.shape[1] - 1)


def _least(wealth: Wealth, need: float, power: float) -> float | None:
    """The least TV that is found, within a few percent.

    The square root of the log wealth grows about as the TV, and its spread stays the same. So the
    TV that is needed follows from any one that wins something.
    """
    goal, k = math.sqrt(need), tolerance_factor(REPEATS, power)

    def roots(tv: float, repeats: int) -> Tensor:
        return wealth(tv, repeats).clamp(min=0).sqrt()  # [S,repeats]

    tv, best = FIRST, None
    while tv < LAST and float(roots(tv, COARSE).mean(1).min()) < goal:
        tv *= 2
    tv = min(tv, LAST)
    for _ in range(GUESSES):
        won = roots(tv, REPEATS)
        mean, spread = won.mean(1), won.std(1)  # [S]
        if bool((mean - k * spread >= goal).all()):
            best = tv
        if not float(mean.min()):
            return best
        step = float(((goal + k * spread) / mean).max())  # times the TV, to what is needed
        if tv == LAST and step > 1:
            return None
        tv = min(tv * step * (1 + CLOSE / 2), LAST)
        if best is not None and tv > best * (1 - CLOSE):
            return best
    return best


def _refuse(questions: Questions, fault: FaultClass) -> None:
    asked = {"table": questions.tables, "score": questions.scores}.get(fault.kind, ())
    if (fault.what, fault.context) not in asked:
        raise SpecrefError(
            f"no {fault.kind} of {fault.what!r} {fault.context!r} is asked for: a rehearsal can"
            " only say what an expert of the run looks for"
        )


def _said(questions: Questions, fault: FaultClass) -> str:
    where = questions.context.get(fault.context)
    if fault.kind == "table":
        said = f"a bias of the {fault.what}"
        said += "" if where is None else f" {where.each}"
        return said if fault.within is None else f"{said} {fault.within[2]}"
    said = f"a lean to or from {questions.direction[fault.what].words}"
    return said if where is None else f"{said} in one of {where.size} ({where.each})"
