"""Judge real engines one after another, and print a matrix: check by engine.

An engine is a built-in adapter's name, which may have a level (`transformers:kernel`), or a
path/to/adapter.py:Name. An engine whose packages or program are not installed is listed as not
available. A check that an engine fails is a finding, and the exit code is still 0; it is 3 where no
engine could be loaded.
"""

import argparse
import sys

from ...adapters import BUILT_IN
from ...outputs import require_writable
from ..arguments import add_json
from ..command import Command

_DEFAULT = ["reference", *(name for name in BUILT_IN if not name.startswith("reference"))]
_EXAMPLE = """
  specref engines reference transformers --budget 60
  SPECREF_LLAMA_SERVER=path/to/llama-server specref engines --json docs/results/engines.json
"""


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "engines", nargs="*", metavar="ENGINE", help=f"default: {' '.join(_DEFAULT)}"
    )
    parser.add_argument(
        "--budget", type=float, default=90.0, metavar="SECONDS", help="for each (default: 90)"
    )
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    add_json(parser)


def _run(args: argparse.Namespace) -> int:
    require_writable(args.json)

    from rich.console import Console

    from ...judge.job import Job
    from ..results import versions, write_result
    from ..views.engine_matrix import show_engines
    from ..work.engine_runs import engine_versions, judge_engine

    found = []
    for engine, level in _engine_levels(args.engines or _DEFAULT):
        said = f"{engine}, {level} level" if level else engine
        print(f"judging {said} ...", file=sys.stderr, flush=True)
        found.append(judge_engine(Job(engine, level, args.seed, args.budget)))
    about = {"versions": versions() | engine_versions(), "budget": args.budget}
    write_result(args.json, "engines", about | {"engines": found})
    console = Console()
    show_engines(found, console if console.is_terminal else Console(width=120))
    return 0 if any(one["checks"] for one in found) else 3


def _engine_levels(names: list[str]) -> list[tuple[str, str | None]]:
    """Engines with their levels: all levels of a built-in one, unless one is named."""
    jobs: list[tuple[str, str | None]] = []
    for name in names:
        engine, _, level = name.partition(":")
        if engine not in BUILT_IN:
            jobs.append((name, None))
        elif level:
            jobs.append((engine, level))
        else:
            jobs += [(engine, one) for one in BUILT_IN[engine]]
    return jobs


ENGINES_COMMAND = Command("engines", "judge real engines: a matrix", __doc__, _EXAMPLE, _add, _run)
