"""Large vocabularies in which every token may come."""

from collections.abc import Iterator

import torch

from .. import cases
from ..contract import Kernel
from ..session import Session
from ..verdict import Verdict
from . import check
from .kernel_draws import Draws
from .kernel_group import Group
from .kernel_law import failed, law_tests, passed, windows
from .kernel_rows import ENOUGH_SMALL

DENSE = 2560


@check("kernel.dense-vocabulary", law=True, statistical=True, needs=("verify",))
def dense_vocabulary(kernel: Kernel, session: Session) -> Iterator[Verdict]:
    """Is the law kept among 2,560 tokens that are all likely?

    Eight tokens that stand far apart in p and q, each spread over 320 ids: counted is which of the eight an id stands for. A
    kernel that keeps the likeliest thousand alone, or whose sums lose small terms, is off. Which of the 320 came is not
    looked at. Ends at a TV of .02.
    """
    places = torch.arange(DENSE).view(-1, 8).T
    found = Draws(kernel, session, {"dense": Group("dense", cases.chosen(("reversed of 8",)), ids=places, size=DENSE,
                                                     call=256)})
    goal = max(session.goal, ENOUGH_SMALL)
    tests = law_tests(found, ["dense"], session, windows, ENOUGH_SMALL)
    while any(not t.test.n or t.mde() > goal for t in tests):
        found.more(["dense"])
        if off := next((test for test in tests if test.go_on(goal)), None):
            yield failed(off)
            return
        yield passed(tests)
