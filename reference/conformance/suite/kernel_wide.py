"""Large vocabularies, of which few tokens may come and of which all may."""

from collections.abc import Iterator
from dataclasses import replace
from typing import cast

import torch

from .. import cases
from ..contract import Kernel
from ..session import Session
from ..verdict import Verdict
from . import check
from .kernel_draws import Draws
from .kernel_group import Group, far_apart
from .kernel_law import failed, law_tests, passed, windows

# a cut is at a round number; so many rows a call that a core's cache holds their laws
LARGE = (("4,097 tokens", 4097, 4096, 64), ("32,768 tokens", 32768, 32500, 16))
FEW = 500  # rows of the largest vocabulary
DENSE, DENSE_ROWS = 2560, 64


@check("kernel.large-vocabulary", law=True, statistical=True, needs=("verify",), slow=True)
def large_vocabulary(kernel: Kernel, session: Session) -> Iterator[Verdict]:
    """Is the law kept among 4,097 and 32,768 tokens, most of them of probability zero?

    Eight tokens that stand far apart, at the ends of tiles, share all mass; any other is wrong at once. 4,097 ends with a
    possible token, 32,768 with a long tail of zeros. Ends at a TV of .02 for 4,097.
    """
    found = Draws(kernel, session, {name: Group(name, cases.chosen(("reversed of 8",)), ids=far_apart(last), size=size,
                                                call=call) for name, size, last, call in LARGE})
    names = [name for name, *_ in LARGE]
    goal = session.slow_goal
    tests = law_tests(found, names, session, windows, goal)
    first, second = found.groups.values()
    while True:
        found.more(names if second.drawn < FEW else names[:1])
        if said := first.impossible or second.impossible:
            yield Verdict("FAIL", what=said, n=1)
            return
        if off := next((test for test in tests if test.go_on(goal)), None):
            yield failed(off)
            return
        if second.drawn:
            verdict = passed([t for t in tests if t.group is first])
            yield replace(verdict, what=f"{first.drawn:,} rows of 4,097 tokens, {second.drawn:,} of 32,768")
            if second.drawn >= FEW and cast(float, verdict.mde) <= goal:
                return


@check("kernel.dense-vocabulary", law=True, statistical=True, needs=("verify",), slow=True)
def dense_vocabulary(kernel: Kernel, session: Session) -> Iterator[Verdict]:
    """Is the law kept among 2,560 tokens that are all likely?

    Eight tokens that stand far apart in p and q, each spread over 320 ids: counted is which of the eight an id stands for. A
    kernel that keeps the likeliest thousand alone, or whose sums lose small terms, is off. Which of the 320 came is not
    looked at. Ends at a TV of .02.
    """
    places = torch.arange(DENSE).view(-1, 8).T
    found = Draws(kernel, session, {"dense": Group("dense", cases.chosen(("reversed of 8",)), ids=places, size=DENSE,
                                                     call=DENSE_ROWS)})
    goal = session.slow_goal
    tests = law_tests(found, ["dense"], session, windows, goal)
    while True:
        found.more(["dense"])
        if off := next((test for test in tests if test.go_on(goal)), None):
            yield failed(off)
            return
        verdict = passed(tests)
        yield verdict
        if cast(float, verdict.mde) <= goal:
            return
