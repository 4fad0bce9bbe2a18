"""One run of the judge: its clock, its seeds, its error rate, and the schedule of its checks."""

import hashlib
import shlex
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..types import SpecdecError
from .plug import NotLoadedError, has
from .verdict import Verdict
from .worlds import Worlds

if TYPE_CHECKING:
    from .suite import Check

ALPHA = 1e-6  # false alarms of a whole run
GOAL = 0.005  # without --mde, tests go on until they would have seen this, or the budget is spent
ENOUGH = {"kernel": 0.02, "engine": 0.05, "http": 0.10}  # without --mde, a test that would not have seen this says nothing
SLOW_GOAL, SLOW_ENOUGH = 0.02, 0.05  # the same of checks whose draws cost a hundred times as much as those of their level
PARTS = 4  # how many times the mean of the others a check may take
AGAIN = 0.05  # seconds after which the next of a series of calls is told to the watch


# told ("begun", id, None), ("renewed", id, verdict) after every slice, ("ended", id, verdict)
Told = Callable[[str, str, Verdict | None], None]


class MisbehavedError(Exception):
    """The engine answered with something that its contract rules out; the message says what, in one line."""


@dataclass
class Session:
    """What a check may know of the run.

    A verdict has to be the same when its check runs alone: take every seed from `seed_for` or `generator`, and let the
    size of a slice depend on what was drawn, never on the clock.

    Args:
        engine: as the user named it. seed: of everything drawn. budget: seconds for the whole run. mde: the TV that has to
            be seen, None for the level's own. options: what else a reproduction has to say, such as --baseline.
    """

    engine: str
    level: str
    seed: int = 0
    budget: float = 60.0
    mde: float | None = None
    options: tuple[str, ...] = ()
    shares: int = 1  # statistical checks that share ALPHA
    watch: Callable[[str], None] = lambda call: None  # told before a call of the engine ("verify, 64 rows") and after ("")
    kept: dict[str, Any] = field(default_factory=dict)  # what checks share, by name
    check: str = ""  # the id of the check that runs
    raised: str = ""  # the call of the engine that the last error came out of
    worlds: Worlds = field(default_factory=Worlds)

    def __post_init__(self) -> None:
        self.began = self.told = time.monotonic()  # told: when the watch was told last

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

    @property
    def slow_goal(self) -> float:
        return SLOW_GOAL if self.mde is None else self.mde

    @property
    def slow_enough(self) -> float:
        return SLOW_ENOUGH if self.mde is None else self.mde

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
        """The command that says the same again; a check that looks at what others do gives the one of the whole run."""
        return shlex.join(["specdec", "validate", self.engine, "--level", self.level, *only, "--seed", str(self.seed),
                           *self.options])

    @contextmanager
    def calling(self, what: str) -> Iterator[None]:
        """Around every call of the engine, or a series of small ones, so that a hang is noticed and named."""
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
        """Between two calls of a series: the next one's time begins. Small calls are many, so that not each is told."""
        if time.monotonic() - self.told > AGAIN:
            self.watch(what)
            self.told = time.monotonic()

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """What several checks use is made once."""
        if name not in self.kept:
            self.kept[name] = make()
        return self.kept[name]


def judge(plug: Any, session: Session, chosen: Sequence["Check"],
          tell: Told = lambda event, check, verdict: None) -> list[Verdict]:
    """Put a plug to every chosen check: each gets its first slice in turn, then all that go on get theirs, those first that
    cannot say anything yet, then those that are furthest from their goal, until the budget is spent.

    Returns:
        one verdict for each check, in their order.
    """
    from .asking import let_go  # which imports this module, as the next does
    from .suite import checks

    session.shares *= sum(item.statistical for item in checks(session.level))  # of all, so that a check alone has the same
    try:
        return _judged(plug, session, chosen, tell)
    finally:
        let_go(session)


