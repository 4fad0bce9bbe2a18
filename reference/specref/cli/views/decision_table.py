"""What `specref plan --measured` prints."""

from typing import Any

from rich.console import Console
from rich.table import Table


def show_decision(result: dict[str, Any]) -> None:
    """Each draft at each batch, the best of each batch, and where drafting stops paying."""
    table = Table(title="predicted speedup at the best draft length")
    for column in ("draft", "batch", "acceptance", "c", "length", "speedup", "ends", "pays"):
        table.add_column(column, justify="left" if column == "draft" else "right")
    for row in result["rows"]:
        low, high = row["interval"]
        table.add_row(
            row["draft"],
            str(row["batch"]),
            f"{row['alpha']:.3f}",
            f"{row['c']:.3f}",
            str(row["gamma"]),
            f"{row['speedup']:.2f}x",
            f"{low:.2f} to {high:.2f}",
            row["pays"],
            style="bold" if row in result["best"] else None,
        )
    console = Console()
    console.print(table)
    for row in result["best"]:
        console.print(_sentence(row), highlight=False)
    stops = result["stops_paying_at"]
    if stops is not None:
        console.print(f"it stops paying at batch {stops}", highlight=False)


def _sentence(row: dict[str, Any]) -> str:
    if not row["gamma"]:
        return f"batch {row['batch']}: do not draft"
    return (
        f"batch {row['batch']}: {row['draft']}, {row['gamma']} tokens a cycle,"
        f" {row['speedup']:.2f}x; below acceptance {row['break_even_alpha']:.3f} that length is"
        " slower than plain decoding"
    )
