"""Are a kernel's rows, calls and batches independent of each other?"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import cycle
from typing import cast

import torch
from torch import Tensor

from ...stats.sequential import OneSample
from .. import cases
from ..contract import Kernel
from ..session import Session
from ..verdict import Verdict
from . import check
from .kernel_distribution import detectable
from .kernel_group import Group
from .kernel_stream import SampleStream
from .shared_randomness import ROWS, copies

_MOST = 32  # pairs of calls in one turn
CALLS = 200  # of single rows in one slice; sizes that take turns get their parts
NEAR = 300_000  # rows that are nearly equal: 1 in 30,000 is rejected, of three cases one
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


_Pair = tuple[str, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]]
# Two calls with seeds s and s + 1 answer first tokens a and b, [B] each: what must be independent
# of what.
ROWS_APART: tuple[_Pair, ...] = (
    ("neighbours", lambda a, b: (torch.cat((a[:-1:2], b[:-1:2])), torch.cat((a[1::2], b[1::2])))),
    (
        "halves of a batch",
        lambda a, b: (
            torch.cat((a[: len(a) // 2], b[: len(a) // 2])),
            torch.cat((a[-(len(a) // 2) :], b[-(len(a) // 2) :])),
        ),
    ),
)
CALLS_APART: tuple[_Pair, ...] = (
    ("a row and itself in the next call", lambda a, b: (a, b)),
    ("a row and the one before it in the next call", lambda a, b: (a[1:], b[:-1])),
)
SHARED_ROWS = "rows of one batch share coins, or the distribution of each is off"
SHARED_CALLS = "calls with different seeds share coins, or the distribution of each is off"


@dataclass
class PairedCalls:
    """Pairs of calls on equal rows, which the checks of independence share: each is drawn when one
    first asks for it.
    """

    kernel: Kernel
    session: Session
    groups: Sequence[Group]
    seen: dict[tuple[str, int, int], dict[str, Tensor]] = field(default_factory=dict)

    def counts(self, group: Group, turn: int, number: int) -> dict[str, Tensor]:
        """How often each two first tokens come together [V^2], for every kind of pairs."""
        key = group.name, turn, number
        if key not in self.seen:
            rows = self.session.fit(ROWS)
            a, b = (said[:, 0] for said in self.ask(group, (turn, number), (rows, rows), (0, 1)))
            self.seen[key] = {
                name: torch.bincount(group.V * x + y, minlength=group.V**2)
                for name, split in (*ROWS_APART, *CALLS_APART)
                for x, y in (split(a, b),)
            }
        return self.seen[key]

    def ask(
        self, group: Group, number: object, sizes: Sequence[int], steps: Sequence[int]
    ) -> list[Tensor]:
        """What equal rows get [n,K+1] in calls of these sizes, whose seeds are so far on. number:
        for other draws.
        """
        generator = self.session.generator("alike", group.name, number)
        seed = self.session.seed_for("alike", group.name, number) // 2
        return [
            group.ask(self.kernel, self.session, group.rows(size, generator), seed + step)
            for size, step in zip(sizes, steps, strict=True)
        ]


def apart(
    found: PairedCalls,
    session: Session,
    pairs: tuple[_Pair, ...],
    told: str,
    also: Sequence[Group] = (),
) -> Iterator[Verdict]:
    """Equal rows with drafts of their own: whatever the rule, first tokens are p and p,
    independent. Rows of one draft are looked at for copies first."""
    calls = pairs is CALLS_APART
    for group in (*found.groups, *also):
        if (group.draft > 0).sum() == 1 and (
            said := copies(group, session, partial(found.ask, group, calls), calls)
        ):
            yield replace(said, what=f"{told}: {said.what}")
            return
    alpha = session.alpha(len(found.groups) * len(pairs))
    tests = {}
    for group in found.groups:
        p = group.target[0].view(group.V, -1).sum(1)
        for name, _ in pairs:
            tests[group.name, name] = OneSample(
                (p[:, None] * p).flatten(), alpha, [torch.diag(p).flatten()], session.goal
            )
    for turn, group in enumerate(cycle(found.groups), 1):
        for number in range(min(turn, _MOST)):
            counts = found.counts(group, turn, number)
            for name, _ in pairs:
                test = tests[group.name, name]
                if test.update(counts[name]):
                    tv, low, high = test.region(0.95)
                    same, right = (
                        float(t.view(group.V, -1).trace())
                        for t in (test.counts[0] / test.n, test.p)
                    )
                    yield Verdict(
                        "FAIL",
                        "e-process",
                        f"{told}: {name} get the same first token with probability "
                        f"{same:.3f} instead of {right:.3f}",
                        group.label(0),
                        test.n,
                        alpha,
                        detectable(test.n, test.cells, alpha, session.goal),
                        tv,
                        (low, high),
                    )
                    return
        if turn < len(found.groups):
            continue
        said = _passed(tests.values(), session.goal, f"{len(pairs)} kinds of pairs")
        yield said
        if said.mde <= session.goal:  # type: ignore[operator]
            return


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


def _found(kernel: Kernel, session: Session) -> PairedCalls:
    return cast(
        PairedCalls, session.once("kernel.alike", lambda: PairedCalls(kernel, session, _alike()))
    )


@check("kernel.independence", distribution=True, statistical=True, needs=("verify",))
def independence(kernel: Kernel, session: Session) -> Iterator[Verdict]:
    """Do the rows of one batch have coins of their own?

    Equal rows, with drafts drawn for each: the first tokens of two rows are independent under any
    lossless rule. Neighbours, and the two halves of a batch; rows at any distance up to 3,584,
    where all of their coins are the same; and rows up to 64 apart, where one's later coin is the
    other's first.
    """
    yield from apart(_found(kernel, session), session, ROWS_APART, SHARED_ROWS, [_one_draft()])


@check("kernel.seeds", distribution=True, statistical=True, needs=("verify",))
def seeds(kernel: Kernel, session: Session) -> Iterator[Verdict]:
    """Does another seed give other coins, also the seed that comes next?

    Two calls with seeds s and s + 1: a row and itself, and a row and the one before it, must be
    independent, and so must one's later coins and the other's first. Seeds made of seed + row or of
    seed + place fail here. In the next call no row may be a copy of one at up to 3,584 rows'
    distance; up to 64 seeds later, and at 18 larger distances that the number of a row may be
    multiplied by, of none at up to 512.
    """
    yield from apart(_found(kernel, session), session, CALLS_APART, SHARED_CALLS, [_one_draft()])


@check("kernel.small-batches", distribution=True, statistical=True, needs=("verify",), slow=True)
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
    yield from near(kernel, session, Group("near-equal", cases.off_by_rounding()))


def near(kernel: Kernel, session: Session, group: Group) -> Iterator[Verdict]:
    """Rows enough that some are rejected."""
    found = SampleStream(kernel, session, {group.name: group})
    while group.drawn < NEAR:
        found.more([group.name])
        said = group.wrong
        yield Verdict(
            "FAIL" if said else "INCONCLUSIVE" if group.drawn < NEAR else "PASS",
            what=said or f"{group.drawn:,} rows",
            n=group.drawn,
        )
        if said:
            return
