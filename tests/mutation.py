"""python -m tests.mutation: break the statistics, the oracles and the judge's kernel code, one
small edit at a time, and see whether the tests notice.

Every mutant runs in a process of its own, which imports the changed module and then runs the
module's quick tests until one fails. What only a run of the whole judge would notice counts as not
noticed. A sample of the mutants of each file is tried (seeded; --all for all of them). What
survives must have a written reason in tests/mutants_left.json. Not part of `make test`.

Exit 1 when less than 95 % are killed, or a survivor has no reason.
"""

import argparse
import contextlib
import io
import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import hypothesis  # noqa: F401  (imported before the fork, as are the others: every mutant then starts at once)
import pytest
import scipy.stats  # noqa: F401
import torch

from tests.mutants import ROOT, Changed, Mutant, mutants

# tests, each room of them in a process of its own: the quick ones first
Rooms = tuple[Sequence[str], ...]
DISTRIBUTION = (
    [f"tests/stats/test_{name}.py" for name in ("by_hand", "power")],
    [f"tests/stats/test_{name}.py" for name in ("validity", "detection")],
)
PARTS = {
    "kernel": "answers",
    "kernel_call": "answers",
    "kernel_diagnose": "diagnose",
    "shared_randomness": "rows trees",
    "kernel_group": "group",
    "kernel_stream": "stream pooled",
    "kernel_cells": "cells exact",
    "kernel_exact": "exact",
    "kernel_distribution": "distributions",
    "kernel_pooled": "pooled",
    "kernel_rows": "rows",
    "kernel_tally": "tally group",
    "kernel_tree": "trees",
    "kernel_wide": "wide",
}
FILES: dict[str, Rooms] = {  # and the tests that must notice
    "stats/sequential.py": DISTRIBUTION,
    "stats/power.py": (["tests/stats/test_power.py"], *DISTRIBUTION),
    "stats/finding.py": DISTRIBUTION,
    "stats/pooled.py": (["tests/stats/test_pooled.py"],),
    "exact/enumerate.py": (
        ["tests/exact/test_enumerate.py"],
        ["tests/chance", "tests/judge/test_oracle.py"],
    ),
    "judge/oracle.py": (["tests/judge/test_oracle.py"],),
    "judge/params_oracle.py": (["tests/judge/test_params_oracle.py"],),
    "judge/joint.py": (["tests/judge/test_engine_oracle.py"],),
    "judge/pit.py": (["tests/judge/test_pit.py"],),
    "judge/ordering.py": (["tests/judge/test_pit.py"],),
    "judge/schedule.py": (["tests/judge/test_schedule.py"],),
    "judge/cases.py": (["tests/judge/test_cases.py"], ["tests/judge/test_kernel_distributions.py"]),
    **{
        f"judge/suite/{name}.py": tuple(
            [f"tests/judge/test_kernel_{part}.py"] for part in parts.split()
        )
        for name, parts in PARTS.items()
    },
}
LEFT = ROOT / "tests" / "mutants_left.json"  # survivors with reasons
ENOUGH = 0.95


def failing(
    tests: Sequence[str], mutant: Mutant | None = None, limit: float = 600.0, root: Path = ROOT
) -> tuple[bool, float]:
    """Whether the tests fail, or take longer than limit seconds; and the seconds they took."""
    changed = None if mutant is None else Changed(mutant, root)
    if changed and changed.name in sys.modules:
        raise RuntimeError(f"{changed.name} is imported already: nothing would be changed")
    began = time.monotonic()
    child = os.fork()
    if not child:
        code = 1
        try:
            os.setsid()
            with (
                contextlib.redirect_stdout(io.StringIO()),
                contextlib.redirect_stderr(io.StringIO()),
            ):
                # none is needed, and they take longer than most tests
                os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
                if changed:
                    sys.meta_path.insert(0, changed)
                code = int(
                    pytest.main(["-x", "-q", "-p", "no:cacheprovider", *dict.fromkeys(tests)])
                )
        finally:
            os._exit(min(code, 2))
    while time.monotonic() - began < limit:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status != 0, time.monotonic() - began
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True, time.monotonic() - began


def killed(
    mutant: Mutant, rooms: Rooms, limits: Mapping[str, float], root: Path = ROOT
) -> tuple[bool, float]:
    """Whether any room's tests notice, and the seconds they took. A loop that never ends is noticed
    too.
    """
    seconds = 0.0
    for tests in rooms:
        dead, took = failing(tests, mutant, limits[" ".join(tests)], root)
        seconds += took
        if dead:
            return True, seconds
    return False, seconds


