"""Planted bugs, and what catches each: every bug is a few lines over right code, and the check that it names must convict
it. Controls look wrong and are right; no check may convict one. All of it is exact: no samples, no error rate.

Exit 0: every bug was caught and no control was. 1: not so.

Example:
  specdec zoo --json zoo.json
  specdec zoo --only residual-softmax --only "sampler match"
"""

import argparse
from difflib import get_close_matches
from statistics import median, quantiles

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from ..conformance.zoo.run import BUGS, CONTROLS, Acquittal, Conviction, run_zoo
from ..types import SpecdecError
from .common import add_json, interactive, writable, write_result

DETAILED = 5  # so many bugs are told in words too


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", action="append", metavar="NAME", help="this bug or control alone; may be repeated")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    writable(args.json)
    torch.set_num_threads(1)
    names = args.only or [*BUGS, *CONTROLS]
    for name in names:
        if name not in BUGS and name not in CONTROLS:
            near = get_close_matches(name, [*BUGS, *CONTROLS], 3, 0.4) or [*BUGS][:3]
            raise SpecdecError(f"there is no {name!r} in the zoo: give one of its names, such as "
                               f"{', '.join(map(repr, near))}")
    with Progress(TextColumn("{task.description:32}"), BarColumn(), MofNCompleteColumn(), transient=True,
                  console=Console(stderr=True), disable=not interactive()) as bar:
        task = bar.add_task("", total=len(names))

        def report(name: str) -> None:
            bar.update(task, description=name, advance=0 if bar.tasks[0].description == "" else 1)

        convictions, acquittals = run_zoo(list(dict.fromkeys(names)), report)
    result = summary(convictions, acquittals)
    _print(convictions, acquittals, result)
    write_result(args.json, "zoo", result)
    return 0 if not result["survivors"] and not result["false_alarms"] else 1


def summary(convictions: list[Conviction], acquittals: list[Acquittal]) -> dict:
    """The result file, less what every result file has."""
    seconds = sorted(c.seconds for c in convictions)
    return {
        "bugs": len(convictions), "killed": sum(c.convicted for c in convictions), "controls": len(acquittals),
        "false_alarms": sum(bool(a.findings) for a in acquittals),
        "seconds": {"median": median(seconds) if seconds else None,
                    "p95": quantiles(seconds, n=20, method="inclusive")[-1] if len(seconds) > 1 else
                    seconds[0] if seconds else None},
        "survivors": [c.bug.name for c in convictions if not c.convicted],
        "bug_table": [{"name": c.bug.name, "number": c.bug.number, "source": c.bug.source, "kind": c.bug.kind,
                       "symptom": c.bug.symptom, "tv": c.tv, "caught_by": c.bug.caught_by, "caught": c.convicted,
                       "seconds": c.seconds, "first_finding": first(c)} for c in convictions],
        "control_table": [{"name": a.control.name, "why": a.control.why, "seconds": a.seconds,
                           "convicted_by": {name: f"{found[0].case}: {found[0].what}" for name, found in
                                            a.findings.items()}} for a in acquittals]}


def first(conviction: Conviction) -> str:
    if not conviction.findings:
        return ""
    finding = conviction.findings[0]
    return f"{finding.case}: {finding.what}" if finding.case else finding.what


def _print(convictions: list[Conviction], acquittals: list[Acquittal], result: dict) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=140)
    if convictions:
        console.print(_table(convictions, wide=console.width >= 130))
    if len(convictions) <= DETAILED:
        for c in convictions:
            console.print(f"[bold]{c.bug.name}[/]: {c.bug.symptom}.\n  {c.bug.caught_by}: {first(c) or 'found nothing'}",
                          highlight=False)
    for a in acquittals:
        for name, found in a.findings.items():
            console.print(f"[bold red]false alarm[/]: {name} convicts {a.control.name!r}: {found[0].case}: {found[0].what}")
    if acquittals:
        console.print(f"controls that passed every check: "
                      f"{'; '.join(a.control.name for a in acquittals if not a.findings)}")
    seconds = result["seconds"]
    console.print(f"{result['killed']} of {result['bugs']} bugs caught by name, {result['false_alarms']} false alarms on "
                  f"{result['controls']} controls"
                  + (f"; seconds to catch one: median {seconds['median']:.2f}, 95 % within {seconds['p95']:.2f}"
                     if convictions else ""))


def _table(convictions: list[Conviction], wide: bool) -> Table:
    columns = ["kind", "bug", *(["source", "class"] if wide else []), "exact TV", "caught by", "seconds"]
    table = Table(title="planted bugs; TV: exact distance of the emitted law, the largest over the cases")
    for column in columns:
        table.add_column(column, justify="right" if column in ("kind", "exact TV", "seconds") else "left")
    for c in convictions:
        table.add_row(str(c.bug.number), c.bug.name, *([c.bug.source, c.bug.kind] if wide else []), shown(c),
                      c.bug.caught_by if c.convicted else "[bold red]NOTHING", f"{c.seconds:.2f}")
    return table


def shown(conviction: Conviction) -> str:
    """The TV; a word where there is none."""
    if conviction.tv is None:
        return "crash" if conviction.bug.crashes else "-"
    return f"{conviction.tv:.3f}" if conviction.tv >= 0.001 or conviction.tv == 0 else f"{conviction.tv:.1e}"
