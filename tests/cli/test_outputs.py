"""A file that a user asked for is written whole or not at all, and nothing else is ever replaced.

Protects: links, pipes and whatever else a user names as an output, results at the end of long work,
and the files that stood there before.
"""

import json
import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from specref.cli import main
from specref.errors import SpecrefError
from specref.outputs import require_writable, write_file, write_text


def test_a_link_stays_and_the_file_that_it_names_is_written(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    file, link = tmp_path / "there" / "file", tmp_path / "link"
    link.symlink_to(file)  # which does not exist yet
    for text in ("one", "two"):
        require_writable(link)
        write_text(link, text)
        assert link.is_symlink()
        assert file.read_text() == text
    assert [path.name for path in file.parent.iterdir()] == ["file"]


def test_a_pipe_gets_the_bytes_and_stays_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    require_writable(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    while not read and reader.is_alive():
        try:
            write_text(pipe, "a" * 200_000)  # more than a pipe holds
            break
        except SpecrefError:  # the reader has not opened it yet
            time.sleep(0.01)
    reader.join(10)
    assert read == ["a" * 200_000]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    with pytest.raises(SpecrefError, match="No such device or address"):
        write_text(pipe, "nobody reads")
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_the_standard_output_is_a_file_too(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "specref", "copy", "--json", name],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    listed, result = done.stdout.split("{", 1)
    assert "rejection" in listed
    assert json.loads("{" + result)["command"] == "copy"


def test_what_cannot_be_written_is_said_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "round").symlink_to(tmp_path / "round")
    for path, why in (
        (tmp_path, "is a folder"),
        (tmp_path / "none" / "file", "create it first"),
        (tmp_path / "file" / "file", "create it first"),
        (tmp_path / ("n" * 300), "name too long"),
        (tmp_path / "round", "levels of symbolic links"),
    ):
        with pytest.raises(SpecrefError, match=why) as caught:
            require_writable(path)
        assert "\n" not in str(caught.value)
    assert [one.name for one in tmp_path.iterdir() if one.suffix == ".part"] == []


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")

    def half(part: Path) -> None:
        part.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(SpecrefError, match="No space left on device"):
        write_file(file, half)
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_the_half_file_of_a_killed_process_goes_with_the_next_write(tmp_path: Path) -> None:
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"],
                          capture_output=True, text=True, check=True).stdout.strip()  # fmt: skip
    dead, alive = tmp_path / f".file.{gone}.part", tmp_path / f".file.{os.getppid()}.part"
    other = tmp_path / ".file.mine.part"
    for path in (dead, alive, other):
        path.write_text("half")
    write_text(tmp_path / "file", "whole")
    assert {path.name for path in tmp_path.iterdir()} == {"file", alive.name, other.name}


def test_a_file_keeps_the_rights_that_a_new_file_has(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    write_text(tmp_path / "file", "")
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_no_text_and_no_locale_ends_a_command(tmp_path: Path) -> None:
    """Half a surrogate pair has no encoding, and ASCII has few characters."""
    write_text(tmp_path / "file", "\udcff \N{BOX DRAWINGS LIGHT HORIZONTAL}")
    assert (tmp_path / "file").read_text(encoding="utf-8") == "\\udcff \u2500"
    code = (
        "import sys; from specref.cli import main; sys.exit(main(['validate', 'a\\udcff:\\u2500']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in done.stderr
    assert done.returncode == 2


def test_the_verdict_is_shown_where_its_files_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file stands by itself, and the exit code says that something is lost."""
    from specref.cli.work import judge_run

    def full(path: Path, text: str) -> None:
        if path.suffix == ".xml":
            raise SpecrefError(f"cannot write {path} (No space left on device)")
        write_text(path, text)

    monkeypatch.setattr(judge_run, "write_text", full)
    words = ["validate", "reference", "--level", "kernel", "--only", "kernel.shape"]
    code = main([*words, "--budget", "5", "--report", str(tmp_path)])
    said = capsys.readouterr()
    assert "PASS" in said.out
    assert said.err.count("No space left on device") == 1
    assert code == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.json"]
