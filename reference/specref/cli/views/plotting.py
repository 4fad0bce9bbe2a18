"""The optional library that draws."""

import io
from pathlib import Path
from typing import Any

from ...errors import SpecrefError
from ...outputs import write_file


def load_pyplot() -> Any:
    """matplotlib's pyplot, for files only.

    Errors:
        SpecrefError where matplotlib is not installed.
    """
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        raise SpecrefError("--plot needs matplotlib: pip install 'specref[plot]'") from None
    return pyplot


def write_plot(figure: Any, path: Path) -> None:
    """Draw a figure to a file, in the format that its name says, and close it.

    Errors:
        SpecrefError for an unknown format, and where the file cannot be written.
    """
    drawn = io.BytesIO()
    try:
        figure.savefig(drawn, format=path.suffix.removeprefix(".") or "png", dpi=150)
    except ValueError as error:
        raise SpecrefError(f"cannot draw {path} ({error}): give a .png or .svg") from None
    finally:
        load_pyplot().close(figure)
    write_file(path, lambda part: part.write_bytes(drawn.getvalue()))
