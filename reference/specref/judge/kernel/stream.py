"""One stream of calls on rows that differ, and the test by betting that reads it."""

from typing import Any

from ...stats.betting import Bettor
from ...stats.questions import Observed
from ..session import Session
from .answers import asked_once, continued_rows, wrong_in
from .questions import joined_calls, kernel_questions, read_rows
from .scenarios import Axes, Scenario, covering

# Long drafts come seldom, since most of their tokens are the judge's own; large vocabularies too,
# since they cost much. Batches a little above a power of two come often: they are padded.
AXES = Axes(
    vocabulary=(2, 5, 8, 8, 37, 37, 64, 64, 129, 129, 300, 300, 1000, 2053, 4097),
    draft_tokens=(0, 1, 1, 1, 2, 2, 2, 3, 3, 4, 4, 5, 6, 8, 12),
    rows=(1, 2, 3, 5, 8, 13, 13, 24, 24, 33, 33, 64, 129, 250, 250),
)
SEEDS = 2**62  # the calls' seeds follow each other from below this


class MixedStream:
    """Calls without end, each on a scenario of its own; their seeds follow each other.

    wrong: what is wrong with a single answer, whatever the distribution; shown_in: its scenario.
    """

    def __init__(self, kernel: Any, session: Session, alpha: float):
        self.kernel, self.session = kernel, session
        self.bettor = Bettor(kernel_questions(), alpha)
        self.scenarios = covering(session.seed_for("betting"), AXES)
        self.first_seed = session.seed_for("betting calls") % SEEDS
        self.rows = self.calls = 0
        self.wrong, self.shown_in = "", Scenario()

    def draw(self, calls: int) -> Observed | None:
        """So many calls, read by the test; None where a single answer is wrong."""
        seen: list[Observed] = []
        for _ in range(calls):
            call = self._call(next(self.scenarios).within(self.session))
            if call is None:
                return None
            seen.append(call)
        read = joined_calls(seen)
        self.bettor.update(read)
        return read

    def _call(self, scenario: Scenario) -> Observed | None:
        number, self.calls = self.calls, self.calls + 1
        rows = scenario.batch(self.session.generator("betting rows", number))
        seed = self.first_seed + number
        answer = asked_once(self.kernel, self.session, rows, seed, scenario.layout)
        self.rows += scenario.rows
        self.wrong = wrong_in(rows, answer)
        if self.wrong:
            self.shown_in = scenario
            return None
        texts = continued_rows(rows, answer, self.session.generator("betting rest", number))
        return read_rows(scenario, rows, texts)
