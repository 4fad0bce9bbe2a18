"""Whatever an adapter does, it is reported as that, the run goes on where it can, and the exit code
is right.

Adapters that only answer wrongly are judged in this process, by the function that the judge's own
process runs; those that hang or die are judged through the command, in processes of their own.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from specref.cli import main
from specref.data import SpecrefError
from specref.judge.job import Job
from specref.judge.load import NotLoadedError
from specref.judge.session import Session
from specref.judge.suite import checks
from specref.judge.torch_state import TorchState, TorchStates
from specref.judge.worker import work

from tests.judge.told import Told, here, verdicts

BEASTS = Path(__file__).parent / "beasts.py"
# Four quick checks, by whatever name.
LISTED = [
    item.id for item in checks("kernel") if item.needs == {"verify"} and not item.statistical
][:4]


def judged(name: str) -> list[dict[str, Any]]:
    return here(Job(f"{BEASTS}:{name}", only=("kernel.shape",)))


def verdict(events: list[dict[str, Any]]) -> dict[str, Any]:
    return verdicts(events)["kernel.shape"]


@pytest.mark.parametrize(
    ("beast", "said"),
    [
        ("raises", "raises in verify, 1 rows (beasts.py, line "),
        ("exits", "SystemExit: 7"),
        ("nothing", "verify returns a NoneType"),
        ("garbage", "verify returns a str: return int64 tokens [1, 1]"),
        (
            "float_array",
            (
                "verify returns float64 and no whole numbers: return int64 tokens [1, 1], padded"
                " with -1"
            ),
        ),
        ("narrow", "verify returns the shape [1, 0]"),
        ("too_many", "verify returns the shape [1, 2]"),
        ("floats", "verify returns float32"),
        ("nan", "verify returns float32"),
        ("holes", "verify emits no token for a row"),
        ("out_of_range", "verify emits token 2, outside 0..1"),
        ("mutates", "verify changes its input p"),
        ("outputs_a_subclass", "TypeError: no operation on this tensor"),
        ("gives_up_memory", "raises in verify, 1 rows (beasts.py, line "),
    ],
)
def test_a_wrong_answer_is_named(beast: str, said: str) -> None:
    """One line that says what came back, or where it was raised."""
    found = verdict(judged(beast))
    assert found["verdict"] == "FAIL"
    assert said in found["what"]
    assert "\n" not in found["what"]


def test_right_passes_and_neither_noise_nor_the_kind_of_array_matters(
    capfd: pytest.CaptureFixture[str],
) -> None:
    for name in ("Right", "noisy", "lists", "array"):
        assert verdict(judged(name))["verdict"] == "PASS"


def test_torchs_settings_stay_the_judges() -> None:
    """A default dtype, gradient mode, or thread count that the engine sets is the engine's alone,
    and is told.
    """
    before = TorchState.now()
    events = judged("resets")
    assert TorchState.now() == before
    assert verdict(events)["verdict"] == "PASS"
    assert events[-1] == {"event": "done", "changed": ["dtype", "grad", "threads"]}


def test_an_engine_finds_its_settings_again() -> None:
    worlds = TorchStates()
    with worlds.engine():
        torch.set_default_dtype(torch.float64)
    assert torch.get_default_dtype() == torch.float32
    with worlds.engine():
        assert torch.get_default_dtype() == torch.float64
        torch.set_default_dtype(torch.float32)


def test_global_coins_of_a_check_do_not_depend_on_the_others() -> None:
    """What an engine draws from a global generator in one check is the same when that check runs
    alone.
    """

    def drawn(order: str) -> dict[str, list[float]]:
        worlds, session = TorchStates(), Session("", "kernel")
        found: dict[str, list[float]] = {}
        for check in order:
            worlds.turn_to(check, session.seed_for(check))
            found.setdefault(check, []).append(float(torch.rand(())))
        return found

    assert drawn("abab")["b"] == drawn("bb")["b"]
    assert drawn("abab")["a"] == drawn("aabb")["a"] != drawn("abab")["b"]


def test_a_failure_is_the_same_when_its_check_runs_alone() -> None:
    """What the reproduction line promises: the same draws, the same case, the same numbers."""
    engine = f"{BEASTS}:RedrawsFromP"
    said = verdicts(
        here(
            Job(engine, budget=10.0, only=("kernel.first-token", "kernel.joint", "kernel.directed"))
        )
    )
    assert {one["verdict"] for one in said.values()} == {"FAIL"}
    for name, one in said.items():
        assert one["repro"] == f"specref validate {engine} --level kernel --only {name} --seed 0"
        again = verdicts(here(Job(engine, budget=10.0, only=(name,))))[name]
        assert again | {"seconds": 0} == one | {"seconds": 0}


def test_what_cannot_be_made_is_not_loaded() -> None:
    with pytest.raises(NotLoadedError, match="cannot be made: ValueError: no such device"):
        judged("NoConstructor")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("import no_such_package", "ModuleNotFoundError"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("x = (", "SyntaxError"),
    ],
)
def test_what_cannot_be_imported_is_not_loaded(content: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(content)
    with pytest.raises(NotLoadedError, match=f"cannot be imported: {said}"):
        work(Job(f"{tmp_path / 'broken.py'}:X"), Told(), dict)


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ({"only": ("kernel.nothing",)}, "there is no check 'kernel.nothing' at the level kernel"),
        (
            {"known_failing": ("engine.greedy", "kernel.nothing")},
            "--known-failing names 'kernel.nothing', which is no check",
        ),
        ({"level": "http"}, "has the methods of the level kernel, not http"),
    ],
)
def test_ids_that_do_not_exist_are_errors(others: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecrefError, match=said):
        work(Job(f"{BEASTS}:Right", **others), Told(), dict)


def validate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ways: str, *words: str
) -> tuple[int, dict[str, Any]]:
    """`specref validate` on an adapter that dies in these ways, one a process."""
    (tmp_path / "deaths").write_text(ways)
    monkeypatch.setenv("BEAST_DEATHS", str(tmp_path / "deaths"))
    only = [word for name in LISTED for word in ("--only", name)]
    code = main(
        [
            "validate",
            f"{BEASTS}:Dying",
            *only,
            "--budget",
            "5",
            "--call-timeout",
            "1",
            *words,
            "--json",
            str(tmp_path / "out.json"),
        ]
    )
    return code, json.loads((tmp_path / "out.json").read_text())


def test_a_hang_and_a_death_cost_one_check_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checks that ran when the process hung or died fail; the others are judged, and the report
    is complete.
    """
    code, result = validate(tmp_path, monkeypatch, "hang segfault")
    assert code == 1
    assert result["complete"]
    assert not result["crashed"]
    said = [(check["id"], check["verdict"], check["what"]) for check in result["checks"]]
    assert [name for name, _, _ in said] == [*LISTED]
    assert said[0][1:] == (
        "FAIL",
        f"hangs: verify, 4 rows gave no answer within 1 s (beasts.py, line {line('PyDLL')})",
    )
    assert said[1][1] == "FAIL"
    assert "was ended by SIGSEGV: segmentation fault in verify" in said[1][2]
    assert "FAIL" not in {outcome for _, outcome, _ in said[2:]}
    assert result["checks"][0]["repro"].endswith(f"--only {LISTED[0]} --seed 0 --call-timeout 1.0")


