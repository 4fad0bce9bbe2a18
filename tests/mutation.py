"""python -m tests.mutation: break the core, the statistics, the oracles and the judge's kernel
code, one small edit at a time, and see whether the tests notice.

Every mutant runs in a process of its own, which imports the changed module and then runs the
module's quick tests (tests/mutation_files.py) until one fails. What only a slower test would notice
counts as not noticed. A seeded sample of each file's mutants is tried (--all for all of them). What
survives must have a written reason in tests/mutants_left.json. Not part of `make test`.

Exit 1 when less than 90 % of the core's or 95 % of the others' are killed, or a survivor has no
reason. With --sample, which tries a few of them for every commit: exit 1 when so many survive
without a reason that one sample in a thousand would have as many if one mutant in ten had none, or
less than a quarter of the sample was tried before the time was up.
"""

import argparse
import contextlib
import io
import json
import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import hypothesis  # noqa: F401  (imported before the fork, as are the others: every mutant then starts at once)
import pytest
import torch
import transformers  # noqa: F401
from scipy.stats import binom

from tests.mutants import ROOT, Changed, Mutant, mutants
from tests.mutation_files import CORE_FILES, FILES, Groups, names_nothing, room

LEFT = ROOT / "tests" / "mutants_left.json"  # survivors with reasons
ENOUGH = 0.95  # of the judge's and the statistics' mutants
ENOUGH_CORE = 0.90
MIN_SHARE = 0.25  # of a sample that must have been tried when its time is up
RARE = 1e-3  # a sample with more survivors than one in so many would have is not enough


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
                os.environ["HYPOTHESIS_HOUSE"] = "no shrinking"
                if changed:
                    sys.meta_path.insert(0, changed)
                code = int(
                    pytest.main(["-x", "-q", "-p", "no:cacheprovider", *dict.fromkeys(tests)])
                )
        finally:
            os._exit(min(code, 2))
    try:
        while time.monotonic() - began < limit:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                child = 0
                return status != 0, time.monotonic() - began
            time.sleep(0.02)
        return True, time.monotonic() - began
    finally:
        if child:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)


def killed(
    mutant: Mutant, groups: Groups, limits: Mapping[str, float], root: Path = ROOT
) -> tuple[bool, float]:
    """Whether any group of tests notices, and the seconds they took. A loop that never ends is
    noticed too.
    """
    seconds = 0.0
    for tests in groups:
        dead, took = failing(tests, mutant, limits[" ".join(tests)], root)
        seconds += took
        if dead:
            return True, seconds
    return False, seconds


def chosen(each: int | None, seed: int, files: Sequence[str]) -> Iterator[Mutant]:
    """Of each file as many mutants as `each` says, or all."""
    for file in files:
        known = mutants(file)
        if each is not None and each < len(known):
            known = sorted(random.Random(seed).sample(known, each), key=lambda m: m.number)
        yield from known


def drawn(count: int, seed: int, files: Sequence[str]) -> list[Mutant]:
    """So many of all mutants of the files, in an order that may be broken off at any place."""
    known = list(chosen(None, seed, files))
    return random.Random(seed).sample(known, min(count, len(known)))


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
    for entry in left:
        if all(entry[key] == row[key] for key in ("file", "was", "becomes")):
            return entry["why"]
    return ""


def total(files: Sequence[Mapping]) -> dict[str, int]:
    counts = dict.fromkeys(("possible", "tried", "killed"), 0)
    for file in files:
        for key in counts:
            counts[key] += file[key]
    return counts


def summary(
    rows: Sequence[Mapping],
    left: Sequence[Mapping],
    others: Sequence[Mapping] = (),
    root: Path = ROOT,
) -> dict:
    """The result: counts by file and by room, and every survivor with its reason; with those of
    earlier runs over other files, whose rows keep the commit of their run.
    """
    alive = [row for row in rows if not row["killed"]]
    alive += [row for other in others for row in other["survivors"]]
    survivors = []
    for row in alive:
        named = {key: row[key] for key in ("file", "line", "was", "becomes")}
        survivors.append(named | {"why": reason(row, left)})
    files = []
    for file in dict.fromkeys(row["file"] for row in rows):
        killed = [row["killed"] for row in rows if row["file"] == file]
        counts = {"tried": len(killed), "killed": sum(killed)}
        files.append({"file": file, "possible": len(mutants(file, root))} | counts)
    files += [{"commit": other.get("commit")} | file for other in others for file in other["files"]]
    rooms: dict[str, list[Mapping]] = {}
    for file in files:
        rooms.setdefault(room(file["file"]), []).append(file)
    return total(files) | {
        "unexplained": sum(not row["why"] for row in survivors),
        "core": total([file for file in files if file["file"] in CORE_FILES]),
        "rooms": [
            {"room": name, "core": of[0]["file"] in CORE_FILES} | total(of)
            for name, of in rooms.items()
        ],
        "files": files,
        "survivors": survivors,
    }


