"""`specref measure`: one table whatever the source, and a result that `specref plan` reads."""

import json
from pathlib import Path

import pytest
from specref.cli import main

from .test_common import failed

COUNTS = {"num_drafts": 6, "num_draft_tokens": 18, "num_accepted_tokens_per_pos": [4, 3, 2]}


def test_our_own_decoder_then_the_decision(
    pair: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts, out = tmp_path / "texts.jsonl", tmp_path / "m.json"
    lines = [{"prompt": f"text {i}", "domain": "ab"[i % 2]} for i in range(4)]
    texts.write_text("\n".join(map(json.dumps, lines)))
    words = ["--texts", str(texts), "--temperatures", "0.5,1", "--new-tokens", "12", "--costs"]
    assert main(["measure", *pair[:4], *words, "--json", str(out)]) == 0
    assert "domain b" in capsys.readouterr().out
    result = json.loads(out.read_text())
    assert [row["name"] for row in result["by_domain"]] == ["a", "b"]
    assert [row["name"] for row in result["by_temperature"]] == [0.5, 1]
    assert result["alpha"]["units"] == 4  # a text at two temperatures is one text
    assert len(result["steps"]) == 16
    assert main(["plan", "--measured", str(out), "--json", str(tmp_path / "p.json")]) == 0
    assert json.loads((tmp_path / "p.json").read_text())["rows"][0]["c"] == result["c"]


def test_counters_have_no_interval(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "c.json"
    file.write_text(json.dumps(COUNTS))
    assert main(["measure", "--counters", str(file)]) == 0
    said = capsys.readouterr().out
    assert "no interval: one window" in said
    assert "0.692" in said  # 9 of 6 + 4 + 3 judged tokens


BAD = {
    "no file": (["--log", "/nowhere/x"], "cannot read"),
    "temperatures": (["--temperatures", "warm"], "0,0.7,1"),
    "costs of a log": (["--log", "x", "--costs"], "leave it out"),
    "count": (["--count", "0"], "1 or more"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_line(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    words, mend = BAD[case]
    assert mend in failed(["measure", *words], capsys)
