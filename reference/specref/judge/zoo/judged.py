"""Runs the judge on the zoo through the contract: how soon is each planted bug convicted, and is
any control convicted?
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from ..contract import InjectableKernel, Kernel, Scheduler
from ..load import Adapter, opened
from ..schedule import judge
from ..session import MisbehavedError, Session
from ..subjects import RuleStep
from ..suite import checks
from ..verdict import Verdict
from . import Bug, Control, level_of
from .adapters import adapter
from .engine_bugs import ENGINE_BUGS, engine_distance
from .engine_controls import ENGINE_CONTROLS
from .engines import engine
from .http_bugs import HTTP_BUGS, HTTP_CONTROLS, http_distance
from .kernel_controls import KERNEL_CONTROLS
from .kernel_sizes import KERNEL_SIZE_BUGS
from .kernels import KERNEL_BUGS, Coins
from .logits_kernels import LOGITS_BUGS, LOGITS_CONTROLS
from .run import BUGS as EXACT_BUGS
from .run import CONTROLS as EXACT_CONTROLS
from .run import convict
from .schedulers import SCHEDULER_BUGS, SCHEDULER_CONTROLS, scheduler_distance
from .tree_kernels import TREE_KERNEL_BUGS

# seconds that a bug may take to be caught
_BUDGETS = {"kernel": 60.0, "scheduler": 60.0, "engine": 300.0, "http": 900.0}
_CAUGHT_BY_LENGTH = ("rule.ragged", "tree.ragged")  # rows of different lengths: a kernel has none


class ConvictedError(Exception):
    """Ends a trial at the first failure."""


@dataclass(frozen=True)
class Trial:
    subject: Bug | Control
    level: str
    verdict: Verdict | None  # the first failure
    seconds: float  # to it, or of the whole trial

    @property
    def convicted(self) -> bool:
        return self.verdict is not None


def _as_engine(subject: Any) -> Any:
    return engine(subject) if isinstance(subject, (type, RuleStep)) else None


def _as_kernel(subject: Any) -> Any:
    if level_of(subject) == "greedy" or (
        isinstance(subject, type) and not issubclass(subject, Kernel)
    ):
        return None
    return adapter(subject)


def _as_scheduler(subject: Any) -> Any:
    return subject() if isinstance(subject, type) and issubclass(subject, Scheduler) else None


PLUGS: dict[str, Callable[[Any], Any]] = {
    "kernel": _as_kernel,
    "scheduler": _as_scheduler,
    "engine": _as_engine,
    "http": adapter,
}


def bugs(level: str) -> dict[str, Bug]:
    """The planted bugs of a level of the contract, by name."""
    at_kernel = (
        *EXACT_BUGS.values(),
        *KERNEL_BUGS,
        *KERNEL_SIZE_BUGS,
        *TREE_KERNEL_BUGS,
        *LOGITS_BUGS,
    )
    known = {
        "kernel": [bug for bug in at_kernel if bug.caught_by not in _CAUGHT_BY_LENGTH],
        "scheduler": SCHEDULER_BUGS,
        "engine": ENGINE_BUGS,
        "http": HTTP_BUGS,
    }[level]
    return {
        bug.name: bug
        for bug in sorted(known, key=lambda bug: bug.number)
        if PLUGS[level](bug.subject) is not None
    }


def controls(level: str) -> dict[str, Control]:
    known = {
        "kernel": (*EXACT_CONTROLS.values(), *KERNEL_CONTROLS, *LOGITS_CONTROLS),
        "scheduler": SCHEDULER_CONTROLS,
        "http": HTTP_CONTROLS,
        "engine": ENGINE_CONTROLS,
    }[level]
    return {control.name: control for control in known if PLUGS[level](control.subject) is not None}


def trial(
    subject: Bug | Control,
    level: str,
    seed: int = 0,
    budget: float | None = None,
    mde: float | None = None,
    only: Sequence[str] = (),
) -> Trial:
    """Run the checks of a level on a subject, all or only some, until the first failure.

    budget: seconds; 0 for one slice of each check.
    """
    session = Session(subject.name, level, seed, _BUDGETS[level] if budget is None else budget, mde)
    session.plain_too = True  # a bug of the parameters is in both ways
    plugged = Adapter(PLUGS[level](subject.subject), level, subject.name)
    failed: list[Verdict] = []

    def tell(event: str, check: str, verdict: Verdict | None) -> None:
        if verdict is not None and verdict.verdict == "FAIL":
            failed.append(verdict)
            raise ConvictedError

    began = time.monotonic()
    try:
        with opened(plugged):
            judge(
                plugged.subject,
                session,
                [item for item in checks(level) if not only or item.id in only],
                tell,
            )
    except ConvictedError:
        pass
    return Trial(subject, level, failed[0] if failed else None, time.monotonic() - began)


@cache
def bug_distance(name: str, level: str) -> float | None:
    """The exact TV between a bug's emitted distribution and the target's, the largest over the
    cases of the exact checks. None where the bug changes none of these distributions.
    """
    if name in EXACT_BUGS:
        return convict(EXACT_BUGS[name]).tv
    if level == "scheduler":
        return scheduler_distance(PLUGS[level](bugs(level)[name].subject))
    if level == "http":
        return http_distance(bugs(level)[name].subject)
    if level == "engine":
        return engine_distance(bugs(level)[name].subject)
    made = PLUGS[level](bugs(level)[name].subject)
    if (
        not isinstance(made, InjectableKernel)
        or type(made).verify is not Coins.verify
        or type(made).verify_with is Coins.verify_with
    ):
        return None
    from ..suite.kernel_cells import NoCellsError
    from ..suite.kernel_exact import KNOWN, distances

    try:
        found = distances(made, Session(name, level))
    except (MisbehavedError, NoCellsError):  # ids outside the vocabulary are in no distribution
        return None
    return found if found > KNOWN else None
