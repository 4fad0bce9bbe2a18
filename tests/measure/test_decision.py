"""A decision is the speed model's, at both ends of the interval.

Protects: readers from a draft that is called best although another is faster, and from a yes where
the interval leaves it open.
"""

import json
from pathlib import Path

import pytest
from specref.errors import SpecrefError
from specref.measure.speed.cost import predicted_speedup
from specref.measure.speed.decision import (
    alpha_by_cost,
    decide,
    read_batches,
    read_measured,
)


def measured(tmp_path: Path, name: str, alpha: float, c: float, spread: float = 0.05) -> Path:
    path = tmp_path / f"{name}.json"
    rate = {"estimate": alpha, "interval": [alpha - spread, alpha + spread]}
    path.write_text(json.dumps({"alpha": rate, "by_position": [rate] * 2, "c": c}))
    return path


def test_neither_the_largest_nor_the_smallest_need_win(tmp_path: Path) -> None:
    kinds = {"small": (0.3, 0.02), "middle": (0.7, 0.1), "large": (0.75, 0.6)}
    drafts = [read_measured(measured(tmp_path, n, *k), 0.5) for n, k in kinds.items()]
    result = decide(drafts, None, 8)
    best = result["best"][0]
    assert best["draft"] == "middle"
    assert best["speedup"] == pytest.approx(predicted_speedup(0.7, best["gamma"], c=0.1))
    low, high = best["interval"]
    assert low == pytest.approx(predicted_speedup(0.65, best["gamma"], c=0.1))
    assert low < best["speedup"] < high
    assert best["pays"] == "yes"
    assert result["stops_paying_at"] is None


def test_it_stops_paying_at_a_batch(tmp_path: Path) -> None:
    costs = tmp_path / "costs.json"
    dear = {"size": 32, "c": 0.3, "steps": [1, 1.9, 2.8]}
    costs.write_text(json.dumps([dear, {"size": 1, "c": 0.1, "steps": [1, 1, 1]}]))
    draft = read_measured(measured(tmp_path, "a", 0.6, 0.1), 0.5)
    result = decide([draft], read_batches(costs), 8)
    assert [(row["batch"], row["pays"]) for row in result["rows"]] == [(1, "yes"), (32, "no")]
    assert result["stops_paying_at"] == 32


def test_an_interval_across_the_break_even_leaves_it_open(tmp_path: Path) -> None:
    draft = read_measured(measured(tmp_path, "a", 0.22, 0.2, spread=0.1), 0.5)
    assert decide([draft], None, 8)["rows"][0]["pays"] == "open"


def test_the_grid_is_the_speed_model(tmp_path: Path) -> None:
    grid = alpha_by_cost([read_measured(measured(tmp_path, "a", 0.5, 0.1), 0.5)], 8)
    for cell in grid["cells"]:
        speed = predicted_speedup(cell["alpha"], cell["gamma"], c=cell["c"])
        assert cell["speedup"] == pytest.approx(speed)
        assert cell["speedup"] >= 1


def test_other_files_are_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text("[]")
    with pytest.raises(SpecrefError, match="specref measure --json"):
        read_measured(other, 0.1)
    with pytest.raises(SpecrefError, match="no costs"):
        read_batches(other)
    other.write_text("{")
    with pytest.raises(SpecrefError, match="no JSON"):
        read_batches(other)
