"""The optional library that draws."""

from typing import Any

from ...errors import SpecrefError


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
