"""Does a kernel keep the target's distribution? Sequential tests on one set of draws, each with its
share of the false alarms.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import torch
from torch import Tensor

from ...stats import power
from ...stats.sequential import OneSample
from .. import cases
from ..contract import Kernel
from ..session import Session
from ..verdict import Picture, Verdict
from . import check
from .kernel_diagnose import cause, lean
from .kernel_group import Group
from .kernel_stream import SampleStream, StreamReader

_WIDEST = 32  # cells of a joint distribution; longer texts are looked at window by window
_PAIRS = (
    "opposed",
    "peaked target",
    "zeros",
    "peaked draft",
    "disjoint",
    "zero draft",
    "ties",
    "certain target",
    "certain draft",
    "cyclic",
    "close",
)
DISAGREE = ("pairs", "chains", "threes", "sixteen", "five", "eight", "sixty-four")
EQUAL = ("equal pairs", "equal chains", "none", "rare")
CERTAIN = ("certain pairs", "certain chains")


def groups() -> dict[str, Group]:
    return {
        group.name: group
        for group in (
            Group("pairs", cases.chosen(_PAIRS)),
            Group(
                "chains",
                cases.joined(
                    cases.turned(2, 3, {k: cases.CHAINS[k] for k in ("opposed", "zeros")}),
                    cases.weighed(),
                ),
            ),
            Group("threes", cases.turned(3, 2, cases.TWOS)),
            Group("sixteen", cases.chosen(("close of 16",))),
            Group("five", cases.turned(5, 2, {"opposed": cases.TWOS["opposed"]})),
            Group("eight", cases.turned(8, 2, {"likely": cases.TWOS["likely"]})),
            Group("sixty-four", cases.wide(64)),
            Group("equal pairs", cases.chosen(("equal",))),
            Group(
                "equal chains", cases.turned(2, 3, {"opposed": cases.CHAINS["opposed"]}, equal=True)
            ),
            Group("none", cases.turned(0, 4, {k: cases.PAIRS[k] for k in ("opposed", "zeros")})),
            Group("rare", cases.turned(0, 16, {"many rare": cases.RARE})),
            Group(
                "certain pairs", cases.chosen(("opposed", "zeros", "peaked draft")), certain=True
            ),
            Group(
                "certain chains", cases.turned(2, 3, {"zeros": cases.CHAINS["zeros"]}), certain=True
            ),
        )
    }


def draws(kernel: Kernel, session: Session) -> SampleStream:
    return cast(
        SampleStream, session.once("kernel.draws", lambda: SampleStream(kernel, session, groups()))
    )


@lru_cache(maxsize=4096)
def _mde(n: int, cells: int, alpha: float, plan: float) -> float:
    return power.mde(n, cells, alpha, plan=plan)


def detectable(n: int, cells: int, alpha: float, plan: float) -> float:
    """`power.mde` of n to two digits, from below."""
    unit = 10 ** max(len(str(n)) - 2, 0)
    return _mde(n // unit * unit, cells, alpha, plan)


IN_BATCHES = "rows of one batch depend on each other: the same rows, asked one by one, pass"
MOST_ALONE = 8192  # rows, each in a call of its own
_DOUBTFUL = 1e-3  # rows that are right alone fail so often, and are then not said to be

# runs of tokens: (first, behind the last), or two of them one after the other
Window = tuple[int, ...]


def windows(group: Group) -> list[Window]:
    """Tokens whose joint distribution is looked at as one: runs, and of longer texts the first and
    the last ones together.
    """
    width, end = 1, group.K + 1
    while group.V ** (width + 1) <= _WIDEST:
        width += 1
    ends = [(0, width // 2, end - width + width // 2, end)] if 1 < width < end else []
    return [*((i, min(i + width, end)) for i in range(0, end, width)), *ends]


def places(window: Window) -> list[int]:
    return [*range(*window[:2]), *range(*window[2:] or (0,))]


def within(group: Group, leaves: Tensor, window: Window) -> Tensor:
    """Over K + 1 tokens [..,V^(K+1)] -> over a window of them."""
    kept = places(window)
    rest = [i - group.K - 1 for i in range(group.K + 1) if i not in kept]
    by_token = leaves.unflatten(-1, (group.V,) * (group.K + 1))
    return (by_token.sum(rest) if rest else by_token).flatten(-len(kept))


@dataclass
class DistributionTest:
    """One case's distribution of some of its tokens."""

    group: Group
    case: int
    window: Window
    test: OneSample
    read: int = 0  # slices

    def go_on(self, goal: float, until: int | None = None) -> bool:
        """Look at every slice, up to number `until`, until the goal is reached; whether the
        distribution is rejected.
        """
        until = len(self.group.slices) if until is None else until
        while self.read < until and not self.test.rejected and self.mde() > goal:
            self.test.update(
                within(self.group, self.group.slices[self.read].counts[self.case], self.window)
            )
            self.read += 1
        return self.test.rejected

    def mde(self) -> float:
        return detectable(self.test.n, self.test.cells, self.test.alpha, self.test.plan)


