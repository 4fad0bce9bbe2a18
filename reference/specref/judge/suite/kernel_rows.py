"""Are a kernel's rows, calls and batches independent of each other?"""

from collections.abc import Collection, Iterator, Sequence
from typing import cast

from ...stats.sequential import OneSample
from .. import cases
from ..contract import Kernel
from ..kernel.pairs import NEXT_CALL, SAME_CALL, PairBets
from ..session import Session
from ..verdict import Outcome, Verdict
from . import check
from .kernel_distribution import detectable
from .kernel_group import Group
from .kernel_stream import SampleStream

CALLS = 200  # of single rows in one slice; sizes that take turns get their parts
# Draft tokens that are nearly equal: 1 in 30,000 is rejected, of three cases one. So many in a row.
NEAR, NEAR_TOKENS = 300_000, 12
# each in turn
SMALL = {"1 row": (1,), "2 to 8 rows": (2, 3, 4, 5, 8), "16 to 100 rows": (16, 31, 32, 33, 64, 100)}


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


def _one_draft() -> Group:
    """Four draft tokens that cannot be others: each is kept as its coin falls, and the other one
    replaces it.
    """
    return Group("one draft", cases.turned(4, 2, {"certain": ((3, 1), (1, 0))}))


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


def _passed(tests: Collection[OneSample], plan: float, what: str) -> Verdict:
    """The least power of all tests, and the distance that is oddest."""
    odd = max(tests, key=lambda test: test.latest)
    tv, low, high = odd.region(0.95)
    mde = max(detectable(test.n, test.cells, test.alpha, plan) for test in tests)
    return Verdict(
        "PASS",
        "e-process",
        what,
        n=sum(test.n for test in tests),
        alpha=odd.alpha,
        mde=mde,
        tv=tv,
        interval=(low, high),
    )


def _found(kernel: Kernel, session: Session) -> PairBets:
    def made() -> PairBets:
        return PairBets(kernel, session, [*_alike(), _one_draft()], session.alpha())

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


@check(
    "kernel.small-batches",
    distribution=True,
    statistical=True,
    alone=True,
    needs=("verify",),
    slow=True,
)
def small_batches(kernel: Kernel, session: Session) -> Iterator[Verdict]:
    """Is the distribution kept in batches of one row, of a few and of some tens?

    A batch of one often takes a path of its own, and so do batches below a block's size. Batches of
    2 to 8 rows take turns in one test, and those of 16 to 100: a size that is off alone counts for
    its part of the rows. Every call yields few, so the tests end at a TV of .02.
    """
    tables = cases.turned(1, 2, {"opposed": cases.TWOS["opposed"]})
    yield from small(kernel, session, [Group(f"batches of {name}", tables) for name in SMALL])


def small(kernel: Kernel, session: Session, groups: Sequence[Group]) -> Iterator[Verdict]:
    """Batches of each of SMALL, a group for one, until every test would have seen a TV of .02."""
    sizes = [*SMALL.values()]
    alpha = session.alpha(len(groups))
    goal = session.slow_goal
    tests = [OneSample(group.target[0], alpha, [group.followed[0]], goal) for group in groups]
    begun = dict.fromkeys(range(len(groups)), 0)  # slices
    while True:
        # the one that has seen least
        which = max(begun, key=lambda i: detectable(tests[i].n, tests[i].cells, alpha, goal))
        group, test = groups[which], tests[which]
        _in_batches(kernel, session, group, sizes[which], begun[which])
        begun[which] += 1
        if group.wrong:
            yield Verdict(
                "FAIL",
                what=f"in {group.name}: {group.wrong}",
                case=group.label(0),
                n=test.n + int(group.fresh.accepted.sum()),
            )
            return
        off = test.update(group.fresh.counts[0])
        group.fresh = group.empty()
        if off:
            tv, low, high = test.region(0.95)
            yield Verdict(
                "FAIL",
                "e-process",
                f"the distribution is off in {group.name}",
                group.label(0),
                test.n,
                alpha,
                detectable(test.n, test.cells, alpha, goal),
                tv,
                (low, high),
            )
            return
        if not all(begun.values()):
            continue
        said = _passed(tests, goal, ", ".join(group.name for group in groups))
        yield said
        if said.mde <= goal:  # type: ignore[operator]
            return


def _in_batches(
    kernel: Kernel, session: Session, group: Group, sizes: Sequence[int], number: int
) -> None:
    """Rows of equal distribution in calls of each of the sizes."""
    generator = session.generator("small batches", group.name, number)
    seed = session.seed_for("small batches", group.name, number) // 2
    calls = max(1, CALLS // len(sizes))
    if session.most_rows is not None:
        calls = min(calls, max(1, 2 * session.most_rows // sum(sizes)))
    for i, size in enumerate(map(session.fit, sizes)):
        rows = group.rows(calls * size, generator)
        group.take(rows, group.ask(kernel, session, rows, seed + i * calls, size), generator)


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
