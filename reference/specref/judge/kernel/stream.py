"""One stream of calls on rows that differ, and the test by betting that reads it."""

from collections.abc import Iterator
from itertools import chain
from typing import Any

import torch

from ...stats.betting import Bettor
from ...stats.questions import Observed
from ..load import has
from ..session import Session
from .answers import asked_in_turn, continued_rows, wrong_in
from .questions import joined_calls, kernel_questions, read_rows
from .rows import MixedRows
from .scenarios import TREE_AXES, Axes, Scenario, covering, covering_trees

# Long drafts come seldom, since most of their tokens are the judge's own; large vocabularies too,
# since they cost much. Batches a little above a power of two come often: they are padded.
_SIZES = (2, 5, 8, 8, 37, 37, 64, 64, 129, 129, 300, 300, 1000, 2053, 4097)
_ROWS = (1, 2, 3, 5, 8, 13, 13, 24, 24, 33, 33, 64, 129, 250, 250)
_DENSE = (False, True)
AXES = Axes(_SIZES, (0, 1, 1, 1, 2, 2, 2, 3, 3, 4, 4, 5, 6, 8, 12), _ROWS, _DENSE)
FOREST = Axes(_SIZES[1:], TREE_AXES.draft_tokens, _ROWS, _DENSE)
SEEDS = 2**62  # the calls' seeds follow each other from below this
# What a call costs beside its rows is shared: calls of one scenario, and rows of all of them.
MOST_CALLS, TOGETHER = 16, 64


class MixedStream:
    """Calls without end, each on a scenario of its own; their seeds follow each other.

    wrong: what is wrong with a single answer, whatever the distribution; shown_in: its scenario.
    """

    def __init__(self, kernel: Any, session: Session, alpha: float):
        self.kernel, self.session = kernel, session
        self.bettor = Bettor(kernel_questions(), alpha)
        self.scenarios = self._scenarios(session.seed_for("betting"))
        self.first_seed = session.seed_for("betting calls") % SEEDS
        self.rows = self.calls = 0
        self.wrong, self.shown_in = "", Scenario()

    def _scenarios(self, seed: int) -> Iterator[Scenario]:
        """Chains and trees by turns, as far as the kernel takes them."""
        kinds = (("verify", covering(seed, AXES)), ("verify_tree", covering_trees(seed, FOREST)))
        taken = [made for method, made in kinds if has(self.kernel, method)]
        return chain.from_iterable(zip(*taken, strict=True))

    def draw(self, scenarios: int) -> Observed | None:
        """The calls of so many scenarios, read by the test; None where a single answer is wrong."""
        seen: list[Observed] = []
        for _ in range(scenarios):
            calls = self._calls(next(self.scenarios).within(self.session))
            if calls is None:
                return None
            seen.append(calls)
        read = joined_calls(seen)
        self.bettor.update(read)
        return read

    def _calls(self, scenario: Scenario) -> Observed | None:
        number, size = self.calls, scenario.rows
        together = self.session.fit(min(TOGETHER, scenario.room))
        calls = max(1, min(MOST_CALLS, together // size))
        rows = scenario.batch(self.session.generator("betting rows", number), calls)
        sized = size, self.first_seed + number
        answer = torch.cat(
            [*asked_in_turn(self.kernel, self.session, rows, sized, scenario.layout)]
        )
        self.calls, self.rows = number + calls, self.rows + len(answer)
        if wrong_in(rows, answer):
            self.wrong, self.shown_in = _first_wrong(rows, answer, size), scenario
            return None
        texts = continued_rows(rows, answer, self.session.generator("betting rest", number))
        return read_rows(scenario, rows, texts)


def _first_wrong(rows: MixedRows, answer: torch.Tensor, size: int) -> str:
    """What is wrong in the first call where anything is."""
    calls = torch.arange(len(answer)).split(size)
    said = (wrong_in(rows.only(call), answer[call]) for call in calls)
    return next(filter(None, said))
