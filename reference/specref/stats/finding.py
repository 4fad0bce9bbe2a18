"""What a test of a sample says, and how a family of tests shares one false-alarm rate."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..data import SpecrefError


@dataclass(frozen=True)
class Finding:
    """What a test of a sample says. n: draws (of each sample, where there are two); log_e: the
    largest so far.
    """

    method: str
    rejected: bool
    n: int
    alpha: float  # the chance of a false alarm, over the whole run
    mde: float  # the TV that n draws find with `power`, in the worst case
    power: float
    tv: float  # of the sample: above the distributions' own by about sqrt(cells/n)/2 at most
    interval: tuple[float, float]  # for the distributions' TV, valid at any stopping time
    level: float
    log_e: float
    seed: int | None

    def as_dict(self) -> dict[str, Any]:
        """For a result file: plain types, an infinite log_e as None."""
        return {
            **asdict(self),
            "interval": list(self.interval),
            "log_e": self.log_e if math.isfinite(self.log_e) else None,
        }

    def __str__(self) -> str:
        said = "the distributions differ" if self.rejected else "no difference seen"
        return (
            f"{said} after {self.n:,} draws ({self.method}, false alarm {self.alpha:.1e}; TV"
            f" {self.tv:.4f}, {self.level:.0%} interval {self.interval[0]:.4f} to"
            f" {self.interval[1]:.4f}; a TV of {self.mde:.4f} is found with power {self.power};"
            f" seed {self.seed})"
        )


def bonferroni(total: float, names: Sequence[str]) -> dict[str, float]:
    """Each named test's own alpha, so that the chance of any false alarm among them is at most
    total.
    """
    if not names or len(set(names)) < len(names):
        raise SpecrefError(
            f"{len(names)} tests with {len(set(names))} different names: give every test its own"
            " name"
        )
    if not 0 < total < 1:
        raise SpecrefError(
            f"a total false-alarm rate of {total} is not possible: give one between 0 and 1"
        )
    return dict.fromkeys(names, total / len(names))
