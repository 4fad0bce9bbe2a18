"""specref engines: the matrix, the findings, the result file, and engines that are not here."""

import json
from pathlib import Path

import pytest
from specref.cli import main

ADAPTER = """
import torch
from specref.judge.contract import Kernel

class Certain(Kernel):
    name = "always the first token"

    def verify(self, p, q, draft, seed):
        out = torch.full((len(p), p.shape[1]), -1)
        out[:, 0] = 0
        return out
"""


def test_a_matrix_with_findings_and_what_is_not_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two engines judged, a third that can't be loaded; each finding with the command that shows it
    again.
    """
    (tmp_path / "mine.py").write_text(ADAPTER)
    (tmp_path / "broken.py").write_text("import no_such_package")
    mine, broken, file = (
        f"{tmp_path}/mine.py:Certain",
        f"{tmp_path}/broken.py:Engine",
        tmp_path / "engines.json",
    )
    assert (
        main(["engines", "reference:kernel", mine, broken, "--budget", "1", "--json", str(file)])
        == 0
    )
    printed = capsys.readouterr().out
    assert "A reference: reference: rejection" in printed
    assert f"not available: {broken}" in " ".join(printed.split())
    assert f"specref validate {mine} --level kernel --only" in printed
    result = json.loads(file.read_text())
    assert {"command", "commit", "machine", "versions"} <= result.keys()
    ours, theirs, absent = result["engines"]
    assert not [check for check in ours["checks"] if check["verdict"] == "FAIL"]
    assert [check for check in theirs["checks"] if check["verdict"] == "FAIL"]
    assert "no_such_package" in absent["absent"]
    assert not ours["absent"]


def test_nothing_could_be_loaded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "broken.py").write_text("import no_such_package")
    assert main(["engines", f"{tmp_path}/broken.py:Engine"]) == 3
    assert "no_such_package" in capsys.readouterr().out


def test_a_level_that_an_engine_has_not_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["engines", "reference:http"]) == 2
    assert "reference is judged at the level" in capsys.readouterr().err
