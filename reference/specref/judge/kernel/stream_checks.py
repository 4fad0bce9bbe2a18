"""The test by betting over rows that differ: one stream, one alpha, every surrounding."""

from collections.abc import Iterator, Sequence

from ..contract import Kernel, TreeKernel
from ..load import has
from ..session import Session
from ..suite import check
from ..verdict import Reach, Verdict
from .questions import KERNEL_FAULTS
from .reach import ReachSums
from .stream import MixedStream

NARROW = 10
SCENARIOS_EACH = 16  # of a slice
MEAN_ROWS = 80  # of a scenario's calls
SLICE_ROWS = 8  # of a slow kernel's slice, in calls of as many rows as it may have


@check(
    "kernel.token-bets",
    since="0.2",
    distribution=True,
    statistical=True,
    needs=(),
    slow=True,
)
def token_bets(kernel: Kernel | TreeKernel, session: Session) -> Iterator[Verdict]:
    """Has every token the target's distribution, wherever it stands?

    One test by betting over batches whose rows all differ, drafts and trees, each answer continued
    by the target to full depth: does a token of some rank come too often, do answers lean to the
    draft, to likely tokens or to large ids, for one pair of distributions, at one place, in one row
    of the batch, at its edge, in batches of one size, at one vocabulary of which few or all tokens
    are possible, with one layout, in trees? A PASS says what it would have found, class by class.
    Ends when a lean would have been found at a TV of .005, and a bias by ranks, for each p and q,
    at a TV of .02.
    """
    if not any(has(kernel, method) for method in ("verify", "verify_tree")):
        yield Verdict("UNSUPPORTED", "none", "the engine has neither verify nor verify_tree")
        return
    alpha = session.alpha()
    stream = MixedStream(kernel, session, alpha)
    trees = has(kernel, "verify_tree")
    faults = {one: said for one, said in KERNEL_FAULTS.items() if trees or one.context != "tree"}
    reach = ReachSums(stream.bettor, faults)
    scenarios = SCENARIOS_EACH
    if session.most_rows is not None:
        most = SLICE_ROWS * session.most_rows // MEAN_ROWS
        scenarios = max(1, min(SCENARIOS_EACH, most))
    while True:
        call = stream.draw(scenarios)
        if call is None:
            yield Verdict("FAIL", what=stream.wrong, case=str(stream.shown_in), n=stream.rows)
            return
        reach.add(call)
        found = reach.sizes_found()
        if stream.bettor.rejected:
            yield _failed(stream, alpha, found)
            return
        yield Verdict(
            "PASS",
            "e-process",
            f"{stream.bettor.n:,} tokens bet on, in {stream.rows:,} rows of {stream.calls} batches",
            n=stream.rows,
            alpha=alpha,
            reach=found,
        )
        if _enough(found, session):
            return


def _enough(found: Sequence[Reach], session: Session) -> bool:
    """Whether the test may end: a lean on every token is found at the goal, a bias at that of slow
    draws, and what acts in few tokens at NARROW times as much as a lean."""
    narrow = [NARROW * session.goal] * (len(found) - 2)
    wanted = (session.goal, session.slow_goal, *narrow)
    return all((one.tv or 1) <= most for one, most in zip(found, wanted, strict=True))


def _failed(stream: MixedStream, alpha: float, found: tuple[Reach, ...]) -> Verdict:
    first, *others = stream.bettor.winners()
    more = "".join(f"; {one.words}" for one in others)
    return Verdict(
        "FAIL",
        "e-process",
        first.words + more,
        n=stream.rows,
        alpha=alpha,
        reach=found,
    )
