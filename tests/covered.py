"""`make coverage`: run every test under coverage.py, and write the share of lines and branches that
were run, room by room: `python -m tests.covered [--json FILE] [PYTEST ARGUMENT ...]`.

Processes that a test starts are counted too. The file also keeps the seconds of every test that
took more than half a second, which `make quick` plans by.
"""

import argparse
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from pathlib import Path
from typing import Any

from specref.cli.results import write_result

from tests.style import ROOT, room

SLOW = 0.5  # seconds; a quicker test is not listed
COUNTS = ("covered_lines", "num_statements", "covered_branches", "num_branches")


def measure(arguments: list[str], folder: Path) -> int:
    """Run pytest under coverage; folder then has coverage.json and junit.xml."""
    environment = {**os.environ, "COVERAGE_FILE": str(folder / "data")}

    def coverage(*words: str) -> int:
        command = [sys.executable, "-m", "coverage", *words]
        return subprocess.run(command, cwd=ROOT, env=environment).returncode

    code = coverage("run", "-m", "pytest", f"--junit-xml={folder / 'junit.xml'}", *arguments)
    coverage("combine", "--quiet")
    coverage("json", "--quiet", "-o", str(folder / "coverage.json"))
    return code


def by_room(report: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Counts and the percentage of each room, and of all rooms together, from coverage's report."""
    rooms: dict[str, dict[str, float]] = defaultdict(lambda: dict.fromkeys(COUNTS, 0))
    for path, one in report["files"].items():
        if path.startswith("reference/specref/"):
            for count in COUNTS:
                rooms[room(path)][count] += one["summary"][count]
                rooms["all"][count] += one["summary"][count]
    for counts in rooms.values():
        run = counts["covered_lines"] + counts["covered_branches"]
        there = counts["num_statements"] + counts["num_branches"]
        counts["percent"] = round(100 * run / max(there, 1), 1)
    return dict(sorted(rooms.items()))


def slow_tests(junit: Path) -> dict[str, float]:
    """Seconds of each slow test with its set-up, by file::test; with parameters, of the slowest."""
    seconds: dict[str, float] = {}
    for case in ElementTree.parse(junit).iter("testcase"):
        name = f"{_file(case.attrib['classname'])}::{case.attrib['name'].split('[')[0]}"
        took = float(case.attrib["time"])
        if took > SLOW:
            seconds[name] = max(seconds.get(name, 0), round(took, 1))
    return dict(sorted(seconds.items()))


def _file(classname: str) -> str:
    """tests/a/test_b.py for "tests.a.test_b", also where a class of tests stands behind it."""
    parts = classname.split(".")
    while parts and not (ROOT / Path(*parts).with_suffix(".py")).exists():
        parts.pop()
    return f"{'/'.join(parts)}.py"


def main() -> None:
    parser = argparse.ArgumentParser(description="Run the tests and say what they reach.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result here")
    args, arguments = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        code = measure(arguments, Path(folder))
        report = json.loads((Path(folder) / "coverage.json").read_text())
        seconds = slow_tests(Path(folder) / "junit.xml")
    rooms = by_room(report)
    print(f"{'room':12}{'lines':>8}{'branches':>10}{'percent':>9}")
    for name, counts in rooms.items():
        lines, branches = counts["num_statements"], counts["num_branches"]
        print(f"{name:12}{lines:8,}{branches:10,}{counts['percent']:9.1f}")
    result = {
        "tool": f"coverage {importlib.metadata.version('coverage')}",
        "passed": code == 0,
        "rooms": rooms,
        "seconds": seconds,
    }
    write_result(args.json, "coverage", result)
    sys.exit(code)


if __name__ == "__main__":
    main()
