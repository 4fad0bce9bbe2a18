"""What a check says of an engine, what all of them together say, and the exit code that this is
worth.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import Any, Literal, get_args

Outcome = Literal[
    "PASS",
    "FAIL",
    "INCONCLUSIVE",
    "UNSUPPORTED",
    "UNVERIFIED",
    "LOSSY-BY-DESIGN",
    "NOT-SPECULATION",
]
_Method = Literal["exact", "e-process", "two-sample e-process", "deterministic", "none"]


@dataclass(frozen=True)
class Picture:
    """Two distributions over the same outcomes, to be drawn beside each other."""

    title: str
    outcomes: tuple[str, ...]
    expected: tuple[float, ...]
    observed: tuple[float, ...]
    # the draft's distribution, where it is one over the same outcomes
    draft: tuple[float, ...] = ()


@dataclass(frozen=True)
class Reach:
    """The smallest fault of one class that a run would have convicted with power .999."""

    fault: str  # the class, in words
    tv: float | None  # mean TV of such a fault where it acts; None: of no size for sure
    everywhere: bool = False  # acts on every token


@dataclass(frozen=True)
class Verdict:
    """What one check says.

    PASS, FAIL; INCONCLUSIVE: too few draws for the effect that matters; UNSUPPORTED: the engine
    lacks what is asked for; UNVERIFIED: speculation was never seen to run; LOSSY-BY-DESIGN: off, as
    its adapter says it would be; NOT-SPECULATION: wrong, and just as wrong without speculation.
    """

    verdict: Outcome
    method: _Method = "deterministic"
    what: str = ""  # one line for people: what is wrong, or what was looked at
    case: str = ""  # the input that shows it
    n: int = 0  # draws, or inputs tried
    alpha: float | None = None  # false-alarm rate of this check
    mde: float | None = None  # smallest TV it would have found, with power .999
    tv: float | None = None  # estimated, or exact
    interval: tuple[float, float] | None = None  # 95 %, for the TV
    pictures: tuple[Picture, ...] = ()
    cause: str = ""  # the kind of bug in the zoo that looks like this
    scenario: str = ""  # the smallest scenario that fails, in words
    # whether the scenario fails without speculation too; None: not asked
    without_speculation: bool | None = None
    reach: tuple[Reach, ...] = ()  # what it would have found, by class of fault
    id: str = ""
    seed: int = 0
    repro: str = ""
    seconds: float = 0.0

    @property
    def sees(self) -> float | None:
        """The TV that --mde is held against: the MDE, or the reach of faults that act on every
        token."""
        tvs = [1.0 if one.tv is None else one.tv for one in self.reach if one.everywhere]
        return self.mde if self.mde is not None else max(tvs, default=None)

    def as_dict(self) -> dict[str, Any]:
        """For a result file."""
        return asdict(self)

    @staticmethod
    def from_dict(values: dict[str, Any]) -> "Verdict":
        pictures = tuple(
            Picture(
                one["title"],
                *(
                    tuple(one[distribution])
                    for distribution in ("outcomes", "expected", "observed", "draft")
                ),
            )
            for one in values["pictures"]
        )
        interval = values["interval"]
        reach = tuple(Reach(**one) for one in values["reach"])
        return Verdict(
            **values
            | {
                "pictures": pictures,
                "reach": reach,
                "interval": None if interval is None else tuple(interval),
            }
        )


@dataclass
class Report:
    """A whole run."""

    engine: str
    level: str
    seed: int
    name: str = ""  # what the adapter calls itself
    checks: list[Verdict] = field(default_factory=list)
    expected: tuple[str, ...] = ()  # the checks that were to be run
    questions: dict[str, str] = field(default_factory=dict)  # of each of them
    crashed: str = ""  # why the engine could not be loaded, or could not go on
    interrupted: bool = False
    known_failing: frozenset[str] = frozenset()
    notes: list[str] = field(default_factory=list)  # what is no check's question
    noise: str = ""  # what the engine printed
    alpha: float | None = None  # false alarms of the whole run
    seconds: float = 0.0
    enough: float | None = None  # the TV that every statistical check has to see, but
    slow: dict[str, float] = field(default_factory=dict)  # those that are slow to draw for
    concerns: dict[str, str] = field(default_factory=dict)  # of each check (suite.CONCERNS)
    accept_inconclusive: bool = False  # exit 0 where nothing failed and something ran

    @property
    def complete(self) -> bool:
        """Every check that was to be run has its verdict."""
        return (
            bool(self.expected)
            and not self.interrupted
            and {*self.expected} <= {v.id for v in self.checks}
        )

    @property
    def verdict(self) -> Outcome:
        said = {verdict.verdict for verdict in self.checks}
        if self.crashed or self.failed:
            return "FAIL"
        if (
            not self.complete
            or not {"PASS", "LOSSY-BY-DESIGN"} & said
            or {"INCONCLUSIVE", "UNVERIFIED"} & said
        ):
            return "INCONCLUSIVE"
        return "LOSSY-BY-DESIGN" if "LOSSY-BY-DESIGN" in said else "PASS"

    @property
    def failed(self) -> list[Verdict]:
        """What failed and was not known to fail, and what was known to fail and passed."""
        return [
            v
            for v in self.checks
            if v.verdict == ("PASS" if v.id in self.known_failing else "FAIL")
        ]

    @property
    def exit_code(self) -> int:
        """0 passed; 1 failed; 3 crashed or not loaded; 4 too little tested to say."""
        if self.crashed:
            return 3
        if self.accept_inconclusive and self.verdict == "INCONCLUSIVE" and self.count("PASS"):
            return 0
        return {"FAIL": 1, "INCONCLUSIVE": 4}.get(self.verdict, 0)

    def count(self, outcome: Outcome) -> int:
        return sum(verdict.verdict == outcome for verdict in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """For a result file (report/schema.json): no number but a finite one."""
        counts = {outcome: self.count(outcome) for outcome in get_args(Outcome)}
        return _finite(
            {
                "verdict": self.verdict,
                "exit_code": self.exit_code,
                "engine": self.engine,
                "name": self.name,
                "level": self.level,
                "seed": self.seed,
                "alpha": self.alpha,
                "seconds": self.seconds,
                "crashed": self.crashed,
                "notes": self.notes,
                "known_failing": sorted(self.known_failing),
                "checks": [verdict.as_dict() for verdict in self.checks],
                "counts": counts,
                "expected": len(self.expected),
                "with_verdict": len(self.checks),
                "interrupted": self.interrupted,
                "complete": self.complete,
            }
        )


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity."""
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def worst(verdicts: Iterable[Verdict]) -> Verdict | None:
    """The one to show of several cases: a failure first, then the least powerful."""
    rank: dict[str, int] = {
        "FAIL": 0,
        "INCONCLUSIVE": 1,
        "UNVERIFIED": 2,
        "UNSUPPORTED": 3,
        "LOSSY-BY-DESIGN": 4,
        "NOT-SPECULATION": 5,
        "PASS": 6,
    }
    return min(verdicts, key=lambda v: (rank[v.verdict], -(v.mde or 0)), default=None)
