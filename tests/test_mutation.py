"""The tool that breaks the code to try the tests: it tells a mutant that is noticed from one that
is not, and asks for a reason for every one that lives."""

import ast
import json
from pathlib import Path

import pytest

from tests.mutants import ROOT, Changed, mutants
from tests.mutation import LEFT, drawn, failing, good, killed, plausible, row, summary
from tests.mutation_files import CORE, CORE_FILES, FILES, PACKAGE, names_nothing, room

MODULE = """
def larger(a, b):  # which of two equal numbers is returned does not matter
    return a if a > b else b

def upto(n):
    while n > 0:
        n -= 1
    return n
"""
TESTS = """
from specref.tiny_for_mutants import larger, upto

def test_the_larger_is_returned():
    assert larger(1, 2) == larger(2, 1) == 2
    assert larger(2, 2) == 2

def test_it_ends():
    assert upto(3) == 0
"""


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    (tmp_path / "reference" / "specref").mkdir(parents=True)
    (tmp_path / "reference" / "specref" / "tiny_for_mutants.py").write_text(MODULE)
    (tmp_path / "test_tiny.py").write_text(TESTS)
    return tmp_path


def test_every_place_that_can_be_edited_is_listed_and_its_line_told(tiny: Path) -> None:
    found = mutants("tiny_for_mutants.py", tiny)
    assert [(mutant.line, mutant.edit) for mutant in found] == [
        (3, "if a > b: negated"),
        (3, "a > b: GtE"),
        (6, "n > 0: GtE"),
        (6, "0: 1"),
        (7, "1: 2"),
    ]
    assert [Changed(mutant, tiny).lines() for mutant in found] == [
        ("return a if a > b else b", "return a if not a > b else b"),
        ("return a if a > b else b", "return a if a >= b else b"),
        ("while n > 0:", "while n >= 0:"),
        ("while n > 0:", "while n > 1:"),
        ("n -= 1", "n -= 2"),
    ]


def test_a_mutant_that_is_noticed_is_told_from_one_that_lives(tiny: Path) -> None:
    tests = [str(tiny / "test_tiny.py")]
    negated, tie, *_ = mutants("tiny_for_mutants.py", tiny)
    assert killed(negated, (tests,), {tests[0]: 60}, tiny)[0]
    assert not killed(tie, (tests,), {tests[0]: 60}, tiny)[0]


def test_a_loop_without_an_end_is_noticed(tiny: Path) -> None:
    (tiny / "reference" / "specref" / "tiny_for_mutants.py").write_text(
        MODULE.replace("n -= 1", "n = n * 2")
    )
    (mutant,) = [m for m in mutants("tiny_for_mutants.py", tiny) if m.edit == "2: 3"]
    dead, seconds = failing([str(tiny / "test_tiny.py")], mutant, 1.0, tiny)
    assert dead
    assert 1 <= seconds < 10


def test_a_module_that_is_imported_already_cannot_be_broken(tiny: Path) -> None:
    mutant = mutants("data.py")[0]
    import specref.data  # noqa: F401

    with pytest.raises(RuntimeError, match=r"specref\.data is imported already"):
        failing([], mutant)


def test_survivors_are_listed_with_reasons_and_counted_apart_without(tiny: Path) -> None:
    negated, tie, *_ = mutants("tiny_for_mutants.py", tiny)
    left = [
        {
            "file": "tiny_for_mutants.py",
            "was": "return a if a > b else b",
            "becomes": "return a if a >= b else b",
            "why": "of equal numbers either is the larger",
        }
    ]
    rows = [row(negated, True, 1.0, tiny), row(tie, False, 2.0, tiny)]
    result = summary(rows, left, root=tiny)
    assert result["files"] == [
        {"file": "tiny_for_mutants.py", "possible": 5, "tried": 2, "killed": 1}
    ]
    assert (result["tried"], result["killed"], result["unexplained"], result["possible"]) == (
        2,
        1,
        0,
        5,
    )
    assert result["rooms"] == [
        {"room": "tiny_for_mutants", "core": False, "possible": 5, "tried": 2, "killed": 1}
    ]
    assert result["survivors"] == [left[0] | {"line": 3}]
    assert summary(rows, [], root=tiny)["unexplained"] == 1


