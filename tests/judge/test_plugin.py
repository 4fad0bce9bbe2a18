"""The judge as pytest tests: what each verdict becomes there, and that no run passes in which
nothing did.
"""

import json
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
BEASTS = Path(__file__).parent / "beasts.py"


@pytest.fixture
def judge(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)

    def run(engine: str, *words: str) -> pytest.RunResult:
        return pytester.runpytest_inprocess(
            "-p",
            "specref",
            "-p",
            "no:cacheprovider",
            "--pyargs",
            "specref.judge",
            "--engine",
            f"{BEASTS}:{engine}",
            *words,
        )

    return run


def test_a_failure_says_what_a_person_needs(judge, tmp_path: Path) -> None:
    result = judge(
        "raises",
        "-k",
        "kernel.shape",
        "--engine-seed",
        "3",
        "--engine-report",
        str(tmp_path / "out"),
    )
    assert result.ret == 1
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*check kernel.shape*",
            "FAIL: raises in verify, * (beasts.py, line *): RuntimeError: no such row at all",
            "question: Does a step return *?",
            "again: specref validate *:raises --level kernel --only kernel.shape --seed 3",
            "*specref*",
            "FAIL: kernel.shape: raises in verify*",
            "0 of 1 checks passed, 1 failed*",
        ]
    )
    result.stdout.no_fnmatch_line("*Traceback*")
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (report["verdict"], report["seed"], report["complete"]) == ("FAIL", 3, True)


def test_a_known_failure_is_an_xfail_but_no_pass(judge, tmp_path: Path) -> None:
    (tmp_path / "known.txt").write_text("# ticket 12\nkernel.shape  # since May\n\n")
    result = judge("nothing", "-k", "kernel.shape", "--known-failing", str(tmp_path / "known.txt"))
    result.assert_outcomes(xfailed=1)
    assert result.ret == 1, "nothing passed"
    result.stdout.fnmatch_lines(["INCONCLUSIVE: what ran is known to fail, and nothing passed"])


def test_a_run_of_skips_does_not_pass(judge) -> None:
    result = judge("Right", "-k", "kernel.exact or kernel.edges or tree", "-rs")
    assert result.ret != 0
    assert result.parseoutcomes().keys() <= {"skipped", "deselected"}


@pytest.mark.parametrize(
    ("engine", "words", "code", "said"),
    [
        (
            "NoConstructor",
            (),
            3,
            "CRASHED: *NoConstructor cannot be made: ValueError: no such device",
        ),
        ("Nobody", (), 2, "*beasts.py has no Nobody: it has Right, *"),
        ("Right", ("--engine-budget", "-1"), 2, "a budget of -1 is no time: give seconds, above 0"),
    ],
)
def test_what_cannot_be_judged_is_no_test_run(
    judge, engine: str, words: tuple[str, ...], code: int, said: str
) -> None:
    result = judge(engine, *words)
    assert result.ret == code
    result.stdout.fnmatch_lines([said])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_without_the_judge_its_options_do_not_exist(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test(): pass")
    assert pytester.runpytest_inprocess("-p", "specref").ret == 0
    assert (
        pytester.runpytest_inprocess("-p", "specref", "--engine", "x").ret
        == pytest.ExitCode.USAGE_ERROR
    )
