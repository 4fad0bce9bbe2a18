"""One run of the judge, from arguments to a report; shared by `specref validate` and pytest."""

import signal
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ...errors import SpecrefError
from ...judge.job import Job
from ...judge.report.junit import junit
from ...judge.report.page import page
from ...judge.runner import Runner
from ...judge.verdict import Report
from ...outputs import write_text
from ..progress import is_interactive
from ..results import write_result


def known_failing(path: Path | None) -> tuple[str, ...]:
    """The ids in a file, one a line; what follows a # is a comment."""
    if path is None:
        return ()
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SpecrefError(
            f"cannot read {path} ({error}): give a text file with the id of a check on each line"
        ) from None
    names = [line.partition("#")[0].strip() for line in lines]
    return tuple(name for name in names if name)


class OneInterrupt:
    """SIGINT and SIGTERM inside: the first one ends the run, and what is known by then is
    reported. No later one takes the report away.
    """

    def __init__(self) -> None:
        self.over = False  # nothing is left but to report
        self.heard = False

    def __enter__(self) -> "OneInterrupt":
        numbers = (signal.SIGINT, signal.SIGTERM)
        self.before = {number: signal.signal(number, self._heard) for number in numbers}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            # once heard, the process ends, with the exit code of what was reported
            signal.signal(number, signal.SIG_IGN if self.heard else handler)

    def _heard(self, *_: object) -> None:
        if self.over:
            print("ending: what is known is being reported", file=sys.stderr)
            return
        self.over = self.heard = True
        raise KeyboardInterrupt


def run_judge(job: Job) -> Report:
    """Run the job with a progress bar. After an interrupt, what is known by then is reported."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(24),
        TimeRemainingColumn(),
        transient=True,
        console=Console(stderr=True),
        disable=not is_interactive(),
    )
    with bar:
        runner = Runner(job, _JudgeProgress(bar, job.budget).take)
        runner.load()
        return runner.run()


def write_report(json: Path | None, folder: Path | None, report: Report) -> list[SpecrefError]:
    """The result file, and report.json, junit.xml and report.html, each by itself; returns why some
    could not be written.
    """
    lost = []
    writes = [lambda: write_result(json, "validate", report.as_dict())]
    if folder is not None:
        writes += [
            lambda: write_result(folder / "report.json", "validate", report.as_dict()),
            lambda: write_text(folder / "junit.xml", junit(report)),
            lambda: write_text(folder / "report.html", page(report)),
        ]
    for write in writes:
        try:
            write()
        except SpecrefError as error:
            lost.append(error)
    return lost


class _JudgeProgress:
    """Time spent, the check that runs, and what has been found."""

    def __init__(self, bar: Progress, budget: float):
        self.bar = bar
        self.task = bar.add_task("loading", total=budget)
        self.done: dict[str, str] = {}
        self.total, self.began = 0, time.monotonic()

    def take(self, event: dict[str, Any]) -> None:
        if event["event"] == "loaded":
            self.total, self.began = len(event["checks"]), time.monotonic()
        elif event["event"] in ("ended", "renewed"):
            self.done[event["check"]] = event["verdict"]["verdict"]
        elif event["event"] == "call" or not event.get("check"):
            return
        said = f"{len(self.done)} of {self.total} checks begun"
        failed = list(self.done.values()).count("FAIL")
        if failed:
            said += f", [red]{failed} failed[/]"
        said += f" · {event.get('check', '')}"
        spent = time.monotonic() - self.began
        self.bar.update(self.task, completed=spent, description=said)
