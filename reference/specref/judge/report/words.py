"""A report in words: one sentence for the whole, and the cells of its table."""

import math

from ..suite import CONCERNS
from ..verdict import Outcome, Report, Verdict

_ORDER: tuple[Outcome, ...] = (
    "FAIL",
    "INCONCLUSIVE",
    "UNVERIFIED",
    "NOT-SPECULATION",
    "LOSSY-BY-DESIGN",
    "PASS",
    "UNSUPPORTED",
)
_OF_TEXTS = ("engine.", "http.")  # levels whose tokens have a prefix
_NAMED = 3  # checks that a sentence names
_SAID = {
    "FAIL": "failed",
    "LOSSY-BY-DESIGN": "lossy by design",
    "NOT-SPECULATION": "wrong without speculation too",
}
_METHOD = {"e-process": "sequential", "two-sample e-process": "two samples", "none": "-"}
LEGEND = (
    "TV: total variation, the distance from the target's distribution, 0 to 1. MDE: the smallest TV"
    " of what the check compares that it would have found, with power .999; a check that says so by"
    " class of fault has none. n: draws, or inputs tried."
)


def sentence(report: Report) -> str:
    """The overall verdict, as one person says it to another."""
    if report.crashed:
        return f"CRASHED: {report.crashed}"
    said = {"FAIL": _failure, "INCONCLUSIVE": _gap, "LOSSY-BY-DESIGN": _lossy}.get(
        report.verdict, _success
    )
    return f"{report.verdict}: {said(report)}"


def failures(report: Report) -> list[Verdict]:
    """What failed, the gravest first: by what it means (CONCERNS), then a likely cause, then a
    large distance."""

    def gravity(verdict: Verdict) -> tuple[bool, int, bool, float]:
        concern = report.concerns.get(verdict.id, "protocol")
        return (
            verdict.verdict == "PASS",
            CONCERNS.index(concern),
            not verdict.cause,
            -(verdict.tv or 0),
        )

    return sorted(report.failed, key=gravity)


def elsewhere(report: Report) -> list[Verdict]:
    """What is wrong without speculation too, and so is not speculation's doing."""
    return [verdict for verdict in report.checks if verdict.verdict == "NOT-SPECULATION"]


def control(verdict: Verdict) -> str:
    """What the same scenario says without speculation."""
    if verdict.without_speculation is None:
        return ""
    return "fails there too" if verdict.without_speculation else "passes there"


def _failure(report: Report) -> str:
    first = failures(report)[0]
    if first.verdict == "PASS":
        return f"{first.id} is listed as known to fail, and passes: take it off the list"
    if not first.cause.startswith("looks like"):
        return first.cause or f"{first.id}: {first.what}"
    # the pattern in words, where there is one
    return f"{first.what.rpartition('; ')[2]}; it {first.cause}"


def _gap(report: Report) -> str:
    if not report.complete:
        why = "interrupted" if report.interrupted else "ended early"
        begun = f"{len(report.checks)} of {len(report.expected)} checks begun"
        return f"nothing failed so far, but the run was {why} with {begun}"
    unseen = [v.id for v in report.checks if v.verdict == "UNVERIFIED"]
    if unseen:
        where = ", ".join(unseen[:_NAMED]) + f" and {len(unseen) - _NAMED} more" * (
            len(unseen) > _NAMED
        )
        return (
            f"nothing failed, but speculation was never seen to run in {where}, so nothing is known"
            " of it there"
        )
    missed = [v for v in report.checks if v.verdict == "INCONCLUSIVE" and v.sees is not None]
    if missed:
        most = max(v.sees or 0 for v in missed)
        return (
            f"nothing failed, but a TV below {number(most)} could have been missed: give more time"
            f" with --budget{_needed(report, missed)}, or ask for less with --mde"
        )
    if report.count("INCONCLUSIVE"):
        return "nothing failed, but " + next(
            v.what for v in report.checks if v.verdict == "INCONCLUSIVE"
        )
    if report.count("FAIL"):
        return "what ran is known to fail, and nothing passed"
    return f"nothing was tested: the engine has what none of the {len(report.checks)} checks needs"


