"""python -m tests.torture: try on purpose to break the project, area by area, in a few minutes.

Prints what was tried and what ended well, and exits with 1 where something did not. Every run draws
other faults; --seed repeats one.
"""

import argparse
import random
import secrets
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from specref.cli.results import write_result

from tests.torture import files, server
from tests.torture.tally import Tally


def areas(draw: random.Random, folder: Path) -> dict[str, Callable[[], Tally]]:
    """Every area, with as many tries as keep the whole to some three minutes."""
    return {
        "beside": lambda: server.beside_good_ones(draw, 150),
        "garbage": lambda: server.garbage(draw, 300),
        "cut off": lambda: server.cut_off(draw, 60),
        "described": lambda: server.described(draw, 25),
        "checkpoints": lambda: files.checkpoints(draw, 300, folder),
        "arguments": lambda: files.arguments(draw, 600, folder),
        "writers": lambda: files.killed_writers(draw, 8, folder),
        "training": lambda: files.killed_training(draw, 2, folder),
        "judges": lambda: files.interrupted_judges(draw, 3, folder),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, help="default: another one each time")
    parser.add_argument("--only", action="append", help="an area's short name; may be repeated")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result to FILE")
    args = parser.parse_args()
    seed = secrets.randbits(31) if args.seed is None else args.seed
    torch.set_num_threads(1)
    table = Table("area", "tried", "ended well", "seconds", "ending well means")
    tallies, seconds = [], []
    with tempfile.TemporaryDirectory() as folder:
        for name, run in areas(random.Random(seed), Path(folder)).items():
            if args.only and name not in args.only:
                continue
            began = time.monotonic()
            tally = run()
            seconds.append(round(time.monotonic() - began, 1))
            tallies.append(tally)
            well = tally.tried - len(tally.bad)
            table.add_row(tally.area, str(tally.tried), str(well), str(seconds[-1]), tally.means)
    Console(width=None if sys.stdout.isatty() else 130).print(table)
    bad = [f"{tally.area}: {what}" for tally in tallies for what in tally.bad]
    for line in bad[:20]:
        print(line)
    print(f"seed {seed}; {len(bad)} did not end well")
    rows = []
    for tally, took in zip(tallies, seconds, strict=True):
        rows.append(tally.as_json() | {"seconds": took})
    write_result(args.json, "torture", {"seed": seed, "areas": rows})
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
