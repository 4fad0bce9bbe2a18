"""Planted bugs, and what catches each: every bug is a few lines over right code. Controls look
wrong and are right: nothing may convict one. What a kernel can have is put to the judge through the
contract, as any kernel is; the rest to exact checks of our own code, in which nothing is sampled.
Engines take minutes each, and are asked for with --level engine.

Exit 0: every bug was caught and no control was. 1: not so.

Example:
  specref zoo --json zoo.json
  specref zoo --only residual-softmax --only "sampler match"
  specref zoo --level kernel --seeds 1000 --json zoo.json
  specref zoo --level kernel --seeds 1000 --json zoo.json --resume zoo.json     (where that was
      interrupted)
"""

import argparse
import json
import sys
from difflib import get_close_matches
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from ..data import SpecrefError
from ..judge.zoo.tally import LEVELS, Caught, Tried, everywhere, known, restored, run_zoo, summary
from .common import add_json, commit, interactive, writable, write_result

DETAILED = 5  # so many bugs are told in words too


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--only", action="append", metavar="NAME", help="this bug or control alone; may be repeated"
    )
    parser.add_argument(
        "--level",
        choices=LEVELS,
        action="append",
        help=(
            "where the judge meets them; may be repeated; default: every bug once, no engines or"
            " servers"
        ),
    )
    parser.add_argument(
        "--seeds",
        type=int,
        default=1,
        metavar="N",
        help="try every control with N seeds; default: 1",
    )
    parser.add_argument(
        "--budget",
        type=float,
        metavar="SECONDS",
        help="for one bug, or for the first seed of a control; default: the level's own",
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=1,
        metavar="N",
        help="processes that work beside each other; default: 1",
    )
    parser.add_argument(
        "--resume",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help=(
            "an earlier result: what it tells, under as many seeds, is not tried again; may be"
            " repeated"
        ),
    )
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    writable(args.json)
    for name in ("seeds", "jobs"):
        if getattr(args, name) < 1:
            raise SpecrefError(f"--{name} {getattr(args, name)} tries nothing: give 1 or more")
    if args.budget is not None and not 0 < args.budget < float("inf"):
        raise SpecrefError(f"--budget {args.budget:g} is no time: give seconds, above 0")
    torch.set_num_threads(1)
    wanted = chosen(args.level, args.only)
    done = _earlier(args, wanted)
    left = [place for place in wanted if place not in done]
    with Progress(
        TextColumn("{task.description:40}"),
        BarColumn(),
        MofNCompleteColumn(),
        transient=True,
        console=Console(stderr=True),
        disable=not interactive(),
    ) as bar:
        task = bar.add_task("", total=len(wanted), completed=len(done))
        try:
            found = run_zoo(
                left,
                args.seeds,
                args.budget,
                lambda text: bar.update(task, description=text),
                args.jobs,
            )
            for place, item in zip(left, found, strict=True):
                done[place] = item
                bar.advance(task)
                _keep(args, done, wanted)
        except KeyboardInterrupt:
            print(f"interrupted: {len(done)} of {len(wanted)} were tried", file=sys.stderr)
    caught, tried, result = _keep(args, done, wanted)
    _print(caught, tried, result)
    return 0 if result["complete"] and not result["survivors"] and not result["false_alarms"] else 1


Done = dict[tuple[str, str], Caught | Tried]


def _earlier(args: argparse.Namespace, wanted: list[tuple[str, str]]) -> Done:
    """What earlier results tell of what is wanted, under as many seeds."""
    done: Done = {}
    for file in args.resume:
        try:
            told = json.loads(file.read_text())
            done |= restored(told)
        except (OSError, ValueError, KeyError, TypeError):
            raise SpecrefError(
                f"{file} is no result of the zoo: give a file that --json wrote"
            ) from None
        if told.get("commit") != (here := commit()):
            raise SpecrefError(
                f"{file} is of the commit {told.get('commit')}, and this is {here}: begin anew, or"
                " go on from that commit"
            )
    return {
        place: one
        for place, one in done.items()
        if place in wanted and (isinstance(one, Caught) or one.seeds >= args.seeds)
    }


