"""specref zoo: the table, the result file, the exit code."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from specref.cli import main
from specref.cli.work import zoo_campaign
from specref.judge.subjects import RuleStep
from specref.judge.suite import checks
from specref.judge.zoo import Bug, judged, run, tally
from specref.verify.rejection import rejection


def test_two_bugs_and_a_control(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "zoo.json"
    names = ["residual-softmax", "bonus-by-argmax", "sampler match"]
    assert (
        main(["zoo", *[word for name in names for word in ("--only", name)], "--json", str(file)])
        == 0
    )
    printed = capsys.readouterr().out
    assert "2 of 2 bugs caught, 0 false alarms on 1 controls in 1 runs" in printed
    result = json.loads(file.read_text())
    assert {"command", "commit", "machine", "versions"} <= result.keys()
    assert (result["bugs"], result["killed"], result["controls"], result["false_alarms"]) == (
        2,
        2,
        1,
        0,
    )
    assert result["survivors"] == []
    assert 0 < result["seconds"]["median"] <= result["seconds"]["p95"]
    assert result["bug_table"][0]["tv"] == pytest.approx(0.525, abs=1e-3)


def test_an_unknown_name_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["zoo", "--only", "no-such-bug"]) == 2
    assert "there is no 'no-such-bug' in the zoo" in capsys.readouterr().err


def test_a_bug_that_is_none_survives(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    harmless = Bug("harmless", 0, "", "", "", "rule.joint", RuleStep(rejection))
    monkeypatch.setitem(run.BUGS, "harmless", harmless)
    file = tmp_path / "zoo.json"
    assert main(["zoo", "--level", "exact", "--only", "harmless", "--json", str(file)]) == 1
    assert json.loads(file.read_text())["survivors"] == ["harmless"]


def test_a_wrong_control_is_a_false_alarm(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(
        run.CONTROLS, "wrong", run.Control("wrong", "", run.BUGS["resample-from-p"].subject)
    )
    assert main(["zoo", "--level", "exact", "--only", "wrong"]) == 1
    assert "false alarm" in capsys.readouterr().out


def test_controls_are_tried_with_many_seeds(tmp_path: Path) -> None:
    file = tmp_path / "zoo.json"
    assert (
        main(
            [
                "zoo",
                "--level",
                "kernel",
                "--only",
                "exponential race",
                "--seeds",
                "3",
                "--budget",
                "0.3",
                "--json",
                str(file),
            ]
        )
        == 0
    )
    result = json.loads(file.read_text())
    assert (result["bugs"], result["controls"], result["control_runs"], result["false_alarms"]) == (
        0,
        1,
        3,
        0,
    )
    assert result["command"] == "zoo --level kernel", "the pages tell the levels' files apart by it"


@pytest.mark.parametrize(
    "words",
    [
        ["--seeds", "0"],
        ["--budget", "0"],
        ["--budget", "nan"],
        ["--budget", "inf"],
        ["--jobs", "0"],
    ],
)
def test_no_work_is_bad_use(words: list[str]) -> None:
    assert main(["zoo", *words]) == 2


def test_every_statistical_check_meets_many_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    met: Counter[str] = Counter()

    def trial(
        subject: object,
        level: str,
        seed: int = 0,
        budget: float | None = None,
        mde: float | None = None,
        only: Sequence[str] = (),
    ) -> judged.Trial:
        met.update(only)
        return judged.Trial(known, level, None, 0.0)

    known = tally.bugs_and_controls("kernel")[1]["sampler match"]
    monkeypatch.setattr(tally, "trial", trial)
    tally.try_control("kernel", "sampler match", 100, None, lambda text: None)
    assert met.keys() == {item.id for item in checks("kernel") if item.statistical}
    assert {name for name, count in met.items() if count < 99} == set(tally.SLOW)
    assert set(met.values()) == {9, 99}


def test_several_jobs_find_what_one_finds(tmp_path: Path) -> None:
    """Bugs and controls, in the same order."""
    names = ["residual-softmax", "target-only", "bonus-by-argmax"]
    tables = []
    for jobs in ("1", "2"):
        file = tmp_path / f"{jobs}.json"
        only = [word for name in names for word in ("--only", name)]
        assert main(["zoo", "--level", "exact", *only, "--jobs", jobs, "--json", str(file)]) == 0
        result = json.loads(file.read_text())
        tables.append(result["bug_table"] + result["control_table"])
        for row in tables[-1]:
            row.pop("seconds")
    assert tables[0] == tables[1]


def test_kill_rates_are_told_by_distance() -> None:
    bug = Bug("b", 0, "", "", "", "rule.joint", RuleStep(rejection))
    caught = [
        tally.Caught(bug, "kernel", by, 1.0, tv, "")
        for by, tv in (
            ("x", None),
            ("", 0.0),
            ("x", 5e-4),
            ("x", 0.001),
            ("", 0.05),
            ("x", 0.5),
            ("x", 1.0),
        )
    ]
    rows = {row["tv"]: (row["killed"], row["bugs"]) for row in tally.bins(caught)}
    assert rows == {
        "no distribution": (1, 1),
        "below .001": (1, 2),
        ".001 to .01": (1, 1),
        ".01 to .1": (0, 1),
        ".1 and more": (2, 2),
    }
    assert tally.summary(caught, [])["survivors"] == ["b", "b"]


def test_a_campaign_that_dies_leaves_what_it_had_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = tally.catch("exact", "residual-softmax")

    def dies(*_: object) -> Iterator[tally.Caught]:
        yield first
        raise MemoryError

    monkeypatch.setattr(zoo_campaign, "run_zoo", dies)
    with pytest.raises(MemoryError):
        main(["zoo", "--json", str(tmp_path / "zoo.json")])
    result = json.loads((tmp_path / "zoo.json").read_text())
    assert result["bug_table"][0]["name"] == "residual-softmax"
    assert not result["complete"]


def test_an_interrupted_campaign_goes_on_where_it_was(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What was tried under as many seeds is not tried again, and the file is as if nothing had
    happened.
    """
    names = ["residual-softmax", "target-only", "bonus-by-argmax"]
    words = ["zoo", "--level", "exact", *(word for name in names for word in ("--only", name))]
    whole, part, again = (tmp_path / name for name in ("whole.json", "part.json", "again.json"))
    assert main([*words, "--json", str(whole)]) == 0
    assert main([*words[:5], "--only", names[1], "--json", str(part)]) == 0
    met: list[str] = []

    def counted(
        wanted: list[tuple[str, str]], *rest: object
    ) -> Iterator[tally.Caught | tally.Tried]:
        met.extend(name for _, name in wanted)
        return tally.run_zoo(wanted, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(zoo_campaign, "run_zoo", counted)
    assert main([*words, "--resume", str(part), "--json", str(again)]) == 0
    assert met == names[2:]
    first, second = (json.loads(file.read_text()) for file in (whole, again))
    for table in ("bug_table", "control_table"):
        assert [row["name"] for row in first[table]] == [row["name"] for row in second[table]]
    assert second["complete"]
    met.clear()
    assert main([*words, "--seeds", "2", "--resume", str(again)]) == 0
    assert met == ["target-only"], "a control needs as many seeds"


def test_a_campaign_of_another_commit_is_not_gone_on_with(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Its file would say that today's checks had said what others did."""
    words = ["zoo", "--level", "exact", "--only", "target-only"]
    file = tmp_path / "zoo.json"
    assert main([*words, "--json", str(file)]) == 0
    file.write_text(json.dumps(json.loads(file.read_text()) | {"commit": "1234"}))
    assert main([*words, "--resume", str(file)]) == 2
    assert "is of the commit 1234, and this is" in capsys.readouterr().err


def test_what_is_no_result_of_the_zoo_can_not_be_gone_on_from(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("[]")
    for name in ("other.json", "none.json"):
        assert main(["zoo", "--resume", str(tmp_path / name)]) == 2
