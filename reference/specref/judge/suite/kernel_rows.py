"""Are a kernel's rows, calls and batches independent of each other?"""

from collections.abc import Iterator
from typing import cast

from .. import cases
from ..contract import Kernel
from ..kernel.pairs import NEXT_CALL, SAME_CALL, PairBets
from ..session import Session
from ..verdict import Outcome, Verdict
from . import check
from .kernel_group import Group
from .kernel_stream import SampleStream

# Draft tokens that are nearly equal: 1 in 30,000 is rejected, of three cases one. So many in a row.
NEAR, NEAR_TOKENS = 300_000, 12


def _alike() -> list[Group]:
    """An empty draft, drafts of one token and of four, and one without its q. The residual has two
    tokens, so that a last coin shows in the first token."""
    cyclic = {"cyclic": cases.CHAINS["cyclic"]}
    return [
        Group("empty", cases.turned(0, 2, {"opposed": cases.TWOS["opposed"]})),
        Group("drawn", cases.turned(1, 3, cyclic)),
        Group("four", cases.turned(4, 3, cyclic)),
        Group("certain", cases.turned(1, 3, cyclic), certain=True),
    ]


def _one_draft(count: int, kept: int) -> Group:
    """Draft tokens that cannot be others: each is kept as its coin falls, in `kept` of kept + 1,
    and the other one replaces it.
    """
    return Group(f"one draft of {count}", cases.turned(count, 2, {"certain": ((kept, 1), (1, 0))}))


SHARED_ROWS = "rows of one batch share coins, or the distribution of each is off"
SHARED_CALLS = "calls with different seeds share coins, or the distribution of each is off"


def apart(bets: PairBets, session: Session, kind: int) -> Iterator[Verdict]:
    """Bet until a part of the rows that is small enough would have been found to share their coins:
    within a call (kind SAME_CALL), or with the next call."""
    told = SHARED_ROWS if kind == SAME_CALL else SHARED_CALLS
    while True:
        bets.advance()
        if bets.rejected:
            yield _dependent(bets, kind, told)
            return
        share, begun = bets.least_share(kind), bets.begun  # others go on with the same bets
        yield Verdict(
            "PASS" if begun else "INCONCLUSIVE",
            "e-process",
            f"{bets.calls} calls, at every distance in rows, places, calls and seeds",
            n=bets.rows,
            alpha=bets.alpha,
            mde=share if bets.seeds_begun else None,
        )
        if begun and share <= session.goal:
            return


def _dependent(bets: PairBets, kind: int, told: str) -> Verdict:
    """The failure, where it is of this kind."""
    culprit, words = bets.culprit()
    mine = (culprit == SAME_CALL) == (kind == SAME_CALL)
    return Verdict(
        "FAIL" if mine else "INCONCLUSIVE",
        "e-process",
        f"{told}: {words}" if mine else f"not asked to the end: {words}",
        n=bets.rows,
        alpha=bets.alpha,
        mde=bets.least_share(kind),
    )


def _found(kernel: Kernel, session: Session) -> PairBets:
    def made() -> PairBets:
        groups = [*_alike(), _one_draft(12, 10), _one_draft(4, 3)]
        return PairBets(kernel, session, groups, session.alpha())

    return cast(PairBets, session.once("kernel.alike", made))


@check("kernel.independence", distribution=True, statistical=True, alone=True, needs=("verify",))
def independence(kernel: Kernel, session: Session) -> Iterator[Verdict]:
    """Do the rows of one batch have coins of their own?

    Equal rows, with drafts drawn for each: under any lossless rule each token of a row, continued
    by the target, is independent of every other row's. One test by betting on the products of two
    tokens' scores looks at every distance in rows and places at once. The MDE is the part of the
    rows whose coins are those of the row beside them.
    """
    yield from apart(_found(kernel, session), session, SAME_CALL)


@check("kernel.seeds", distribution=True, statistical=True, alone=True, needs=("verify",))
def seeds(kernel: Kernel, session: Session) -> Iterator[Verdict]:
    """Does another seed give other coins, also the seed that comes next?

    The same test, over calls whose seeds follow each other: no token may depend on one of the next
    call, at any distance in rows and places. Seeds made of seed + row or of seed + place fail here.
    Calls of 512 rows are held against those one to 64 seeds later, and 18 larger distances that the
    number of a row may be multiplied by. The MDE is the part of the rows whose coins come again in
    the next call.
    """
    yield from apart(_found(kernel, session), session, NEXT_CALL)


@check("kernel.near-equal", needs=("verify",))
def near_equal(kernel: Kernel, session: Session) -> Iterator[Verdict]:
    """Does a step survive a draft that is the target up to rounding?

    q is larger than p by 9e-5 everywhere, as a distribution of half precision may be: now and then
    a token is rejected, and nothing is left of p - q. Dividing by that nothing gives NaN, a crash
    or an id from nowhere.
    """
    yield from near(kernel, session, Group("near-equal", cases.off_by_rounding(NEAR_TOKENS)))


def near(kernel: Kernel, session: Session, group: Group) -> Iterator[Verdict]:
    """Draft tokens enough that some are rejected."""
    found, enough = SampleStream(kernel, session, {group.name: group}), NEAR // group.K
    while group.drawn < enough:
        found.more([group.name])
        if group.wrong:
            yield Verdict("FAIL", what=group.wrong, n=group.drawn)
            return
        outcome: Outcome = "PASS" if group.drawn >= enough else "INCONCLUSIVE"
        yield Verdict(outcome, what=f"{group.drawn:,} rows", n=group.drawn)
