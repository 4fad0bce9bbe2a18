"""The command line. Each command is one object of a module in `commands`.

Exit codes: 0 done; 2 bad input, said in one line that names the mend; 130 interrupted. `validate`,
`zoo`, `engines` and `grade` have more of their own.

Start-up is fast because nothing here and nothing in `commands` imports PyTorch: a command imports
its work when it runs.
"""

import argparse
import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from .. import __version__
from ..errors import SpecrefError
from .command import Command

_LONGEST = 400  # characters of an error
COMMANDS = {
    "demo": "demo_command:DEMO_COMMAND",
    "generate": "generate_command:GENERATE_COMMAND",
    "trace": "trace_command:TRACE_COMMAND",
    "train": "train_command:TRAIN_COMMAND",
    "bench": "bench_command:BENCH_COMMAND",
    "profile": "profile_command:PROFILE_COMMAND",
    "serve": "serve_command:SERVE_COMMAND",
    "measure": "measure_command:MEASURE_COMMAND",
    "plan": "plan_command:PLAN_COMMAND",
    "rules": "rules_command:RULES_COMMAND",
    "validate": "validate_command:VALIDATE_COMMAND",
    "engines": "engines_command:ENGINES_COMMAND",
    "zoo": "zoo_command:ZOO_COMMAND",
    "copy": "copy_command:COPY_COMMAND",
    "grade": "grade_command:GRADE_COMMAND",
}


def _whole(text: str) -> int:
    """An integer that int64 holds."""
    value = int(text)
    if not -(2**63) <= value < 2**63:
        raise argparse.ArgumentTypeError("it has more than 64 bits")
    return value


def _path(text: str) -> Path:
    if "\0" in text:
        raise argparse.ArgumentTypeError("no file has such a name")
    return Path(text)


class _Parser(argparse.ArgumentParser):
    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.register("type", int, _whole)
        self.register("type", Path, _path)

    def error(self, message: str) -> NoReturn:
        """One line, as for every other bad input."""
        said = " ".join(message.split())
        said = said if len(said) <= _LONGEST else said[: _LONGEST - 3] + "..."
        self.exit(2, f"{self.prog}: {said} (see {self.prog} --help)\n")


def load_command(name: str) -> Command:
    """Import one command."""
    module, _, variable = COMMANDS[name].partition(":")
    return getattr(import_module(f".commands.{module}", __package__), variable)


def make_parser(only: str | None = None) -> argparse.ArgumentParser:
    """The whole command line. only: import this command alone; the others are names."""
    top = _Parser(
        prog="specref",
        description="The reference that says whether a speculative decoder is right.",
        epilog="`specref COMMAND --help` shows an example.",
    )
    top.add_argument("--version", action="version", version=f"specref {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        if only is None or name == only:
            _add_command(commands, load_command(name))
        else:
            commands.add_parser(name)
    return top


def _add_command(commands: argparse._SubParsersAction, command: Command) -> None:
    parser = commands.add_parser(
        command.name,
        help=command.summary,
        description=command.description.strip(),
        epilog=f"Example:{command.example.rstrip()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add(parser)
    parser.set_defaults(run=command.run)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # no locale and no text ends a command
            stream.reconfigure(errors="backslashreplace")
    words = list(sys.argv[1:] if argv is None else argv)
    chosen = words[0] if words and words[0] in COMMANDS else None
    args = make_parser(chosen).parse_args(words)
    try:
        return args.run(args)
    except SpecrefError as error:
        print(f"specref {args.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"specref {args.command}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader left, as in `specref trace | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
