"""Does an engine's speculative decoding have the target's distribution, how is that known, and how
small a difference would have been missed?

ENGINE is `path/to/adapter.py:Name`, `package.module:Name`, a built-in adapter's name, or the URL of
a server. The adapter runs in a process of its own, so one that hangs, crashes or prints does not
disturb the judge.

Exit 0: everything that ran passed, and something ran. 1: something failed, or a known failure
passed. 2: bad use. 3: the engine crashed or could not be loaded. 4: nothing failed, but too little
was tested to say so.
"""

import argparse
import shlex
import sys
from pathlib import Path

from ...errors import SpecrefError
from ...judge.job import CALL_TIMEOUT
from ...outputs import require_folder, require_writable
from ..arguments import add_json
from ..command import Command

_LEVELS = tuple(CALL_TIMEOUT)
_TEMPLATES = Path(__file__).parents[2] / "judge" / "templates"
_TEMPLATE = {
    "kernel": "kernel.py",
    "scheduler": "scheduler.py",
    "engine": "engine.py",
    "http": "server.py",
}
# enough for a first run that can say something
_BUDGET = {"kernel": "", "scheduler": "", "engine": " --budget 120", "http": " --budget 900"}
_EXAMPLE = """
  specref validate reference --level kernel
  specref validate --init kernel my_adapter.py
  specref validate my_adapter.py:MyKernel --budget 60 --report out
"""


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("engine", metavar="ENGINE", nargs="?")
    parser.add_argument(
        "--init",
        nargs=2,
        metavar=("LEVEL", "FILE"),
        help=(
            "write an adapter to start from (LEVEL: kernel, scheduler, engine or http), and judge"
            " nothing"
        ),
    )
    parser.add_argument(
        "--level", choices=_LEVELS, help="default: found from the adapter's methods"
    )
    parser.add_argument(
        "--baseline", metavar="URL", help="a server with the same target, without speculation"
    )
    parser.add_argument(
        "--draft",
        metavar="URL",
        help="a server with the draft model, or any small one of the same vocabulary: it chooses"
        " what a server's texts are tested for first",
    )
    parser.add_argument("--budget", type=float, default=60.0, metavar="SECONDS", help="default: 60")
    parser.add_argument(
        "--mde", type=float, metavar="TV", help="the smallest difference that must be detected"
    )
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="ID",
        help="run only this check; may be repeated",
    )
    parser.add_argument(
        "--known-failing",
        type=Path,
        metavar="FILE",
        help="ids of checks that may fail, one a line, # for comments; one that passes fails the"
        " run",
    )
    parser.add_argument(
        "--scenario",
        default="",
        metavar="TEXT",
        help="ask this scenario alone, as a report's `again` line gives it",
    )
    parser.add_argument(
        "--accept-inconclusive",
        action="store_true",
        help="exit 0 where nothing failed, although too little was tested to say more",
    )
    parser.add_argument(
        "--plain-too",
        action="store_true",
        help="fail for what is wrong without speculation too; by default it is only reported",
    )
    parser.add_argument(
        "--call-timeout",
        type=float,
        metavar="SECONDS",
        help=(
            "a call of the engine that takes longer hangs (default: 60 for kernels and schedulers,"
            " else 120)"
        ),
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="DIR",
        help="write report.json, junit.xml and report.html to DIR",
    )
    add_json(parser)


def _run(args: argparse.Namespace) -> int:
    if args.init:
        return _write_template(*args.init)
    if args.engine is None:
        raise SpecrefError(
            "no engine to judge: give ENGINE, such as path/to/adapter.py:Name, or --init kernel"
            " FILE"
        )
    require_writable(args.json)
    require_folder(args.report)

    from rich.console import Console

    from ...judge.job import Job
    from ...judge.report.terminal import show
    from ..work.judge_run import OneInterrupt, known_failing, run_judge, write_report

    job = Job(
        args.engine,
        args.level,
        args.seed,
        args.budget,
        args.mde,
        tuple(args.only),
        known_failing(args.known_failing),
        args.baseline,
        args.call_timeout,
        args.accept_inconclusive,
        args.plain_too,
        args.draft,
        args.scenario,
    )
    with OneInterrupt() as interrupt:
        report = run_judge(job)
        interrupt.over = True
        # the verdict stands on the terminal whatever becomes of the files
        console = Console()
        try:
            show(report, console if console.is_terminal else Console(width=120))
        finally:  # where nobody reads the terminal, the files are written all the same
            lost = write_report(args.json, args.report, report)
    for error in lost:
        print(f"specref validate: {error}", file=sys.stderr)
    return report.exit_code or (2 if lost else 0)


def _write_template(level: str, name: str) -> int:
    """Write the template of a level; an existing file stays as it is."""
    if level not in _LEVELS:
        raise SpecrefError(
            f"there is no level {level!r}: give --init {', '.join(_LEVELS[:-1])} or {_LEVELS[-1]},"
            " then a file"
        )
    path = Path(name)
    if path.suffix != ".py":
        raise SpecrefError(f"{path} is not a Python file: give a name that ends with .py")
    text = (_TEMPLATES / _TEMPLATE[level]).read_text()
    try:
        with path.open("x") as file:
            file.write(text.replace("my_adapter.py", shlex.quote(name)))
    except FileExistsError:
        raise SpecrefError(f"{path} exists and is left as it is: give another name") from None
    except OSError as error:
        raise SpecrefError(
            f"cannot write {path} ({error.strerror}): choose another place"
        ) from None
    first = "put your addresses in, then" if level == "http" else "it runs as it is:"
    command = f"specref validate {shlex.quote(f'{name}:Mine')}{_BUDGET[level]}"
    print(f"wrote {path}; {first} {command}")
    return 0


VALIDATE_COMMAND = Command(
    "validate", "judge an engine: is its output distribution right?", __doc__, _EXAMPLE, _add, _run
)
