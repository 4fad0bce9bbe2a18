"""Every relation of `text/relations.py` as a check: one hunt through scenarios answers all."""

import inspect
from collections.abc import Callable, Iterator

from ..contract import Engine
from ..session import Session
from ..text.hunt import LEAST_ASKED, Hunt
from ..text.relations import RELATIONS, Relation, RelationFinding
from ..text.scenario import TextScenario, in_words
from ..verdict import Verdict
from . import check


def hunt_of(engine: type[Engine], session: Session) -> Hunt:
    """The run's one hunt."""
    return session.shared(Hunt, lambda: Hunt(engine, session))


def _run_of(one: Relation) -> Callable[[type[Engine], Session], Iterator[Verdict]]:
    def run(engine: type[Engine], session: Session) -> Iterator[Verdict]:
        hunt = hunt_of(engine, session)
        total = 0
        elsewhere: Verdict | None = None  # a fault without speculation too, told while others go on
        for number, step in enumerate(hunt.follow(), 1):
            total += step.asked[one.name]
            finding = step.faults.get(one.name)
            if finding is not None:
                plain = hunt.fails_plain(one, step.scenario)
                if not plain or session.plain_too:
                    yield _convicted(hunt, one, step.scenario, finding, total)
                    return
                if elsewhere is None:
                    elsewhere = _convicted(hunt, one, step.scenario, finding, total)
            yield elsewhere or _so_far(hunt, number, total)

    run.__doc__ = inspect.cleandoc(one.find.__doc__ or "")
    return run


def _so_far(hunt: Hunt, number: int, total: int) -> Verdict:
    said = f"{total} answers of {number} scenario{'' if number == 1 else 's'}"
    if hunt.session.scenario:
        said = f"{total} answers of the given scenario"
    elif total < LEAST_ASKED:
        what = f"{said}: fewer than {LEAST_ASKED} say too little"
        return Verdict("INCONCLUSIVE", what=what, n=total)
    if not hunt.speculates():
        why = (
            "its metrics count no drafted token"
            if "metrics" in hunt.known
            else 'it reports no metrics: support "metrics"'
        )
        what = f"{said}; speculation was not seen to run: {why}"
        return Verdict("UNVERIFIED", what=what, n=total)
    return Verdict("PASS", what=said, n=total)


def _convicted(
    hunt: Hunt, one: Relation, scenario: TextScenario, finding: RelationFinding, total: int
) -> Verdict:
    """The verdict on a relation that fails, with the smallest scenario."""
    shrunk = hunt.shrink(one, scenario, finding)
    plain = hunt.fails_plain(one, shrunk.scenario)
    session = hunt.session
    small, found = shrunk.scenario, shrunk.finding
    request = small.calls[found.call].requests[found.row : found.row + 1]
    prompt = list(request[0].prompt) if request else []
    words = in_words(small)
    decides = not plain or session.plain_too
    again = ("--only", f"engine.{one.name}", "--scenario", small.as_text())
    return Verdict(
        "FAIL" if decides else "NOT-SPECULATION",
        what=found.what,
        case=f"call {found.call + 1}, row {found.row + 1}, prompt {prompt}",
        n=total,
        scenario=f"{words}; {shrunk.words}" if shrunk.words else words,
        without_speculation=plain,
        repro=session.reproduction(*again),
    )


for _one in RELATIONS.values():
    check(
        f"engine.{_one.name}",
        since="0.2",
        distribution=_one.distribution,
        needs=("generate", *_one.needs),
        concern=_one.concern,
    )(_run_of(_one))
