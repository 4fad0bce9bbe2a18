"""Is an engine's speculative decoding lossless, how do we know, and what could we have missed?

ENGINE is `path/to/adapter.py:Name`, `package.module:Name`, a built-in adapter's name, or the URL of
a server. The adapter
runs in a process of its own: one that hangs, dies or prints does not disturb the judge.

Exit 0: everything that ran passed, and something ran. 1: something failed, or was known to fail and
passed. 2: bad use.
3: the engine crashed or could not be loaded. 4: nothing failed, but too little was tested to say
so.

Example:
  specref validate reference --level kernel
  specref validate --init kernel my_adapter.py
  specref validate my_adapter.py:MyKernel --budget 60 --report out
"""

import argparse
import shlex
import signal
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from .. import judge as conformance
from ..data import SpecrefError
from ..judge.job import CALL_TIMEOUT, Job
from ..judge.report.junit import junit
from ..judge.report.page import page
from ..judge.report.terminal import show
from ..judge.runner import Runner
from ..judge.verdict import Report
from ..model.checkpoint import replace
from .common import add_json, interactive, writable, write_result

LEVELS = tuple(CALL_TIMEOUT)
# of a first run that can say something
BUDGET = {"kernel": "", "engine": " --budget 120", "http": " --budget 900"}
TEMPLATES = Path(conformance.__file__).parent / "templates"
TEMPLATE = {"kernel": "kernel.py", "engine": "engine.py", "http": "server.py"}


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("engine", metavar="ENGINE", nargs="?")
    parser.add_argument(
        "--init",
        nargs=2,
        metavar=("LEVEL", "FILE"),
        help="write an adapter to start from, for kernel, engine or http; judge nothing",
    )
    parser.add_argument("--level", choices=LEVELS, help="default: found from the adapter's methods")
    parser.add_argument("--baseline", metavar="URL", help="a server's target without speculation")
    parser.add_argument("--budget", type=float, default=60.0, metavar="SECONDS", help="default: 60")
    parser.add_argument(
        "--mde", type=float, metavar="TV", help="the smallest difference that has to be seen"
    )
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="ID",
        help="this check alone; may be repeated",
    )
    parser.add_argument(
        "--known-failing",
        type=Path,
        metavar="FILE",
        help=(
            "ids of checks that fail and may, one a line, # for comments; one that passes fails"
            " the run"
        ),
    )
    parser.add_argument(
        "--call-timeout",
        type=float,
        metavar="SECONDS",
        help="a call of the engine that takes longer hangs (default: 60 at kernel level, else 120)",
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="DIR",
        help="write report.json, junit.xml and report.html there",
    )
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    if args.init:
        return init(*args.init)
    if args.engine is None:
        raise SpecrefError(
            "what is to be judged? Give ENGINE, such as path/to/adapter.py:Name, or --init kernel"
            " FILE"
        )
    writable(args.json)
    make_folder(args.report)
    job = asked(args)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(24),
        TimeRemainingColumn(),
        transient=True,
        console=Console(stderr=True),
        disable=not interactive(),
    ) as bar:
        runner = Runner(job, _Shown(bar, job.budget).take)
        # what is known by then is reported
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            runner.load()
            report = runner.run()
        finally:
            signal.signal(signal.SIGTERM, before)
    write_result(args.json, "validate", report.as_dict())
    write_report(args.report, report)
    console = Console()
    show(report, console if console.is_terminal else Console(width=120))
    return report.exit_code


def asked(args: argparse.Namespace) -> Job:
    """The job that the command line asks for."""
    return Job(
        args.engine,
        args.level,
        args.seed,
        args.budget,
        args.mde,
        tuple(args.only),
        known_failing(args.known_failing),
        args.baseline,
        args.call_timeout,
    )


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
    return tuple(name for line in lines if (name := line.partition("#")[0].strip()))


def init(level: str, name: str) -> int:
    """Write the template of a level; what is there stays."""
    if level not in LEVELS:
        raise SpecrefError(
            f"there is no level {level!r}: give --init {', '.join(LEVELS[:-1])} or {LEVELS[-1]},"
            " then a file"
        )
    path = Path(name)
    if path.suffix != ".py":
        raise SpecrefError(f"{path} is no Python file: give a name that ends with .py")
    try:
        with path.open("x") as file:
            file.write(
                (TEMPLATES / TEMPLATE[level])
                .read_text()
                .replace("my_adapter.py", shlex.quote(name))
            )
    except FileExistsError:
        raise SpecrefError(f"{path} exists and is left as it is: give another name") from None
    except OSError as error:
        raise SpecrefError(
            f"cannot write {path} ({error.strerror}): choose another place"
        ) from None
    print(
        f"wrote {path}; {'put your addresses in, then' if level == 'http' else 'it runs as it is'}:"
        " specref validate " + shlex.quote(f"{name}:Mine") + BUDGET[level]
    )
    return 0


def make_folder(folder: Path | None) -> None:
    """Find out before the work, not after it, that a report cannot be written."""
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpecrefError(
            f"cannot make the folder {folder} ({error.strerror}): choose another place"
        ) from None
    writable(folder / "report.json")


def write_report(folder: Path | None, report: Report) -> None:
    """report.json, junit.xml and report.html."""
    if folder is None:
        return
    write_result(folder / "report.json", "validate", report.as_dict())
    replace(folder / "junit.xml", lambda part: part.write_text(junit(report)))
    replace(folder / "report.html", lambda part: part.write_text(page(report)))


class _Shown:
    """Progress for whoever looks: time spent, the check that runs, what has been found."""

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
        failed = sum(outcome == "FAIL" for outcome in self.done.values())
        self.bar.update(
            self.task,
            completed=time.monotonic() - self.began,
            description=(
                f"{len(self.done)} of {self.total} checks begun"
                + (f", [red]{failed} failed[/]" if failed else "")
                + f" · {event.get('check', '')}"
            ),
        )
