"""Rows that differ, in every size, layout and company: what a single answer shows, whatever the
distribution.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import torch

from ..contract import Kernel, TreeKernel
from ..session import MisbehavedError, OutOfTimeError, Session
from ..suite import check
from ..suite.kernel_call import answer as read_answer
from ..verdict import Outcome, Verdict
from .answers import asked_once, wrong_in
from .bad_rows import BadRow, bad_rows
from .rows import LAYOUTS
from .scenarios import Scenario, covering, covering_trees, shrunk

SCENARIOS = 39  # of chains; of trees
TRIES = 3  # batches that a smaller scenario has to fail one of


def told_wrong(
    kernel: Kernel | TreeKernel, session: Session, scenario: Scenario, number: int
) -> str:
    """What is wrong with one batch of a scenario; "" for nothing."""
    rows = scenario.batch(session.generator("mixed rows", scenario.nodes, number))
    seed = session.seed_for("mixed rows", scenario.nodes, number)
    try:
        said = asked_once(kernel, session, rows, seed, scenario.layout)
        if wrong := wrong_in(rows, said):
            return wrong
        if scenario.layout == LAYOUTS[0]:
            return ""
        plain, again = (asked_once(kernel, session, rows, seed) for _ in range(2))
    except OutOfTimeError:
        raise
    except MisbehavedError as error:
        return str(error)
    except (Exception, SystemExit) as error:
        session.raised = ""
        if scenario.layout != LAYOUTS[0]:  # refused, which is right; what it holds is asked again
            plain_one = replace(scenario, layout=LAYOUTS[0])
            return told_wrong(kernel, session, plain_one, number)
        return f"raises {type(error).__name__}: {' '.join(str(error).split())[:160]}"
    if not torch.equal(plain, again):
        return ""  # kernel.determinism says so
    # a rounding of another order may turn one row in a million
    off = int((said != plain).any(1).sum())
    if off > 1:
        return f"{off} of {len(said)} rows get another answer than from contiguous tensors"
    return ""


def _walk(
    kernel: Kernel | TreeKernel, session: Session, scenarios: Iterator[Scenario]
) -> Iterator[Verdict]:
    """Every scenario once; a failure is made as small as it still fails."""
    rows = 0
    for number, wanted in enumerate(islice(scenarios, SCENARIOS), 1):
        scenario = wanted.within(session)
        rows += scenario.rows
        wrong = told_wrong(kernel, session, scenario, number)
        if wrong:
            yield _shrunk(kernel, session, scenario, number, wrong)
            return
        outcome: Outcome = "PASS" if number == SCENARIOS else "INCONCLUSIVE"
        yield Verdict(outcome, what=f"{number} kinds of batches, {rows:,} rows", n=rows)


def _shrunk(
    kernel: Kernel | TreeKernel, session: Session, scenario: Scenario, number: int, wrong: str
) -> Verdict:
    said = {scenario: wrong}

    def fails(smaller: Scenario, tries: int = TRIES) -> bool:
        for attempt in range(tries):
            found = told_wrong(kernel, session, smaller, number + 1000 * attempt)
            if found:
                said[smaller] = found
                return True
        return False

    smallest, passing = shrunk(scenario, fails)
    found = said.get(smallest) or wrong
    nearest = f"; passes {passing}" if passing else ""
    return Verdict(
        "FAIL", what=found, case=str(smallest), n=number, scenario=f"{smallest}{nearest}"
    )


@check("kernel.mixed-rows", since="0.2", needs=("verify",), concern="impossible tokens")
def mixed(kernel: Kernel, session: Session) -> Iterator[Verdict]:
    """Is each row judged by its own distributions, whatever the sizes, the layout and its place?

    Batches whose rows all differ: 2 to 131,072 tokens in the vocabulary, few or all of them
    possible, 0 to 12 draft tokens, 1 to 250 rows, with and without q, contiguous and not. A token
    that its row gives probability 0, one that is not the row's draft, or another answer for tensors
    that are equal and lie otherwise in memory is a failure; to refuse such tensors is none. It
    cannot see a distribution that is off among possible tokens.
    """
    yield from _walk(kernel, session, covering(session.seed_for("mixed rows")))


@check("kernel.tree-mixed-rows", since="0.2", needs=("verify_tree",), concern="impossible tokens")
def tree_mixed(kernel: TreeKernel, session: Session) -> Iterator[Verdict]:
    """Is each row of trees judged by its own distributions, with another tree in each call?

    As kernel.mixed-rows, over random trees of one to eight nodes, siblings drawn with replacement
    and without.
    """
    yield from _walk(kernel, session, covering_trees(session.seed_for("mixed trees")))


@check("kernel.empty-batch", since="0.2", needs=("verify",))
def empty(kernel: Kernel, session: Session) -> Iterator[Verdict]:
    """Is a batch of no rows refused, or answered with no rows?"""
    try:
        with session.calling("verify, 0 rows"):
            out = kernel.verify(
                torch.zeros(0, 3, 8),
                torch.zeros(0, 2, 8),
                torch.zeros(0, 2, dtype=torch.int64),
                session.seed_for("empty"),
            )
    except Exception:
        session.raised = ""
        yield Verdict("PASS", what="refused", n=1)
        return
    read_answer(out, 0, 3, 8)
    yield Verdict("PASS", what="no rows", n=1)


@check("kernel.bad-rows", since="0.2", needs=("verify",))
def bad(kernel: Kernel, session: Session) -> Iterator[Verdict]:
    """Does a row that is no distribution leave its neighbours alone, and get no impossible token?

    A row of q, then of p, that is NaN, infinite, 0, negative or of sum 2, beside right ones. The
    kernel may raise. Else the rows beside it must get what they get without it; and where q alone
    is bad, the row must get tokens that its target allows: not token 0 for want of a better one.
    """
    for number, broken in enumerate(bad_rows(), 1):
        wrong = _wrong_beside(kernel, session, broken)
        if wrong:
            yield Verdict("FAIL", what=wrong, case=str(broken), n=number, scenario=str(broken))
            return
        yield Verdict("PASS", what=f"{number} kinds of bad rows", n=number)


def _wrong_beside(kernel: Kernel, session: Session, broken: BadRow) -> str:
    """What is wrong with the answers to 8 rows, one of them bad; "" for nothing."""
    count = session.fit(8)
    scenario = Scenario(64, 2, count)
    rows = scenario.batch(session.generator("bad rows", str(broken)))
    # token 0 is possible in no row
    rows = replace(rows, ids=rows.ids.clamp(min=1), drafted=rows.drafted.clamp(min=1))
    seed, at = session.seed_for("bad rows", str(broken)), count // 2
    p, q, draft = rows.inputs()
    assert q is not None
    good = asked_once(kernel, session, rows, seed)
    if broken.side == "q":
        given = (p, broken.put(q, at), draft)
    else:
        given = (broken.put(p, at), q, draft)
    try:
        with session.calling(f"verify, {count} rows, one of them bad"):
            out = kernel.verify(*given, seed)
    except Exception:
        session.raised = ""
        return ""
    try:
        said = read_answer(out, count, 3, 64)
    except MisbehavedError as error:
        return f"{error}; raise, or emit tokens of the vocabulary there"
    beside = torch.arange(count) != at
    if not torch.equal(said[beside], good[beside]):
        return f"{broken} changes the rows beside it: raise, or judge every row by itself"
    if broken.side == "q":
        wrong = wrong_in(rows.only(torch.tensor([at])), said[[at]])
        if wrong:
            return f"{broken}, p is right: {wrong}; raise, or draw from p"
    return ""
