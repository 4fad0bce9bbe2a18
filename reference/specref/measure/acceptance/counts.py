"""Counts of judged and accepted tokens, and one table from them, whatever they were read from.

A cycle that accepts a of n drafted tokens has judged a + 1 of them, or n if all were accepted. A
unit is what was sampled independently: a text, or a window between two readings of an engine's
counters. Intervals treat units as the sample (`rate_by_text`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import SpecrefError
from .rates import Rate, rate_by_text


@dataclass(frozen=True)
class UnitCounts:
    """One unit. judged, accepted: tokens at each position of the draft [K]; judged counts the
    cycles that accepted every position before.
    """

    name: str
    cycles: int
    drafted: int
    judged: tuple[int, ...]
    accepted: tuple[int, ...]
    domain: str | None = None
    temperature: float | None = None

    @classmethod
    def of_cycles(
        cls, name: str, accepted: Sequence[int], drafted: Sequence[int], **labels: Any
    ) -> "UnitCounts":
        """From the accepted and the drafted tokens of each cycle [C].

        Errors:
            SpecrefError where a cycle accepts more than it drafted.
        """
        if len(accepted) != len(drafted):
            raise SpecrefError(
                f"{name}: {len(accepted)} accepted and {len(drafted)} drafted lengths: give one of"
                " each a cycle"
            )
        pairs = list(zip(accepted, drafted, strict=True))
        if not all(0 <= a <= n for a, n in pairs):
            raise SpecrefError(
                f"{name}: a cycle accepted more than it drafted: count without the bonus token"
            )
        judged = [0] * max(drafted, default=0)
        kept = list(judged)
        for a, n in pairs:
            for i in range(min(n, a + 1)):
                judged[i] += 1
                kept[i] += i < a
        return cls(name, len(pairs), sum(drafted), tuple(judged), tuple(kept), **labels)


def rate(units: Sequence[UnitCounts], position: int | None = None) -> dict[str, Any]:
    """Acceptance over judged tokens, at one position or at all. The interval is [None, None] where
    fewer than two units were judged. Units of one name are one unit.
    """
    judged: dict[str, int] = {}
    accepted: dict[str, int] = {}
    where = slice(None) if position is None else slice(position, position + 1)
    for unit in units:
        judged[unit.name] = judged.get(unit.name, 0) + sum(unit.judged[where])
        accepted[unit.name] = accepted.get(unit.name, 0) + sum(unit.accepted[where])
    total, kept = sum(judged.values()), sum(accepted.values())
    used = sum(count > 0 for count in judged.values())
    if used >= 2:
        return _told(rate_by_text(list(accepted.values()), list(judged.values())), used)
    estimate = kept / total if total else None
    return {
        "estimate": estimate,
        "interval": [None, None],
        "judged": total,
        "independent": None,
        "units": used,
    }


def _told(found: Rate, units: int) -> dict[str, Any]:
    return {
        "estimate": found.estimate,
        "interval": [found.low, found.high],
        "judged": found.judged,
        "independent": found.independent,
        "units": units,
    }


def table(units: Sequence[UnitCounts]) -> dict[str, Any]:
    """Everything that the counts say: together, by position, by domain, by temperature, by unit.

    Errors:
        SpecrefError where no token was judged.
    """
    if not any(sum(unit.judged) for unit in units):
        raise SpecrefError("no drafted token was judged: measure with speculation switched on")
    cycles, drafted = sum(u.cycles for u in units), sum(u.drafted for u in units)
    accepted = sum(sum(u.accepted) for u in units)
    deepest = max(len(unit.judged) for unit in units)
    positions = [rate(units, i) for i in range(deepest)]
    return {
        "cycles": cycles,
        "drafted": drafted,
        "accepted": accepted,
        "tokens_per_cycle": 1 + accepted / cycles,
        "accepted_over_drafted": accepted / drafted,
        "alpha": rate(units),
        "by_position": [one for one in positions if one["judged"]],
        "by_domain": _groups(units, lambda unit: unit.domain),
        "by_temperature": _groups(units, lambda unit: unit.temperature),
        "by_unit": _groups(units, lambda unit: unit.name),
    }


def _groups(
    units: Sequence[UnitCounts], key: Callable[[UnitCounts], str | float | None]
) -> list[dict[str, Any]]:
    """The rate of each value of `key`, in order; units without the label belong to none."""
    values = {key(unit) for unit in units} - {None}
    rows = []
    for value in sorted(values, key=str):
        own = [unit for unit in units if key(unit) == value]
        rows.append({"name": value} | rate(own))
    return rows


def merged(units: Sequence[UnitCounts]) -> tuple[np.ndarray, np.ndarray]:
    """Accepted and judged tokens of each unit [T], units of one name together, none without a
    judged token.
    """
    sums: dict[str, list[int]] = {}
    for unit in units:
        row = sums.setdefault(unit.name, [0, 0])
        row[0] += sum(unit.accepted)
        row[1] += sum(unit.judged)
    pairs = np.array([row for row in sums.values() if row[1]], dtype=float).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]