def distribution_tests(
    found: SampleStream,
    names: Sequence[str],
    session: Session,
    look: Callable[[Group], list[Window]],
    plan: float | None = None,
) -> list[DistributionTest]:
    places = [
        (group, case, window)
        for group in map(found.groups.__getitem__, names)
        for window in look(group)
        for case in range(group.cases)
    ]
    alpha = session.alpha(len(places))
    return [
        DistributionTest(
            group,
            case,
            window,
            OneSample(
                within(group, group.target[case], window),
                alpha,
                [within(group, group.followed[case], window)],
                session.goal if plan is None else plan,
            ),
        )
        for group, case, window in places
    ]


def distribution(
    found: SampleStream,
    session: Session,
    names: Sequence[str],
    look: Callable[[Group], list[Window]],
    goal: float | None = None,
    alone: bool = False,
) -> Iterator[Verdict]:
    """Draw and test until every case would have shown what matters (goal: the TV, session.goal
    without), or one is off.

    alone: no other check looks at these groups, so that a single wrong row of them has to be told
    here.
    """
    tests = distribution_tests(found, names, session, look, goal)
    goal = session.goal if goal is None else goal
    reader = StreamReader(found, names)

    def behind() -> list[str]:
        """The group whose tests have seen least, unless they have seen enough."""
        seen = {
            name: max(test.mde() for test in tests if test.group.name == name) for name in names
        }
        least = max(seen, key=seen.__getitem__)
        return [least] if seen[least] > goal else []

    while left := behind():
        group, _ = reader.next(left)
        if alone and group.wrong:
            yield Verdict("FAIL", what=group.wrong, n=group.drawn)
            return
        for test in tests:
            if test.group is group and test.go_on(goal, reader.read[group.name]):
                yield failed(test, passes_alone(test, found))
                return
        if not reader.ready(behind()):
            yield passed(tests)


def passed(tests: Sequence[DistributionTest]) -> Verdict:
    begun = sorted((t for t in tests if t.test.n), key=lambda t: t.test.n)
    worst = max(tests, key=lambda t: t.mde())
    odd = max(begun, key=lambda t: t.test.latest)
    tv, low, high = odd.test.region(0.95)
    missing = len({(t.group.name, t.case) for t in tests}) - len(
        {(t.group.name, t.case) for t in begun}
    )
    drawn = sum({(t.group.name, t.case): t.test.n for t in begun}.values())
    return Verdict(
        "INCONCLUSIVE" if missing else "PASS",
        "e-process",
        f"{len({(t.group.name, t.case) for t in begun})} cases"
        + f", {missing} not reached" * (missing > 0),
        odd.group.label(odd.case),
        drawn,
        odd.test.alpha,
        worst.mde(),
        tv,
        (low, high),
    )


def failed(test: DistributionTest, by_batch: bool = False) -> Verdict:
    """The failure. by_batch: rows that are asked one by one pass."""
    group, case, window = test.group, test.case, test.window
    expected, seen = test.test.p, test.test.counts[0] / test.test.n
    drafted = within(group, group.followed[case], window)
    tv, low, high = test.test.region(0.95)
    worst = int((seen - expected).abs().argmax())
    text = outcome(group, window, worst)
    place = named(window)
    what = (
        f"{place}: {text} comes out with probability {float(seen[worst]):.3f} instead of"
        f" {float(expected[worst]):.3f}{lean(expected, seen, drafted)}"
    )
    order = (seen - expected).abs().argsort(descending=True)[:_WIDEST].sort().values.tolist()
    picture = Picture(
        f"{place}, {group.label(case)}",
        tuple(outcome(group, window, i) for i in order),
        tuple(expected[order].tolist()),
        tuple(seen[order].tolist()),
        tuple(drafted[order].tolist()),
    )
    counts = torch.stack([s.counts[case] for s in group.slices[: test.read]]).sum(0)
    return Verdict(
        "FAIL",
        "e-process",
        what,
        group.label(case),
        test.test.n,
        test.test.alpha,
        test.mde(),
        tv,
        (low, high),
        (picture,),
        IN_BATCHES if by_batch else cause(group, case, counts),
        scenario=f"{group.label(case)}, many rows in a call; passes row by row" if by_batch else "",
    )


