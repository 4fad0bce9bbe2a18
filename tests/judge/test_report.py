"""What a report says: the exit code, one sentence, JSON by its schema, JUnit, and a page that asks
for nothing.
"""

import io
import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import fastjsonschema
import pytest
from rich.console import Console
from specref.cli.work.judge_run import write_report
from specref.judge import report as room
from specref.judge.report import words
from specref.judge.report.junit import junit
from specref.judge.report.page import page
from specref.judge.report.terminal import show
from specref.judge.verdict import Outcome, Picture, Report, Verdict

SCHEMA = json.loads((Path(room.__file__).parent / "schema.json").read_text())


def verdict(outcome: Outcome, name: str = "", **more: object) -> Verdict:
    name = name or f"kernel.{outcome.lower()}"
    return Verdict(outcome, id=name, repro=f"specref validate x.py:X --only {name}", **more)  # type: ignore[arg-type]


def report(*checks: Verdict, **more: object) -> Report:
    made = Report("x.py:X", "kernel", 0, "X", list(checks), tuple(v.id for v in checks), alpha=1e-6)
    return replace(made, **more)  # type: ignore[arg-type]


PASS, FAIL, UNSURE = (
    verdict("PASS"),
    verdict("FAIL", what="off"),
    verdict("INCONCLUSIVE", what="few draws"),
)
ABSENT, UNSEEN, LOSSY = (
    verdict("UNSUPPORTED"),
    verdict("UNVERIFIED"),
    verdict("LOSSY-BY-DESIGN", tv=0.25),
)


@pytest.mark.parametrize(
    ("code", "said", "made"),
    [
        (0, "PASS", report(PASS)),
        (0, "PASS", report(PASS, ABSENT)),
        (
            0,
            "LOSSY-BY-DESIGN: not the target's distribution, as its adapter says (TV up to 0.25)",
            report(PASS, LOSSY),
        ),
        (1, "FAIL: kernel.fail: off", report(PASS, FAIL)),
        (1, "FAIL", report(FAIL, UNSURE)),
        (0, "PASS", report(PASS, FAIL, known_failing=frozenset({"kernel.fail"}))),
        (
            1,
            "FAIL: kernel.pass is listed as known to fail, and passes",
            report(PASS, known_failing=frozenset({"kernel.pass"})),
        ),
        (
            4,
            "INCONCLUSIVE: what ran is known to fail",
            report(FAIL, known_failing=frozenset({"kernel.fail"})),
        ),
        (4, "INCONCLUSIVE: nothing failed, but few draws", report(PASS, UNSURE)),
        (
            4,
            (
                "INCONCLUSIVE: nothing failed, but speculation was never seen to run in"
                f" {UNSEEN.id}, so nothing is known of it"
            ),
            report(PASS, UNSEEN),
        ),
        (4, "INCONCLUSIVE: nothing was tested", report(ABSENT)),
        (4, "INCONCLUSIVE", report()),
        (
            4,
            "INCONCLUSIVE: nothing failed so far, but the run was interrupted",
            report(PASS, interrupted=True),
        ),
        (
            4,
            "INCONCLUSIVE: nothing failed so far",
            report(PASS, expected=("kernel.pass", "kernel.other")),
        ),
        (1, "FAIL", report(FAIL, interrupted=True)),
        (3, "CRASHED: no such device", report(crashed="no such device")),
        (3, "CRASHED", report(FAIL, crashed="three times")),
    ],
)
def test_exit_code_and_sentence(code: int, said: str, made: Report) -> None:
    """Nothing but a complete run, in which something passed and nothing was left open, is worth a
    0.
    """
    assert made.exit_code == code
    assert words.sentence(made).startswith(said)


def test_the_sentence_says_what_could_have_been_missed() -> None:
    seen = [
        verdict("PASS", f"kernel.{mde}", method="e-process", mde=mde) for mde in (0.002, 0.0043)
    ]
    assert (
        words.sentence(report(*seen))
        == "PASS: no difference found; one of TV 0.0043 would have been found"
    )
    for slow, said in (
        (0.03, "0.0043 would have been found (where a draw takes long, 0.03)"),
        (0.004, "0.0043 would have been found"),
    ):
        made = report(
            *seen,
            verdict("PASS", "kernel.s", method="e-process", mde=slow),
            slow={"kernel.s": 0.05},
        )
        assert words.sentence(made) == f"PASS: no difference found; one of TV {said}"
    only = report(
        verdict("PASS", "kernel.s", method="e-process", mde=0.03), slow={"kernel.s": 0.05}
    )
    assert words.sentence(only) == "PASS: no difference found; one of TV 0.03 would have been found"
    weak = verdict("INCONCLUSIVE", method="e-process", mde=0.08)
    assert "a TV below 0.08 could have been missed" in words.sentence(report(PASS, weak))


