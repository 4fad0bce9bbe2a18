"""What was tried in one area, and how it ended."""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Tally:
    """One area's tries. bad: what did not end well, a line each."""

    area: str
    means: str  # what ending well means there
    tried: int = 0
    bad: list[str] = field(default_factory=list)

    def check(self, good: bool, what: str) -> None:
        self.tried += 1
        if not good:
            self.bad.append(what[:300])

    def all_of(self, count: int, good: bool, what: str) -> None:
        """So many tries that end well, or badly, together."""
        self.tried += count
        if not good:
            self.bad += [what[:300]] * count

    def attempt(self, what: str, expected: type[Exception], run: Callable[[], object]) -> None:
        """Whether it runs, or raises the expected error in one line."""
        try:
            run()
        except expected as error:
            self.check("\n" not in str(error), f"{what}: more than one line: {error}")
        except Exception as error:
            self.check(False, f"{what}: {type(error).__name__}: {error}")
        else:
            self.check(True, what)

    def as_json(self) -> dict[str, object]:
        return {
            "area": self.area,
            "means": self.means,
            "tried": self.tried,
            "well": self.tried - len(self.bad),
            "bad": self.bad[:20],
        }
