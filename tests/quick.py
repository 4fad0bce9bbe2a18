"""`make quick`: the tests of what changed, in less than 30 seconds, and what was left out.

Changed is what git says differs from the merge base with main, plus untracked files. A test file
is chosen when it imports a changed module, directly or through others, or stands in the folder of
the changed file's room. The nearest run
first, two files at a time. A test that would not end in time is skipped, by
the seconds that docs/results/coverage.json has for it; the summary says what was left out.
`make test` leaves nothing out.
"""

import argparse
import ast
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import hypothesis  # noqa: F401  (imported before the fork: every test file then starts at once)
import pytest
import scipy.stats  # noqa: F401
import torch  # noqa: F401

from tests.style import ROOT, tracked

SECONDS = 30.0  # for everything, from the command on
RESERVE = 5.0  # for what starts before the first test and ends after the last
LONGEST = 8.0  # a test that takes longer alone is left to `make test`
WORKERS = 2
PASSED = {0, 5}  # pytest's exit codes: all passed, no test was collected
TIMES = ROOT / "docs" / "results" / "coverage.json"
LEFT_OUT = "left out of the quick run"
EVERYWHERE = ("conftest.py", "constraints.txt", "pyproject.toml")
FOR_ALL_PAGES = "tests/docs/"


def changed(root: Path = ROOT, base: str = "main") -> set[str]:
    """Paths that differ from the merge base with `base`, and untracked ones, relative to root."""
    merge = _git(root, "merge-base", "HEAD", base) or ["HEAD"]
    differs = _git(root, "diff", "--name-only", merge[0])
    return {*differs, *_git(root, "ls-files", "--others", "--exclude-standard")}


def _git(root: Path, *words: str) -> list[str]:
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True)
    return done.stdout.splitlines() if done.returncode == 0 else []


def modules(paths: Iterable[str]) -> dict[str, str]:
    """The module name of every Python file: reference/ is a source root, and so is the root."""
    found = {}
    for path in paths:
        parts = Path(path.removeprefix("reference/")).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


def imports(path: str, text: str, known: Mapping[str, str]) -> set[str]:
    """The files of the project that this file imports, wherever in it the import stands."""
    names: set[str] = set()
    package = list(Path(path.removeprefix("reference/")).parent.parts)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*start, *([node.module] if node.module else [])])
            names |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    parents = set()
    for name in names:
        parts = name.split(".")
        parents |= {".".join(parts[:length]) for length in range(1, len(parts) + 1)}
    return {known[name] for name in parents if name in known} - {path}


def graph(root: Path = ROOT) -> dict[str, set[str]]:
    """Every tracked Python file, and the files that it imports."""
    paths = tracked(root)
    known = modules(paths)
    return {path: imports(path, (root / path).read_text(), known) for path in paths}


def distances(edges: Mapping[str, set[str]], start: set[str]) -> dict[str, int]:
    """How many imports lie between a file and the nearest changed one, for files that reach one."""
    importers: dict[str, set[str]] = {path: set() for path in edges}
    for path, imported in edges.items():
        for other in imported:
            importers[other].add(path)
    found = {path: 0 for path in start if path in edges}
    waiting = deque(found)
    while waiting:
        path = waiting.popleft()
        for importer in importers[path] - found.keys():
            found[importer] = found[path] + 1
            waiting.append(importer)
    return found


def chosen(edges: Mapping[str, set[str]], start: set[str]) -> list[str]:
    """The test files of the changed paths: the nearest first, and at one distance those that import
    least else.
    """
    tests = {path for path in edges if path.startswith("tests/") and "/test_" in path}
    found = distances(edges, start)
    near = {path: found[path] for path in tests if path in found}
    for path in start:
        for test in tests:
            if _neighbour(path, test):
                near[test] = min(near.get(test, 1), 1)
    return sorted(near, key=lambda test: (near[test], len(edges[test]), test))


def _neighbour(path: str, test: str) -> bool:
    """Whether a test stands in the folder of a changed path's room, or is meant for such files."""
    parts = Path(path).parts
    if parts[:2] == ("reference", "specref"):
        return test.startswith(f"tests/{Path(parts[2]).stem}/")
    if parts[0] == "docs" or parts[-1] == "mkdocs.yml":
        return test.startswith(FOR_ALL_PAGES)
    if parts[0] == "proofs":
        return test.startswith("tests/proofs/")
    if parts[0] == "tests" and len(parts) > 2 and not parts[-1].startswith("test_"):
        return test.startswith(f"tests/{parts[1]}/")
    return len(parts) == 1 and test.count("/") == 1


