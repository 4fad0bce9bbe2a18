"""What a run would have convicted, by class of fault, rehearsed on the run's own tokens as it
grows.
"""

import math
from collections.abc import Mapping, Sequence

from ...stats.questions import EVERYWHERE
from ...stats.rehearse import Detectable, FaultClass, SeenRun, rehearse_one
from ..verdict import Reach
from .calls import RECURRING
from .text_bet import TextBet

_FIRST, _GROWTH = 8_000, 2  # tokens at the first rehearsal; by how much the run grows to the next
_TABLES = (8_000, 32_000)  # the rehearsals of tables, which cost more
_POWER = 0.999


# Leans that act on every token, and their words; without a draft, where the draft is the target.
LIKELY_ALONE = {FaultClass("score", "likely"): "a lean to or from likely tokens"}
BOTH_LEANS = {FaultClass("score", "draft"): "a lean to or from the draft"} | LIKELY_ALONE


def every_class(worlds: Sequence[str]) -> dict[FaultClass, str]:
    """All classes that a run over several toys speaks of, and their words."""
    there = ("toy", worlds.index(RECURRING), "where prefixes recur")
    return {
        FaultClass("score", "draft"): "a lean to or from the draft",
        FaultClass("table", "token"): "a bias of tokens",
        FaultClass("score", "likely"): "a lean to or from likely tokens",
        FaultClass("table", "token", "previous token"): "one that follows the token before",
        FaultClass("table", "token", "previous token and position"): (
            "one that follows the token before and the position"
        ),
        FaultClass("table", "token", "whole prefix", there): (
            "one that follows the whole prefix, where prefixes recur"
        ),
        FaultClass("score", "draft", "setting"): "a lean in one setting of the parameters",
        FaultClass("score", "draft", "row"): "a lean in one row of the batch",
    }


class Rehearsal:
    """The classes of faults that a PASS speaks of, those that act on every token first.

    A rehearsal is done class by class, since each takes a while. What is stated was rehearsed on
    the first part of the run: the whole run sees more.

    Args:
        words: of each class.
    """

    def __init__(self, bet: TextBet, seed: int, words: Mapping[FaultClass, str]):
        self.bet, self.seed, self.words = bet, seed, words
        self.faults = tuple(words)
        self.found: dict[FaultClass, Detectable] = {}
        self.waiting: list[FaultClass] = []
        self.at = _FIRST
        self.run: SeenRun | None = None

    @property
    def due(self) -> bool:
        """Whether there is a class to rehearse."""
        if not self.waiting and self.at <= self.bet.bettor.n:
            self.waiting = [one for one in self.faults if one.kind == "score" or self.at in _TABLES]
            self.at *= _GROWTH
            self.run = SeenRun(self.bet.bettor.questions, list(self.bet.calls))
        return bool(self.waiting)

    def step(self) -> None:
        """Rehearse one class."""
        assert self.run is not None
        fault = self.waiting.pop(0)
        alpha = self.bet.bettor.alpha
        seed = self.seed + self.faults.index(fault)
        self.found[fault] = rehearse_one(self.run, alpha, fault, seed, _POWER)

    @property
    def everywhere(self) -> float:
        """The largest TV of the classes that act on every token."""
        widest = [self.found.get(fault) for fault in self.faults if _acts_everywhere(fault)]
        return max(math.inf if one is None or one.tv is None else one.tv for one in widest)

    @property
    def reach(self) -> tuple[Reach, ...]:
        done = [self.found[fault] for fault in self.faults if fault in self.found]
        return tuple(
            Reach(self.words[one.fault], one.tv, _acts_everywhere(one.fault)) for one in done
        )


def _acts_everywhere(fault: FaultClass) -> bool:
    return fault.context == EVERYWHERE and fault.within is None
