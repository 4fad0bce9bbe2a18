"""Does a kernel keep the target's law? Sequential tests on one set of draws, each with its share of the false alarms."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import torch
from torch import Tensor

from ...law import power
from ...law.pooled import AtMost, Leaning
from ...law.sequential import OneSample
from .. import cases
from ..contract import Kernel
from ..session import Session
from ..verdict import Picture, Verdict
from . import check
from .kernel_cause import cause, lean
from .kernel_draws import Draws, Group, Reader, Slice

WIDEST = 32  # cells of a joint law; longer texts are looked at window by window
PAIRS = ("opposed", "peaked target", "zeros", "peaked draft", "disjoint", "zero draft", "ties", "certain target",
         "certain draft", "cyclic", "close")
DISAGREE = ("pairs", "chains", "threes", "sixteen", "five", "eight", "sixty-four")
EQUAL = ("equal pairs", "equal chains", "none", "rare")
CERTAIN = ("certain pairs", "certain chains")


def groups() -> dict[str, Group]:
    return {group.name: group for group in (
        Group("pairs", cases.chosen(PAIRS)),
        Group("chains", cases.joined(cases.turned(2, 3, {k: cases.CHAINS[k] for k in ("opposed", "zeros")}),
                                     cases.weighed())),
        Group("threes", cases.turned(3, 2, cases.TWOS)),
        Group("sixteen", cases.chosen(("close of 16",))),
        Group("five", cases.turned(5, 2, {"opposed": cases.TWOS["opposed"]})),
        Group("eight", cases.turned(8, 2, {"likely": cases.TWOS["likely"]})),
        Group("sixty-four", cases.wide(64)),
        Group("equal pairs", cases.chosen(("equal",))),
        Group("equal chains", cases.turned(2, 3, {"opposed": cases.CHAINS["opposed"]}, equal=True)),
        Group("none", cases.turned(0, 4, {k: cases.PAIRS[k] for k in ("opposed", "zeros")})),
        Group("rare", cases.turned(0, 16, {"many rare": cases.RARE})),
        Group("certain pairs", cases.chosen(("opposed", "zeros", "peaked draft")), certain=True),
        Group("certain chains", cases.turned(2, 3, {"zeros": cases.CHAINS["zeros"]}), certain=True))}


def draws(kernel: Kernel, session: Session) -> Draws:
    return cast(Draws, session.once("kernel.draws", lambda: Draws(kernel, session, groups())))


@lru_cache(maxsize=4096)
def _mde(n: int, cells: int, alpha: float, plan: float) -> float:
    return power.mde(n, cells, alpha, plan=plan)


def detectable(n: int, cells: int, alpha: float, plan: float) -> float:
    """`power.mde` of n to two digits, from below."""
    unit = 10 ** max(len(str(n)) - 2, 0)
    return _mde(n // unit * unit, cells, alpha, plan)


def windows(group: Group) -> list[tuple[int, int]]:
    """Runs of tokens (first, behind the last) whose joint law is looked at as one."""
    width = 1
    while group.V ** (width + 1) <= WIDEST and width < group.K + 1:
        width += 1
    return [(i, min(i + width, group.K + 1)) for i in range(0, group.K + 1, width)]


def within(group: Group, leaves: Tensor, window: tuple[int, int]) -> Tensor:
    """Over K + 1 tokens [..,V^(K+1)] -> over a window of them."""
    first, behind = window
    shape = (group.V**first, group.V ** (behind - first), group.V ** (group.K + 1 - behind))
    return leaves.unflatten(-1, shape).sum((-3, -1))


@dataclass
class LawTest:
    """One case's law of some of its tokens."""

    group: Group
    case: int
    window: tuple[int, int]
    test: OneSample
    read: int = 0  # slices

    def go_on(self, goal: float, until: int | None = None) -> bool:
        """Look at every slice, up to number `until`, until the goal is reached; whether the law is rejected."""
        until = len(self.group.slices) if until is None else until
        while self.read < until and not self.test.rejected and not (self.test.n and self.mde() <= goal):
            self.test.update(within(self.group, self.group.slices[self.read].counts[self.case], self.window))
            self.read += 1
        return self.test.rejected

    def mde(self) -> float:
        return detectable(self.test.n, self.test.cells, self.test.alpha, self.test.plan)