def _judged(plug: Any, session: Session, chosen: Sequence["Check"], tell: Told) -> list[Verdict]:
    said: dict[str, Verdict] = {}
    going = {item.id: (item, _guarded(item, plug, session)) for item in chosen}
    first = True
    while going:
        for name in list(going) if first else _turn([item for item, _ in going.values()], said, session):
            item, run = going[name]
            if not first and session.left <= 0:
                return [said[item.id] for item in chosen]
            session.check = name
            session.worlds.turn_to(name, session.seed_for("global coins", name))
            if first:
                tell("begun", name, None)
            began = time.monotonic()
            fresh = next(run, None)
            if fresh is None:
                del going[name]
                tell("ended", name, said[name])
                continue
            before = said[name].seconds if name in said else 0.0
            said[name] = _settled(fresh, item, plug, session, before + time.monotonic() - began)
            tell("renewed", name, said[name])
        first = False
    return [said[item.id] for item in chosen]


def _turn(going: Sequence["Check"], said: dict[str, Verdict], session: Session) -> list[str]:
    """Who gets a slice in the next round: checks of finite work always. Of the tests those that cannot say anything yet,
    where there are any, the one that has seen least; then the one furthest from its goal, for a run has seen no more than
    its weakest test. None that has had PARTS times what the others have had on average."""
    tests = [item for item in going if item.statistical]
    unsure = [item for item in tests if said[item.id].verdict in ("INCONCLUSIVE", "UNVERIFIED")]
    waiting = unsure or tests
    most = sum(said[item.id].seconds for item in waiting) * PARTS / (len(waiting) - 1 + PARTS)
    chosen = [item for item in waiting if said[item.id].seconds <= most]
    if chosen:
        chosen = [max(chosen, key=lambda item: (_unseen(item, said[item.id], session, bool(unsure)),
                                                -said[item.id].seconds))]
    return [item.id for item in going if not item.statistical or item in chosen]


def _unseen(item: "Check", verdict: Verdict, session: Session, unsure: bool) -> float:
    """A test's MDE; of those that can say something, how many times their goal it is."""
    mde = 1.0 if verdict.mde is None else verdict.mde
    return mde if unsure else mde / (session.slow_goal if item.slow else session.goal)


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
    except NotLoadedError:
        raise
    except (Exception, SystemExit) as error:
        yield Verdict("FAIL", "deterministic", _raised(error, session), n=1)
    else:
        if not ran:
            raise SpecdecError(f"{item.id} yields no verdict: let it yield one")
    finally:
        session.raised = ""


def _raised(error: BaseException, session: Session) -> str:
    """What went wrong, in which call, and in which line of the engine."""
    said = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}".rstrip(": ")
    if not session.raised:
        return f"answers with something that cannot be judged: {said}"
    ours = str(Path(__file__).parents[1])
    lines = [frame for frame in traceback.extract_tb(error.__traceback__)
             if not frame.filename.startswith((ours, "<")) and "site-packages" not in frame.filename
             and Path(frame.filename).name != "contextlib.py"]
    place = f" ({Path(lines[-1].filename).name}, line {lines[-1].lineno})" if lines else ""
    return f"raises in {session.raised}{place}: {said}"


def _settled(verdict: Verdict, item: "Check", plug: Any, session: Session, seconds: float) -> Verdict:
    """The verdict with what the schedule knows; a lossy engine is excused from the target's law, not from behaving."""
    outcome = verdict.verdict
    if outcome == "FAIL" and item.law and not getattr(plug, "lossless", True) and verdict.method != "deterministic":
        outcome = "LOSSY-BY-DESIGN"
    enough = session.slow_enough if item.slow else session.enough
    if outcome == "PASS" and verdict.mde is not None and verdict.mde > enough:
        outcome = "INCONCLUSIVE"
    return replace(verdict, verdict=outcome, id=item.id, seed=session.seed, seconds=seconds,
                   repro=verdict.repro or session.reproduction("--only", item.id))
