"""Dependence between tokens at any fixed distance: rows, places, calls and seeds, by one transform.

Each token gets a score phi in [-1,1] whose mean is 0 under its own distribution. The product of two
tokens' scores has mean 0 given the earlier of them and all else before the later, so all products
at one distance are bets that `wealth.py` sums up. The sums of products, and of their squares, over
all rows and places of a call are cross-correlations: one Fourier transform gives all distances.

The score: put the outcome's cells side by side on [0,1), each as wide as its probability. phi is
the mean of cos(pi j u) over the cell that came. Its mean is the integral of cos(pi j u) over [0,1),
which is 0 whatever the distribution; no random number is needed to spread ties.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import SpecrefError
from .questions import Observed, Questions
from .wealth import log_wealth_of_sums

ROOM_TO_WIN = 8.0  # S^2/V below which a distance is given up (counted as no wealth at all)
SEEDS_KEPT = 64  # calls that are remembered by their seed


def cell_scores(p: Tensor, token: Tensor, frequency: int) -> Tensor:
    """[n,M] distributions, [n] cells -> [n] mean of cos(pi j u) over the cell that came."""
    width = p.gather(1, token[:, None])[:, 0]
    middle = p.cumsum(1).gather(1, token[:, None])[:, 0] - width / 2
    # sinc: the mean over an interval, exact for the narrowest ones too
    mean = (math.pi * frequency * middle).cos() * torch.sinc(frequency * width / 2)
    return mean.clamp(-1, 1)


def centred(g: Tensor, p: Tensor, token: Tensor) -> Tensor:
    """[n,M] scores in [0,1] -> [n]: the score of the cell that came, less its mean under p."""
    return g.gather(1, token[:, None])[:, 0] - (p * g).sum(1)


@dataclass(frozen=True)
class Transformed:
    """One call's scores [B,2R,T+1] after the transform; the last two only where p has a tol."""

    score: Tensor
    square: Tensor
    size: Tensor | None = None  # of |phi|
    bias: Tensor | None = None  # of the bound on |mean of phi|


@dataclass(frozen=True)
class Lag:
    """A distance: `kind` (same call, calls back or a step of the seed), then rows and places."""

    kind: str
    score: str
    row: int
    place: int
    alike: bool

    def __str__(self) -> str:
        parts = [f"row {self.row:+d}"] * (self.row != 0) + [f"place {self.place:+d}"] * (
            self.place != 0
        )
        where = " and ".join(parts) if parts else "the same row and place"
        kind = f"{self.kind}, {where}"
        how = "go together" if self.alike else "go opposite ways"
        return f"tokens at a fixed distance {how} ({kind}; seen in {self.score})"


