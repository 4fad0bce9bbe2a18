"""What `specref zoo` prints."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from ...judge.zoo.tally import Caught, Tried

_DETAILED = 5  # at most so many bugs are also described in words
_TITLE = "planted bugs; TV: exact distance from the target's distribution, largest over the cases"


def show_zoo(caught: Sequence[Caught], tried: Sequence[Tried], result: dict[str, Any]) -> None:
    """The bugs, the controls, and the sum of it."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=140)
    if caught:
        console.print(_bugs_table(caught, wide=console.width >= 130))
    if len(caught) > _DETAILED:
        console.print(_by_distance(result["by_tv"]), highlight=False)
    else:
        for one in caught:
            console.print(_describe(one), highlight=False)
    _print_controls(tried, console)
    console.print(_total(caught, result))


def _by_distance(rows: list[dict[str, Any]]) -> str:
    said = [f"{row['tv']}: {row['killed']} of {row['bugs']}" for row in rows if row["bugs"]]
    return "caught, by exact TV: " + "; ".join(said)


def _describe(one: Caught) -> str:
    found = one.finding or "found nothing"
    if one.cause:
        found += f"; {one.cause}"
    return f"[bold]{one.bug.name}[/]: {one.bug.symptom}.\n  {one.by or one.bug.caught_by}: {found}"


def _print_controls(tried: Sequence[Tried], console: Console) -> None:
    if not tried:
        return
    passed = []
    for one in tried:
        control = one.control.name
        for name, found in one.by.items():
            console.print(f"[bold red]false alarm[/]: {name} convicts {control!r}: {found}")
        if not one.by:
            passed.append(control)
    console.print(f"controls that passed every check: {'; '.join(passed)}")


def _total(caught: Sequence[Caught], result: dict[str, Any]) -> str:
    said = (
        f"{result['killed']} of {result['bugs']} bugs caught, {result['false_alarms']} false alarms"
        f" on {result['controls']} controls in {result['control_runs']:,} runs"
    )
    if not caught:
        return said
    seconds = result["seconds"]
    return (
        f"{said}; seconds to catch one: median {seconds['median']:.2f}, 95 % within"
        f" {seconds['p95']:.2f}, all within {seconds['most']:.2f}"
    )


def _bugs_table(caught: Sequence[Caught], wide: bool) -> Table:
    table = Table(title=_TITLE)
    columns = ["kind", "bug", "exact TV", "caught by", "seconds"]
    if wide:
        columns[2:2] = ["source", "class"]
    for column in columns:
        right = column in ("kind", "exact TV", "seconds")
        table.add_column(column, justify="right" if right else "left")
    for one in caught:
        bug = one.bug
        table.add_row(
            str(bug.number),
            bug.name,
            *([bug.source, bug.kind] if wide else []),
            _distance(one),
            one.by or "[bold red]NOTHING",
            f"{one.seconds:.2f}",
        )
    return table


def _distance(caught: Caught) -> str:
    """The TV; a word where there is none."""
    if caught.tv is None:
        return "crash" if caught.bug.crashes else "-"
    return f"{caught.tv:.3f}" if caught.tv >= 0.001 or caught.tv == 0 else f"{caught.tv:.1e}"
