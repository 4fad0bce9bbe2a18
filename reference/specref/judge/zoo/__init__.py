"""Planted bugs, each a few lines over right code, and controls that look wrong and are right. They
prove the checks: every bug must be convicted by the check it names, and nothing may convict a
control.

Numbers are kinds of bugs that real engines have had; `source` says where the kind was seen.
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
    """Of the exact checks: "rule", "greedy", "tree", "loop" or "heads"; else the contract's level
    that shows it.
    """
    if isinstance(subject, type) and issubclass(subject, Kernel | Engine):
        return "kernel" if issubclass(subject, Kernel) else "engine"
    if isinstance(subject, type) and issubclass(subject, Scheduler):
        return "scheduler"
    return str(subject.level)