def chosen(each: int | None, seed: int, files: Sequence[str]) -> Iterator[Mutant]:
    for file in files:
        known = mutants(file)
        sample = (
            known
            if each is None
            else sorted(
                random.Random(seed).sample(known, min(each, len(known))), key=lambda m: m.number
            )
        )
        yield from sample


def row(mutant: Mutant, dead: bool, seconds: float, root: Path = ROOT) -> dict:
    """One tried mutant."""
    was, becomes = Changed(mutant, root).lines()
    return {
        "file": mutant.file,
        "line": mutant.line,
        "was": was,
        "becomes": becomes,
        "killed": dead,
        "seconds": round(seconds, 1),
    }


def reason(row: Mapping, left: Sequence[Mapping]) -> str:
    """Why a mutant may live; nothing where nobody has written it down."""
    return next(
        (
            entry["why"]
            for entry in left
            if all(entry[key] == row[key] for key in ("file", "was", "becomes"))
        ),
        "",
    )


def summary(
    rows: Sequence[Mapping],
    left: Sequence[Mapping],
    others: Sequence[Mapping] = (),
    root: Path = ROOT,
) -> dict:
    """The result: counts by file, and every survivor with its reason; with those of earlier runs
    over other files.
    """
    survivors = [
        {key: row[key] for key in ("file", "line", "was", "becomes")}
        for row in (
            *(row for row in rows if not row["killed"]),
            *(row for other in others for row in other["survivors"]),
        )
    ]
    survivors = [row | {"why": reason(row, left)} for row in survivors]
    files = [
        {
            "file": file,
            "possible": len(mutants(file, root)),
            "tried": sum(row["file"] == file for row in rows),
            "killed": sum(row["file"] == file and row["killed"] for row in rows),
        }
        for file in dict.fromkeys(row["file"] for row in rows)
    ] + [file for other in others for file in other["files"]]
    total = {key: sum(file[key] for file in files) for key in ("possible", "tried", "killed")}
    return total | {
        "unexplained": sum(not row["why"] for row in survivors),
        "files": files,
        "survivors": survivors,
    }


def good(result: Mapping) -> bool:
    return result["killed"] >= ENOUGH * result["tried"] and not result["unexplained"]


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--each", type=int, default=12, help="mutants of each file; default: 12")
    parser.add_argument("--all", action="store_true")
    parser.add_argument(
        "--only",
        action="append",
        choices=FILES,
        metavar="FILE",
        help="this file alone; may be repeated",
    )
    parser.add_argument(
        "--with",
        type=Path,
        action="append",
        default=[],
        dest="others",
        metavar="FILE",
        help="add the result of an earlier run; its files are not tried again",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, default=None)
    args = parser.parse_args(words)
    torch.set_num_threads(1)
    os.chdir(ROOT)
    others = [json.loads(path.read_text()) for path in args.others]
    done = {entry["file"] for other in others for entry in other["files"]}
    files = {file: FILES[file] for file in args.only or FILES if file not in done}
    limits = {}
    for tests in {" ".join(tests): tests for rooms in files.values() for tests in rooms}.values():
        wrong, seconds = failing(tests)
        if wrong:
            print(f"{' '.join(tests)} fail without any edit", file=sys.stderr)
            return 1
        limits[" ".join(tests)] = 10 + 5 * seconds
    rows, left = [], json.loads(LEFT.read_text())
    with contextlib.suppress(KeyboardInterrupt):
        for mutant in chosen(None if args.all else args.each, args.seed, list(files)):
            rows.append(row(mutant, *killed(mutant, files[mutant.file], limits)))
            told = (
                "killed  "
                if rows[-1]["killed"]
                else "reason  "
                if reason(rows[-1], left)
                else "SURVIVED"
            )
            print(
                f"{told} {rows[-1]['seconds']:6.1f} s  {mutant.file}:{mutant.line} "
                f" {mutant.edit[:90]}",
                flush=True,
            )
    result = summary(rows, left, others) | {"seed": args.seed}
    from specref.cli.common import (
        write_result,  # not before: what is imported already cannot be changed any more
    )

    write_result(args.json, "mutation", result)
    print(
        f"{result['killed']} of {result['tried']} mutants killed, {result['unexplained']} survivors"
        " without a reason"
    )
    return 0 if good(result) else 1


if __name__ == "__main__":
    sys.exit(main())
