"""What `specref profile thresholds` prints and draws."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from .plotting import load_pyplot, write_plot

_COLUMNS = (
    "rule",
    "epsilon",
    "delta",
    "tokens per cycle",
    "TV to the target, a cycle's first token",
    "exact TV on a tiny target, 3 tokens",
)
_RULES = {"points": "typical, drawn (ours)", "medusa": "Medusa's typical"}


def show_frontier(result: dict[str, Any]) -> None:
    """A row for each setting, by distance; the lossless rule first."""
    table = Table(title="typical acceptance (LOSSY): what a threshold gains and what it costs")
    for column in _COLUMNS:
        table.add_column(column, justify="right")
    lossless = result["lossless"]
    tokens, exact = f"{lossless['tokens_per_cycle']:.2f}", f"{lossless['exact']:.1e}"
    table.add_row("tree, lossless", "", "", tokens, "0 (theorem)", exact)
    for key, name in _RULES.items():
        for point in sorted(result[key], key=lambda point: point["tv"]):
            table.add_row(
                name,
                f"{point['epsilon']:g}",
                f"{point['delta']:g}",
                f"{point['tokens_per_cycle']:.2f}",
                f"{point['tv']:.3f} ± {2 * point['error']:.3f}",
                f"{point['exact']:.3f}",
            )
    console = Console()
    console.print(table)
    console.print(
        "Every token per cycle above the lossless row costs distance: the text no longer has the"
        " target's distribution."
    )


def plot_frontier(result: dict[str, Any], path: Path) -> None:
    """Tokens per cycle against the distance, a line for each delta; Medusa's own rule as points."""
    pyplot = load_pyplot()
    figure, axes = pyplot.subplots(figsize=(6.4, 4.2), layout="constrained")
    for delta in sorted({point["delta"] for point in result["points"]}):
        line = [point for point in result["points"] if point["delta"] == delta]
        line.sort(key=lambda point: point["epsilon"])
        axes.errorbar(
            [point["tv"] for point in line],
            [point["tokens_per_cycle"] for point in line],
            xerr=[2 * point["error"] for point in line],
            marker="o",
            capsize=2,
            label=f"typical, drawn, delta {delta:g}",
        )
    distances = [point["tv"] for point in result["medusa"]]
    tokens = [point["tokens_per_cycle"] for point in result["medusa"]]
    axes.plot(distances, tokens, "kx", label="Medusa's typical, all settings")
    lossless = result["lossless"]["tokens_per_cycle"]
    axes.plot([0], [lossless], "k*", markersize=14, label="lossless tree rule")
    axes.set_xlabel("distance from the target's distribution (TV of a cycle's first token)")
    axes.set_ylabel("tokens per cycle")
    axes.set_xlim(left=-0.01)
    axes.grid(alpha=0.3)
    axes.legend()
    write_plot(figure, path)
