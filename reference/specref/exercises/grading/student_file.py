"""The file of a student: what it is an answer to, and its `attempt`. It may hold any mistake."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from types import FrameType
from typing import Any

from .exercise import Answer
from .forks import EndlessError

CPYTHON = sys.implementation.name == "cpython"
# The name under which the text is compiled. Brython compiles some nested functions only when exec
# gets the text itself, which is then called <string>.
FILE = "<answer>" if CPYTHON else "<string>"
STEPS = 200_000  # lines of the student's code that one run may execute


class BadFileError(Exception):
    """A file that cannot be graded, in one line."""


@contextmanager
def bounded(steps: int = STEPS) -> Iterator[None]:
    """Let the student's code run this many lines, then raise EndlessError there.

    A browser has no such trace: the page ends the whole worker.
    """
    if not CPYTHON:
        yield
        return
    left = steps

    def count(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise EndlessError("it does not end")
        return count

    def enter(frame: FrameType, event: str, argument: Any) -> Any:
        return count if frame.f_code.co_filename == FILE else None

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        yield
    finally:
        sys.settrace(before)


def load_answer(text: str, exercise: str | None = None) -> tuple[str, Answer]:
    """The exercise's id and the function `attempt` of a file.

    exercise: what a file without an EXERCISE is for.

    Errors:
        BadFileError when it is no Python, fails when it is run, or lacks one of the two.
    """
    names: dict[str, Any] = {"__name__": "answer", "Fraction": Fraction}
    try:
        with bounded():
            exec(compile(text, FILE, "exec") if CPYTHON else text, names)
    except SyntaxError as error:
        raise BadFileError(f"line {error.lineno}: this is not Python: {error.msg}") from None
    except (Exception, SystemExit) as error:
        raise BadFileError(one_line(error)) from None
    exercise, attempt = names.get("EXERCISE", exercise), names.get("attempt")
    if not isinstance(exercise, str):
        raise BadFileError(
            'it does not say what it is for: keep the line EXERCISE = "..." of the copy'
        )
    if not callable(attempt):
        raise BadFileError("it has no function attempt")
    return exercise, attempt


def one_line(error: BaseException) -> str:
    """An exception as `line 7: ZeroDivisionError: division by zero`."""
    kind = type(error).__name__
    message = " ".join(str(error).split())
    told = f"{kind}: {message}" if message else kind
    if kind in ("EndlessError", "MisuseError"):
        told = message
    line = _line(error)
    return f"line {line}: {told}" if line else told


def _line(error: BaseException) -> int | None:
    """The line of the student's file that was reached last."""
    line = None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == FILE:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
