"""The pytest plugin: `pytest --pyargs specref.judge --engine ENGINE`.

pytest loads this module in every run of every project that has specref installed. So it imports
nothing of the package and declares no option, unless a command line names `specref.judge`.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

_PACKAGE = "specref.judge"
_OPTIONS = (
    (
        "--engine",
        {
            "metavar": "ENGINE",
            "help": (
                "what to judge: path/to/adapter.py:Name, package.module:Name, a built-in "
                "adapter's name, or a URL"
            ),
        },
    ),
    (
        "--engine-level",
        {
            "choices": ("kernel", "scheduler", "engine", "http"),
            "help": "default: found from the adapter's methods",
        },
    ),
    (
        "--engine-budget",
        {
            "type": float,
            "default": 60.0,
            "metavar": "SECONDS",
            "help": "for all checks (default: 60)",
        },
    ),
    (
        "--engine-mde",
        {"type": float, "metavar": "TV", "help": "the smallest difference that has to be seen"},
    ),
    ("--engine-seed", {"type": int, "default": 0, "help": "default: 0"}),
    ("--engine-baseline", {"metavar": "URL", "help": "a server's target without speculation"}),
    ("--engine-draft", {"metavar": "URL", "help": "a server with the draft model"}),
    (
        "--engine-call-timeout",
        {"type": float, "metavar": "SECONDS", "help": "a call that takes longer hangs"},
    ),
    (
        "--engine-report",
        {
            "type": Path,
            "metavar": "DIR",
            "help": "write report.json, junit.xml and report.html there",
        },
    ),
    (
        "--known-failing",
        {"type": Path, "metavar": "FILE", "help": "ids of checks that may fail, one a line"},
    ),
)


def _names_the_judge(argument: str) -> bool:
    """Whether an argument of pytest names the judge, or one of its checks."""
    return argument.partition("::")[0] == _PACKAGE


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, parser: pytest.Parser, args: list[str]
) -> Iterator[None]:
    """Where the judge is named: add its options and its collector. Where nothing else is named:
    load no conftest.
    """
    if any(_names_the_judge(argument) for argument in args):
        group = parser.getgroup("specref", "the judge of speculative decoding")
        for name, settings in _OPTIONS:
            group.addoption(name, **settings)
        known = parser.parse_known_args(args)
        early_config.known_args_namespace.file_or_dir = known.file_or_dir
        early_config.known_args_namespace.noconftest |= all(
            _names_the_judge(word) for word in known.file_or_dir
        )
        from ..cli import pytest_items

        early_config.pluginmanager.register(pytest_items, "specref_items")
    return (yield)