def test_the_sentence_says_how_much_time_would_do() -> None:
    """Half the TV takes four times the draws: 10 seconds became 40, and 4 became 16; the rest took
    50.
    """
    weak = [
        verdict("INCONCLUSIVE", f"a.{spent}", method="e-process", mde=0.1, seconds=spent)
        for spent in (10.0, 4.0)
    ]
    said = words.sentence(report(PASS, *weak, seconds=64.0, enough=0.05))
    assert said.endswith(
        "give more time with --budget (about 110 should do), or ask for less with --mde"
    )
    blind = verdict("INCONCLUSIVE", "a.c", method="e-process", mde=0.9, seconds=1.0)
    assert "--budget, or" in words.sentence(report(PASS, *weak, blind, seconds=64.0, enough=0.05))
    # that one has seen enough
    said = words.sentence(report(PASS, *weak, seconds=64.0, enough=0.05, slow={"a.10.0": 0.1}))
    assert "(about 76 should do)" in said


def test_the_likely_cause_is_the_headline() -> None:
    cause = "tokens your draft likes come out too often"
    assert (
        words.sentence(report(FAIL, verdict("FAIL", "kernel.distribution", tv=0.1, cause=cause)))
        == f"FAIL: {cause}"
    )
    seen = verdict(
        "FAIL",
        "kernel.distribution",
        what="2 comes out too seldom; tokens your draft likes come out too often",
        cause="looks like a residual that is not p - q",
    )
    assert (
        words.sentence(report(FAIL, seen))
        == "FAIL: tokens your draft likes come out too often; it looks like a residual that is not"
        " p - q"
    )


FULL = report(
    PASS,
    FAIL,
    UNSURE,
    ABSENT,
    UNSEEN,
    LOSSY,
    verdict(
        "FAIL",
        "kernel.distribution",
        method="e-process",
        what="<script>alert(1)</script> \x00 & more",
        case="V=3 ]]>",
        n=10,
        alpha=1e-7,
        mde=float("nan"),
        tv=0.5,
        interval=(0.4, float("inf")),
        cause="the residual is not p - q",
        pictures=(
            Picture(
                "first token", ("<a>", "b", "c"), (0.2, 0.3, 0.5), (0.5, 0.5, 0.0), (1.0, 0.0, 0.0)
            ),
            Picture("many", tuple(map(str, range(99))), (1 / 99,) * 99, (1.0, *[0.0] * 98)),
        ),
    ),
    expected=(
        *(v.id for v in (PASS, FAIL, UNSURE, ABSENT, UNSEEN, LOSSY)),
        "kernel.distribution",
        "kernel.never",
    ),
    noise="a line\x1b[31m <b>\n",
    notes=["it & that"],
)


def test_the_headline_is_what_a_failure_means_and_a_cause_is_said_once() -> None:
    """An owner whose distribution is off by .4 must not be sent to look for seeds."""
    seeds = verdict("FAIL", "engine.seeds", what="the seeds 1 and 257 write the same")
    distribution = verdict(
        "FAIL",
        "engine.token-bets",
        tv=0.4,
        what="first tokens: too hot (ranks by p)",
        cause="first tokens: too hot",
    )
    made = report(seeds, distribution)
    made.concerns = {"engine.seeds": "determinism", "engine.token-bets": "distribution"}
    assert words.sentence(made) == "FAIL: first tokens: too hot"
    text = io.StringIO()
    show(made, Console(file=text, width=120))
    assert "likely cause" not in text.getvalue()


