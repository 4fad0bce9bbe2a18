"""The checks. Each has a permanent id, a level and one question; it answers with what it found,
which is nothing for right code. Importing this package registers all of them.
"""

import importlib
import inspect
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Any

from ...exact.enumerate import total_variation

TOLERANCE = 1e-9  # distributions here are float64; right code is within 1e-12
_MODULES = (
    "rule",
    "edges",
    "loop_distribution",
    "loop_text",
    "loop_batch",
    "tree",
    "loop_tree",
    "heads",
)


@dataclass(frozen=True)
class ExactFinding:
    """One thing that is wrong."""

    case: str
    what: str
    tv: float = 0.0  # how far the distribution is off, where a distribution was compared
    crash: bool = False
    # what was compared, outcome -> probability; None where no distribution was
    emitted: "Distribution | None" = None
    expected: "Distribution | None" = None


Distribution = dict[Any, float]  # outcome -> probability
_Run = Callable[[Any], Iterator[ExactFinding]]


@dataclass(frozen=True)
class ExactCheck:
    id: str
    level: str  # of the subjects it can judge: "rule", "greedy", "tree", "loop" or "heads"
    question: str
    run: _Run

    def __call__(self, subject: Any) -> list[ExactFinding]:
        """What is wrong with the subject; a crash is a finding too, and ends the check."""
        found: list[ExactFinding] = []
        try:
            found.extend(self.run(subject))
        except Exception as error:
            found.append(
                ExactFinding("", f"crashed with {type(error).__name__}: {error}", crash=True)
            )
        return found


EXACT_CHECKS: dict[str, ExactCheck] = {}


def exact_check(name: str) -> Callable[[_Run], _Run]:
    """Register a check; its level is the first word of its id, its question the first line of its
    docstring.
    """

    def register(run: _Run) -> _Run:
        if name in EXACT_CHECKS:
            raise KeyError(f"two checks are called {name}")
        EXACT_CHECKS[name] = ExactCheck(
            name,
            name.split(".")[0],
            " ".join(inspect.cleandoc(run.__doc__ or "").partition("\n\n")[0].split()),
            run,
        )
        return run

    return register


def compare(
    case: str, distribution: Distribution, expected: Distribution
) -> Iterator[ExactFinding]:
    """A finding where two exact distributions differ; it names the outcome that is furthest off."""
    tv = total_variation(distribution, expected)
    if not tv <= TOLERANCE:
        worst: Hashable = max(
            distribution.keys() | expected.keys(),
            key=lambda k: abs(distribution.get(k, 0.0) - expected.get(k, 0.0)),
        )
        yield ExactFinding(
            case,
            f"{worst} has probability {distribution.get(worst, 0.0):.6g} instead of "
            f"{expected.get(worst, 0.0):.6g}",
            tv,
            emitted=distribution,
            expected=expected,
        )


def exact_checks(level: str) -> list[ExactCheck]:
    """The checks that judge subjects of one level, in the order in which they run."""
    return [item for item in EXACT_CHECKS.values() if item.level == level]


for _module in _MODULES:
    importlib.import_module(f".{_module}", __name__)
