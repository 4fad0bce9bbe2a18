"""Is an engine's speculative decoding lossless, how do we know, and what could we have missed?

ENGINE is `path/to/adapter.py:Name`, `package.module:Name`, a built-in adapter's name, or the URL of a server.

Exit 0: everything that ran passed, and something ran. 1: something failed, or was known to fail and passed. 2: bad use.
3: the engine crashed or could not be loaded. 4: nothing failed, but too little was tested to say so.

Example:
  specdec validate reference --level kernel
  specdec validate my_adapter.py:MyKernel --budget 60 --json result.json
"""

import argparse
import sys

import torch

from ..conformance.plug import NotLoadedError, load, opened
from ..conformance.session import Session, judge
from ..conformance.suite import LEVELS, checks
from ..conformance.verdict import Report
from ..types import SpecdecError
from .common import add_json, writable, write_result


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("engine", metavar="ENGINE")
    parser.add_argument("--level", choices=LEVELS, help="default: found from the adapter's methods")
    parser.add_argument("--baseline", metavar="URL", help="a server's target without speculation")
    parser.add_argument("--budget", type=float, default=60.0, metavar="SECONDS", help="default: 60")
    parser.add_argument("--mde", type=float, metavar="TV", help="the smallest difference that has to be seen")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    parser.add_argument("--only", action="append", metavar="ID", help="this check alone; may be repeated")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    writable(args.json)
    torch.set_num_threads(1)
    report = Report(args.engine, args.level or "", args.seed)
    try:
        plug = load(args.engine, args.level, args.baseline)
        report.level = plug.level
        session = Session(args.engine, plug.level, args.seed, args.budget, args.mde)
        wanted = chosen(plug.level, args.only)
        with opened(plug):
            report.checks = judge(plug.subject, session, wanted)
        report.complete = True
    except NotLoadedError as error:
        report.crashed = str(error)
        print(f"specdec validate: {error}", file=sys.stderr)
    for verdict in report.checks:
        print(f"{verdict.verdict:16} {verdict.id:24} {verdict.what}")
    print(report.verdict)
    write_result(args.json, "validate", report.as_dict())
    return report.exit_code


def chosen(level: str, only: list[str] | None) -> list:
    """The checks to run; an id that does not exist is an error."""
    known = {item.id: item for item in checks(level)}
    for name in only or ():
        if name not in known:
            raise SpecdecError(f"there is no check {name!r} at the level {level}: give one of {', '.join(known)}")
    return [item for item in known.values() if not only or item.id in only]
