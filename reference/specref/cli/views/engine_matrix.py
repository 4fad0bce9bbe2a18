"""What `specref engines` prints: a matrix for each level, then every failure."""

from string import ascii_uppercase
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ...judge.report.terminal import COLOUR

_SHORT = {
    "PASS": "pass",
    "FAIL": "FAIL",
    "INCONCLUSIVE": "INCONCLUSIVE",
    "UNVERIFIED": "UNVERIFIED",
    "UNSUPPORTED": "-",
    "LOSSY-BY-DESIGN": "lossy",
    "NOT-SPECULATION": "not speculation",
}
_LEGEND = (
    "INCONCLUSIVE: no failure, but the budget was too small to say so. UNVERIFIED: speculation was"
    " not seen to run. -: the engine does not support what the check needs. lossy: by design, the"
    " adapter says, not the target's distribution."
)


def show_engines(found: list[dict[str, Any]], console: Console) -> None:
    """A matrix for each level, what is not available, and every failure with the command that
    repeats it.
    """
    judged = [one for one in found if one["checks"]]
    for level in dict.fromkeys(one["level"] for one in judged):
        _print_matrix([one for one in judged if one["level"] == level], level, console)
    console.print(f"[dim]{_LEGEND}[/]", highlight=False)
    for one in found:
        if one["absent"]:
            line = f"not available: [bold]{one['engine']}[/], {escape(one['absent'])}"
            console.print(line, highlight=False)
    for one in judged:
        for check in one["checks"]:
            if check["verdict"] == "FAIL":
                _print_failure(one["engine"], check, console)


def _print_failure(engine: str, check: dict[str, Any], console: Console) -> None:
    what, again = escape(check["what"]), escape(check["repro"])
    line = f"\n[bold red]FAIL[/] [bold]{engine}[/] {check['id']}: {what}"
    console.print(line, highlight=False)
    console.print(f"  again: [cyan]{again}[/]", highlight=False, soft_wrap=True)


def _print_matrix(found: list[dict[str, Any]], level: str, console: Console) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column(f"{level} level", no_wrap=True)
    for letter, one in zip(ascii_uppercase, found, strict=False):
        name, seconds = escape(one["name"]), f"{one['seconds']:.0f} s"
        line = f"[bold]{letter}[/] {one['engine']}: {name}, {seconds}"
        console.print(line, highlight=False)
        table.add_column(letter, justify="center", no_wrap=True)
    console.print()
    columns, names = [], dict[str, None]()
    for one in found:
        columns.append({check["id"]: check["verdict"] for check in one["checks"]})
        names |= dict.fromkeys(columns[-1])
    for name in names:
        table.add_row(name, *(_cell(column.get(name)) for column in columns))
    console.print(table)
    console.print()


def _cell(verdict: str | None) -> str:
    return "" if verdict is None else f"[{COLOUR[verdict]}]{_SHORT[verdict]}[/]"
