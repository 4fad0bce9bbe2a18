"""One run of the judge, from arguments to a report; shared by `specref validate` and pytest."""

import signal
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
from ...model.checkpoint import replace
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


def run_judge(job: Job) -> Report:
    """Run the job with a progress bar. After SIGTERM, what is known by then is reported."""
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
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            runner.load()
            return runner.run()
        finally:
            signal.signal(signal.SIGTERM, before)


def write_report(folder: Path | None, report: Report) -> None:
    """report.json, junit.xml and report.html."""
    if folder is None:
        return
    write_result(folder / "report.json", "validate", report.as_dict())
    replace(folder / "junit.xml", lambda part: part.write_text(junit(report)))
    replace(folder / "report.html", lambda part: part.write_text(page(report)))


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
