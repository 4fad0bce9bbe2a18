"""Runs the exact checks on the zoo: which check convicts each bug, how far the bug's distribution
is off, and whether a control is convicted.
"""

import time
from dataclasses import dataclass

from ..exact import EXACT_CHECKS, ExactFinding, exact_checks
from . import Bug, Control, level_of
from .controls import LOOP_CONTROLS, RULE_CONTROLS
from .loops import LOOP_BUGS
from .pace import PACE_BUGS, PACE_CONTROLS
from .rules import RULE_BUGS
from .tree_loops import TREE_LOOP_BUGS, TREE_LOOP_CONTROLS
from .trees import TREE_BUGS, TREE_CONTROLS

BUGS: dict[str, Bug] = {
    bug.name: bug
    for bug in sorted(
        (*RULE_BUGS, *TREE_BUGS, *LOOP_BUGS, *TREE_LOOP_BUGS, *PACE_BUGS),
        key=lambda bug: bug.number,
    )
}
CONTROLS: dict[str, Control] = {
    control.name: control
    for control in (
        *RULE_CONTROLS,
        *TREE_CONTROLS,
        *LOOP_CONTROLS,
        *TREE_LOOP_CONTROLS,
        *PACE_CONTROLS,
    )
}
_DISTRIBUTION = (
    "rule.first-token",
    "rule.joint",
    "rule.bonus",
    "rule.ragged",
    "rule.support",
    "tree.first-token",
    "tree.joint",
    "tree.ragged",
    "tree.support",
    "loop.joint",
)  # to measure a TV with
# A bug that one of these finds need not change a distribution that the exact checks enumerate.
_NO_DISTRIBUTION = (
    "rule.refuses",
    "loop.mixed-batch",
    "loop.vocabulary",
    "heads.differ",
    "heads.offset",
    "heads.taught",
)


@dataclass(frozen=True)
class Conviction:
    bug: Bug
    findings: tuple[ExactFinding, ...]  # of the check that the bug names
    # the largest TV of an emitted distribution from the target's, over all cases of the checks that
    # ran; None where the bug changes no distribution
    tv: float | None
    seconds: float  # of the check that the bug names

    @property
    def convicted(self) -> bool:
        """Whether the check that the bug names convicts it; a crash counts only where a crash is
        the symptom.
        """
        return any(finding.crash <= self.bug.crashes for finding in self.findings)


def convict(bug: Bug) -> Conviction:
    """Run the check that the bug names. Where that check compares no distributions, measure the
    bug's TV with other checks.
    """
    began = time.monotonic()
    findings = EXACT_CHECKS[bug.caught_by](bug.subject)
    seconds = time.monotonic() - began
    seen = list(findings)
    if level_of(bug.subject) in ("rule", "tree") or not any(finding.tv for finding in findings):
        for other in exact_checks(level_of(bug.subject)):
            if other.id in _DISTRIBUTION and other.id != bug.caught_by:
                seen += other(bug.subject)
    tv = max((finding.tv for finding in seen), default=0.0)
    unknown = not tv and (bug.crashes or bug.caught_by in _NO_DISTRIBUTION)
    return Conviction(bug, tuple(findings), None if unknown else tv, seconds)


@dataclass(frozen=True)
class Acquittal:
    control: Control
    findings: dict[str, list[ExactFinding]]  # check id -> what it found wrongly
    seconds: float


def acquit(control: Control) -> Acquittal:
    """Run every check of the control's level on it."""
    began = time.monotonic()
    found = {item.id: item(control.subject) for item in exact_checks(level_of(control.subject))}
    return Acquittal(
        control,
        {name: findings for name, findings in found.items() if findings},
        time.monotonic() - began,
    )
