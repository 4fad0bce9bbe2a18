"""The schedule of a run: who gets the next slice, until the budget is spent; and what becomes of an
engine that raises.
"""

import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..data import SpecrefError
from .engine_handle import let_go
from .kernel.logits import as_kernel
from .kernel.pace import measure_pace
from .load import NotLoadedError, has
from .memory import keep_memory
from .session import MisbehavedError, OutOfTimeError, Session
from .suite import Check, checks
from .verdict import Verdict

_NOT_BEGUN = Verdict("INCONCLUSIVE", "none", "not begun when the budget was spent")
_PARTS = 4  # how many times the mean of the others a check may take

# told ("begun", id, None), ("renewed", id, verdict) after every slice, ("ended", id, verdict)
_Told = Callable[[str, str, Verdict | None], None]


def judge(
    adapter: Any,
    session: Session,
    chosen: Sequence[Check],
    tell: _Told = lambda event, check, verdict: None,
) -> list[Verdict]:
    """Put a plug to every chosen check: each gets its first slice in turn, then all that go on get
    theirs, those first that cannot say anything yet, then those that are furthest from their goal,
    until the budget is spent.

    Returns:
        one verdict for each check, in their order.
    """
    keep_memory()
    if session.level == "kernel" and chosen:
        adapter = as_kernel(adapter)
        session.check = chosen[0].id  # a call that never ends is its failure
        measure_pace(adapter, session)
    # of all, so that a check alone has the same
    session.shares *= sum(item.statistical for item in checks(session.level))
    try:
        return _judged(adapter, session, chosen, tell)
    finally:
        let_go(session)


def _judged(adapter: Any, session: Session, chosen: Sequence[Check], tell: _Told) -> list[Verdict]:
    said: dict[str, Verdict] = {}
    going = {item.id: (item, _guarded(item, adapter, session)) for item in chosen}
    first = True
    while going:
        session.testing = any(item.statistical for item, _ in going.values())
        for name in (
            list(going) if first else _turn([item for item, _ in going.values()], said, session)
        ):
            item, run = going[name]
            if not first and session.left <= 0:
                return [said[item.id] for item in chosen]
            if first and session.spent and not _missing(item, adapter):
                del going[name]
                said[name] = _settled(_NOT_BEGUN, item, adapter, session, 0.0)
                tell("ended", name, said[name])
                continue
            session.check = name
            session.worlds.turn_to(name, session.seed_for("global coins", name))
            if first:
                tell("begun", name, None)
            began = time.monotonic()
            fresh = next(run, None)
            if fresh is None:
                del going[name]
                tell("ended", name, said[name])
                continue
            before = said[name].seconds if name in said else 0.0
            said[name] = _settled(fresh, item, adapter, session, before + time.monotonic() - began)
            tell("renewed", name, said[name])
        first = False
    return [said[item.id] for item in chosen]


def _turn(going: Sequence[Check], said: dict[str, Verdict], session: Session) -> list[str]:
    """Who gets a slice in the next round: checks of finite work always. Of the tests those that
    cannot say anything yet, where there are any, the one that has seen least; then the one furthest
    from its goal, for a run has seen no more than its weakest test. None that has had _PARTS times
    what the others have had on average."""
    tests = [item for item in going if item.statistical]
    unsure = [
        item
        for item in tests
        if said[item.id].verdict == "INCONCLUSIVE"
        or (
            said[item.id].verdict == "UNVERIFIED"
            and _unseen(item, said[item.id], session, True) > enough_of(item, session)
        )
    ]
    # then tests of one case that are excused from what the others have to see
    unsure = unsure or [
        item for item in tests if _unseen(item, said[item.id], session, True) > _full(item, session)
    ]
    waiting = unsure or tests
    most = sum(said[item.id].seconds for item in waiting) * _PARTS / (len(waiting) - 1 + _PARTS)
    chosen = [item for item in waiting if said[item.id].seconds <= most]
    if chosen:
        chosen = [
            max(
                chosen,
                key=lambda item: (
                    _unseen(item, said[item.id], session, bool(unsure)),
                    -said[item.id].seconds,
                ),
            )
        ]
    return [item.id for item in going if not item.statistical or item in chosen]


def _unseen(item: Check, verdict: Verdict, session: Session, unsure: bool) -> float:
    """A test's MDE; of those that can say something, how many times their goal it is."""
    mde = 1.0 if verdict.sees is None else verdict.sees
    return mde if unsure else mde / (session.slow_goal if item.slow else session.goal)


def enough_of(item: Check, session: Session) -> float:
    """The TV that a check has to see."""
    return session.alone_enough if item.alone else _full(item, session)


def _full(item: Check, session: Session) -> float:
    """The TV that it would have to see if its case were the only one."""
    return session.slow_enough if item.slow else session.enough


def _missing(item: Check, adapter: Any) -> list[str]:
    """What the check needs and the engine lacks."""
    return [need for need in sorted(item.needs) if not has(adapter, need)]


def _guarded(item: Check, adapter: Any, session: Session) -> Iterator[Verdict]:
    """The check's own verdicts; whatever the engine raises is a verdict too, and the last."""
    missing = _missing(item, adapter)
    if missing:
        yield Verdict("UNSUPPORTED", "none", f"the engine has no {', '.join(missing)}")
        return
    ran = False
    try:
        for verdict in item.run(adapter, session):
            ran = True
            yield verdict
    except OutOfTimeError:
        if not ran:
            yield Verdict("INCONCLUSIVE", "none", "the budget ended within its first slice")
    except MisbehavedError as error:
        yield Verdict("FAIL", "deterministic", str(error), n=1)
    except NotLoadedError:
        raise
    except (Exception, SystemExit) as error:
        yield Verdict("FAIL", "deterministic", _raised(error, session), n=1)
    else:
        if not ran:
            raise SpecrefError(f"{item.id} yields no verdict: let it yield one")
    finally:
        session.raised = ""


def _raised(error: BaseException, session: Session) -> str:
    """What went wrong, in which call, and in which line of the engine."""
    said = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}".rstrip(": ")
    if not session.raised:
        return f"answers with something that cannot be judged: {said}"
    ours = str(Path(__file__).parents[1])
    lines = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((ours, "<"))
        and "site-packages" not in frame.filename
        and Path(frame.filename).name != "contextlib.py"
    ]
    place = f" ({Path(lines[-1].filename).name}, line {lines[-1].lineno})" if lines else ""
    return f"raises in {session.raised}{place}: {said}"


def _settled(
    verdict: Verdict, item: Check, adapter: Any, session: Session, seconds: float
) -> Verdict:
    """The verdict with what the schedule knows; a lossy engine is excused from the target's
    distribution, not from behaving.
    """
    outcome = verdict.verdict
    if (
        outcome == "FAIL"
        and item.distribution
        and not getattr(adapter, "lossless", True)
        and verdict.method != "deterministic"
    ):
        outcome = "LOSSY-BY-DESIGN"
    if outcome == "PASS" and verdict.sees is not None and verdict.sees > enough_of(item, session):
        outcome = "INCONCLUSIVE"
    return replace(
        verdict,
        verdict=outcome,
        id=item.id,
        seed=session.seed,
        seconds=seconds,
        repro=verdict.repro or session.reproduction("--only", item.id),
    )
