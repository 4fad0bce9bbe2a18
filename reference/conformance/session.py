"""One run of the judge: its clock, its seeds, its error rate, and the schedule of its checks."""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch

from ..types import SpecdecError
from .plug import has
from .verdict import Verdict

if TYPE_CHECKING:
    from .suite import Check

ALPHA = 1e-6  # false alarms of a whole run
GOAL = 0.005  # without --mde, tests go on until they would have seen this, or the budget is spent
ENOUGH = {"kernel": 0.02, "engine": 0.05, "http": 0.10}  # without --mde, a test that would not have seen this says nothing


class MisbehavedError(Exception):
    """The engine answered with something that its contract rules out; the message says what, in one line."""


@dataclass
class Session:
    """What a check may know of the run.

    Args:
        engine: as the user named it. seed: of everything drawn. budget: seconds for the whole run. mde: the TV that has to
            be seen, None for the level's own.
    """

    engine: str
    level: str
    seed: int = 0
    budget: float = 60.0
    mde: float | None = None
    shares: int = 1  # statistical checks that share ALPHA
    watch: Callable[[str], None] = lambda call: None  # told before a call of the engine ("verify, 64 rows") and after ("")
    kept: dict[str, Any] = field(default_factory=dict)  # what checks share, by name
    check: str = ""  # the id of the check that runs

    def __post_init__(self) -> None:
        self.began = time.monotonic()

    @property
    def left(self) -> float:
        """Seconds."""
        return self.budget - (time.monotonic() - self.began)

    @property
    def goal(self) -> float:
        """A test may end when it would have seen this TV."""
        return GOAL if self.mde is None else self.mde

    @property
    def enough(self) -> float:
        """A test that would not have seen this TV is INCONCLUSIVE."""
        return ENOUGH[self.level] if self.mde is None else self.mde

    def alpha(self, cases: int = 1) -> float:
        """The false-alarm rate of each of a check's e-processes, so that the run's is ALPHA."""
        return ALPHA / max(1, self.shares) / cases

    def seed_for(self, *what: object) -> int:
        """A seed of its own for anything that can be named, from 0 to 2^63 - 1."""
        digest = hashlib.sha256(repr((self.seed, *what)).encode()).digest()
        return int.from_bytes(digest[:8], "big") >> 1

    def generator(self, *what: object) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed_for(*what))

    @contextmanager
    def calling(self, what: str) -> Iterator[None]:
        """Around every call of the engine, so that a hang is noticed and named."""
        self.watch(what)
        try:
            yield
        finally:
            self.watch("")

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """What several checks use is made once."""
        if name not in self.kept:
            self.kept[name] = make()
        return self.kept[name]


def judge(plug: Any, session: Session, chosen: Sequence["Check"],
          report: Callable[[str, Verdict | None], None] = lambda check, verdict: None) -> list[Verdict]:
    """Put a plug to every chosen check: each gets its first slice in turn, then all that go on get theirs, until the
    budget is spent.

    Args:
        report: told (id, None) when a check begins and (id, verdict) whenever its verdict is renewed.
    Returns:
        one verdict for each check, in their order.
    """
    session.shares = sum(item.statistical for item in chosen)
    said: dict[str, Verdict] = {}
    going = {item.id: (item, _guarded(item, plug, session)) for item in chosen}
    first = True
    while going:
        for name, (item, run) in list(going.items()):
            session.check = name
            if first:
                report(name, None)
            elif session.left <= 0:
                return [said[item.id] for item in chosen]
            began = time.monotonic()
            fresh = next(run, None)
            if fresh is None:
                del going[name]
                continue
            before = said[name].seconds if name in said else 0.0
            said[name] = _settled(fresh, item, plug, session, before + time.monotonic() - began)
            report(name, said[name])
        first = False
    return [said[item.id] for item in chosen]


def _guarded(item: "Check", plug: Any, session: Session) -> Iterator[Verdict]:
    """The check's own verdicts; whatever the engine raises is a verdict too, and the last."""
    missing = [need for need in sorted(item.needs) if not has(plug, need)]
    if missing:
        yield Verdict("UNSUPPORTED", "none", f"the engine has no {', '.join(missing)}")
        return
    ran = False
    try:
        for verdict in item.run(plug, session):
            ran = True
            yield verdict
    except MisbehavedError as error:
        yield Verdict("FAIL", "deterministic", str(error), n=1)
    except Exception as error:
        yield Verdict("FAIL", "deterministic", f"raised {type(error).__name__}: {' '.join(str(error).split())[:300]}", n=1)
    else:
        if not ran:
            raise SpecdecError(f"{item.id} yields no verdict: let it yield one")


def _settled(verdict: Verdict, item: "Check", plug: Any, session: Session, seconds: float) -> Verdict:
    """The verdict with what the schedule knows; a lossy engine is excused from the target's law, not from behaving."""
    outcome = verdict.verdict
    if outcome == "FAIL" and item.law and not getattr(plug, "lossless", True) and verdict.method != "deterministic":
        outcome = "LOSSY-BY-DESIGN"
    if outcome == "PASS" and verdict.mde is not None and verdict.mde > session.enough:
        outcome = "INCONCLUSIVE"
    repro = f"specdec validate {session.engine} --level {session.level} --only {item.id} --seed {session.seed}"
    return replace(verdict, verdict=outcome, id=item.id, seed=session.seed, repro=repro, seconds=seconds)