def law_tests(found: Draws, names: Sequence[str], session: Session,
              look: Callable[[Group], list[tuple[int, int]]], plan: float | None = None) -> list[LawTest]:
    places = [(group, case, window) for group in map(found.groups.__getitem__, names) for window in look(group)
              for case in range(group.cases)]
    alpha = session.alpha(len(places))
    return [LawTest(group, case, window, OneSample(within(group, group.target[case], window), alpha,
                                                   [within(group, group.followed[case], window)],
                                                   session.goal if plan is None else plan))
            for group, case, window in places]


def law(found: Draws, session: Session, names: Sequence[str], look: Callable[[Group], list[tuple[int, int]]]
        ) -> Iterator[Verdict]:
    """Draw and test until every case would have shown what matters, or one is off."""
    tests = law_tests(found, names, session, look)
    reader = Reader(found, names)
    def behind() -> list[str]:
        return [name for name in names if any(
            t.test.n == 0 or t.mde() > session.goal for t in tests if t.group.name == name)]

    while left := behind():
        group, _ = reader.next(left)
        for test in tests:
            if test.group is group and test.go_on(session.goal, reader.read[group.name]):
                yield failed(test)
                return
        if not reader.ready(behind()):
            yield passed(tests)


def passed(tests: Sequence[LawTest]) -> Verdict:
    begun = [t for t in tests if t.test.n]
    worst = max(begun, key=lambda t: t.mde())
    odd = max(begun, key=lambda t: t.test.log_e())
    tv, low, high = odd.test.region(0.95)
    missing = len({(t.group.name, t.case) for t in tests}) - len({(t.group.name, t.case) for t in begun})
    return Verdict("INCONCLUSIVE" if missing else "PASS", "e-process",
                   f"{len({(t.group.name, t.case) for t in begun})} cases" + f", {missing} not reached" * (missing > 0),
                   odd.group.label(odd.case), sum(t.test.n for t in begun if t.window[0] == 0), tests[0].test.alpha,
                   worst.mde(), tv, (low, high))


def failed(test: LawTest) -> Verdict:
    group, case, window = test.group, test.case, test.window
    expected, seen = test.test.p, test.test.counts[0] / test.test.n
    drafted = within(group, group.followed[case], window)
    tv, low, high = test.test.region(0.95)
    worst = int((seen - expected).abs().argmax())
    text = outcome(group, window, worst)
    place = "the first token" if window == (0, 1) else f"tokens {window[0] + 1} to {window[1]}" if \
        window[1] - window[0] > 1 else f"token {window[0] + 1}"
    what = (f"{place}: {text} comes out with probability {float(seen[worst]):.3f} instead of {float(expected[worst]):.3f}"
            f"{lean(expected, seen, drafted)}")
    order = (seen - expected).abs().argsort(descending=True)[:WIDEST].sort().values.tolist()
    picture = Picture(f"{place}, {group.label(case)}", tuple(outcome(group, window, i) for i in order),
                      tuple(expected[order].tolist()), tuple(seen[order].tolist()), tuple(drafted[order].tolist()))
    counts = torch.stack([s.counts[case] for s in group.slices[: test.read]]).sum(0)
    return Verdict("FAIL", "e-process", what, group.label(case), test.test.n, test.test.alpha, test.mde(), tv,
                   (low, high), (picture,), cause(group, case, counts))


def outcome(group: Group, window: tuple[int, int], number: int) -> str:
    tokens = []
    for _ in range(window[1] - window[0]):
        tokens.append(str(number % group.V))
        number //= group.V
    return " ".join(reversed(tokens))


def first(group: Group) -> list[tuple[int, int]]:
    return [(0, 1)]


