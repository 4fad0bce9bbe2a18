"""Progress of long work, on standard error, for whoever looks at a terminal."""

import sys


def is_interactive() -> bool:
    """Whether standard error is a terminal."""
    return sys.stderr.isatty()


def report_progress(line: str) -> None:
    """Print one line of progress, on a terminal only."""
    if is_interactive():
        print(line, file=sys.stderr)
