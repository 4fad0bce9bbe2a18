"""What a run of the judge is asked to do, as it goes to the process that does it."""

import shlex
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import SpecrefError

# seconds for one call of the engine
CALL_TIMEOUT = {"kernel": 60.0, "scheduler": 60.0, "engine": 120.0, "http": 120.0}


@dataclass(frozen=True)
class Job:
    """Args: as the options of `specref validate`; None: the level's own."""

    engine: str
    level: str | None = None
    seed: int = 0
    budget: float = 60.0
    mde: float | None = None
    only: tuple[str, ...] = ()
    known_failing: tuple[str, ...] = ()
    baseline: str | None = None
    call_timeout: float | None = None
    accept_inconclusive: bool = False
    plain_too: bool = False
    draft: str | None = None
    scenario: str = ""

    def __post_init__(self) -> None:
        for name, value in (("budget", self.budget), ("call timeout", self.call_timeout)):
            if value is not None and not 0 < value < float("inf"):
                raise SpecrefError(f"a {name} of {value:g} is no time: give seconds, above 0")
        if self.mde is not None and not 0 < self.mde < 1:
            raise SpecrefError(f"an mde of {self.mde:g} is no TV: give a number between 0 and 1")

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def limit(self, level: str) -> float:
        """Seconds that one call may take."""
        return CALL_TIMEOUT[level] if self.call_timeout is None else self.call_timeout

    @property
    def options(self) -> tuple[str, ...]:
        """What a reproduction says besides engine, level, check and seed."""
        said = (
            ("--mde", self.mde),
            ("--baseline", self.baseline),
            ("--draft", self.draft),
            ("--call-timeout", self.call_timeout),
        )
        words = [word for name, value in said if value is not None for word in (name, str(value))]
        return (*words, "--plain-too") if self.plain_too else tuple(words)

    def reproduction(self, level: str, check: str) -> str:
        """The command that says the same again."""
        return shlex.join(
            [
                "specref",
                "validate",
                self.engine,
                "--level",
                level,
                "--only",
                check,
                "--seed",
                str(self.seed),
                *self.options,
            ]
        )
