"""What `specref rules` prints."""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

_Row = Mapping[str, Any]
_COLUMNS = ("rule", "TV max", "mean", "accepted", "of bound", "tokens", "of best")


def show_rules(result: _Row) -> None:
    """The lossless rules by their drafts, the lossy ones by distance, then what follows."""
    console = Console()
    for draft, rows in _grouped(result["rules"], "draft").items():
        console.print(_table(f"claimed lossless, draft: {draft}", rows))
    lossy = sorted(result["lossy"], key=itemgetter("tv_mean"))
    for against, rows in _grouped(lossy, "against").items():
        draft = rows[0]["draft"]
        console.print(_table(f"LOSSY, draft: {draft}, distance from {against}", rows))
    for row in result["rules"]:
        if not row["holds"]:
            console.print(failed_claim(row), highlight=False)
    best = "; ".join(result["frontier"])
    console.print(f"frontier of speed and distance: {best}")


def _grouped(rows: Sequence[_Row], key: str) -> dict[str, list[_Row]]:
    """The rows by what they have under a key, in order."""
    found: dict[str, list[_Row]] = {}
    for row in rows:
        found.setdefault(row[key], []).append(row)
    return found


def failed_claim(row: _Row) -> str:
    """One sentence on a claim that enumeration refutes."""
    said = f"{row['name']}: the claim fails"
    found = row["counterexample"]
    if found is None:
        return f"{said} in the worlds above; no smaller counterexample was found"
    p, q = ", ".join(found["p"]), ", ".join(found["q"])
    count = len(found["parents"])
    nodes = "1 token" if count == 1 else f"{count} tokens"
    return f"{said}; smallest counterexample: p = ({p}), q = ({q}), {nodes}, TV {found['tv']:.4f}"


def _table(title: str, rows: Sequence[_Row]) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
    for column in _COLUMNS:
        table.add_column(column, justify="left" if column == "rule" else "right")
    for row in rows:
        style = None if row["holds"] else "bold red"
        table.add_row(*_cells(row), style=style)
    return table


def _cells(row: _Row) -> list[str]:
    """What stands under the columns."""
    return [
        row["name"],
        _distance(row["tv_max"]),
        _distance(row["tv_mean"]),
        f"{row['acceptance']:.3f}",
        f"{row['share']:.1%}",
        f"{row['tokens']:.3f}",
        f"{row['share_of_tokens']:.1%}",
    ]


def _distance(tv: float) -> str:
    return "0" if tv < 1e-12 else f"{tv:.3f}"