def _keep(
    args: argparse.Namespace, done: Done, wanted: list[tuple[str, str]]
) -> tuple[list[Caught], list[Tried], dict]:
    """The result so far, written at once: a campaign of hours may be killed."""
    told = [done[place] for place in wanted if place in done]
    caught, tried = (
        [one for one in told if isinstance(one, Caught)],
        [one for one in told if isinstance(one, Tried)],
    )
    result = {**summary(caught, tried), "complete": len(told) == len(wanted)}
    write_result(args.json, " --level ".join(["zoo", *(args.level or ())]), result)
    return caught, tried, result


def chosen(levels: list[str] | None, only: list[str] | None) -> list[tuple[str, str]]:
    """(level, name) of what is to be tried; a name that does not exist is an error."""
    places = (
        [(level, name) for level in levels for names in known(level) for name in names]
        if levels
        else everywhere()
    )
    names = [name for _, name in places]
    for name in only or ():
        if name not in names:
            near = get_close_matches(name, names, 3, 0.4) or names[:3]
            where = " at this level" if levels else ""
            raise SpecrefError(
                f"there is no {name!r} in the zoo{where}: give one of its names, such as "
                f"{', '.join(map(repr, near))}"
            )
    return (
        sorted((p for p in places if p[1] in only), key=lambda p: only.index(p[1]))
        if only
        else places
    )


def _print(caught: list[Caught], tried: list[Tried], result: dict) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=140)
    if caught:
        console.print(_table(caught, wide=console.width >= 130))
        if len(caught) > DETAILED:
            console.print(
                "caught, by exact TV: "
                + "; ".join(
                    f"{row['tv']}: {row['killed']} of {row['bugs']}"
                    for row in result["by_tv"]
                    if row["bugs"]
                ),
                highlight=False,
            )
    if len(caught) <= DETAILED:
        for c in caught:
            console.print(
                f"[bold]{c.bug.name}[/]: {c.bug.symptom}.\n  {c.by or c.bug.caught_by}: "
                f"{c.finding or 'found nothing'}{'; ' * bool(c.cause)}{c.cause}",
                highlight=False,
            )
    for t in tried:
        for name, found in t.by.items():
            console.print(f"[bold red]false alarm[/]: {name} convicts {t.control.name!r}: {found}")
    if tried:
        console.print(
            "controls that passed every check:"
            f" {'; '.join(t.control.name for t in tried if not t.by)}"
        )
    seconds = result["seconds"]
    console.print(
        f"{result['killed']} of {result['bugs']} bugs caught, {result['false_alarms']} false alarms"
        f" on {result['controls']} controls in {result['control_runs']:,} runs"
        + (
            f"; seconds to catch one: median {seconds['median']:.2f}, 95 % within"
            f" {seconds['p95']:.2f}, all within {seconds['most']:.2f}"
            if caught
            else ""
        )
    )


def _table(caught: list[Caught], wide: bool) -> Table:
    columns = [
        "kind",
        "bug",
        *(["source", "class"] if wide else []),
        "exact TV",
        "caught by",
        "seconds",
    ]
    table = Table(
        title=(
            "planted bugs; TV: exact distance of the emitted distribution, the largest over the"
            " cases"
        )
    )
    for column in columns:
        table.add_column(
            column, justify="right" if column in ("kind", "exact TV", "seconds") else "left"
        )
    for c in caught:
        table.add_row(
            str(c.bug.number),
            c.bug.name,
            *([c.bug.source, c.bug.kind] if wide else []),
            shown(c),
            c.by or "[bold red]NOTHING",
            f"{c.seconds:.2f}",
        )
    return table


def shown(caught: Caught) -> str:
    """The TV; a word where there is none."""
    if caught.tv is None:
        return "crash" if caught.bug.crashes else "-"
    return f"{caught.tv:.3f}" if caught.tv >= 0.001 or caught.tv == 0 else f"{caught.tv:.1e}"
