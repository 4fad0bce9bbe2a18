"""The grader in a process of its own: the answer's text on standard input, the report as JSON on
standard output.

A student's code may loop inside one call, take all memory or end the process. None of that reaches
the process that asks. It is no jail: grade strangers' files where they can do no harm.
"""

import json
import os
import subprocess
import sys

from .grade import BROKEN, Report, grade_text

SECONDS = 60.0
MEMORY = 4 << 30  # bytes


def grade_apart(text: str, seconds: float = SECONDS) -> Report:
    """Grade a text in another process, which is ended after so many seconds."""
    command = [sys.executable, "-P", "-m", f"{__package__}.child"]
    try:
        done = subprocess.run(
            command,
            input=text.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        told = f"It does not end: it was stopped after {seconds:g} seconds."
        return Report(BROKEN, None, f"BROKEN. It cannot be graded. {told}")
    try:
        said = json.loads(done.stdout)
    except ValueError:
        told = f"It ended the grader's process, with exit status {done.returncode}."
        return Report(BROKEN, None, f"BROKEN. It cannot be graded. {told}")
    return Report.of_json(said)


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a student's code writes by itself
    text = sys.stdin.buffer.read().decode()
    limit_memory()
    report = grade_text(text)
    json.dump(report.as_json(), answers)
    answers.flush()


def limit_memory(most: int = MEMORY) -> None:
    """A MemoryError above so many bytes, where the system knows such a limit."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    except (ImportError, OSError, ValueError):
        pass


if __name__ == "__main__":
    main()
