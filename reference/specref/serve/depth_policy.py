"""How deep to draft, request by request: as deep as it pays in this batch, and not at all where it
doesn't.

A request's own acceptance says how likely its next draft tokens are to be kept; the batch's cost
curve says what another token in the forward costs. A small batch leaves the machine idle while it
waits for weights, so that tokens are nearly free; a large one doesn't, and then every token that is
rejected costs as much as one that is kept.

Why this leaves the distribution alone. A cycle is lossless for every draft length that is fixed
before the draft is drawn (proof T4), and so for one chosen by anything that happened before:
emitted tokens, counts of accepted ones, the batch. It is not for one chosen by the draft's own
tokens. To draw x from q and drop it because q(x) is small leaves a draft whose tokens have another
distribution than the q they are reported with; likely tokens then come too often. So `depths` sees
`Track`s of finished cycles, and nothing of a draft. (To stop *after* a token because of it is
harmless: it stays in the draft.) `tests/serve/test_pace.py` shows both by enumeration, and the zoo
keeps the biased one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass
class AcceptanceHistory:
    """What became of a request's drafts in finished cycles. Old cycles count less, and all of them
    fade towards the start value, so that a request that was given up on is tried again."""

    start: float = 0.7  # acceptance before anything is known
    weight: float = 4.0  # how many judged tokens that is worth
    fade: float = 0.95
    kept: float = 0.0
    judged: float = 0.0

    @property
    def alpha(self) -> float:
        """The chance that one more draft token is kept."""
        return (self.start * self.weight + self.kept) / (self.weight + self.judged)

    def add(self, drafted: int, accepted: int) -> None:
        """One finished cycle. Only tokens up to the first rejected one were judged."""
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

    def depths(self, tracks: Mapping[int, AcceptanceHistory], most: int) -> dict[int, int]:
        """The depths, each at most `most`, with the largest expected number of tokens a time for
        the whole batch.

        Token i of a row is kept with probability alpha^i. Those most likely to be kept are taken
        first, over all rows, and
        as many as pay: tokens expected / (one forward over all of them, and a draft step for every
        level).
        """
        if not tracks:
            return {}
        likely = sorted(
            (-(track.alpha**depth), depth, row)
            for row, track in tracks.items()
            for depth in range(1, most + 1)
        )
        depths, rows_at = dict.fromkeys(tracks, 0), [0] * (most + 1)
        best, fastest = dict(depths), len(tracks) / self.forward(len(tracks), len(tracks))
        expected = float(len(tracks))
        for count, (lost, depth, row) in enumerate(likely, len(tracks) + 1):
            depths[row] = depth
            rows_at[depth] += 1
            expected -= lost
            time = self.forward(len(tracks), count) + sum(
                self.draft(rows) for rows in rows_at if rows
            )
            if expected / time > fastest:
                fastest, best = expected / time, dict(depths)
        return best
