"""What `specref measure` prints: the same table for every source."""

from typing import Any

from rich.console import Console
from rich.table import Table


def show_acceptance(result: dict[str, Any]) -> None:
    """Acceptance by group, then tokens a cycle, the forecast and the plan."""
    console, unit = Console(), result["unit"]
    table = Table(title=f"acceptance over judged tokens, from: {result['source']}")
    for column in ("of", f"{unit}s", "judged", "acceptance", "95 % interval"):
        table.add_column(column, justify="left" if column == "of" else "right")
    for name, row in _rows(result):
        table.add_row(name, str(row["units"]), f"{row['judged']:,}", *_rate(row))
    console.print(table)
    for line in _sentences(result):
        console.print(line, highlight=False)


def _rows(result: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    rows = [("all", result["alpha"])]
    for number, row in enumerate(result["by_position"], 1):
        rows.append((f"position {number}", row))
    for row in result["by_domain"]:
        rows.append((f"domain {row['name']}", row))
    for row in result["by_temperature"]:
        rows.append((f"temperature {row['name']:g}", row))
    for row in result["by_unit"]:
        rows.append((str(row["name"]), row))
    return rows


def _rate(row: dict[str, Any]) -> tuple[str, str]:
    low, high = row["interval"]
    estimate = f"{row['estimate']:.3f}"
    if low is None:
        return estimate, "–"
    return estimate, f"{low:.3f} to {high:.3f}"


def _sentences(result: dict[str, Any]) -> list[str]:
    lines = [
        f"{result['tokens_per_cycle']:.3f} tokens a cycle, the target's own token included;"
        f" accepted over drafted {result['accepted_over_drafted']:.3f}, which is no alpha"
    ]
    if result["alpha"]["interval"][0] is None:
        lines.append(f"no interval: one {result['unit']} shows no spread; measure several")
    if not result.get("equal_lengths", True):
        lines.append(
            "the drafts differ in length, and counters do not say which: the judged tokens of later"
            " positions are too many, and their acceptance is at least what is shown"
        )
    if result["forecast"]:
        lines.append(_forecast(result["forecast"]))
    return lines + _plan(result.get("plan"), result["unit"])


def _forecast(seen: dict[str, Any]) -> str:
    words = (
        "forecast from {forecast_from} of {texts} for the rest: off by {mean_error:.3f} on average,"
        " {largest_error:.3f} at most; stated ± {half_width:.3f}, kept in {held:.1%} of {splits}"
        " splits"
    )
    return words.format(**seen)


def _plan(plan: dict[str, Any] | None, unit: str) -> list[str]:
    if plan is None:
        return []
    lines = [
        "measure {texts:,} {unit}s, about {judged:,} judged tokens: the interval is then"
        " ± {half_width:g} or narrower in {share:.0%} of the measurements".format(unit=unit, **plan)
    ]
    for row in plan["simulated"]:
        lines.append(
            f"  simulated, {row['population']}: narrow enough in {row['met']:.1%}, and the true"
            f" rate inside in {row['covered']:.1%} of {row['runs']:,}"
        )
    return lines
