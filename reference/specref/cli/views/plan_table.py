"""What `specref plan --tree` prints."""

from typing import Any

from rich.console import Console
from rich.table import Table


def show_plan(result: dict[str, Any]) -> None:
    """Every candidate tree with its predicted speed, and which one is fastest."""
    table = Table(
        title="candidate trees for the Medusa heads, on this machine",
        caption="a plain step is one forward of the target over 1 token, and one draw;"
        f" the heads' own work costs {result['heads_cost']:.3f} of it",
    )
    best = result["best"]
    for column in ("shape", "nodes", "tokens per cycle", "cost in plain steps", "predicted"):
        table.add_column(column, justify="left" if column == "shape" else "right")
    for row in result["rows"]:
        table.add_row(
            row["shape"],
            str(row["nodes"]),
            f"{row['tokens_per_cycle']:.2f}",
            f"{row['cost']:.2f}",
            f"{row['predicted']:.2f}x",
            style="bold" if row is best else None,
        )
    console = Console()
    console.print(table)
    console.print(_conclusion(best))


def _conclusion(best: dict[str, Any]) -> str:
    if not best["nodes"]:
        return "no tree wins: plain decoding is predicted to be fastest here"
    depth = max(map(len, best["tree"]))
    predicted = f"{best['predicted']:.2f}x"
    if best["nodes"] == depth:
        return (
            f"a chain wins: {best['shape']}, predicted {predicted}; siblings cost more than they"
            " gain"
        )
    return f"{best['shape']} wins, predicted {predicted}"
