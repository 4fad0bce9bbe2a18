"""The pytest plugin: `pytest --pyargs reference.conformance --engine ENGINE`.

pytest loads this module in every run of every project that has us installed. So it stands outside the package, imports
nothing of it, and does nothing at all, not even declare its options, unless the judge is asked for by name.
"""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ASKED = "reference.conformance"
OURS = Path(__file__).resolve().parent / "reference"
OPTIONS = (
    ("--engine", {"metavar": "ENGINE", "help": "what to judge: path/to/adapter.py:Name, package.module:Name, a built-in "
                  "adapter's name, or a URL"}),
    ("--engine-level", {"choices": ("kernel", "engine", "http"), "help": "default: found from the adapter's methods"}),
    ("--engine-budget", {"type": float, "default": 60.0, "metavar": "SECONDS", "help": "for all checks (default: 60)"}),
    ("--engine-mde", {"type": float, "metavar": "TV", "help": "the smallest difference that has to be seen"}),
    ("--engine-seed", {"type": int, "default": 0, "help": "default: 0"}),
    ("--engine-baseline", {"metavar": "URL", "help": "a server's target without speculation"}),
    ("--engine-call-timeout", {"type": float, "metavar": "SECONDS", "help": "a call that takes longer hangs"}),
    ("--engine-report", {"type": Path, "metavar": "DIR", "help": "write report.json, junit.xml and report.html there"}),
    ("--known-failing", {"type": Path, "metavar": "FILE", "help": "ids of checks that may fail, one a line"}),
)


def ours(word: str) -> bool:
    """Whether an argument of pytest asks for the judge."""
    return word.partition("::")[0] == ASKED


def claim() -> None:
    """Make `reference` our package, even where the working folder has a module of that name."""
    there = sys.modules.get("reference")
    if there is None:
        spec = importlib.util.spec_from_file_location("reference", OURS / "__init__.py",
                                                      submodule_search_locations=[str(OURS)])
        assert spec is not None
        assert spec.loader is not None
        sys.modules["reference"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["reference"])
    elif str(OURS) not in [str(Path(path).resolve()) for path in getattr(there, "__path__", ())]:
        raise pytest.UsageError(f"another module called `reference` is loaded ({getattr(there, '__file__', '?')}): run the "
                                "judge by itself, or use `specdec validate`")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, parser: pytest.Parser, args: list[str]) -> Iterator[None]:
    """Where the judge is asked for: options, our package, our collector; and where nothing else is, no conftest."""
    if any(ours(word) for word in args):
        claim()
        group = parser.getgroup("specdec", "the judge of speculative decoding")
        for name, settings in OPTIONS:
            group.addoption(name, **settings)
        known = parser.parse_known_args(args)
        early_config.known_args_namespace.file_or_dir = known.file_or_dir
        early_config.known_args_namespace.noconftest |= all(ours(word) for word in known.file_or_dir)
        from reference.cli import items

        early_config.pluginmanager.register(items, "specdec_items")
    return (yield)
