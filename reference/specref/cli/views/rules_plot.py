"""What `specref rules --plot` draws: speed against distance."""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

from .plotting import load_pyplot, write_plot

_Row = Mapping[str, Any]
# lossless rules of the draft and the target that the lossy ones have
_CHAIN_RULES = ("rejection", "block", "Gumbel coupling", "sampler match")


def plot_rules(result: _Row, path: Path) -> None:
    """Tokens a cycle against the mean distance: lossy rules, their frontier, the lossless rules."""
    pyplot = load_pyplot()
    figure, axes = pyplot.subplots(figsize=(6.8, 4.6), layout="constrained")
    families = _families(result["lossy"])
    for family, rows in families.items():
        _line(axes, rows, marker="o", alpha=0.8, label=family)
    lossless = [row for row in result["rules"] if row["name"] in _CHAIN_RULES]
    _line(axes, lossless, marker="*", linestyle="", color="black", markersize=11, label="lossless")
    known = {}
    for row in (*result["rules"], *result["lossy"]):
        known[row["name"]] = row
    best = []
    for name in result["frontier"]:
        best.append(known[name])
    _line(axes, best, color="black", linestyle=":", label="frontier")
    axes.set_xlabel("distance of a cycle's text from the target's (mean TV over the worlds)")
    axes.set_ylabel("tokens a cycle")
    axes.set_xlim(left=-0.01)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    write_plot(figure, path)


def _families(rows: Sequence[_Row]) -> dict[str, list[_Row]]:
    """Rules whose target is p, by what stands before the comma of their names."""
    found: dict[str, list[_Row]] = {}
    for row in rows:
        if row["against"] == "p":
            family = row["name"].partition(",")[0]
            found.setdefault(family, []).append(row)
    return found


def _line(axes: Any, rows: Sequence[_Row], **style: Any) -> None:
    ordered = sorted(rows, key=itemgetter("tokens"))
    distances, speeds = [], []
    for row in ordered:
        distances.append(row["tv_mean"])
        speeds.append(row["tokens"])
    axes.plot(distances, speeds, **style)