@check("kernel.first-token", law=True, statistical=True, needs=("verify",))
def first_token(kernel: Kernel, session: Session) -> Iterator[Verdict]:
    """Does the first emitted token have the target's law?

    One e-process for each case: targets and drafts that are opposed, peaked either way, disjoint, tied, with zeros, close;
    2 to 64 tokens; 1 to 8 draft tokens. Most mistakes show here first. It cannot see what goes wrong from the second token
    on.
    """
    yield from law(draws(kernel, session), session, DISAGREE, first)


@check("kernel.joint", law=True, statistical=True, needs=("verify",))
def joint(kernel: Kernel, session: Session) -> Iterator[Verdict]:
    """Do all K + 1 tokens together have the target's law?

    What the kernel emits is continued by the target's own law to a fixed length, so nothing is conditioned on acceptance;
    the laws depend on every token before. Up to 32 outcomes are looked at as one law, longer texts window by window: what
    is wrong only across windows is missed.
    """
    yield from law(draws(kernel, session), session, DISAGREE, windows)


@check("kernel.bonus", law=True, statistical=True, needs=("verify",))
def bonus(kernel: Kernel, session: Session) -> Iterator[Verdict]:
    """Does the token after a fully accepted draft have the target's law?

    The draft is the target (or empty), so a ratio rule accepts everything and the last token is the bonus; a rule that
    accepts less shows its bonus less often.
    """
    yield from law(draws(kernel, session), session, EQUAL, windows)


@check("kernel.certain-draft", law=True, statistical=True, needs=("verify",))
def certain_draft(kernel: Kernel, session: Session) -> Iterator[Verdict]:
    """Is the law kept when the kernel is not told q (q = None: proposed with certainty)?

    The ratio is then p(x) and the residual p without x, whatever the draft came from.
    """
    yield from law(draws(kernel, session), session, CERTAIN, windows)


@check("kernel.directed", law=True, statistical=True, needs=("verify",))
def directed(kernel: Kernel, session: Session) -> Iterator[Verdict]:
    """Do first tokens lean towards the draft, or away from it, over all cases together?

    One e-process bets on (1 - w) p + w q in every case at once: most mistakes move the target's law towards the draft's, and
    small ones add up. Blind to what moves the law at right angles to q - p.
    """
    found = draws(kernel, session)
    names = ("pairs", "chains", "threes")
    tests = []
    for group in map(found.groups.__getitem__, names):
        tests.append((group, Leaning(within(group, group.target, (0, 1)), within(group, group.followed, (0, 1)),
                                     session.alpha(len(names)))))
    reader = Reader(found, names)
    while any(t.mde > session.goal for _, t in tests):
        fresh, part = reader.next([group.name for group, t in tests if t.mde > session.goal])
        for group, test in tests:
            if group is fresh:
                test.update(within(group, part.counts, (0, 1)))
        off = next((test for _, test in tests if test.rejected), None)
        worst = max((test for _, test in tests if test.n), key=lambda t: t.mde)
        shown = off or worst
        reached = all(test.n for _, test in tests)
        what = f"the law that fits best is {shown.lean:+.2g} of the way from the target to the draft"
        yield Verdict("FAIL" if off else "PASS" if reached else "INCONCLUSIVE", "e-process",
                      ("tokens that your draft likes come out too " + ("often: " if shown.lean > 0 else "seldom: ") + what)
                      if off else what, n=sum(t.n for _, t in tests), alpha=shown.alpha, mde=worst.mde)
        if off:
            return


