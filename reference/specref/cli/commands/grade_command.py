"""Grade an answer to an exercise, by everything that it can emit.

FILE is a copy that `specref copy EXERCISE FOLDER` wrote, with your `attempt` in it. The verdict
says what your answer emits, what is right, how far apart they are as an exact fraction, and which
mistake it is if it is a known one. Exit code 0: right. 1: wrong. 2: the file cannot be graded.

The file's code is run, in a process of its own.
"""

import argparse
import sys
from pathlib import Path

from ...errors import SpecrefError
from ...outputs import require_writable
from ..arguments import add_json
from ..command import Command

_EXAMPLE = """
  specref copy rejection-step my-folder
  specref grade my-folder/rejection_step.py
  specref grade my-folder/rejection_step.py --json verdict.json
"""
_EXIT_CODES = {"right": 0, "wrong": 1, "broken": 2}


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="the file with your answer")
    add_json(parser)


def _run(args: argparse.Namespace) -> int:
    require_writable(args.json)
    text = _read(args.file)

    from ...exercises.grading.child import grade_apart

    report = grade_apart(text)
    print(report.text, file=sys.stderr if report.status == "broken" else sys.stdout)
    if report.printed:
        print(f"\nYour code printed:\n{report.printed}")
    if args.json:
        from ..results import write_result

        write_result(args.json, "grade", report.as_json())
    return _EXIT_CODES[report.status]


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise SpecrefError(f"cannot read {file} ({error.strerror}): give a file") from None
    except UnicodeDecodeError:
        raise SpecrefError(f"{file} is no text in UTF-8: save it as UTF-8") from None


GRADE_COMMAND = Command(
    "grade", "grade an answer to an exercise, exactly", __doc__ or "", _EXAMPLE, _add, _run
)
