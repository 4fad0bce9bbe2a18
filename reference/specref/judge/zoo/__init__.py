"""Planted bugs and controls. A bug is right code with one part replaced by a wrong one. A control
is right code that looks wrong.

They test the checks: the check that a bug names must convict it, and no check may convict a
control.

`number` groups bugs of one kind that real engines have had; `source` names the project and the
issue where the kind was seen.
"""

from dataclasses import dataclass

from ..contract import Engine, Kernel, Scheduler
from ..subjects import Loop, RuleStep
from ..tree_subjects import Heads, TreeStep
from .toy_server import Service

Subject = (
    RuleStep
    | TreeStep
    | Heads
    | type[Loop]
    | type[Kernel]
    | type[Scheduler]
    | type[Engine]
    | type[Service]
)


@dataclass(frozen=True)
class Bug:
    name: str
    number: int  # of its kind
    source: str  # project and issue
    kind: str
    symptom: str  # what a user sees
    caught_by: str  # id of the check that must convict it
    subject: Subject
    crashes: bool = False  # a crash is the symptom


@dataclass(frozen=True)
class Control:
    name: str
    why: str  # it is right
    subject: Subject


def level_of(subject: Subject) -> str:
    """The level whose checks judge the subject. White-box subjects: "rule", "greedy", "tree",
    "loop" or "heads". Subjects behind the contract: "kernel", "scheduler", "engine" or "http".
    """
    if isinstance(subject, type) and issubclass(subject, Kernel | Engine):
        return "kernel" if issubclass(subject, Kernel) else "engine"
    if isinstance(subject, type) and issubclass(subject, Scheduler):
        return "scheduler"
    return str(subject.level)
