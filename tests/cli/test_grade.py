"""`specref grade`: its verdicts, its exit codes, and that no file of a student breaks it."""

import json
from pathlib import Path

import pytest
from specref.cli import main
from specref.exercises.grading.child import grade_apart
from specref.exercises.grading.skeleton import student_file

HEAD = 'EXERCISE = "rejection-step"\n\n\ndef attempt(p, q, x, chance):\n'


def graded(text: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Exit code, standard output and standard error."""
    file = folder / "answer.py"
    file.write_text(text)
    code = main(["grade", str(file)])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_right(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = student_file("rejection-step", "solution")
    right = "RIGHT. In every case the emitted token has exactly the distribution p.\n"
    assert graded(text, tmp_path, capsys) == (0, right, "")


def test_right_but_less_than_possible(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = graded(student_file("rejection-step", "sampler_match"), tmp_path, capsys)
    assert code == 0
    # sum p q and sum min(p, q) of the first pair
    assert out.splitlines()[1] == (
        "But it keeps the draft token less often than it could: 13/50 in case 1, where 3/5 is"
        " possible."
    )


def test_wrong_says_what_is_emitted_what_is_right_and_which_mistake_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = graded(student_file("rejection-step", "redraw_from_p"), tmp_path, capsys)
    assert (code, err) == (1, "")
    # by hand: q = (1/2, 1/2, 0) keeps 0 and 3/8; 5/8 of the draws are from p = (0, 3/8, 5/8)
    assert out.splitlines()[:6] == [
        "WRONG. Case 3 of 7: p = (0, 3/8, 5/8), q = (1/2, 1/2, 0).",
        "  emitted  yours  right",
        "  1        39/64  3/8",
        "  2        25/64  5/8",
        "The total variation from what is right is 15/64.",
        "It looks as if after a rejection you draw from p.",
    ]


def test_an_unknown_mistake_has_no_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = HEAD + "    return x if chance.accept(p[x] ** 2) else chance.draw([a**3 for a in q])\n"
    code, out, _ = graded(text, tmp_path, capsys)
    assert code == 1
    assert "No mistake that we know does this." in out
    assert "It looks as if" not in out


def test_what_emits_the_same_as_a_mistake_has_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A fresh draw from q is not the draft token, and comes out as often."""
    code, out, _ = graded(HEAD + "    return chance.draw(q)\n", tmp_path, capsys)
    assert code == 1
    assert "It looks as if you believe the draft" in out


def test_an_error_in_some_cases_does_not_hide_the_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """q/p divides by 0 in the case where p has a zero."""
    text = HEAD + (
        "    if chance.accept(min(1, q[x] / p[x])):\n        return x\n"
        "    return chance.draw([max(a - b, 0) for a, b in zip(p, q)])\n"
    )
    code, out, _ = graded(text, tmp_path, capsys)
    assert code == 1
    assert "In another case it fails. Line 5: ZeroDivisionError: " in out
    assert "It looks as if you accept with q(x)/p(x)." in out


BROKEN = {
    "no Python": (HEAD + "    return x +\n", "Line 5: this is not Python: invalid syntax."),
    "a name": (HEAD + "    y = x\n    return z\n", "Line 6: NameError: name 'z' is not defined."),
    "a helper": (
        "def helper(p):\n    return p[9]\n\n\n" + HEAD + "    return helper(p)\n",
        "Line 2: IndexError: list index out of range.",
    ),
    "at the top": ("import nowhere\n", "Line 1: ModuleNotFoundError: No module named 'nowhere'."),
    "a loop": (HEAD + "    while True:\n        x = x\n", "Line 5: it does not end."),
    "a loop at the top": ("while True:\n    pass\n", "Line 1: it does not end."),
    "endless draws": (
        HEAD + "    while not chance.accept(p[x] / 2):\n        x = chance.draw(q)\n    return x\n",
        "it asks chance more than 100 times",
    ),
    "recursion": (HEAD + "    return attempt(p, q, x, chance)\n", "RecursionError"),
    "exit": (HEAD + "    raise SystemExit(0)\n", "Line 5: SystemExit: 0."),
    "the process's end": (
        "import os\n" + HEAD + "    os._exit(0)\n",
        "It ended the grader's process, with exit status 0.",
    ),
    "memory": (HEAD + "    return [0] * 10**11\n", "Line 5: MemoryError."),
    "nothing": (HEAD + "    pass\n", "None is no token: tokens are 0 to 2."),
    "another token": (HEAD + "    return len(p)\n", "3 is no token: tokens are 0 to 2."),
    "no weights": (HEAD + "    return chance.draw([0, 0])\n", "weights whose sum is 0: (0, 0)."),
    "a negative weight": (HEAD + "    return chance.draw([1, -1])\n", "a negative weight"),
    "a negative coin": (HEAD + "    chance.accept(-p[0] - 1)\n", "a negative probability"),
    "not a number": (HEAD + "    chance.accept(float('nan'))\n", "nan is not a finite number."),
    "arguments": ('EXERCISE = "rejection-step"\ndef attempt(p):\n    return 0\n', "TypeError"),
    "no exercise": ("def attempt(p):\n    return 0\n", "It does not say what it is for"),
    "another exercise": ('EXERCISE = "x"\nattempt = len\n', "It is for 'x', and this is about"),
    "no function": ('EXERCISE = "rejection-step"\n', "It has no function attempt."),
    "nothing at all": ("", "It does not say what it is for"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_file_that_cannot_be_graded_gets_a_reason_and_exit_2(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, told = BROKEN[case]
    code, out, err = graded(text, tmp_path, capsys)
    assert (code, out) == (2, "")
    assert err.startswith("BROKEN. It cannot be graded. ")
    assert told in err
    assert err.count("\n") <= 2
    assert "Traceback" not in err


def test_one_call_that_does_not_end_is_stopped() -> None:
    report = grade_apart(HEAD + "    return 10 ** 10**9\n", seconds=1.0)
    assert report.status == "broken"
    assert report.text.endswith("It does not end: it was stopped after 1 seconds.")


def test_bad_input_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for words, told in (
        ([str(tmp_path / "none.py")], "cannot read"),
        ([str(tmp_path)], "cannot read"),
        ([str(tmp_path / "binary")], "is no text in UTF-8"),
        ([str(tmp_path / "binary"), "--json", str(tmp_path)], "is a folder: give a file to write"),
    ):
        assert main(["grade", *words]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert told in said.err
        assert said.err.count("\n") == 1


def test_the_verdict_as_json_and_what_the_code_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "answer.py", tmp_path / "verdict.json"
    file.write_text(HEAD + "    print('drafted', x)\n    return x\n")
    assert main(["grade", str(file), "--json", str(out)]) == 1
    result = json.loads(out.read_text())
    assert {"command", "commit", "machine", "versions"} <= set(result)
    assert result["verdict"] == "wrong"
    assert result["exercise"] == "rejection-step"
    assert result["tv"] == "5/8"
    assert result["mistake"] == "you believe the draft: it is never rejected"
    assert result["mistake_id"] == "rejection-step--always-accept"
    assert result["printed"].startswith("drafted ")
    assert "Your code printed:\ndrafted " in capsys.readouterr().out
