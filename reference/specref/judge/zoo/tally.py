"""The results of all planted bugs and controls in one form for all levels, and their summary."""

import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any

from ..suite import LEVELS
from ..suite import checks as contract_checks
from . import Bug, Control
from .judged import bug_distance, bugs, controls, trial
from .run import BUGS, CONTROLS, acquit, convict

LEVELS_AND_EXACT = (*LEVELS, "exact")
SLOW = tuple(
    f"kernel.{name}"
    for name in (  # run on a control only with every tenth seed
        "independence",
        "seeds",
        "tree-independence",
        "tree-seeds",
    )
)
# seconds for a control's first seed; None: the level's budget
_FIRST = {"kernel": None, "scheduler": None, "engine": 60.0, "http": 60.0}
_BINS = (
    ("no distribution", None, None),
    ("below .001", 0.0, 1e-3),
    (".001 to .01", 1e-3, 1e-2),
    (".01 to .1", 1e-2, 0.1),
    (".1 and more", 0.1, 2.0),
)


@dataclass(frozen=True)
class Caught:
    """One bug at one level."""

    bug: Bug
    level: str
    by: str  # the check that convicted it; "" for none
    seconds: float
    tv: float | None
    finding: str
    cause: str = ""


@dataclass(frozen=True)
class Tried:
    """One control at one level, with one or more seeds."""

    control: Control
    level: str
    seeds: int
    seconds: float
    by: dict[str, str]  # the check that convicted it, and what it said


_Report = Callable[[str], None]


def bugs_and_controls(level: str) -> tuple[dict[str, Bug], dict[str, Control]]:
    return (BUGS, CONTROLS) if level == "exact" else (bugs(level), controls(level))


def everywhere() -> list[tuple[str, str]]:
    """(level, name) of every bug and control once: at the kernel level where a kernel can have it,
    else at the exact level.
    """
    met = [("kernel", name) for names in bugs_and_controls("kernel") for name in names]
    seen = {name for _, name in met}
    return met + [
        ("exact", name)
        for names in bugs_and_controls("exact")
        for name in names
        if name not in seen
    ]


def _described(case: str, what: str) -> str:
    return f"{case}: {what}" if case else what


def catch(level: str, name: str, budget: float | None = None) -> Caught:
    bug = bugs_and_controls(level)[0][name]
    if level == "exact":
        done = convict(bug)
        finding = done.findings[0] if done.findings else None
        said = _described(finding.case, finding.what) if finding else ""
        return Caught(
            bug, level, bug.caught_by if done.convicted else "", done.seconds, done.tv, said
        )
    tried = trial(bug, level, budget=budget)
    v = tried.verdict
    said = _described(v.case, v.what) if v else ""
    return Caught(
        bug,
        level,
        v.id if v else "",
        tried.seconds,
        bug_distance(name, level),
        said,
        v.cause if v else "",
    )


def try_control(level: str, name: str, seeds: int, budget: float | None, report: _Report) -> Tried:
    """With the first seed, every check runs until it could see a TV of .1 or its time is up. With
    each further seed, every statistical check runs for one slice; checks of SLOW run only with
    every tenth seed.
    """
    control = bugs_and_controls(level)[1][name]
    if level == "exact":
        done = acquit(control)
        return Tried(
            control,
            level,
            1,
            done.seconds,
            {by: f"{found[0].case}: {found[0].what}" for by, found in done.findings.items()},
        )
    report(f"{name}, seed 0")
    first = trial(
        control,
        level,
        budget=_FIRST[level] if budget is None else budget,
        mde=0.1 if level == "kernel" else None,
    )
    by = {first.verdict.id: f"seed 0: {first.verdict.what}"} if first.verdict else {}
    seconds = first.seconds
    every = [item.id for item in contract_checks(level) if item.statistical]
    quick = [name for name in every if name not in SLOW]
    for number in range(1, seeds):
        report(f"{name}, seed {number}")
        tried = trial(control, level, number, 0.0, only=quick if number % 10 else every)
        seconds += tried.seconds
        if tried.verdict:
            by[tried.verdict.id] = f"seed {number}: {tried.verdict.what}"
    return Tried(control, level, seeds, seconds, by)