def passes_alone(test: DistributionTest, found: SampleStream) -> bool:
    """Whether twice as many rows of the case pass where each is asked in a call of its own. Not
    asked where that takes long."""
    group, session, n = test.group, found.session, math.ceil(2 * test.test.n)
    if n > MOST_ALONE or session.most_rows is not None:
        return False
    generator = session.generator("alone", group.name, test.case)
    rows = torch.empty(0, dtype=torch.int64)
    while len(rows) < n:
        more = group.rows(n * group.cases, generator)
        rows = torch.cat((rows, more[more // group.drafts == test.case]))
    seed = session.seed_for("alone", group.name, test.case) // 2
    group.fresh = group.empty()
    group.take(rows[:n], group.ask(found.kernel, session, rows[:n], seed, 1), generator)
    counts = within(group, group.fresh.counts[test.case], test.window)
    group.fresh = group.empty()
    followed = within(group, group.followed[test.case], test.window)
    return not OneSample(test.test.p, _DOUBTFUL, [followed], test.test.plan).update(counts)


def named(window: Window) -> str:
    """A window in words."""
    if window == (0, 1):
        return "the first token"
    runs = [
        f"{begin + 1} to {behind}" if behind - begin > 1 else f"{begin + 1}"
        for begin, behind in zip(window[::2], window[1::2])
    ]
    return f"token{'s' * (len(places(window)) > 1)} {' and '.join(runs)}"


def outcome(group: Group, window: Window, number: int) -> str:
    tokens = []
    for _ in places(window):
        tokens.append(str(number % group.V))
        number //= group.V
    return " ".join(reversed(tokens))


def first(group: Group) -> list[Window]:
    return [(0, 1)]


@check("kernel.first-token", distribution=True, statistical=True, alone=True, needs=("verify",))
def first_token(kernel: Kernel, session: Session) -> Iterator[Verdict]:
    """Does the first emitted token have the target's distribution?

    One e-process for each case: targets and drafts that are opposed, peaked either way, disjoint,
    tied, with zeros, close; 2 to 64 tokens; 1 to 8 draft tokens. Most mistakes show here first. It
    cannot see what goes wrong from the second token on.
    """
    yield from distribution(draws(kernel, session), session, DISAGREE, first)


@check("kernel.joint", distribution=True, statistical=True, alone=True, needs=("verify",))
def joint(kernel: Kernel, session: Session) -> Iterator[Verdict]:
    """Do all K + 1 tokens together have the target's distribution?

    What the kernel emits is continued by the target's own distribution to a fixed length, so
    nothing is conditioned on acceptance; the distributions depend on every token before. Up to 32
    outcomes are looked at as one distribution, longer texts window by window, and the
    first tokens with the last ones: what is wrong only across other windows is missed.
    """
    yield from distribution(draws(kernel, session), session, DISAGREE, windows)


@check("kernel.bonus", distribution=True, statistical=True, alone=True, needs=("verify",))
def bonus(kernel: Kernel, session: Session) -> Iterator[Verdict]:
    """Does the token after a fully accepted draft have the target's distribution?

    The draft is the target (or empty), so a ratio rule accepts everything and the last token is the
    bonus; a rule that accepts less shows its bonus less often.
    """
    yield from distribution(draws(kernel, session), session, EQUAL, windows)


@check("kernel.certain-draft", distribution=True, statistical=True, alone=True, needs=("verify",))
def certain_draft(kernel: Kernel, session: Session) -> Iterator[Verdict]:
    """Is the distribution kept when the kernel is not told q (q = None: proposed with certainty)?

    The ratio is then p(x) and the residual p without x, whatever the draft came from.
    """
    yield from distribution(draws(kernel, session), session, CERTAIN, windows)
