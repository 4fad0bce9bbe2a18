"""The checks that an engine is put to, through the contract alone.

Each has a permanent id `level.name`, the version since which it stands, and one question. A check
is a generator: after every slice of work it yields its verdict so far, and it returns when more
work could not change it. So one schedule (`schedule.judge`) serves checks that are done at once and
tests that go on for as long as there is time.
"""

import importlib
import importlib.util
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ..session import Session
from ..verdict import Verdict

Run = Callable[[Any, Session], Iterator[Verdict]]
LEVELS = ("kernel", "scheduler", "engine", "http")
# What a failure means, the gravest first: of several the first is the headline.
CONCERNS = (
    "impossible tokens",
    "distribution",
    "determinism",
    "protocol",
    "acceptance",
    "accounting",
)
_MODULES: dict[str, tuple[str, ...]] = {
    "kernel": (
        "kernel",
        "kernel_distribution",
        "kernel_pooled",
        "kernel_exact",
        "kernel_tree",
        "kernel_rows",
        "..kernel.checks",
        "..kernel.stream_checks",
        "..kernel.half_checks",
        "..kernel.logits",
    ),
    "scheduler": ("scheduler",),
    "engine": (
        "engine_scenarios",
        "engine_text",
        "engine_counts",
        "engine_rows",
        "engine_params",
        "engine_wide",
        "engine_bets",
    ),
    "http": (
        "http_basics",
        "http_text",
        "http_load",
        "http_seeds",
        "http_logprobs",
        "http_distribution",
        "http_scored",
    ),
}


@dataclass(frozen=True)
class Check:
    id: str
    since: str  # version
    question: str
    about: str  # the rest of the docstring: what it does, what it can miss
    run: Run
    distribution: bool  # asks for the target's distribution: a lossy engine is excused
    statistical: bool  # takes a share of the run's false-alarm rate
    needs: frozenset[str]  # capabilities, or methods of a kernel
    # one draw costs as much as a hundred elsewhere: it is asked for less (session.SLOW_GOAL)
    slow: bool = False
    concern: str = "protocol"  # of CONCERNS
    # its MDE is that of a fault in one case alone: it is asked for less (session.ALONE_ENOUGH)
    alone: bool = False

    @property
    def level(self) -> str:
        return self.id.split(".")[0]


CHECKS: dict[str, Check] = {}


def check(
    name: str,
    *,
    since: str = "0.1",
    distribution: bool = False,
    statistical: bool = False,
    needs: tuple[str, ...] = (),
    slow: bool = False,
    concern: str = "",
    alone: bool = False,
) -> Callable[[Run], Run]:
    """Register a check under its permanent id; the first paragraph of its docstring is its
    question.
    """

    def register(run: Run) -> Run:
        if name in CHECKS:
            raise KeyError(f"two checks are called {name}")
        meant = concern or ("distribution" if distribution else "protocol")
        if meant not in CONCERNS:
            raise KeyError(f"{name}: {meant!r} is no concern: give one of {', '.join(CONCERNS)}")
        question, _, about = inspect.cleandoc(run.__doc__ or "").partition("\n\n")
        question = " ".join(question.split())
        CHECKS[name] = Check(
            name,
            since,
            question,
            about.strip(),
            run,
            distribution,
            statistical,
            frozenset(needs),
            slow,
            meant,
            alone,
        )
        return run

    return register


def checks(level: str) -> list[Check]:
    """The checks of one level, in the order in which they begin."""
    names = [name if name.startswith(".") else f".{name}" for name in _MODULES[level]]
    for name in names:
        importlib.import_module(name, __name__)
    # and not that of whoever imported one of them earlier
    order = [importlib.util.resolve_name(name, __name__) for name in names]
    mine = (item for item in CHECKS.values() if item.level == level)
    return sorted(mine, key=lambda item: order.index(item.run.__module__))