def _needed(report: Report, missed: list[Verdict]) -> str:
    """The budget that would about do: half the TV takes four times the draws. Nothing where too
    little was drawn to say.
    """
    if not report.enough or any((v.sees or 1) > 0.5 for v in missed):
        return ""
    more = sum(
        v.seconds * ((v.sees or 1) ** 2 / report.slow.get(v.id, report.enough) ** 2 - 1)
        for v in missed
    )
    unit = 10 ** max(len(str(int(report.seconds + more))) - 2, 0)
    return (
        f" (about {math.ceil((report.seconds + more) / unit) * unit} should do)" if more > 0 else ""
    )


def _lossy(report: Report) -> str:
    most = max((v.tv or 0 for v in report.checks if v.verdict == "LOSSY-BY-DESIGN"), default=0)
    return (
        f"not the target's distribution, as its adapter says (TV up to {number(most)}); nothing"
        " else is wrong"
    )


def _success(report: Report) -> str:
    passed = [v for v in report.checks if v.verdict == "PASS"]
    by_class = [v for v in passed if v.reach]
    if by_class:
        widest = max(by_class, key=lambda v: len(v.reach))
        others = len(by_class) - 1
        more = f" Other checks that state theirs in the report: {others}." if others else ""
        return f"no difference found. {reach(widest)}{more}"
    seen = {v.id: v.mde for v in passed if v.mde is not None and v.method != "exact"}
    quick = {name: mde for name, mde in seen.items() if name not in report.slow} or seen
    if seen:
        most, less = max(quick.values()), max(seen.values())
        return (
            f"no difference found; one of TV {number(most)} would have been found"
            + f" (where a draw takes long, {number(less)})" * (less > most)
        )
    if any(v.method == "exact" for v in passed):
        return "no difference found; what was looked at is known exactly"
    return "nothing wrong was found; no check of the distribution was among those that ran"


def reach(verdict: Verdict) -> str:
    """What a check would have convicted, class by class. No single TV stands for all of them
    (proofs/written/S2_mde_needs_a_class.md)."""
    if not verdict.reach:
        return ""
    sized = [f"{one.fault}, TV {_up(one.tv)}" for one in verdict.reach if one.tv is not None]
    unsized = [one.fault for one in verdict.reach if one.tv is None]
    said = (
        [f"With power .999 {verdict.id} would have convicted: {'; '.join(sized)}."] if sized else []
    )
    said += [f"Of no size for sure: {'; '.join(unsized)}."] if unsized else []
    if verdict.id.startswith(_OF_TEXTS):
        said.append("A fault that follows the whole prefix is seen only where prefixes recur.")
    return " ".join(said)


def _up(tv: float) -> str:
    """Three decimals, rounded up: less is not claimed."""
    return number(math.ceil(1000 * tv - 1e-9) / 1000)


def known(report: Report, verdict: Verdict) -> str:
    """The verdict as the table shows it, with what was known of it before."""
    if verdict.id not in report.known_failing:
        return verdict.verdict
    return {"FAIL": "FAIL (known)", "PASS": "PASS (was known to fail)"}.get(
        verdict.verdict, verdict.verdict
    )


def ordered(report: Report) -> list[Verdict]:
    """What matters first."""
    failed = {verdict.id for verdict in report.failed}
    return sorted(report.checks, key=lambda v: (v.id not in failed, _ORDER.index(v.verdict)))


def counts(report: Report) -> str:
    """How many checks said what, of all that were to be run."""
    parts = [f"{report.count('PASS')} of {len(report.expected)} checks passed"]
    parts += [
        f"{report.count(outcome)} {_SAID.get(outcome, outcome.lower())}"
        for outcome in _ORDER
        if outcome != "PASS" and report.count(outcome)
    ]
    absent = len(report.expected) - len(report.checks)
    return ", ".join(parts + ([f"{absent} without a verdict"] if absent else []))


def number(value: float | None) -> str:
    """Two digits that count."""
    if value is None:
        return "-"
    return (
        f"{value:.2g}" if 0 < abs(value) < 1e-4 else f"{value:.4f}".rstrip("0").rstrip(".") or "0"
    )


def tv_words(verdict: Verdict) -> str:
    """The TV with its interval."""
    if verdict.tv is None:
        return "-"
    return number(verdict.tv) + (
        f" ({number(verdict.interval[0])} to {number(verdict.interval[1])})"
        if verdict.interval
        else ""
    )


def method(verdict: Verdict) -> str:
    return _METHOD.get(verdict.method, verdict.method)
