"""Draft depths by what they bring: as deep as it pays in this batch, and 0 where it does not pay.

A request's own acceptance says how likely its next draft tokens are to be accepted. The batch's
cost curve says what one more token in the forward costs. In a small batch the time goes into
reading the weights, and more tokens cost almost nothing. In a large batch a rejected token costs as
much as an accepted one.

The choice does not change the distribution. A cycle is lossless for every draft length that is
fixed before the draft is drawn (proof T4), so also for one chosen from the past: emitted tokens,
counts of accepted ones, the batch. It is not lossless for a length chosen from the draft's own
tokens: when x is drawn from q and dropped because q(x) is small, the tokens that stay do not have
the distribution q that they are reported with, and likely tokens come too often. `depths` therefore
sees the `AcceptanceHistory` of finished cycles and nothing of a draft. (To stop *after* a token
because of its q is harmless, since it stays in the draft.) `tests/serve/test_pace.py` shows both by
enumeration, and the zoo keeps the biased one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass
class AcceptanceHistory:
    """What became of a request's drafts in finished cycles.

    Every cycle counts `fade` times as much as the one after it. Without new counts the estimate
    returns to the start value, so that a request whose depth became 0 is tried again.
    """

    start: float = 0.7  # estimate before any cycle
    weight: float = 4.0  # judged tokens that it counts as
    fade: float = 0.95
    kept: float = 0.0
    judged: float = 0.0

    @property
    def alpha(self) -> float:
        """The chance that one more draft token is kept."""
        return (self.start * self.weight + self.kept) / (self.weight + self.judged)

    def add(self, drafted: int, accepted: int) -> None:
        """Count one finished cycle. Tokens behind the first rejected one were not judged."""
        self.kept = self.fade * self.kept + accepted
        self.judged = self.fade * self.judged + accepted + (accepted < drafted)


@dataclass(frozen=True)
class DepthPolicy:
    """Chooses draft depths for a batch.

    Args:
        forward: rows and tokens of the target's forward -> its time, in any unit. draft: rows ->
            time of one draft step.
    """

    forward: Callable[[int, int], float]
    draft: Callable[[int], float] = lambda rows: 0.0

    def depths(self, histories: Mapping[int, AcceptanceHistory], most: int) -> dict[int, int]:
        """The depths with the most expected tokens of the whole batch per time.

        Token i of a row is accepted with probability alpha^i. Tokens are added in the order of that
        probability, over all rows. The time is that of one forward over all tokens and of one draft
        step for every level.

        Args:
            histories: by row. most: the largest depth.
        Returns:
            row -> depth.
        """
        if not histories:
            return {}
        candidates = []
        for row, history in histories.items():
            for depth in range(1, most + 1):
                candidates.append((-(history.alpha**depth), depth, row))
        rows = len(histories)
        depths = dict.fromkeys(histories, 0)
        drafting = [0] * (most + 1)  # rows that draft at each level
        expected = float(rows)  # tokens: the target's own, one a row
        best, fastest = dict(depths), rows / self.forward(rows, rows)
        for tokens, (lost, depth, row) in enumerate(sorted(candidates), rows + 1):
            depths[row] = depth
            drafting[depth] += 1
            expected -= lost
            time = self.forward(rows, tokens)
            time += sum(self.draft(count) for count in drafting if count)
            if expected / time > fastest:
                fastest, best = expected / time, dict(depths)
        return best
