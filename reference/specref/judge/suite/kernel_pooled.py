"""Small leanings of all cases together, drafts accepted too often, and what one draw is enough to
see.
"""

from collections.abc import Iterator, Sequence

import torch

from ...stats.pooled import AtMost, Leaning
from ..contract import Kernel
from ..session import Session
from ..verdict import Verdict
from . import check
from .kernel_distribution import draws, within
from .kernel_group import Group, Slice
from .kernel_stream import StreamReader, watched

POOLED = ("pairs", "chains", "threes")


@check("kernel.directed", distribution=True, statistical=True, alone=True, needs=("verify",))
def directed(kernel: Kernel, session: Session) -> Iterator[Verdict]:
    """Do first tokens lean towards the draft, or away from it, over all cases together?

    One e-process bets on (1 - w) p + w q in every case at once: most mistakes move the target's
    distribution towards the draft's, and small ones add up. Blind to what moves the distribution at
    right angles to q - p.
    """
    found = draws(kernel, session)
    tests = [
        (
            group,
            Leaning(
                within(group, group.target, (0, 1)),
                within(group, group.followed, (0, 1)),
                session.alpha(len(POOLED)),
            ),
        )
        for group in map(found.groups.__getitem__, POOLED)
    ]
    reader = StreamReader(found, POOLED)
    while any(t.mde > session.goal for _, t in tests):
        fresh, part = reader.next([group.name for group, t in tests if t.mde > session.goal])
        for group, test in tests:
            if group is fresh:
                test.update(within(group, part.counts, (0, 1)))
        off = next((test for _, test in tests if test.rejected), None)
        worst = max((test for _, test in tests if test.n), key=lambda t: t.mde)
        shown = off or worst
        reached = all(test.n for _, test in tests)
        what = (
            f"the distribution that fits best is {shown.lean:+.2g} of the way from the target to"
            " the draft"
        )
        yield Verdict(
            "FAIL" if off else "PASS" if reached else "INCONCLUSIVE",
            "e-process",
            (
                (
                    "tokens that your draft likes come out too "
                    + ("often: " if shown.lean > 0 else "seldom: ")
                    + what
                )
                if off
                else what
            ),
            n=sum(t.n for _, t in tests),
            alpha=shown.alpha,
            mde=worst.mde,
        )
        if off:
            return


@check("kernel.accepted", distribution=True, statistical=True, alone=True, needs=("verify",))
def accepted(kernel: Kernel, session: Session) -> Iterator[Verdict]:
    """Are drafts accepted no more often than any lossless rule can?

    i tokens are accepted with probability sum min(p, q) over texts of i tokens at most, whatever
    the rule: more, and the emitted tokens cannot have the target's distribution. Accepting less is
    slower, not wrong; how the kernel compares with the ratio rule is told beside. The MDE is one of
    the probability.
    """
    found = draws(kernel, session)
    places = [
        (g, case, i)
        for g in map(found.groups.__getitem__, POOLED)
        for case in range(g.cases)
        for i in range(1, g.K + 1)
    ]
    alpha = session.alpha(len(places))
    tests = [(g, case, i, AtMost(coupling(g, case, i), alpha)) for g, case, i in places]
    reader = StreamReader(found, POOLED)
    while behind := [g.name for g, _, _, t in tests if t.mde > session.goal]:
        fresh, part = reader.next(behind)
        _count(
            part, [entry for entry in tests if entry[0] is fresh and entry[3].mde > session.goal]
        )
        off = next((entry for entry in tests if entry[3].rejected), None)
        if off:
            g, case, i, test = off
            yield Verdict(
                "FAIL",
                "e-process",
                f"accepts {i} draft token{'s' * (i > 1)} with probability {test.hits / test.n:.3f},"
                f" and no lossless rule can with more than {test.bound:.3f}",
                g.label(case),
                test.n,
                test.alpha,
                test.mde,
                test.hits / test.n - test.bound,
            )
            return
        yield Verdict(
            "PASS" if all(reader.read.values()) else "INCONCLUSIVE",
            "e-process",
            _rates(found.groups["pairs"], reader.read["pairs"]),
            n=sum(t.n for _, _, i, t in tests if i == 1),
            alpha=alpha,
            mde=max(t.mde for *_, t in tests if t.n),
        )


def coupling(group: Group, case: int, i: int) -> float:
    """sum min(p, q) over texts of i tokens: no coupling of the two distributions agrees more
    often.
    """
    rest = group.V ** (group.K - i)
    p = group.target[case].view(-1, rest * group.V).sum(1)
    q = group.draft[case].view(-1, rest).sum(1)
    return float(torch.minimum(p, q).sum())


def _count(part: Slice, tests: Sequence[tuple[Group, int, int, AtMost]]) -> None:
    for _, case, i, test in tests:
        counts = part.accepted[case]
        test.update(int(counts[i:].sum()), int(counts.sum()))


def _rates(group: Group, read: int) -> str:
    counts = sum(
        (part.accepted for part in group.slices[:read]), torch.zeros(group.cases, group.K + 1)
    )
    rule = sum(coupling(group, case, 1) for case in range(group.cases)) / group.cases
    return (
        f"first draft tokens are accepted {float((counts[:, 1] / counts.sum(1)).mean()):.0%} of the"
        f" time, by the ratio rule {rule:.0%}"
    )


@check("kernel.support", needs=("verify",), concern="impossible tokens")
def support(kernel: Kernel, session: Session) -> Iterator[Verdict]:
    """Does no token come out to which the target gives probability zero?

    One is enough, whatever the number of draws. What happens once in ten million coins is seen only
    where the coins can be chosen (kernel.edges).
    """
    yield from watched(
        draws(kernel, session), ["impossible"], "no token of probability 0 in {n:,} rows"
    )


@check("kernel.prefix", needs=("verify",))
def prefix(kernel: Kernel, session: Session) -> Iterator[Verdict]:
    """Are all emitted tokens but the last one the beginning of the row's own draft?

    A row that gets another row's tokens, or a token that nobody drafted before the last place,
    shows here at once.
    """
    yield from watched(
        draws(kernel, session), ["stray"], "all tokens but the last are the draft's, in {n:,} rows"
    )