def seconds(path: Path = TIMES) -> dict[str, float]:
    """What slow tests took in the last whole run, by their ids without parameters."""
    return json.loads(path.read_text()).get("seconds", {}) if path.exists() else {}


class Deadline:
    """A pytest plugin that skips what would not end in time, and counts what became of the rest."""

    def __init__(self, until: float, notes: Path):
        self.until, self.notes, self.times = until, notes, seconds()
        self.counts: Counter[str] = Counter()

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        expected = self.times.get(item.nodeid.split("[")[0], 0.0)
        if expected > LONGEST or time.time() + expected > self.until:
            pytest.skip(LEFT_OUT)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and LEFT_OUT in str(report.longrepr):
            self.counts["left out"] += 1
        elif report.failed or report.when == "call" or report.skipped:
            self.counts[report.outcome] += 1
        self.notes.write_text(json.dumps(self.counts))  # now: the process may be stopped


@dataclass
class Job:
    """One test file in a process of its own, forked from this one, which has torch imported."""

    path: str
    folder: Path
    until: float
    pid: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    code: int = 0

    def start(self) -> None:
        sys.stdout.flush()
        self.pid = os.fork()
        if not self.pid:
            os._exit(self._run())

    def _run(self) -> int:
        with open(self.folder / "out", "w") as out:
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
            plugin = Deadline(self.until, self.folder / "counts")
            options = ["-q", "--no-header", "-p", "no:xdist", "-p", "no:cacheprovider"]
            code = int(pytest.main([*options, str(ROOT / self.path)], plugins=[plugin]))
            sys.stdout.flush()
        return code

    def ended(self) -> bool:
        """Whether it is over. A file that is still running at the very end is stopped."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if not pid and time.time() > self.until + RESERVE / 2:
            os.kill(self.pid, signal.SIGKILL)
            pid, status = os.waitpid(self.pid, 0)
            self.counts["stopped"] = 1
        elif pid:
            self.code = os.waitstatus_to_exitcode(status)
        counts = self.folder / "counts"
        if pid and counts.exists():
            self.counts.update(json.loads(counts.read_text()))
        return bool(pid)


def run(files: Sequence[str], until: float, folder: Path) -> list[Job]:
    """Run the files, two at a time, in their order; those that were started, as they ended."""
    waiting, running, done = deque(files), list[Job](), list[Job]()
    while running or (waiting and time.time() < until):
        while waiting and len(running) < WORKERS and time.time() < until:
            place = folder / str(len(waiting))
            place.mkdir()
            job = Job(waiting.popleft(), place, until)
            job.start()
            running.append(job)
        ended = [job for job in running if job.ended()]
        running = [job for job in running if job not in ended]
        for job in ended:
            done.append(job)
            print(f"  {job.path}: {_words(job.counts)}", flush=True)
            if job.code not in PASSED:
                print((job.folder / "out").read_text())
        time.sleep(0.02)
    return done


def _words(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {word}" for word, count in sorted(counts.items())) or "crashed"


def main() -> None:
    started = time.time()
    parser = argparse.ArgumentParser(description="Run the tests of what changed.")
    parser.add_argument("--base", default="main", help="branch to compare with (default: main)")
    parser.add_argument("--list", action="store_true", help="name the test files and stop")
    parser.add_argument("paths", nargs="*", help="take these as changed instead of asking git")
    args = parser.parse_args()
    start = set(args.paths) or changed(base=args.base)
    if not start:
        print("Nothing changed. `make test` runs every test.")
        return
    edges = graph()
    files = chosen(edges, start)
    every = [path for path in edges if path.startswith("tests/") and "/test_" in path]
    print(f"{len(start)} changed files: {len(files)} of {len(every)} test files can notice.")
    if shared := sorted(path for path in start if Path(path).name in EVERYWHERE):
        print(f"{', '.join(shared)} can change any test: run `make test` too.")
    if args.list:
        print("\n".join(files))
        return
    with tempfile.TemporaryDirectory() as folder:
        done = run(files, started + SECONDS - RESERVE, Path(folder))
    ran = {job.path for job in done}
    left = [path for path in files if path not in ran]
    counts = sum((job.counts for job in done), Counter[str]())
    if left:
        print(f"Left out for want of time: {len(left)} files: {' '.join(left)}")
    print(f"{_words(counts)} in {len(done)} files; {time.time() - started:.0f} s.")
    print("`make test` runs every test.")
    sys.exit(int(any(job.code not in PASSED for job in done)))


if __name__ == "__main__":
    main()