def run_zoo(
    wanted: Sequence[tuple[str, str]],
    seeds: int = 1,
    budget: float | None = None,
    report: _Report = lambda text: None,
    jobs: int = 1,
) -> Iterator[Caught | Tried]:
    """Run each (level, name) in turn.

    report: called with the name of what runs now. jobs: processes that run at the same time.
    """
    if jobs == 1:
        for level, name in wanted:
            report(name)
            yield _one(level, name, seeds, budget, report)
        return
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("fork"))
    try:
        work = [pool.submit(_fields, level, name, seeds, budget) for level, name in wanted]
        for (level, name), one in zip(wanted, work, strict=True):
            report(name)
            bugs, controls = bugs_and_controls(level)
            fields = one.result()
            yield Caught(bugs[name], **fields) if name in bugs else Tried(controls[name], **fields)
    finally:
        pool.shutdown(cancel_futures=True)  # after an interrupt, do not wait for the rest


def _one(
    level: str, name: str, seeds: int, budget: float | None, report: _Report = lambda text: None
) -> Caught | Tried:
    return (
        catch(level, name, budget)
        if name in bugs_and_controls(level)[0]
        else try_control(level, name, seeds, budget, report)
    )


def _fields(level: str, name: str, seeds: int, budget: float | None) -> dict[str, Any]:
    """The result without the bug or control itself, which cannot be sent to another process."""
    done = vars(_one(level, name, seeds, budget))
    return {key: value for key, value in done.items() if key not in ("bug", "control")}


def bins(caught: Sequence[Caught]) -> list[dict[str, Any]]:
    """How many bugs were caught, grouped by the exact TV of their distribution."""
    rows = []
    for name, low, high in _BINS:
        within = [
            c
            for c in caught
            if (c.tv is None if low is None else c.tv is not None and low <= c.tv < (high or 0))
        ]
        rows.append({"tv": name, "bugs": len(within), "killed": sum(bool(c.by) for c in within)})
    return rows


def by_level(caught: Sequence[Caught]) -> list[dict[str, Any]]:
    """How many bugs of each level were caught, and how soon; levels without a bug are left out."""
    rows = []
    for level in LEVELS_AND_EXACT:
        part = [c for c in caught if c.level == level]
        if not part:
            continue
        seconds = [c.seconds for c in part]
        rows.append(
            {
                "level": level,
                "bugs": len(part),
                "killed": sum(bool(c.by) for c in part),
                "seconds": {"median": median(seconds), "most": max(seconds)},
            }
        )
    return rows


def _p95(seconds: Sequence[float]) -> float | None:
    """The 95th percentile; None of nothing."""
    if len(seconds) < 2:
        return seconds[0] if seconds else None
    return quantiles(seconds, n=20, method="inclusive")[-1]


def summary(caught: Sequence[Caught], tried: Sequence[Tried]) -> dict[str, Any]:
    """The contents of the result file, without what every result file has."""
    seconds = sorted(c.seconds for c in caught)
    return {
        "bugs": len(caught),
        "killed": sum(bool(c.by) for c in caught),
        "controls": len(tried),
        "false_alarms": sum(bool(t.by) for t in tried),
        "control_runs": sum(t.seeds for t in tried),
        "seconds": {
            "median": median(seconds) if seconds else None,
            "p95": _p95(seconds),
            "most": max(seconds, default=None),
        },
        "survivors": [c.bug.name for c in caught if not c.by],
        "by_tv": bins(caught),
        "by_level": by_level(caught),
        "bug_table": [
            {
                "name": c.bug.name,
                "number": c.bug.number,
                "source": c.bug.source,
                "kind": c.bug.kind,
                "symptom": c.bug.symptom,
                "tv": c.tv,
                "level": c.level,
                "caught_by": c.by or c.bug.caught_by,
                "caught": bool(c.by),
                "seconds": c.seconds,
                "first_finding": c.finding,
                "cause": c.cause,
            }
            for c in caught
        ],
        "control_table": [
            {
                "name": t.control.name,
                "why": t.control.why,
                "level": t.level,
                "seeds": t.seeds,
                "seconds": t.seconds,
                "convicted_by": t.by,
            }
            for t in tried
        ],
    }


def from_result_file(result: Mapping[str, Any]) -> dict[tuple[str, str], Caught | Tried]:
    """The rows of a result file whose bug or control still exists, by level and name."""
    found: dict[tuple[str, str], Caught | Tried] = {}
    for row in result["bug_table"]:
        if bug := bugs_and_controls(row["level"])[0].get(row["name"]):
            by = row["caught_by"] if row["caught"] else ""
            found[row["level"], row["name"]] = Caught(
                bug, row["level"], by, row["seconds"], row["tv"], row["first_finding"], row["cause"]
            )
    for row in result["control_table"]:
        if control := bugs_and_controls(row["level"])[1].get(row["name"]):
            found[row["level"], row["name"]] = Tried(
                control, row["level"], row["seeds"], row["seconds"], row["convicted_by"]
            )
    return found
