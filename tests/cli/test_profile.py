"""`specref profile` on tiny models: what the result files hold, and one line for what the user can
mend.
"""

import json
from pathlib import Path

import pytest
from specref.cli import main
from specref.measure.acceptance.frontier import THRESHOLDS

from .test_common import failed

SMALL = ["--rounds", "2", "--prompt-length", "16", "--new-tokens", "8"]
METHODS = ["draft", "ngram", "suffix", "medusa_chain", "medusa_tree", "mtp"]


def test_the_profile_of_the_heads(
    pair: list[str], auxiliary_heads: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "medusa.json"
    assert main(["profile", "medusa", *pair, *auxiliary_heads, *SMALL, "--json", str(out)]) == 0
    result, said = json.loads(out.read_text()), capsys.readouterr()
    assert said.err == ""
    assert {"command", "commit", "machine", "versions"} <= set(result)
    assert result["command"] == "profile medusa"
    assert list(result["methods"]) == METHODS
    for row in result["methods"].values():
        assert min(row["speedup"], row["speedup_decode_only"], row["predicted"]) > 0
        assert 1 <= row["tokens_per_cycle"] <= row["gamma"] + 1
        assert len(row["acceptance_by_depth"]) <= min(row["gamma"], row["nodes"])
        # how many pay is timed, so a tree may be smaller than the heads are deep
        assert row["nodes"] >= 1
        assert all(0 <= rate <= 1 for rate in row["acceptance_by_depth"])
    assert [row["rule"] for row in result["methods"].values()] == ["rejection"] * 4 + [
        "tree",
        "rejection",
    ]
    assert len(result["heads"]) == 2
    for head in result["heads"]:
        tops = [head[f"top{k}"] for k in range(1, 6)]
        assert tops == sorted(tops)
        assert head["interval"] == head["intervals"][0]
        assert head["interval"][0] <= head["top1"] <= head["interval"][1]
    assert result["head_parameters"] == 2 * (16 * 16 + 16 + 16 * 256)
    assert result["head_bytes"] == 2 * result["head_parameters"], (
        "float16, whatever the type it ran in"
    )
    assert result["verify_curve"]["1"] == 1
    for method in METHODS:
        assert method in said.out


def test_the_frontier_of_the_thresholds(
    pair: list[str],
    auxiliary_heads: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("specref.measure.acceptance.frontier.THRESHOLDS", THRESHOLDS[4:6])
    out, plot = tmp_path / "thresholds.json", tmp_path / "frontier.svg"
    words = ["profile", "thresholds", *pair, *auxiliary_heads, *SMALL]
    assert main([*words, "--json", str(out), "--plot", str(plot)]) == 0
    result, said = json.loads(out.read_text()), capsys.readouterr().out
    assert result["command"] == "profile thresholds"
    assert [(p["epsilon"], p["delta"]) for p in result["points"]] == THRESHOLDS[4:6]
    assert result["lossless"]["tv"] == 0
    assert result["lossless"]["exact"] < 1e-12
    assert [(p["epsilon"], p["delta"]) for p in result["medusa"]] == THRESHOLDS[4:6]
    for p in result["points"] + result["medusa"]:
        assert p["exact"] > 1e-3
        assert 0 <= p["tv"] <= 1
        assert p["error"] >= 0
        assert 1 <= p["tokens_per_cycle"] <= 3
    assert "LOSSY" in said
    assert "<svg" in plot.read_text()


def test_lookups_are_compared_without_a_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "lookup.json"
    words = ["profile", "lookup", "--rounds", "3", "--prompt-length", "64", "--new-tokens", "64"]
    assert main([*words, "--json", str(out)]) == 0
    result, said = json.loads(out.read_text()), capsys.readouterr().out
    assert result["command"] == "profile lookup"
    assert result["settings"] == {
        "texts": 3,
        "prompt_length": 64,
        "new_tokens": 64,
        "gamma": 6,
    }
    rows = result["drafters"]
    assert list(rows) == ["first occurrence", "most recent", "ngram", "suffix"]
    for name, worlds in rows.items():
        assert list(worlds) == ["period 1", "period 2", "period 4", "held-out text"]
        assert f"{worlds['held-out text']['tokens_per_step']:.2f}" in said
        assert name in said
    assert "…" not in said


BAD = {
    "rounds": (["--rounds", "0"], "1 or more"),
    "what": (["--rounds", "x"], "invalid int"),
    "json": (["--json", "/nowhere/x.json"], "create it first"),
    "plot": (["--plot", "/nowhere/x.svg"], "create it first"),
    "no heads": (["--medusa", "/nowhere"], "does not exist"),
    "no module": (["--mtp", "/nowhere"], "does not exist"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_line(
    case: str, pair: list[str], auxiliary_heads: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    words, mend = BAD[case]
    assert mend in failed(["profile", "medusa", *pair, *auxiliary_heads, *words], capsys)


def test_what_does_not_fit_gets_one_line(
    models: Path,
    pair: list[str],
    auxiliary_heads: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = ["--target", str(models / "other"), "--draft", str(models / "other")]
    assert "this target has 64 tokens: give one of 256" in failed(
        ["profile", "medusa", *other, *auxiliary_heads], capsys
    )
    assert "for a width of 128" in failed(["profile", "medusa", *pair], capsys)  # the bundled heads
    # the bundled module
    assert "for a width of 128" in failed(
        ["profile", "medusa", *pair, *auxiliary_heads[:2]], capsys
    )
    assert "specref train medusa" in failed(
        ["profile", "medusa", *pair, "--medusa", auxiliary_heads[3]], capsys
    )
    assert "give --draft DIR" in failed(["profile", "medusa", *pair[:2], *auxiliary_heads], capsys)
    odd = ["profile", "thresholds", *pair, *auxiliary_heads, "--plot", str(tmp_path / "x.txt")]
    assert "ends in .png or .svg" in failed(odd, capsys)