def test_result_files_keep_the_schema(tmp_path: Path) -> None:
    write_report(None, tmp_path, FULL)
    result = json.loads((tmp_path / "report.json").read_text(), parse_constant=pytest.fail)
    validate = fastjsonschema.compile(SCHEMA)
    validate(result)
    distribution = next(check for check in result["checks"] if check["id"] == "kernel.distribution")
    assert distribution["mde"] is None
    assert distribution["interval"] == [0.4, None]
    assert (result["expected"], result["with_verdict"], result["complete"]) == (8, 7, False)
    for key, wrong in (
        ("verdict", "OK"),
        ("complete", "yes"),
        ("checks", [{"id": "kernel.x"}]),
        ("exit_code", 2),
    ):
        with pytest.raises(fastjsonschema.JsonSchemaException):
            validate(result | {key: wrong})
    assert {"report.json", "junit.xml", "report.html"} == {path.name for path in tmp_path.iterdir()}


def test_the_contract_of_json_stays() -> None:
    """Others read these keys (DESIGN): more are welcome, none goes."""
    assert {"verdict", "engine", "level", "checks", "complete"} <= {*SCHEMA["required"]}
    assert {"id", "verdict", "method", "n", "alpha", "mde", "tv", "interval", "seed", "repro"} <= {
        *SCHEMA["definitions"]["check"]["required"]
    }


def test_verdicts_survive_the_way_between_processes() -> None:
    distribution = FULL.checks[-1]
    back = Verdict.from_dict(json.loads(json.dumps(distribution.as_dict())))
    assert repr(back) == repr(distribution)  # by words, since NaN is not NaN


def test_junit_tells_failures_from_what_could_not_be_said() -> None:
    suite = ElementTree.fromstring(junit(FULL))[0]
    kinds = {}
    for case in suite.iter("testcase"):
        kinds[case.get("name")] = {child.tag: child.get("type") for child in case}
    assert kinds == {
        "kernel.pass": {"system-out": None},
        "kernel.lossy-by-design": {"system-out": None},
        "kernel.fail": {"failure": "FAIL"},
        "kernel.distribution": {"failure": "FAIL"},
        "kernel.inconclusive": {"error": "INCONCLUSIVE"},
        "kernel.unverified": {"error": "UNVERIFIED"},
        "kernel.unsupported": {"skipped": None},
        "kernel.never": {"error": "MISSING"},
    }
    assert {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "8",
        "failures": "2",
        "errors": "3",
        "skipped": "1",
    }
    crashed = ElementTree.fromstring(junit(report(crashed="gone")))[0]
    assert crashed.get("errors") == "1"


def test_junit_knows_what_is_known_to_fail() -> None:
    listed = report(PASS, FAIL, known_failing=frozenset({"kernel.pass", "kernel.fail"}))
    suite = ElementTree.fromstring(junit(listed))[0]
    assert [case[0].tag for case in suite.iter("testcase")] == ["failure", "skipped"]


def test_the_page_stands_alone() -> None:
    """Nothing to fetch, no script of the engine's, every anchor there, and the distributions
    drawn.
    """
    made = page(FULL)
    assert not re.search(r"(src|href)\s*=\s*[\"'](?!#)|url\(|@import|<script|<link|<img", made)
    assert "&lt;script&gt;alert(1)" in made
    targets = set(re.findall(r'id="([^"]+)"', made))
    assert {*re.findall(r'href="#([^"]+)"', made)} <= targets
    assert made.count("<svg") == 2
    assert "&lt;a&gt;: expected 0.20000, observed 0.50000, draft 1.00000" in made
    assert "75 other outcomes together: expected 0.7576, observed 0.0000" in made
    assert "7 of 8 checks have a verdict: this report is incomplete" in made
    assert made.index("What failed") < made.index("All checks")


@pytest.mark.parametrize("width", [80, 120])
def test_the_summary_fits_the_terminal(width: int) -> None:
    out = io.StringIO()
    show(FULL, Console(width=width, file=out, force_terminal=False))
    lines = out.getvalue().splitlines()
    assert lines[0] == "FAIL: the residual is not p - q"
    assert max(len(line.rstrip()) for line in lines if "again: " not in line) <= width
    assert [line.strip() for line in lines if line.strip().startswith("again: ")] == [
        f"again: specref validate x.py:X --only kernel.{name}" for name in ("distribution", "fail")
    ], "to be copied whole"
    told = " ".join(out.getvalue().split())
    for said in (
        (
            "1 of 8 checks passed, 2 failed, 1 inconclusive, 1 unverified, 1 lossy by design, 1"
            " unsupported, 1 without a verdict"
        ),
        "seed 0",
        "1e-06 at most",
        "note: it & that",
    ):
        assert said in told
