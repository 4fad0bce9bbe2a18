"""`specref rules`: the table, the file, the plot, and that a failed claim is told."""

import json
from pathlib import Path

import pytest
from specref.cli import main


def test_it_prints_the_table_and_writes_file_and_plot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    out, plot = tmp_path / "rules.json", tmp_path / "rules.svg"
    assert main(["rules", "--json", str(out), "--plot", str(plot)]) == 0
    said = capsys.readouterr().out
    result = json.loads(out.read_text())
    assert {"command", "commit", "machine", "versions", "worlds", "rules", "lossy"} < set(result)
    assert result["command"] == "rules"
    for row in (*result["rules"], *result["lossy"]):
        assert row["name"] in said
        assert len(row["worlds"]) == len(result["worlds"])
    failed = [row["name"] for row in result["rules"] if not row["holds"]]
    assert failed == ["rejection, cut by own token"]
    told = f"{failed[0]}: the claim fails; smallest counterexample: p = (1/4, 3/4)"
    lines = said.splitlines()
    assert told in " ".join(said.split())
    assert max(map(len, lines[:-1])) <= 80  # the last names the plot
    assert result["frontier"][0] == "block"
    assert plot.read_text().lstrip().startswith("<?xml")


def test_a_plot_of_another_kind_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "--plot", "rules.pdf"]) == 2
    assert "neither PNG nor SVG" in capsys.readouterr().err
