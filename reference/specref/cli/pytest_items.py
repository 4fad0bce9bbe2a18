"""`pytest --pyargs specref.judge`: every check is a test, and one run of the judge answers them
all.

UNSUPPORTED is a skip, a known failure an xfail. INCONCLUSIVE and UNVERIFIED fail with a message of
their own: pytest has no third outcome, and a run that says too little must not look like one that
passed. Exit 3 where the engine crashed or could not be loaded, as for `specref validate`; otherwise
the exit codes are pytest's. judge/pytest_plugin.py loads this module.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..errors import SpecrefError
from ..judge.job import Job
from ..judge.report import words
from ..judge.runner import Runner
from ..judge.verdict import Report
from ..outputs import require_folder
from .work.judge_run import known_failing, write_report

_HERE = Path(__file__).resolve().parents[1] / "judge"
_JUDGE = pytest.StashKey["JudgeDirectory"]()


class CheckFailedError(Exception):
    """A check did not pass; the message is for people."""


class JudgeDirectory(pytest.Directory):
    """Loads the engine to know its checks, and runs those that were not deselected when the first
    of them is due.
    """

    ran: Report | None = None

    def collect(self) -> Iterator[pytest.Item]:
        option = self.config.getoption
        if option("--engine") is None:
            raise self.CollectError(
                "no engine to judge: give --engine path/to/adapter.py:Name (see pytest --pyargs "
                "specref.judge --help)"
            )
        if hasattr(self.config, "workerinput"):
            raise self.CollectError("one run is one judge, with one error rate: leave out -n")
        try:
            require_folder(option("--engine-report"))
            job = Job(
                option("--engine"),
                option("--engine-level"),
                option("--engine-seed"),
                option("--engine-budget"),
                option("--engine-mde"),
                (),
                known_failing(option("--known-failing")),
                option("--engine-baseline"),
                option("--engine-call-timeout"),
                draft=option("--engine-draft"),
            )
            self.runner = Runner(job)
            self.config.stash[_JUDGE] = self
            loaded = self.runner.load()
        except SpecrefError as error:
            raise self.CollectError(str(error)) from None
        if loaded.crashed:
            raise self.CollectError(words.sentence(loaded))
        for name, question in loaded.questions.items():
            yield CheckItem.from_parent(self, name=name, question=question)

    def report(self) -> Report:
        """The judge's report; made when it is first asked for."""
        if self.ran is None:
            self.ran = self.runner.run(
                [item.name for item in self.session.items if isinstance(item, CheckItem)]
            )
        if self.ran.interrupted:
            raise KeyboardInterrupt
        return self.ran


class CheckItem(pytest.Item):
    """One check."""

    def __init__(self, *, question: str, **more: Any):
        super().__init__(**more)
        self.question = question

    def runtest(self) -> None:
        assert isinstance(self.parent, JudgeDirectory)
        report = self.parent.report()
        verdict = next((v for v in report.checks if v.id == self.name), None)
        if verdict is None:
            raise CheckFailedError(f"no verdict: {report.crashed or 'the run ended before'}")
        self.user_properties += [
            (key, value)
            for key, value in verdict.as_dict().items()
            if key in ("verdict", "method", "n", "alpha", "mde", "tv", "seed", "repro")
        ]
        said = f"{words.known(report, verdict)}: {verdict.what}"
        if verdict not in report.failed:
            if verdict.verdict == "UNSUPPORTED":
                pytest.skip(said)
            if verdict.verdict in ("FAIL", "NOT-SPECULATION"):
                pytest.xfail(said)
            if verdict.verdict in ("PASS", "LOSSY-BY-DESIGN"):
                self.add_report_section("call", "verdict", said)
                return
        facts = (
            ("", said),
            ("question: ", self.question),
            ("case: ", verdict.case),
            ("smallest scenario: ", verdict.scenario),
            ("without speculation: ", words.control(verdict)),
            ("likely cause: ", verdict.cause),
            ("TV: ", words.tv_words(verdict) if verdict.tv is not None else ""),
            ("again: ", verdict.repro),
        )
        raise CheckFailedError("\n".join(name + text for name, text in facts if text))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        return (
            str(excinfo.value)
            if isinstance(excinfo.value, CheckFailedError)
            else super().repr_failure(excinfo, style)
        )

    def reportinfo(self) -> tuple[Path, int | None, str]:
        # no suffix of the node id, in which pytest would put :: for each dot
        return _HERE, None, f"check {self.name}"


def pytest_collect_directory(path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    return (
        JudgeDirectory.from_parent(parent, path=path, nodeid="specref.judge")
        if path.resolve() == _HERE
        else None
    )


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Leave no process, write the report, and let no run pass in which nothing did."""
    judge = session.config.stash.get(_JUDGE, None)
    if judge is None:
        return
    judge.runner.stop()
    report = judge.ran or judge.runner.report
    for error in write_report(None, session.config.getoption("--engine-report"), report):
        print(f"specref: {error}", file=sys.stderr)
        session.exitstatus = session.exitstatus or 2
    if report.crashed:
        session.exitstatus = 3
    elif session.exitstatus == 0 and judge.ran is not None and report.exit_code:
        session.exitstatus = 1


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    judge = config.stash.get(_JUDGE, None)
    if judge is None or judge.ran is None:
        return
    terminalreporter.section("specref")
    terminalreporter.write_line(words.sentence(judge.ran))
    terminalreporter.write_line(
        f"{words.counts(judge.ran)}; seed {judge.ran.seed}, false alarms of the whole run: "
        f"{judge.ran.alpha:g} at most"
    )
