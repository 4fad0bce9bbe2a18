"""Is the distribution of a kernel exactly the target's, where the judge may choose its coins, and
at the ends of the coins too?
"""

from collections.abc import Iterator
from itertools import product

import torch
from torch import Tensor

from .. import cases
from ..contract import InjectableKernel
from ..session import MisbehavedError, Session
from ..verdict import Picture, Verdict
from . import check
from .kernel_cells import Cube, NoCellsError, ask, exact_distributions
from .kernel_diagnose import lean, same
from .kernel_distribution import draws, outcome
from .kernel_group import Group, far_apart

KNOWN, _OFF = 1e-6, 1e-5  # TV: what the bisection leaves open, what is a failure
GROUPS = ("pairs", "chains", "threes", "equal chains", "none", "certain pairs", "certain chains")


@check("kernel.exact-law", distribution=True, needs=("verify_with",))
def exact_distribution(kernel: InjectableKernel, session: Session) -> Iterator[Verdict]:
    """Is the distribution exactly the target's, over all uniforms?

    No sampling: for every draft the uniforms fall into boxes of one answer, whose walls are found
    by bisection; so the distribution is known to 1e-6, and off by more than 1e-5 is a failure
    (float32 rounding stays below). An answer whose walls are not those of boxes is told as
    INCONCLUSIVE, and a kernel that is too slow for so many calls is judged by sampling alone. What
    the kernel does with coins of its own making is left to the other checks.
    """
    if session.most_rows is not None:
        yield Verdict("UNSUPPORTED", "none", "too slow for bisection: judged by sampling alone")
        return
    count = 0
    seen: list[tuple[float, str]] = []  # TV and name of every case
    known = draws(kernel, session).groups
    for name in GROUPS:
        group = known[name]
        rows = group.rows(64, session.generator("twice", name))
        u = torch.rand(
            64, group.K + 1, dtype=torch.float64, generator=session.generator("coins", name)
        )
        if not torch.equal(
            ask(kernel, session, group, rows, u), ask(kernel, session, group, rows, u)
        ):
            raise MisbehavedError(
                "verify_with gives another answer for the same uniforms: it must draw no coin of"
                " its own"
            )
        try:
            distributions, boxes = exact_distributions(Cube(kernel, session, group))
        except NoCellsError as error:
            yield Verdict("INCONCLUSIVE", "exact", f"judged by sampling alone: {error}", n=count)
            return
        count += boxes
        for case, distribution in enumerate(distributions):
            tv = float((distribution - group.target[case]).abs().sum()) / 2
            seen.append((tv, group.label(case)))
            if not tv <= _OFF:
                yield _off(group, case, distribution, tv, count)
                return
        worst, at = max(seen)
        yield Verdict(
            "PASS" if name == GROUPS[-1] else "INCONCLUSIVE",
            "exact",
            f"{len(seen)} cases, {count:,} boxes",
            at,
            count,
            tv=worst,
            interval=(max(worst - KNOWN, 0.0), worst + KNOWN),
        )


def _off(group: Group, case: int, distribution: Tensor, tv: float, count: int) -> Verdict:
    expected, drafted = group.target[case], group.followed[case]
    worst = int((distribution - expected).abs().argmax())
    window = (0, group.K + 1)
    picture = Picture(
        f"all tokens, {group.label(case)}",
        tuple(outcome(group, window, i) for i in range(group.leaves)),
        tuple(expected.tolist()),
        tuple(distribution.tolist()),
        tuple(drafted.tolist()),
    )
    what = (
        f"{outcome(group, window, worst)} comes out with probability"
        f" {float(distribution[worst]):.6f} instead of"
        f" {float(expected[worst]):.6f}{lean(expected, distribution, drafted)}"
    )
    return Verdict(
        "FAIL",
        "exact",
        what,
        group.label(case),
        count,
        tv=tv,
        interval=(max(tv - KNOWN, 0.0), tv + KNOWN),
        pictures=(picture,),
        cause=same(group, case, distribution),
    )


_ENDS = {
    torch.float32: (0.0, 0.5, 1 - 2.0**-24),
    torch.float64: (0.0, 0.5, 1 - 2.0**-24, 1 - 2.0**-53),
}


@check("kernel.edges", needs=("verify_with",), concern="impossible tokens")
def edges(kernel: InjectableKernel, session: Session) -> Iterator[Verdict]:
    """Does no token of probability zero come out at u = 0 and at the largest u below 1, in every
    coin and the last draw?

    Every combination of 0, .5, 1 - 2^-24 and (in float64) 1 - 2^-53, for every draft of every case,
    small vocabularies and one of 8,193 with a tail of zeros. Once in ten million coins is often, in
    a server.
    """
    known = draws(kernel, session).groups
    wide = Group(
        "8,193 tokens", cases.chosen(("reversed of 8",)), size=8193, ids=far_apart(8000), call=256
    )
    tried = 0
    for group in (Group("long sum", cases.long_sum()), wide, *(known[name] for name in GROUPS)):
        rows = (group.draft.flatten() > 0).nonzero()[:, 0]
        for dtype, ends in _ENDS.items():
            u = torch.tensor(list(product(ends, repeat=group.K + 1)), dtype=dtype)
            each, coins = rows.repeat_interleave(len(u)), u.repeat(len(rows), 1)
            for part, some in zip(each.split(group.call), coins.split(group.call)):
                said = ask(kernel, session, group, part, some)
                bad = impossible(group, part, said)
                tried += len(part)
                if bool(bad.any()):
                    row = int(bad.nonzero()[0])
                    tokens = [token for token in said[row].tolist() if token >= 0]
                    where = ", ".join(map(_end_name, some[row].tolist()))
                    yield Verdict(
                        "FAIL",
                        what=(
                            f"emits {tokens}, which has probability 0, at the {str(dtype)[6:]}"
                            f" uniforms {where}"
                        ),
                        case=group.label(int(part[row]) // group.drafts),
                        n=tried,
                    )
                    return
        yield Verdict("PASS", what=f"{tried:,} rows at the ends of the uniforms", n=tried)


def _end_name(u: float) -> str:
    return {1 - 2.0**-24: "1 - 2^-24", 1 - 2.0**-53: "1 - 2^-53"}.get(u, f"{u:g}")


def impossible(group: Group, rows: Tensor, said: Tensor) -> Tensor:
    """[n] whether an answer holds a token to which the target gives no probability."""
    emitted = (said >= 0).sum(1)
    foreign = (said >= group.V).any(1)
    low = (said.clamp(0, group.V - 1) * group.V ** torch.arange(group.K, -1, -1)).sum(1)
    size = group.V ** (group.K + 1 - emitted)
    sums = torch.nn.functional.pad((group.target > 0).long().cumsum(1), (1, 0))[
        rows // group.drafts
    ]
    mass = sums.gather(1, (low + size)[:, None]) - sums.gather(1, low[:, None])
    return foreign | (mass[:, 0] == 0)


def distances(kernel: InjectableKernel, session: Session) -> float:
    """The largest TV of all cases, failures too."""
    known = draws(kernel, session).groups
    return max(
        float(
            (exact_distributions(Cube(kernel, session, known[name]))[0] - known[name].target)
            .abs()
            .sum(1)
            .max()
        )
        / 2
        for name in GROUPS
    )
