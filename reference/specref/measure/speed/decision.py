"""Does it pay: which draft, which length, and at which batch it stops paying.

Speed is the model of `cost`, with the acceptance of each position where it was measured. Positions
that were not measured take the rate of the last one that was. Both ends of the interval of the
whole acceptance scale every position, so that a decision can be seen to be open.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import SpecrefError
from .cost import best_gamma, break_even_alpha, predicted_speedup

_GRID_COSTS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5)


@dataclass(frozen=True)
class Costs:
    """At one batch size: a draft step, and forwards over 1, 2, ... tokens, in plain steps. None:
    all forwards cost the same.
    """

    size: int
    c: float
    steps: list[float] | None = None


@dataclass(frozen=True)
class MeasuredDraft:
    """A draft's acceptance by position, low, estimated and high, and its own costs."""

    name: str
    alpha: float
    positions: dict[str, list[float]]
    costs: Costs


def read_measured(path: Path, c: float) -> MeasuredDraft:
    """A result of `specref measure`. c: the cost of a draft step where none was timed.

    Errors:
        SpecrefError where the file holds no such result.
    """
    entry = _json(path)
    try:
        alpha = float(entry["alpha"]["estimate"])
        low, high = entry["alpha"]["interval"]
        rates = [float(row["estimate"]) for row in entry["by_position"]]
        costs = _costs({"size": 1, "c": entry.get("c", c), "steps": entry.get("steps")})
    except (KeyError, TypeError, ValueError):
        raise SpecrefError(
            f"{path} is no result of a measurement: write it with specref measure --json"
        ) from None
    ends = {"low": low, "estimate": alpha, "high": high}
    scaled = {name: _scaled(rates, end, alpha) for name, end in ends.items()}
    return MeasuredDraft(path.stem, alpha, scaled, costs)


def _scaled(rates: list[float], end: float | None, alpha: float) -> list[float]:
    """The rates times end / alpha; as they are where there is no interval."""
    if end is None or not alpha:
        return rates
    return [min(1.0, rate * end / alpha) for rate in rates]


def read_batches(path: Path) -> list[Costs]:
    """Costs at each batch size, the smallest first.

    Errors:
        SpecrefError where an entry is no cost.
    """
    entries = _json(path)
    try:
        found = [_costs(entry) for entry in entries]
    except (KeyError, TypeError, ValueError):
        found = []
    if not found:
        raise SpecrefError(
            f'{path} holds no costs: write a list of {{"size": 8, "c": 0.1, "steps": [1, 1.1]}}'
        )
    return sorted(found, key=lambda costs: costs.size)


def _costs(entry: Any) -> Costs:
    steps = entry.get("steps")
    kept = None if steps is None else [float(step) for step in steps]
    if kept is not None and not (kept and all(0 < step < float("inf") for step in kept)):
        raise ValueError(kept)
    return Costs(int(entry["size"]), float(entry["c"]), kept)


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no JSON"
        raise SpecrefError(f"cannot read {path} ({reason}): give another file") from None


def decide(
    drafts: Sequence[MeasuredDraft], batches: Sequence[Costs] | None, longest: int
) -> dict[str, Any]:
    """Each draft at each batch with its best length; the best draft of each batch; and the first
    batch at which it does not pay. batches None: each draft has its own costs, for one request.
    """
    rows = []
    for draft in drafts:
        for costs in batches or [draft.costs]:
            rows.append(_row(draft, costs, longest))
    sizes = sorted({row["batch"] for row in rows})
    best = []
    for size in sizes:
        here = [row for row in rows if row["batch"] == size]
        best.append(max(here, key=lambda row: row["speedup"]))
    stops = [row["batch"] for row in best if not row["gamma"]]
    return {"rows": rows, "best": best, "stops_paying_at": stops[0] if stops else None}


def _row(draft: MeasuredDraft, costs: Costs, longest: int) -> dict[str, Any]:
    rates = {name: _extended(known, longest) for name, known in draft.positions.items()}
    gamma = best_gamma(rates["estimate"], costs.steps, costs.c, most=longest)
    speed = {
        name: predicted_speedup(rate, gamma, costs.steps, costs.c) if gamma else 1.0
        for name, rate in rates.items()
    }
    return {
        "draft": draft.name,
        "alpha": draft.alpha,
        "batch": costs.size,
        "c": costs.c,
        "gamma": gamma,
        "speedup": speed["estimate"],
        "interval": [speed["low"], speed["high"]],
        "break_even_alpha": break_even_alpha(max(1, gamma), costs.steps, costs.c),
        "pays": _verdict(gamma, speed["low"]),
    }


def _extended(known: list[float], longest: int) -> list[float]:
    return known[:longest] + known[-1:] * (longest - len(known))


def _verdict(gamma: int, low: float) -> str:
    if not gamma:
        return "no"
    return "yes" if low > 1 else "open"


def alpha_by_cost(drafts: Sequence[MeasuredDraft], longest: int) -> dict[str, Any]:
    """The best speedup for each acceptance and cost of a draft step, under the verify curve of the
    first draft.
    """
    steps = drafts[0].costs.steps
    alphas = [a / 10 for a in range(3, 10)]
    cells = []
    for alpha in alphas:
        for c in _GRID_COSTS:
            gamma = best_gamma(alpha, steps, c, most=longest)
            speed = predicted_speedup(alpha, gamma, steps, c) if gamma else 1.0
            cells.append({"alpha": alpha, "c": c, "gamma": gamma, "speedup": speed})
    return {"alphas": alphas, "costs": list(_GRID_COSTS), "cells": cells}