def good(result: Mapping) -> bool:
    """Whether enough of the core's and of the others' were killed, and every survivor has a
    reason.
    """
    core = result["core"]
    tried, dead = (result[key] - core[key] for key in ("tried", "killed"))
    return (
        core["killed"] >= ENOUGH_CORE * core["tried"]
        and dead >= ENOUGH * tried
        and not result["unexplained"]
    )


def plausible(result: Mapping) -> bool:
    """Whether a sample speaks against nine in ten being killed or explained."""
    return bool(binom.sf(result["unexplained"] - 1, result["tried"], 1 - ENOUGH_CORE) >= RARE)


def _trial(job: tuple[Mutant, Mapping[str, float], float]) -> dict | None:
    """One mutant, in a worker; nothing where the time is up."""
    mutant, limits, until = job
    if time.monotonic() > until:
        return None
    return row(mutant, *killed(mutant, FILES[mutant.file], limits))


def _tell(found: Mapping, left: Sequence[Mapping]) -> None:
    word = "killed" if found["killed"] else "SURVIVED"
    if not found["killed"] and reason(found, left):
        word = "reason"
    place = f"{found['file']}:{found['line']}"
    print(
        f"{word:8} {found['seconds']:6.1f} s  {place:32} {found['was'][:60]}  ->"
        f"  {found['becomes'][:60]}",
        flush=True,
    )


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--each", type=int, default=12, help="mutants of each file; default: 12")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--sample", type=int, metavar="N", help="N mutants of all files together")
    parser.add_argument(
        "--minutes",
        type=float,
        default=float("inf"),
        help="start none later; the tests without an edit come before",
    )
    parser.add_argument("--core", action="store_true", help="the files of the core alone")
    parser.add_argument(
        "--only",
        action="append",
        metavar="FILE",
        help="this file alone, or those whose path begins so; may be repeated",
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
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", type=Path, default=None)
    args = parser.parse_args(words)
    unknown = names_nothing(args.only or (), FILES)
    if unknown:
        parser.error(f"no file that is broken begins with {', '.join(unknown)}")
    return args


def wanted(args: argparse.Namespace, done: set[str]) -> list[str]:
    """The files to break."""
    starts = tuple(args.only or [""])
    known = CORE_FILES if args.core else FILES
    return [file for file in known if file.startswith(starts) and file not in done]


def main(words: Sequence[str] | None = None) -> int:
    args = arguments(words)
    torch.set_num_threads(1)
    os.chdir(ROOT)
    others = [json.loads(path.read_text()) for path in args.others]
    files = wanted(args, {entry["file"] for other in others for entry in other["files"]})
    if args.sample:
        tried = drawn(args.sample, args.seed, files)
    else:
        tried = list(chosen(None if args.all else args.each, args.seed, files))
    rows, left = [], json.loads(LEFT.read_text())
    broken = dict.fromkeys(mutant.file for mutant in tried)
    groups = {" ".join(tests): tests for file in broken for tests in FILES[file]}
    with (
        contextlib.suppress(KeyboardInterrupt),
        multiprocessing.get_context("fork").Pool(args.jobs) as pool,
    ):
        unbroken = dict(zip(groups, pool.map(failing, groups.values(), chunksize=1), strict=True))
        wrong = [name for name, (failed, _) in unbroken.items() if failed]
        if wrong:
            print(f"these tests fail without any edit: {'; '.join(wrong)}", file=sys.stderr)
            return 1
        limits = {name: 10 + 5 * seconds for name, (_, seconds) in unbroken.items()}
        until = time.monotonic() + 60 * args.minutes
        for found in pool.imap_unordered(_trial, [(mutant, limits, until) for mutant in tried]):
            if found is not None:
                rows.append(found)
                _tell(found, left)
    if len(rows) < len(tried):
        print(f"the time was up: {len(tried) - len(rows)} of {len(tried)} were not tried")
    order = {(mutant.file, mutant.line): number for number, mutant in enumerate(tried)}
    rows.sort(key=lambda found: order[found["file"], found["line"]])
    result = summary(rows, left, others) | {"seed": args.seed}
    # not before: what is imported already cannot be changed any more
    from specref.cli.results import write_result

    write_result(args.json, "mutation", result)
    for entry in result["rooms"]:
        print(
            f"{entry['room']:10} {entry['killed']} of {entry['tried']} killed,"
            f" {entry['possible']} possible in the files that were tried"
        )
    print(
        f"{result['killed']} of {result['tried']} mutants killed, {result['unexplained']} survivors"
        " without a reason"
    )
    if args.sample:
        return 0 if plausible(result) and len(rows) >= MIN_SHARE * len(tried) else 1
    return 0 if good(result) else 1


if __name__ == "__main__":
    sys.exit(main())
