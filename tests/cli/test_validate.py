"""specref validate: what it writes to start from, what it refuses, what it leaves behind."""

import contextlib
import json
from pathlib import Path

import pytest
from specref.cli import main
from specref.cli.work.judge_run import known_failing
from specref.judge.job import Job

from tests.judge.told import here, verdicts


@pytest.mark.parametrize("level", ["kernel", "scheduler", "engine", "http"])
def test_init_writes_an_adapter_that_imports_nothing_but_the_contract(
    level: str, tmp_path: Path
) -> None:
    file = tmp_path / "mine.py"
    assert main(["validate", "--init", level, str(file)]) == 0
    text = file.read_text()
    assert f"specref validate {file}:Mine" in text
    ours = [line for line in text.splitlines() if "import" in line and "specref" in line]
    assert [line.split(" import ")[0] for line in ours] == ["from specref.judge.contract"]


@pytest.mark.parametrize("level", ["kernel", "scheduler", "engine"])
def test_what_init_writes_is_right(level: str, tmp_path: Path) -> None:
    """It passes the judge as it stands: nobody starts from a mistake of ours."""
    file = tmp_path / "mine.py"
    main(["validate", "--init", level, str(file)])
    only = (
        ()
        if level != "engine"
        else (
            "engine.plain",
            "engine.greedy",
            "engine.ends",
            "engine.metrics",
            "engine.token-bets",
            "engine.seeds",
            "engine.batch",
        )
    )
    said = verdicts(here(Job(f"{file}:Mine", level, only=only), budget=0))
    assert len(said) >= len(only)
    assert not {
        name: one["what"] for name, one in said.items() if one["verdict"] in ("FAIL", "UNVERIFIED")
    }
    if level == "engine":
        assert said["engine.batch"]["verdict"] == "PASS"
        assert said["engine.ends"]["verdict"] != "UNSUPPORTED"
    assert "PASS" in {one["verdict"] for one in said.values()}


def test_init_leaves_what_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.py"
    file.write_text("precious")
    assert main(["validate", "--init", "kernel", str(file)]) == 2
    assert "exists and is left as it is" in capsys.readouterr().err
    assert file.read_text() == "precious"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "no engine to judge: give ENGINE"),
        (["--init", "kernal", "x.py"], "there is no level 'kernal'"),
        (["--init", "kernel", "x.txt"], "is not a Python file"),
        (["--init", "kernel", "no/such/x.py"], "cannot write no/such/x.py"),
        (["x.py:X", "--budget", "0"], "a budget of 0 is no time"),
        (["x.py:X", "--budget", "nan"], "a budget of nan is no time"),
        (["x.py:X", "--mde", "2"], "an mde of 2 is no TV"),
        (["x.py:X", "--call-timeout", "-3"], "a call timeout of -3 is no time"),
        (["x.py:X", "--known-failing", "no-such-file"], "cannot read no-such-file"),
        (["x.py:X", "--report", "/dev/null/x"], "cannot make the folder /dev/null/x"),
        (["x.py:X", "--json", "no/such/x.json"], "the folder no/such does not exist"),
        (["http://"], "http:// names no host"),
        (["http://127.0.0.1:1", "--baseline", "http://"], "http:// names no host"),
        (["http://127.0.0.1:1", "--draft", "localhost:8002"], "--draft localhost:8002 is no URL"),
        (["reference", "--level", "kernel", "--draft", "http://h"], "--draft is for servers"),
    ],
)
def test_bad_use_is_one_line(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["validate", *words]) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.err.count("\n") == 1
    assert not printed.out


def test_known_failing_reads_ids_and_comments(tmp_path: Path) -> None:
    file = tmp_path / "known.txt"
    file.write_text("# all of them\nkernel.joint   # see ticket 12\n\n  engine.seeds\n")
    assert known_failing(file) == ("kernel.joint", "engine.seeds")


def test_a_run_leaves_its_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(
        [
            "validate",
            "reference",
            "--level",
            "kernel",
            "--only",
            "kernel.shape",
            "--seed",
            "5",
            "--report",
            str(tmp_path / "out" / "deep"),
            "--json",
            str(tmp_path / "out.json"),
        ]
    )
    assert code == 0
    files = (tmp_path / "out" / "deep" / "report.json", tmp_path / "out.json")
    report, result = (json.loads(path.read_text()) for path in files)
    assert report == result
    assert (result["command"], result["engine"], result["level"], result["complete"]) == (
        "validate",
        "reference",
        "kernel",
        True,
    )
    (check,) = result["checks"]
    assert (
        check["repro"] == "specref validate reference --level kernel --only kernel.shape --seed 5"
    )
    assert capsys.readouterr().out.startswith("PASS: ")


def test_a_reader_who_leaves_early_loses_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `specref validate ... --json FILE | head` does."""

    def leaves(*_: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("specref.judge.report.terminal.show", leaves)
    with contextlib.suppress(BrokenPipeError, SystemExit):
        main(
            [
                "validate",
                "reference",
                "--level",
                "kernel",
                "--only",
                "kernel.shape",
                "--report",
                str(tmp_path / "out"),
                "--json",
                str(tmp_path / "out.json"),
            ]
        )
    assert json.loads((tmp_path / "out.json").read_text())["complete"]
    assert (tmp_path / "out" / "report.html").exists()