def test_three_deaths_in_a_row_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, result = validate(tmp_path, monkeypatch, "leave " * 9)
    assert code == 3
    assert result["crashed"].startswith("the process ended with exit code 5 in verify")
    assert (result["expected"], result["with_verdict"], result["complete"]) == (4, 3, False)


def line(words: str) -> int:
    """Where these words stand in the adapters."""
    return next(
        number for number, text in enumerate(BEASTS.read_text().splitlines(), 1) if words in text
    )


def test_a_process_that_dies_while_loading_is_a_crash(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", f"{BEASTS}:ExitsAtOnce"]) == 3
    assert (
        "CRASHED: the process ended with exit code 9 in loading the adapter"
        in capsys.readouterr().out
    )


def test_an_interrupted_run_reports_what_is_there(tmp_path: Path) -> None:
    """SIGINT and SIGTERM end the run, not the report, however many come; no process is left."""
    out = tmp_path / "out.json"
    child = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "specref",
            "validate",
            f"{BEASTS}:Waits",
            "--call-timeout",
            "50",
            "--json",
            str(out),
        ],
        env=os.environ | {"BEAST_WAITS": str(tmp_path / "waits")},
        stdout=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "waits").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    child.send_signal(signal.SIGTERM)
    for _ in range(200):
        time.sleep(0.003)
        child.send_signal(signal.SIGINT)
    said, _ = child.communicate(timeout=30)
    assert child.returncode == 4
    assert "nothing failed so far, but the run was interrupted" in said
    result = json.loads(out.read_text())
    assert (result["interrupted"], result["complete"]) == (True, False)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "waits").read_text()), 0)
