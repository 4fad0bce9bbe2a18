"""One run of the judge: its clock, its seeds, its error rate."""

import hashlib
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch

from .torch_state import TorchStates

T = TypeVar("T")

ALPHA = 1e-6  # false alarms of a whole run
_GOAL = 0.005  # without --mde, tests go on until they would have seen this, or the budget is spent
# without --mde, a test that would not have seen this says nothing
_ENOUGH = {"kernel": 0.02, "scheduler": 0.02, "engine": 0.05, "http": 0.10}
# the same of checks whose draws cost a hundred times as much as those of their level
SLOW_GOAL, _SLOW_ENOUGH = 0.02, 0.05
# the same of tests of one case of many: a fault in all of them is what kernel.token-bets looks for
ALONE_ENOUGH = 0.2
GRACE = (2.0, 0.1)  # seconds, and a part of the budget: what a run may take beyond its budget
AGAIN = 0.05  # seconds after which the next of a series of calls is told to the watch


class OutOfTimeError(Exception):
    """The budget ended within a slice of work."""


class MisbehavedError(Exception):
    """The engine answered with something that its contract rules out; the message says what, in one
    line.
    """


@dataclass
class Session:
    """What a check may know of the run.

    A verdict has to be the same when its check runs alone: take every seed from `seed_for` or
    `generator`, and let the size of a slice depend on what was drawn, never on the clock.

    Args:
        engine: as the user named it.
        seed: of everything drawn.
        budget: seconds for the whole run.
        mde: the TV that has to be seen, None for the level's own.
        options: what else a reproduction has to say, such as --baseline.
    """

    engine: str
    level: str
    seed: int = 0
    budget: float = 60.0
    mde: float | None = None
    options: tuple[str, ...] = ()
    shares: int = 1  # statistical checks that share ALPHA
    # told before a call of the engine ("verify, 64 rows") and after ("")
    watch: Callable[[str], None] = lambda call: None
    kept: dict[str, Any] = field(default_factory=dict)  # what checks share, by name
    check: str = ""  # the id of the check that runs
    testing: bool = False  # whether a statistical check goes on, whose draws another one may watch
    raised: str = ""  # the call of the engine that the last error came out of
    worlds: TorchStates = field(default_factory=TorchStates)
    plain_too: bool = False  # what fails without speculation too is a FAIL
    # rows that a call of a slow kernel may have (kernel/pace.py); None: it is not slow
    most_rows: int | None = None
    call_seconds: float = 0.0  # of a call of a slow kernel, however few its rows
    scenario: str = ""  # as text (text/scenario.py): the only one that is asked
    parts: dict[type, Any] = field(default_factory=dict)  # what checks share, by its type

    def __post_init__(self) -> None:
        self.began = self.told = time.monotonic()  # told: when the watch was told last

    @property
    def left(self) -> float:
        """Seconds."""
        return self.budget - (time.monotonic() - self.began)

    @property
    def spent(self) -> bool:
        """The budget has ended, and what may come on top of it. A budget of 0 stands for one slice
        of each check, and does not end."""
        return self.budget != 0 and self.left < -(GRACE[0] + GRACE[1] * abs(self.budget))

    def fit(self, rows: int) -> int:
        """As many of these rows as a call may have."""
        return rows if self.most_rows is None else min(rows, self.most_rows)

    @property
    def goal(self) -> float:
        """A test may end when it would have seen this TV."""
        return _GOAL if self.mde is None else self.mde

    @property
    def enough(self) -> float:
        """A test that would not have seen this TV is INCONCLUSIVE."""
        return _ENOUGH[self.level] if self.mde is None else self.mde

    @property
    def slow_goal(self) -> float:
        return SLOW_GOAL if self.mde is None else self.mde

    @property
    def slow_enough(self) -> float:
        return _SLOW_ENOUGH if self.mde is None else self.mde

    @property
    def alone_enough(self) -> float:
        return ALONE_ENOUGH if self.mde is None else self.mde

    def alpha(self, cases: int = 1) -> float:
        """The false-alarm rate of each of a check's e-processes, so that the run's is ALPHA."""
        return ALPHA / max(1, self.shares) / cases

    def seed_for(self, *what: object) -> int:
        """A seed of its own for anything that can be named, from 0 to 2^63 - 1."""
        digest = hashlib.sha256(repr((self.seed, *what)).encode()).digest()
        return int.from_bytes(digest[:8], "big") >> 1

    def generator(self, *what: object) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed_for(*what))

    def reproduction(self, *only: str) -> str:
        """The command that says the same again; a check that looks at what others do gives the one
        of the whole run.
        """
        return shlex.join(
            [
                "specref",
                "validate",
                self.engine,
                "--level",
                self.level,
                *only,
                "--seed",
                str(self.seed),
                *self.options,
            ]
        )

    @contextmanager
    def calling(self, what: str) -> Iterator[None]:
        """Around every call of the engine, or a series of small ones, so that a hang is noticed and
        named.
        """
        self.raised = ""
        self.told = time.monotonic()
        self.watch(what)
        try:
            with self.worlds.engine():
                yield
        except BaseException:
            self.raised = what
            raise
        finally:
            self.watch("")

    def going_on(self, what: str) -> None:
        """Between two calls of a series: the next one's time begins. Small calls are many, so that
        not each is told.
        """
        if time.monotonic() - self.told > AGAIN:
            self.watch(what)
            self.told = time.monotonic()

    def shared(self, kind: type[T], make: Callable[[], T]) -> T:
        """What several checks use is made once, and is the only one of its type."""
        if kind not in self.parts:
            self.parts[kind] = make()
        found: T = self.parts[kind]
        return found

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """What several checks use is made once."""
        if name not in self.kept:
            self.kept[name] = make()
        return self.kept[name]
