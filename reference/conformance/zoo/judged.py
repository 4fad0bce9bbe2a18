"""The judge against the zoo, through the contract: how soon is each planted bug convicted, and is any control?"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from ..contract import InjectableKernel
from ..plug import Plug, opened
from ..session import Session, judge
from ..suite import checks
from ..verdict import Verdict
from . import Bug, Control, level_of
from .http import HTTP_BUGS, HTTP_CONTROLS
from .http import distance as http_distance
from .kernel_controls import KERNEL_CONTROLS
from .kernels import KERNEL_BUGS, Coins
from .plugs import plug
from .run import BUGS as EXACT_BUGS
from .run import CONTROLS as EXACT_CONTROLS
from .run import convict

BUDGET = 60.0  # seconds for a bug
LENGTHS = ("rule.ragged", "tree.ragged")  # rows of different lengths: a kernel has none


class ConvictedError(Exception):
    """Ends a trial at the first failure."""


@dataclass(frozen=True)
class Trial:
    subject: Bug | Control
    verdict: Verdict | None  # the first failure
    seconds: float  # to it, or of the whole trial
    mde: float | None = None  # of the least powerful check that passed

    @property
    def convicted(self) -> bool:
        return self.verdict is not None


def bugs(level: str) -> dict[str, Bug]:
    """The planted bugs that the judge can meet at a level of the contract."""
    return {bug.name: bug for bug in sorted((*EXACT_BUGS.values(), *KERNEL_BUGS, *HTTP_BUGS), key=lambda bug: bug.number)
            if bug.caught_by not in LENGTHS and _level(plug(bug.subject)) == level}


def controls(level: str) -> dict[str, Control]:
    return {control.name: control for control in (*EXACT_CONTROLS.values(), *KERNEL_CONTROLS, *HTTP_CONTROLS)
            if level_of(control.subject) != "greedy" and _level(plug(control.subject)) == level}


def _level(plugged: Any) -> str:
    if plugged is None:
        return ""
    return "engine" if isinstance(plugged, type) else "http" if hasattr(plugged, "url") else "kernel"


def trial(subject: Bug | Control, level: str, seed: int = 0, budget: float = BUDGET, mde: float | None = None,
          only: Sequence[str] = ()) -> Trial:
    """Put a subject to every check of a level, or to some, until the first failure."""
    session = Session(subject.name, level, seed, budget, mde)
    seen: dict[str, Verdict] = {}

    def tell(event: str, check: str, verdict: Verdict | None) -> None:
        if verdict is not None:
            seen[check] = verdict
            if verdict.verdict == "FAIL":
                raise ConvictedError

    began = time.monotonic()
    try:
        with opened(Plug(plug(subject.subject), level, subject.name)) as plugged:
            judge(plugged.subject, session, [item for item in checks(level) if not only or item.id in only], tell)
    except ConvictedError:
        failed = next(v for v in seen.values() if v.verdict == "FAIL")
        return Trial(subject, failed, time.monotonic() - began)
    return Trial(subject, None, time.monotonic() - began, max((v.mde for v in seen.values() if v.mde), default=None))


def campaign(level: str, seeds: range, budget: float, mde: float | None = None) -> Iterator[Trial]:
    """Every control under every seed: false alarms are what is convicted."""
    for seed in seeds:
        for control in controls(level).values():
            yield trial(control, level, seed, budget, mde)


@cache
def distance(name: str, level: str) -> float | None:
    """The exact TV of a bug's emitted law, over the cases of the exact checks; None where it shows in no law of one row."""
    if name in EXACT_BUGS:
        return convict(EXACT_BUGS[name]).tv
    if level == "http":
        return http_distance(bugs(level)[name].subject)
    kernel = plug(bugs(level)[name].subject)
    if not isinstance(kernel, InjectableKernel) or type(kernel).verify is not Coins.verify or \
            type(kernel).verify_with is Coins.verify_with:
        return None
    from ..suite.kernel_exact import distances

    return distances(kernel, Session(name, level))
