"""Do tokens at a distance depend on each other: rows, places, calls, seeds? One test by betting.

All rows of a call have one target and one draft, each with a draft token of its own where the draft
leaves a choice; so whatever shares a random number shows at some distance (stats/lags.py). Calls
follow each other with seeds that do; others are one to 64 seeds apart, and STRIDES.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch

from ...stats.betting import Bettor
from ...stats.questions import LagQuestions, Observed, OutcomeCells, Questions
from ...stats.wealth import STAKES
from ..session import Session
from ..suite.kernel_group import Group
from .reach import least_lean
from .texts import continued_texts, token_laws

NEAR_ROWS, FAR_ROWS = 4096, 512  # of a call; of a call whose seed is far
SEEDS_ON, BURST = 64, 32  # calls that many seeds on, in bursts of so many
# Further seeds at which row 0 may begin anew: what a row's number is likely to be multiplied by,
# and what many such divide.
STRIDES = (
    100,
    1000,
    1009,
    1013,
    1024,
    4096,
    7919,
    10_000,
    10_007,
    25_200,
    65_536,
    65_537,
    999_983,
    1_000_000,
    1_000_003,
    2**20,
    10**9 + 7,
    2_654_435_761,
)
SAME_CALL, NEXT_CALL = 0, 1  # kinds of a lag


def _asked(rows: int, places: int, cells: int, seeds: Sequence[int]) -> Questions:
    calls = () if seeds else (1,)
    outcomes = (("token", 1), ("token", 2))
    lags = LagQuestions(rows, places, calls, tuple(seeds), outcomes)
    return Questions((OutcomeCells("token", cells),), (), lags=lags)


class PairBets:
    """The calls, and the test that reads them. Two bettors share alpha: one of neighbouring calls
    of many rows, one of calls whose seeds are far apart.

    groups: of one case each. The last one has one draft that is certain, and is asked for the far
    seeds.
    """

    def __init__(self, kernel: Any, session: Session, groups: Sequence[Group], alpha: float):
        self.kernel, self.session, self.groups, self.alpha = kernel, session, groups, alpha
        places, cells = max(g.K for g in groups) + 1, max(g.V for g in groups)
        self.cells = cells
        self.near = Bettor(_asked(NEAR_ROWS, places, cells, ()), alpha / 2)
        steps = (*range(1, SEEDS_ON + 1), *STRIDES)
        self.far = Bettor(_asked(FAR_ROWS, groups[-1].K + 1, cells, steps), alpha / 2)
        self.bursts = [steps[i : i + BURST] for i in range(0, len(steps), BURST)]
        self.seed = session.seed_for("pairs", groups[0].name) // 2
        self.calls = self.rows = self.turns = 0
        self.pairs = [0, 0]  # of rows: beside each other; in two calls

    @property
    def begun(self) -> bool:
        """Whether every group and every distance of seeds was asked once."""
        return self.turns >= len(self.groups) + len(self.bursts)

    @property
    def seeds_begun(self) -> bool:
        """Whether every distance of seeds was asked once: the first slices do that."""
        return self.turns > len(self.bursts)

    @property
    def rejected(self) -> bool:
        return self.near.rejected or self.far.rejected

    def advance(self) -> None:
        """Two calls of one group; once each, calls at far seeds."""
        turn, self.turns = self.turns, self.turns + 1
        if 1 <= turn <= len(self.bursts):
            self._burst(turn - 1)
            return
        late = len(self.bursts) if turn else 0  # turns that were bursts
        group = self.groups[(turn - late) % len(self.groups)]
        rows = self.session.fit(NEAR_ROWS)
        for _ in range(2):
            self.near.update(self._call(group, rows, self.seed + self.calls))
        self.near.look()
        places = group.K + 1
        self.pairs = [self.pairs[0] + 2 * (rows - 1) * places, self.pairs[1] + rows * places]

    def _burst(self, number: int) -> None:
        base = self.session.seed_for("far seeds", self.groups[0].name, number) // 2
        slow = self.session.most_rows is not None
        rows = self.session.fit(FAR_ROWS // 2 if slow else FAR_ROWS)
        for step in (0, *self.bursts[number]):
            self.far.update(self._call(self.groups[-1], rows, base + step), look=False)
        self.far.look()

    def _call(self, group: Group, rows: int, seed: int) -> Observed:
        """One call's tokens, row by row."""
        number, self.calls, self.rows = self.calls, self.calls + 1, self.rows + rows
        generator = self.session.generator("pairs", self.groups[0].name, number)
        chosen = group.rows(rows, generator)
        answers = group.ask(self.kernel, self.session, chosen, seed)
        texts = continued_texts(group, answers, generator)  # [n,K+1]
        laws = torch.nn.functional.pad(token_laws(group, texts), (0, self.cells - group.V))
        row = torch.arange(rows).repeat_interleave(group.K + 1)
        place = torch.arange(group.K + 1).repeat(rows)
        return Observed(
            {"token": laws.flatten(0, 1)},
            {"token": texts.flatten()},
            row=row,
            place=place,
            seed=seed,
        )

    def culprit(self) -> tuple[int, str]:
        """The kind of the richest lag, and the lag in words."""
        bettor = self.near if self.near.rejected else self.far
        winner = bettor.winners()[0]
        if winner.kind != "lag":
            return SAME_CALL, winner.words
        return winner.at[0], winner.words

    def least_share(self, kind: int) -> float:
        """The least part of the rows whose random numbers are those of the row beside them, or of
        the same row in the next call, that would have been found with power .999."""
        lags = self.near.lags
        assert lags is not None
        row = 1 if kind == SAME_CALL else 0
        squares, pairs = lags.squares[kind, 0, row, 0], self.pairs[kind]
        if not pairs:
            return 1.0
        need = -math.log(self.near.alpha) - self.near.shares["lag"]
        need += math.log(2 * len(STAKES)) - float(lags.log_share[kind, 0, row, 0])
        return min(float(least_lean(squares[None], need)[0] * (squares / pairs).sqrt()), 1.0)
