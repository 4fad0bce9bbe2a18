"""Large vocabularies, of which few tokens may come and of which all may; and sizes that no other
check has.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import cast

import torch

from .. import cases
from ..contract import Kernel, TreeKernel
from ..session import Session
from ..verdict import Verdict
from . import check
from .kernel_distribution import Window, distribution, distribution_tests, failed, passed, windows
from .kernel_group import Group, far_apart
from .kernel_stream import SampleStream
from .kernel_tree import TreeGroup

# Vocabulary, last possible token, rows of a call, rows in all: 0 for as many as the goal takes. A
# cut is at a round number, 16 bits hold no more than 65,536 ids, and so many rows a call that a
# core's cache holds their distributions.
LARGE = ((4097, 4096, 64, 0), (32_768, 32_500, 16, 500), (131_072, 131_071, 4, 60))
DENSE, _DENSE_ROWS = 2560, 64
_LIKELY: dict[str, tuple[cases.CaseRow, cases.CaseRow]] = {
    "likely": ((5, 4, 1), (4, 3, 3)),
    "likely of two": ((8, 2), (7, 3)),
}
_KEPT: dict[str, tuple[cases.CaseRow, cases.CaseRow]] = {"kept": ((10, 1), (1, 0))}
_LONG = (4, 6, 7, 12)  # draft tokens


@check(
    "kernel.large-vocabulary",
    distribution=True,
    statistical=True,
    alone=True,
    needs=("verify",),
    slow=True,
)
def large_vocabulary(kernel: Kernel, session: Session) -> Iterator[Verdict]:
    """Is the distribution kept among 4,097, 32,768 and 131,072 tokens, most of them of probability
    zero?

    Eight tokens that stand far apart, at the ends of tiles, share all mass; any other is wrong at
    once. 4,097 and 131,072 end with a possible token, 32,768 with a long tail of zeros. Ends at a
    TV of .02 for 4,097; of the larger ones few rows are drawn, which see that no other token comes
    and that none of the eight comes far too often.
    """
    found = SampleStream(
        kernel,
        session,
        {
            f"{size:,} tokens": Group(
                f"{size:,} tokens",
                cases.chosen(("reversed of 8",)),
                ids=far_apart(last),
                size=size,
                call=call,
            )
            for size, last, call, _ in LARGE
        },
    )
    wanted = dict(zip(found.groups, (rows for *_, rows in LARGE)))
    goal = session.slow_goal
    tests = distribution_tests(found, tuple(found.groups), session, windows, goal)
    while True:
        short = [
            name
            for name, group in found.groups.items()
            if not wanted[name] or group.drawn < wanted[name]
        ]
        group = found.more(short)
        if group.wrong:
            yield Verdict("FAIL", what=group.wrong, n=group.drawn)
            return
        if off := next((test for test in tests if test.go_on(goal)), None):
            yield failed(off)
            return
        if all(group.drawn for group in found.groups.values()):
            verdict = passed([test for test in tests if not wanted[test.group.name]])
            yield replace(
                verdict,
                what=", ".join(f"{g.drawn:,} rows of {name}" for name, g in found.groups.items()),
            )
            if (
                all(g.drawn >= wanted[name] for name, g in found.groups.items())
                and cast(float, verdict.mde) <= goal
            ):
                return


def dense() -> dict[str, Group]:
    """The eight in turn, then each in a row: what goes wrong within a tile shows, and what does
    between tiles.
    """
    places = torch.cat(
        (torch.arange(DENSE // 2).view(-1, 8).T, torch.arange(DENSE // 2, DENSE).view(8, -1)), 1
    )
    return {
        "dense": Group(
            "dense", cases.chosen(("reversed of 8",)), ids=places, size=DENSE, call=_DENSE_ROWS
        )
    }


@check(
    "kernel.dense-vocabulary",
    distribution=True,
    statistical=True,
    alone=True,
    needs=("verify",),
    slow=True,
)
def dense_vocabulary(kernel: Kernel, session: Session) -> Iterator[Verdict]:
    """Is the distribution kept among 2,560 tokens that are all likely?

    Eight tokens that stand far apart in p and q, each spread over 320 ids: counted is which of the
    eight an id stands for. A kernel that keeps the likeliest thousand alone, whose sums lose small
    terms, or that gives a tile more than its part, is off. Which of the 320 came is not looked at.
    Ends at a TV of .02.
    """
    found = SampleStream(kernel, session, dense())
    goal = session.slow_goal
    tests = distribution_tests(found, ["dense"], session, windows, goal)
    while True:
        group = found.more(["dense"])
        if group.wrong:
            yield Verdict("FAIL", what=group.wrong, n=group.drawn)
            return
        if off := next((test for test in tests if test.go_on(goal)), None):
            yield failed(off)
            return
        verdict = passed(tests)
        yield verdict
        if cast(float, verdict.mde) <= goal:
            return


def sizes() -> dict[str, Group]:
    """Drafts that cannot be others, of which each token is likely kept; then drafts and
    vocabularies of lengths that are no power of two and no multiple of a warp, and one long
    draft."""
    ends = torch.tensor([299, 0, 255, 256, 31, 288, 32, 63])
    return {
        group.name: group
        for group in (
            *(Group(f"one draft of {count}", cases.turned(count, 2, _KEPT)) for count in _LONG),
            Group(
                "four of 37",
                cases.turned(4, 3, _LIKELY),
                ids=torch.tensor([36, 0, 33]),
                size=37,
                call=4096,
            ),
            Group(
                "six of 129",
                cases.turned(6, 3, _LIKELY),
                ids=torch.tensor([128, 64, 31]),
                size=129,
                call=1024,
            ),
            Group("seven", cases.turned(7, 3, _LIKELY)),
            Group("twelve", cases.turned(12, 2, _LIKELY)),
            Group("one of 300", cases.chosen(("reversed of 8",)), ids=ends, size=300, call=2048),
            Group(
                "three of 100, certain",
                cases.turned(3, 3, _LIKELY),
                True,
                torch.tensor([99, 32, 64]),
                100,
                2048,
            ),
        )
    }


@check(
    "kernel.sizes", distribution=True, statistical=True, alone=True, needs=("verify",), slow=True
)
def other_sizes(kernel: Kernel, session: Session) -> Iterator[Verdict]:
    """Is the distribution kept for 4, 6, 7 and 12 draft tokens, and for 37 to 300 tokens in the
    vocabulary?

    A wrong stride, a tile that is not full or coins that run out may hit some sizes alone. Each
    size of the vocabulary has a few possible tokens, the last one among them; one size is not told
    q. Where all rows have one draft, the first token is looked at with each later one: two coins
    that are one keep both. Ends at a TV of .02.
    """
    found = SampleStream(kernel, session, sizes())
    yield from distribution(
        found, session, tuple(found.groups), far_and_near, session.slow_goal, alone=True
    )


def far_and_near(group: Group) -> list[Window]:
    """Of rows with one draft the first token with each later one; of others `windows`."""
    return (
        windows(group)
        if (group.draft > 0).sum() > group.cases
        else [(0, 1, i, i + 1) for i in range(1, group.K + 1)]
    )


def trees() -> dict[str, Group]:
    """Four siblings; nine nodes, four deep; guesses below certain ones; a large vocabulary."""
    return {
        group.name: group
        for group in (
            TreeGroup(
                "four of a kind", cases.chosen(("opposed",)), (-1, -1, -1, -1), "with replacement"
            ),
            TreeGroup(
                "nine nodes",
                cases.turned(4, 2, _LIKELY),
                (-1, -1, 0, 0, 1, 2, 4, 5, 6),
                "with replacement",
            ),
            TreeGroup(
                "certain, two deep", cases.turned(2, 3, _LIKELY), (-1, -1, 0, 0, 1), "certain"
            ),
            TreeGroup(
                "three of 300",
                cases.turned(2, 3, _LIKELY),
                (-1, -1, 0),
                "without replacement",
                torch.tensor([299, 32, 256]),
                300,
                2048,
            ),
        )
    }


@check(
    "kernel.tree-sizes",
    distribution=True,
    statistical=True,
    alone=True,
    needs=("verify_tree",),
    slow=True,
)
def tree_sizes(kernel: TreeKernel, session: Session) -> Iterator[Verdict]:
    """Is the distribution kept over four siblings, over nine nodes four deep, and over 300 tokens?

    As kernel.sizes, over trees. Trees of more nodes are not tried. Ends at a TV of .02.
    """
    found = SampleStream(kernel, session, trees())
    yield from distribution(
        found, session, tuple(found.groups), windows, session.slow_goal, alone=True
    )
