"""Decode held-out text in several modes with the bundled checkpoints, and check that the output has
the target's distribution.

The text is source code of the Python standard library that the models were not trained on. All
modes continue the same prompts in turn, so their speeds compare. Three checks follow: greedy text
is compared token by token, the distribution of a small case is computed exactly, and the text of
the real models goes through a sequential test.

Exit 0: the output has the target's distribution. 1: it does not.
"""

import argparse

from ...outputs import require_writable
from ..arguments import BUNDLED, add_json, add_models, require_at_least
from ..command import Command
from ..progress import is_interactive

_EXAMPLE = """
  specref demo
  specref demo --early-exit 6 --json demo.json
"""


def _add(parser: argparse.ArgumentParser) -> None:
    add_models(parser)
    parser.add_argument(
        "--prompts", type=int, default=12, help="prompts that every mode continues (default: 12)"
    )
    parser.add_argument(
        "--new-tokens", type=int, default=128, help="tokens to write after each (default: 128)"
    )
    parser.add_argument("--gamma", type=int, default=5, help="draft length (default: 5)")
    parser.add_argument(
        "--draws",
        type=int,
        default=16000,
        help="tokens that each sequential test looks at (default: 16000)",
    )
    parser.add_argument(
        "--early-exit",
        type=int,
        metavar="LAYERS",
        help="one more mode: the target's first LAYERS layers draft",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the sequential tests (default: 0)")
    add_json(parser)


def _run(args: argparse.Namespace) -> int:
    require_writable(args.json)
    require_at_least(args, 2, "prompts", "new_tokens")
    require_at_least(args, 1, "gamma", "draws")

    import torch
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    from ..results import write_result
    from ..views.demo_page import show_demo
    from ..work.demonstration import DemoSettings, demonstrate
    from ..work.models import load_pair

    torch.set_num_threads(1)
    target, draft = load_pair(args, "demo")
    settings = DemoSettings(
        args.prompts,
        args.new_tokens,
        args.gamma,
        args.draws,
        args.seed,
        args.early_exit,
        bundled=args.target == BUNDLED / "target",
    )
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not is_interactive(), transient=True) as bar:
        result = demonstrate(settings, target, draft, bar)
    result["settings"] |= {"dtype": args.dtype, "device": args.device}
    write_result(args.json, "demo", result)
    show_demo(Console(highlight=False), result)
    return 0 if result["distribution"]["holds"] else 1


DEMO_COMMAND = Command(
    "demo", "decode held-out text and check its distribution", __doc__, _EXAMPLE, _add, _run
)
