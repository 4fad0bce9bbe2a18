"""specref: every command is one module with `add(parser)` and `run(args)`; its docstring is its
help.

Exit codes: 0 done; 2 something the user can mend, said in one line; `validate` has more of its own.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from ..data import SpecrefError

COMMANDS = {
    "demo": "decode held-out text five ways and check the distribution",
    "generate": "speculative decoding with your own checkpoints",
    "trace": "watch one generation cycle by cycle",
    "train": "train a toy target or draft",
    "bench": "measure plain against speculative decoding",
    "profile": "what drafts for the target: Medusa heads, MTP, thresholds",
    "serve": "an OpenAI-compatible server on this machine",
    "plan": "the draft length or tree that pays, and how much to measure",
    "validate": "does an engine keep the distribution of its target?",
    "engines": "real engines, put to the judge: a matrix",
    "zoo": "planted bugs, and what catches each",
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, as for every other bad input."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def parser(only: str | None = None) -> argparse.ArgumentParser:
    """The whole command line; `only` imports one command's module and leaves the others as
    names.
    """
    top = _Parser(
        prog="specref",
        description="The reference that says whether a speculative decoder is right.",
        epilog="specref COMMAND --help shows an example.",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        if only is not None and name != only:
            commands.add_parser(name, help=summary)
            continue
        module = importlib.import_module(f".{name}", __package__)
        about, _, example = (module.__doc__ or "").partition("Example:")
        sub = commands.add_parser(
            name,
            help=summary,
            description=about.strip(),
            epilog=f"Example:{example.rstrip()}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add(sub)
        sub.set_defaults(run=module.run)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    chosen = next((word for word in words if word in COMMANDS), "")
    args = parser(chosen).parse_args(words)
    try:
        return args.run(args) or 0
    except SpecrefError as error:
        print(f"specref {args.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"specref {args.command}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader left, as in `specref trace | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