@check("kernel.accepted", law=True, statistical=True, needs=("verify",))
def accepted(kernel: Kernel, session: Session) -> Iterator[Verdict]:
    """Are drafts accepted no more often than any lossless rule can?

    i tokens are accepted with probability sum min(p, q) over texts of i tokens at most, whatever the rule: more, and the
    emitted tokens cannot have the target's law. Accepting less is slower, not wrong; how the kernel compares with the ratio
    rule is told beside. The MDE is one of the probability.
    """
    found = draws(kernel, session)
    names = ("pairs", "chains", "threes")
    places = [(g, case, i) for g in map(found.groups.__getitem__, names) for case in range(g.cases)
              for i in range(1, g.K + 1)]
    tests = [(g, case, i, AtMost(coupling(g, case, i), session.alpha(len(places)))) for g, case, i in places]
    reader = Reader(found, names)
    while True:
        behind = [g.name for g, _, _, t in tests if t.mde > session.goal]
        if not behind:
            return
        fresh, part = reader.next(behind)
        _count(part, [entry for entry in tests if entry[0] is fresh and entry[3].mde > session.goal])
        off = next((entry for entry in tests if entry[3].rejected), None)
        if off:
            g, case, i, test = off
            yield Verdict("FAIL", "e-process", f"accepts {i} draft token{'s' * (i > 1)} with probability "
                          f"{test.hits / test.n:.3f}, and no lossless rule can with more than {test.bound:.3f}",
                          g.label(case), test.n, test.alpha, test.mde, test.hits / test.n - test.bound)
            return
        yield Verdict("PASS" if all(reader.read.values()) else "INCONCLUSIVE", "e-process",
                      _rates(found.groups["pairs"], reader.read["pairs"]), n=sum(t.n for _, _, i, t in tests if i == 1),
                      alpha=tests[0][3].alpha, mde=max(t.mde for g, _, _, t in tests if t.n))


def coupling(group: Group, case: int, i: int) -> float:
    """sum min(p, q) over texts of i tokens: no coupling of the two laws agrees more often."""
    rest = group.V ** (group.K - i)
    p = group.target[case].view(-1, rest * group.V).sum(1)
    q = group.draft[case].view(-1, rest).sum(1)
    return min(float(torch.minimum(p, q).sum()), 1.0)


def _count(part: Slice, tests: Sequence[tuple[Group, int, int, AtMost]]) -> None:
    for _, case, i, test in tests:
        if not test.rejected:
            counts = part.accepted[case]
            test.update(int(counts[i:].sum()), int(counts.sum()))


def _rates(group: Group, read: int) -> str:
    counts = sum((part.accepted for part in group.slices[:read]), torch.zeros(group.cases, group.K + 1, dtype=torch.float64))
    rule = sum(coupling(group, case, 1) for case in range(group.cases)) / group.cases
    return (f"first draft tokens are accepted {float((counts[:, 1] / counts.sum(1)).mean()):.0%} of the time, by the ratio "
            f"rule {rule:.0%}")


@check("kernel.support", needs=("verify",))
def support(kernel: Kernel, session: Session) -> Iterator[Verdict]:
    """Does no token come out to which the target gives probability zero?

    One is enough, whatever the number of draws. What happens once in ten million coins is seen only where the coins can be
    chosen (kernel.edges).
    """
    yield from _watched(kernel, session, "impossible", "no token of probability 0 in {n:,} rows")


@check("kernel.prefix", needs=("verify",))
def prefix(kernel: Kernel, session: Session) -> Iterator[Verdict]:
    """Are all emitted tokens but the last one the beginning of the row's own draft?

    A row that gets another row's tokens, or a token that nobody drafted before the last place, shows here at once.
    """
    yield from _watched(kernel, session, "stray", "all tokens but the last are the draft's, in {n:,} rows")


def _watched(kernel: Kernel, session: Session, what: str, good: str) -> Iterator[Verdict]:
    found = draws(kernel, session)
    names = (*DISAGREE, *EQUAL, *CERTAIN)
    seen = 0
    while True:
        waiting = [name for name in names if not found.groups[name].slices]
        if waiting:
            found.more(waiting[:1])
        drawn = sum(group.drawn for group in found.groups.values())
        bad = next((text for g in found.groups.values() if (text := str(getattr(g, what)))), "")
        if drawn == seen and not bad:
            return
        yield Verdict("FAIL" if bad else "INCONCLUSIVE" if waiting[1:] else "PASS", "deterministic",
                      bad or good.format(n=drawn), n=drawn, repro=session.reproduction() if bad else "")
        if bad:
            return
        seen = drawn