class Lags:
    """Sums of products of scores, for every distance that `questions.lags` names.

    total, squares: [kinds,B,2R,2T], B scores; a distance r, t stands at [r mod 2R, t mod 2T].
    """

    def __init__(self, questions: Questions):
        if questions.lags is None:
            raise SpecrefError("no lags are asked for: give LagQuestions")
        self.questions = questions.lags
        self.outcome_of = {one.name: one.outcome for one in questions.directions}
        self.kinds = ["same call"]
        self.kinds += [_calls_later(back) for back in self.questions.calls]
        self.kinds += [f"the call whose seed is {step:+d}" for step in self.questions.seeds]
        self.names = [f"{name}, frequency {j}" for name, j in self.questions.outcomes]
        self.names += list(self.questions.directions)
        self.shape = (2 * self.questions.rows, 2 * self.questions.places)
        kept = (len(self.kinds), len(self.names), *self.shape)
        self.total = torch.zeros(kept, dtype=torch.float64)
        self.squares, self.slack = torch.zeros_like(self.total), torch.zeros_like(self.total)
        self.call = 0
        self.by_call: dict[int, Transformed] = {}
        self.by_seed: dict[int, Transformed] = {}
        self.log_share = self._shares()  # [kinds,1,2R,2T]

    def update(self, call: Observed) -> None:
        """Add the products of a call's tokens with one another and with earlier calls'."""
        now = self._transform(call)
        self._add(0, now, now)
        before = 1
        for i, back in enumerate(self.questions.calls):
            self._add(before + i, self.by_call.get(self.call - back), now)
        before += len(self.questions.calls)
        if call.seed is not None:
            for i, step in enumerate(self.questions.seeds):
                self._add(before + i, self.by_seed.get(call.seed - step), now)
        self._remember(call.seed, now)

    def log_wealth(self) -> Tensor:
        """[kinds,B,2R,2T]: log wealth at each distance, -inf where there is too little to matter.

        Distances of which each pair is counted elsewhere are -inf as well.
        """
        wealth = torch.full_like(self.total, -math.inf)
        worth = (self.total.square() > ROOM_TO_WIN * self.squares) & self._asked()
        wealth[worth] = log_wealth_of_sums(
            self.total[worth], self.squares[worth], self.slack[worth]
        )
        return wealth

    def lag(self, kind: int, score: int, row: int, place: int) -> Lag:
        """The distance at an index of `log_wealth`, in words."""
        rows, places = self.shape
        return Lag(
            self.kinds[kind],
            self.names[score],
            _signed(row, rows),
            _signed(place, places),
            bool(self.total[kind, score, row, place] > 0),
        )

    def _transform(self, call: Observed) -> Transformed:
        scores, bias = self._scores(call), self._bias(call)
        grid = self._fourier(call, scores)
        squares = self._fourier(call, scores.square())
        if bias is None:
            return Transformed(grid, squares)
        return Transformed(
            grid, squares, self._fourier(call, scores.abs()), self._fourier(call, bias)
        )

    def _scores(self, call: Observed) -> Tensor:
        """[B,n]"""
        rows = [
            cell_scores(call.p[name], call.token[name], j) for name, j in self.questions.outcomes
        ]
        for name in self.questions.directions:
            outcome = self.outcome_of[name]
            rows.append(centred(call.direction[name], call.p[outcome], call.token[outcome]))
        return torch.stack(rows)

    def _bias(self, call: Observed) -> Tensor | None:
        """[B,n]: phi is at most 1, so its mean is off by at most the sum of tol."""
        if call.tol is None:
            return None
        outcomes = [name for name, _ in self.questions.outcomes]
        outcomes += [self.outcome_of[name] for name in self.questions.directions]
        return torch.stack([call.tol[name].sum(1).clamp(max=1) for name in outcomes])

    def _fourier(self, call: Observed, values: Tensor) -> Tensor:
        """[B,n] -> the transform [B,2R,T+1] of the grid [B,R,T], 0 where there is no token."""
        assert call.row is not None  # checked on arrival
        assert call.place is not None
        grid = torch.zeros(
            len(values), self.questions.rows, self.questions.places, dtype=torch.float64
        )
        grid[:, call.row.long(), call.place.long()] = values
        return torch.fft.rfft2(grid, self.shape)

    def _add(self, kind: int, then: Transformed | None, now: Transformed) -> None:
        if then is None:
            return
        self.total[kind] += self._correlate(then.score, now.score)
        self.squares[kind] += self._correlate(then.square, now.square).clamp(min=0)
        if then.size is not None and now.bias is not None:
            self.slack[kind] += self._correlate(then.size, now.bias).clamp(min=0)

    def _correlate(self, then: Tensor, now: Tensor) -> Tensor:
        """Sum over all cells a of then[a] now[a + lag], for every lag: [B,2R,2T]."""
        return torch.fft.irfft2(then.conj() * now, self.shape)

    def _remember(self, seed: int | None, now: Transformed) -> None:
        self.by_call[self.call] = now
        self.call += 1
        self.by_call.pop(self.call - 1 - max(self.questions.calls, default=0), None)
        if seed is None or not self.questions.seeds:
            return
        self.by_seed.pop(seed, None)
        self.by_seed[seed] = now
        if len(self.by_seed) > SEEDS_KEPT:
            self.by_seed.pop(next(iter(self.by_seed)))

    def _asked(self) -> Tensor:
        """[kinds,1,2R,2T] bool: in one call each pair once, seen from its earlier token."""
        row, place = self._distances()
        asked = torch.ones(len(self.kinds), 1, *self.shape, dtype=torch.bool)
        asked[0, 0] = (row > 0) | ((row == 0) & (place > 0))
        return asked

    def _distances(self) -> tuple[Tensor, Tensor]:
        """[2R,2T] each: the signed distances at an index of the transform."""
        rows, places = self.shape
        row = torch.tensor([_signed(i, rows) for i in range(rows)])
        place = torch.tensor([_signed(i, places) for i in range(places)])
        return row[:, None].expand(self.shape), place[None].expand(self.shape)

    def _shares(self) -> Tensor:
        """[kinds,1,2R,2T] log of the prior share: near distances first; 1 in all."""
        row, place = self._distances()
        near = (_near(row) * _near(place)).expand(len(self.kinds), 1, *self.shape) * self._asked()
        each = near / near.sum((1, 2, 3), keepdim=True)
        return (each / (len(self.kinds) * len(self.names))).log()


def _calls_later(back: int) -> str:
    return "the next call" if back == 1 else f"{back} calls later"


def _signed(index: int, size: int) -> int:
    """The distance that a transform of this size keeps at an index."""
    return index if index < size // 2 else index - size


def _near(distance: Tensor) -> Tensor:
    """Weights of whole numbers, of both signs, that fall slowly with the distance."""
    size = distance.abs().double()
    return 1 / ((size + 1) * (size + 2))
