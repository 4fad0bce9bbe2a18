"""`specref plan`: the numbers are the speed model's, and the sentence says what won."""

import json
from pathlib import Path

import pytest
from specref.cli import main
from specref.measure.acceptance.rates import sample_size
from specref.measure.speed import tree_plan
from specref.measure.speed.cost import (
    best_gamma,
    break_even_alpha,
    operations_factor,
    predicted_speedup,
)

from .test_common import failed


def run(words: list[str], out: Path, capsys: pytest.CaptureFixture[str]) -> tuple[dict, str]:
    assert main(["plan", *words, "--json", str(out)]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    return json.loads(out.read_text()), said.out


def test_a_length_from_an_acceptance_rate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result, said = run(
        ["--alpha", "0.8", "--draft-cost", "0.08", "--half-width", "0.01"],
        tmp_path / "p.json",
        capsys,
    )
    gamma = best_gamma(0.8, c=0.08)
    assert result["gamma"] == gamma > 1
    assert result["predicted"] == predicted_speedup(0.8, gamma, c=0.08)
    assert result["break_even_alpha"] == break_even_alpha(gamma, c=0.08)
    assert result["sample_size"] == sample_size(0.01, 0.8)
    assert f"draft {gamma} tokens a cycle" in said
    factor = operations_factor(0.8, gamma, 0.08)
    assert result["operations_factor"] == factor
    assert f"a token takes {factor:.2f} times the arithmetic" in said
    assert f"{result['sample_size']:,}" in said


def test_operations_of_the_draft_are_not_its_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--alpha", "0.8", "--draft-cost", "0.08", "--draft-operations", "0.01"]
    result, _ = run(words, tmp_path / "p.json", capsys)
    assert result["operations_factor"] == operations_factor(0.8, result["gamma"], 0.01)
    words[-1] = "-1"
    assert "give 0 or more" in failed(["plan", *words], capsys)


def test_no_length_pays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result, said = run(["--alpha", "0.1", "--draft-cost", "0.5"], tmp_path / "p.json", capsys)
    assert (result["gamma"], result["predicted"]) == (0, 1)
    assert said.startswith("do not draft")


def curve(monkeypatch: pytest.MonkeyPatch, cost: float, work: float) -> None:
    """Each further token costs `cost` plain steps, and the heads' own work `work`."""

    def costs(models: object, params: object, context: int, widths: range) -> dict[str, float]:
        return {"plain": 1.0, "draft": 0.1, "heads": work} | {
            f"verify {k}": 1 + cost * (k - 1) for k in widths
        }

    monkeypatch.setattr(tree_plan, "step_costs", costs)


@pytest.mark.parametrize(
    ("cost", "work", "guesses", "said"),
    [
        (0.0, 0.1, [0.3, 0.2], "best tree of 32 wins"),
        (1.0, 0.1, [0.3, 0.2], "no tree wins"),
        (0.25, 0.1, [0.6, 0.02], "a chain wins"),
        (0.25, 0.9, [0.6, 0.02], "no tree wins"),
    ],
)
def test_a_tree_from_the_verify_curve(
    cost: float,
    work: float,
    guesses: list[float],
    said: str,
    pair: list[str],
    auxiliary_heads: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    curve(monkeypatch, cost, work)
    monkeypatch.setattr(tree_plan, "head_accuracy", lambda *words: [guesses + [0.01] * 8] * 2)
    result, out = run(["--tree", *pair, *auxiliary_heads[:2]], tmp_path / "p.json", capsys)
    assert said in out
    best = max(result["rows"], key=lambda row: row["predicted"])
    assert result["best"] == best
    assert {"shape", "nodes", "tokens_per_cycle", "cost", "predicted", "tree"} == set(best)
    for row in result["rows"]:
        assert row["nodes"] == len(row["tree"])
        assert row["cost"] == pytest.approx(1 + cost * row["nodes"] + work * (row["nodes"] > 0))
        assert row["predicted"] == pytest.approx(row["tokens_per_cycle"] / row["cost"])


def test_a_tree_from_measurements(
    pair: list[str], auxiliary_heads: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result, _ = run(["--tree", *pair, *auxiliary_heads[:2]], tmp_path / "p.json", capsys)
    assert {"command", "commit", "machine", "versions"} <= set(result)
    assert len(result["accuracy"]) == 2
    assert all(0 <= rate <= 1 for head in result["accuracy"] for rate in head)
    assert len(result["steps"]) == 33
    assert result["rows"][0]["shape"] == "no tree"


BAD = {
    "nothing": ([], "give --tree, or --alpha"),
    "alpha": (["--alpha", "1.5"], "between 0 and 1"),
    "cost": (["--alpha", "0.5", "--draft-cost", "-1"], "0 or more"),
    "half width": (["--alpha", "0.5", "--half-width", "0"], "between 0 and 0.5"),
    "threads": (["--tree", "--threads", "0"], "1 or more"),
    "json": (["--alpha", "0.5", "--json", "/nowhere/x.json"], "create it first"),
    "no heads": (["--tree", "--medusa", "/nowhere"], "does not exist"),
    "other heads": (["--tree"], "for a width of 128"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_line(
    case: str, pair: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    words, mend = BAD[case]
    assert mend in failed(["plan", *pair[:4], *words], capsys)
