"""Put real engines to the judge, one after another, and print a matrix: check by engine.

An engine is a built-in adapter's name, which may have a level (`transformers:kernel`), or a
path/to/adapter.py:Name. One
whose packages or program are not here is listed as such. What an engine fails is a finding: the
exit code is 0 all the same, and 3 where none could be loaded.

Example:
  specref engines reference transformers --budget 60
  SPECREF_LLAMA_SERVER=path/to/llama-server specref engines --json docs/results/engines.json
"""

import argparse
import os
import subprocess
import sys
from importlib import metadata
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..adapters import BUILT_IN
from ..judge.job import Job
from ..judge.report.terminal import COLOUR
from ..judge.runner import Runner
from .common import add_json, versions, writable, write_result

ENGINES = ["reference", *(name for name in BUILT_IN if not name.startswith("reference"))]
PACKAGES = ("transformers", "onnxruntime-genai", "onnxruntime", "gguf")
SHORT = {
    "PASS": "pass",
    "FAIL": "FAIL",
    "INCONCLUSIVE": "few",
    "UNVERIFIED": "unseen",
    "UNSUPPORTED": "-",
    "LOSSY-BY-DESIGN": "lossy",
}
LEGEND = (
    "few: nothing wrong so far, but too few draws within the budget to say so. unseen: speculation"
    " was not seen to run. -: the engine has not what the check asks for. lossy: not the target's"
    " distribution, as the adapter says."
)


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "engines", nargs="*", metavar="ENGINE", help=f"default: {' '.join(ENGINES)}"
    )
    parser.add_argument(
        "--budget", type=float, default=90.0, metavar="SECONDS", help="for each (default: 90)"
    )
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    writable(args.json)
    found = []
    for engine, level in asked(args.engines or ENGINES):
        print(
            f"judging {engine}{f', {level} level' if level else ''} ...",
            file=sys.stderr,
            flush=True,
        )
        found.append(judged(Job(engine, level, args.seed, args.budget)))
    write_result(
        args.json,
        "engines",
        {"versions": versions() | installed(), "budget": args.budget, "engines": found},
    )
    console = Console()
    show(found, console if console.is_terminal else Console(width=120))
    return 0 if any(one["checks"] for one in found) else 3


def asked(names: list[str]) -> list[tuple[str, str | None]]:
    """Engines with their levels: all of a built-in one's, unless one is named."""
    jobs: list[tuple[str, str | None]] = []
    for name in names:
        engine, _, level = name.partition(":")
        if engine not in BUILT_IN:
            jobs.append((name, None))
        else:
            jobs += [(engine, one) for one in ([level] if level else BUILT_IN[engine])]
    return jobs


def judged(job: Job) -> dict[str, Any]:
    """The report of one engine, without its pictures. `absent` says why there is none."""
    runner = Runner(job)
    runner.load()
    report = runner.run()
    said = report.as_dict()
    for check in said["checks"]:
        check.pop("pictures")
    return said | {"absent": report.crashed if not report.checks else ""}


def installed() -> dict[str, str]:
    """Versions of what was judged."""
    said = {}
    for name in PACKAGES:
        try:
            said[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    if program := os.environ.get("SPECREF_LLAMA_SERVER"):
        try:
            out = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20)
        except (OSError, subprocess.TimeoutExpired):
            return said
        line = next(
            (line for line in (out.stdout + out.stderr).splitlines() if line.startswith("version")),
            "",
        )
        said["llama-server"] = line.removeprefix("version:").strip()
    return said


def show(found: list[dict[str, Any]], console: Console) -> None:
    """A matrix for each level, then every failure with the command that shows it again."""
    for level in dict.fromkeys(one["level"] for one in found if one["checks"]):
        matrix([one for one in found if one["level"] == level and one["checks"]], level, console)
    console.print(f"[dim]{LEGEND}[/]", highlight=False)
    for one in found:
        if one["absent"]:
            console.print(
                f"not here: [bold]{one['engine']}[/], {escape(one['absent'])}", highlight=False
            )
    for one in found:
        for check in one["checks"]:
            if check["verdict"] == "FAIL":
                console.print(
                    f"\n[bold red]FAIL[/] [bold]{one['engine']}[/] {check['id']}:"
                    f" {escape(check['what'])}",
                    highlight=False,
                )
                console.print(
                    f"  again: [cyan]{escape(check['repro'])}[/]", highlight=False, soft_wrap=True
                )


def matrix(found: list[dict[str, Any]], level: str, console: Console) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column(f"{level} level", no_wrap=True)
    for letter, one in zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", found):
        console.print(
            f"[bold]{letter}[/] {one['engine']}: {escape(one['name'])}, {one['seconds']:.0f} s",
            highlight=False,
        )
        table.add_column(letter, justify="center", no_wrap=True)
    console.print()
    said = [{check["id"]: check["verdict"] for check in one["checks"]} for one in found]
    for name in dict.fromkeys(name for one in said for name in one):
        table.add_row(
            name,
            *(f"[{COLOUR[one[name]]}]{SHORT[one[name]]}[/]" if name in one else "" for one in said),
        )
    console.print(table)
    console.print()
