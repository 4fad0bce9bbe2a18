"""`specref copy`: what it prints and writes, and what it refuses. The copies are run in
tests/copying.
"""

import json
from pathlib import Path

import pytest
from specref.cli import main
from specref.copying import items


def test_without_a_name_it_lists_the_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["copy", "--json", str(tmp_path / "names.json")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(items())
    assert all(len(line.split()) > 3 and len(line) <= 101 for line in lines)
    assert list(json.loads((tmp_path / "names.json").read_text())["names"]) == list(items())


def test_it_prints_the_files_and_the_example_and_says_them_as_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "mine", tmp_path / "files.json"
    assert main(["copy", "rejection", str(folder), "--json", str(out)]) == 0
    said = capsys.readouterr()
    result = json.loads(out.read_text())
    assert sorted(result["files"]) == sorted(file.name for file in folder.iterdir())
    assert "rejection.py" in result["files"]
    assert all(file in said.out for file in result["files"])
    assert said.out.rstrip().endswith(result["example"])
    assert result["command"] == "copy"
    assert said.err == ""


def test_bad_input_is_one_line_and_exit_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "data.py").write_text("mine\n")
    for words, told in (
        (["copy", "rejection"], "no folder to copy to: give one"),
        (["copy", "eagle", str(tmp_path / "new")], "there is no 'eagle' to copy: choose one of"),
        (["copy", "rejection", str(tmp_path / "mine")], "is there with another content: choose"),
        (["copy", "--json", str(tmp_path)], "is a folder: give a file to write"),
    ):
        assert main(words) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert told in said.err
        assert said.err.count("\n") == 1
    assert [file.name for file in (tmp_path / "mine").iterdir()] == ["data.py"]
    assert not (tmp_path / "new").exists()