def test_runs_over_other_files_are_added_up(tiny: Path) -> None:
    negated, tie, *_ = mutants("tiny_for_mutants.py", tiny)
    first = summary([row(negated, True, 1.0, tiny)], [], root=tiny)
    second = summary([row(tie, False, 1.0, tiny)], [], root=tiny)
    second["files"][0]["file"], second["commit"] = "another.py", "0123abcd"
    both = summary([], [], [first, second], tiny)
    assert [(file["file"], file["killed"]) for file in both["files"]] == [
        ("tiny_for_mutants.py", 1),
        ("another.py", 0),
    ]
    assert (both["tried"], both["killed"], both["unexplained"], both["possible"]) == (2, 1, 1, 10)
    assert both["survivors"] == second["survivors"]
    assert [file["commit"] for file in both["files"]] == [None, "0123abcd"]


def counted(core, others, unexplained=0):
    (killed, tried), (dead, rest) = core, others
    return {
        "tried": tried + rest,
        "killed": killed + dead,
        "unexplained": unexplained,
        "core": {"tried": tried, "killed": killed},
    }


def test_less_than_95_in_100_or_90_of_the_core_or_a_survivor_without_a_reason_is_not_enough() -> (
    None
):
    assert good(counted((90, 100), (95, 100)))
    assert not good(counted((89, 100), (100, 100)))
    assert not good(counted((100, 100), (94, 100)))
    assert not good(counted((99, 100), (99, 100), unexplained=1))
    assert good(counted((90, 100), (0, 0)))


def test_a_sample_fails_where_its_survivors_cannot_be_chance() -> None:
    """Where one mutant in ten lives, of 50 as many as 14 do in one of 3,500 samples, 13 in one of
    995.
    """
    assert plausible(counted((0, 50), (0, 0), unexplained=0))
    assert plausible(counted((37, 50), (0, 0), unexplained=13))
    assert not plausible(counted((36, 50), (0, 0), unexplained=14))


def test_a_sample_is_of_all_files_and_every_part_of_it_is_one() -> None:
    files = list(CORE_FILES)
    sample = drawn(60, 3, files)
    assert len({(m.file, m.number) for m in sample}) == 60
    assert sample == drawn(60, 3, files)
    assert sample != drawn(60, 4, files)
    assert len({m.file for m in sample[:20]}) > 10


def test_every_file_of_the_core_is_in_the_run() -> None:
    """A file that is new is there without being named: its room names its tests."""
    rooms = ("decode/", "verify/", "draft/", "model/", "serve/", "measure/")
    for path in PACKAGE.rglob("*.py"):
        file = path.relative_to(PACKAGE).as_posix()
        if path.name != "__main__.py" and ("/" not in file or file.startswith(rooms)):
            assert file in CORE_FILES or not mutants(file)
    assert {name.strip("/") for name in rooms} - {"decode"} < {room(file) for file in CORE_FILES}


def test_no_start_of_a_path_names_tests_for_nothing() -> None:
    idle = names_nothing(CORE, CORE_FILES)
    assert not idle, "no file begins so: take them out of tests/mutation_files.py"


def test_every_reason_is_of_a_line_that_still_stands() -> None:
    left = json.loads(LEFT.read_text())
    for file in {entry["file"] for entry in left}:
        assert file in FILES
        lines = {
            line.strip()
            for line in ast.unparse(
                ast.parse((ROOT / "reference" / "specref" / file).read_text())
            ).splitlines()
        }
        gone = [
            entry["was"] for entry in left if entry["file"] == file and entry["was"] not in lines
        ]
        assert not gone, f"no longer in {file}: take their reasons out of {LEFT.name}"
    assert all(len(entry["why"]) > 10 for entry in left)
    keys = [(entry["file"], entry["was"], entry["becomes"]) for entry in left]
    assert len({*keys}) == len(keys)


def test_every_file_has_its_tests() -> None:
    for file, rooms in FILES.items():
        assert (ROOT / "reference" / "specref" / file).exists()
        assert all((ROOT / test).exists() for tests in rooms for test in tests)
