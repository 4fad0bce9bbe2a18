"""Train a toy target, or what drafts for it: a draft model, Medusa heads, an MTP module.

The text is a folder of files (default: the standard library's sources).

The run can be stopped at any time and continues when the same command is given again; it loses at
most the last --save-every steps. DIR gets a checkpoint in the Hugging Face Llama layout, the
training state and log.jsonl.
"""

import argparse
from pathlib import Path

from ...errors import SpecrefError
from ...outputs import require_writable
from ..arguments import BUNDLED, add_json, add_threads, require_at_least
from ..command import Command

_STEPS = {"target": 1400, "draft": 1000, "medusa": 400, "mtp": 700}
_EXAMPLE = """
  specref train target --out my-target
  specref train draft --target my-target --out my-draft
  specref train draft --layers 4 --width 128 --out my-larger-draft
  specref train medusa --target my-target --out my-heads
"""


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=tuple(_STEPS))
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder of the checkpoint and the training state",
    )
    parser.add_argument("--text", type=Path, metavar="DIR", help="folder of text files to train on")
    parser.add_argument(
        "--target",
        type=Path,
        default=BUNDLED / "target",
        metavar="DIR",
        help="what a draft learns from (default: the bundled target)",
    )
    _add_schedule(parser)
    parser.add_argument(
        "--heads",
        type=int,
        default=4,
        choices=range(1, 17),
        metavar="K",
        help="Medusa heads, 1 to 16 (default: 4)",
    )
    parser.add_argument(
        "--units",
        type=int,
        metavar="N",
        help="units of an MTP module's MLP (default: as many as the target's)",
    )
    parser.add_argument("--layers", type=int, metavar="N", help="layers of a draft (default: 1)")
    parser.add_argument(
        "--width",
        type=int,
        metavar="H",
        help="hidden size of a draft, a multiple of 64 (default: 128)",
    )
    parser.add_argument(
        "--own-rows",
        type=int,
        default=1024,
        metavar="N",
        help="a draft also learns from N texts of 512 bytes that the target writes (default: 1024)",
    )
    parser.add_argument(
        "--init",
        type=Path,
        metavar="DIR",
        help="start from the weights of an earlier run in DIR, not from random ones",
    )
    add_json(parser)


def _add_schedule(parser: argparse.ArgumentParser) -> None:
    steps = ", ".join(f"{what} {count}" for what, count in _STEPS.items())
    parser.add_argument("--steps", type=int, help=f"default: {steps}")
    parser.add_argument("--batch", type=int, default=16, help="rows a step (default: 16)")
    parser.add_argument(
        "--context",
        type=int,
        default=256,
        help="tokens a row; every fourth step twice that (default: 256)",
    )
    parser.add_argument(
        "--rate", type=float, default=2e-3, help="peak learning rate (default: 0.002)"
    )
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    parser.add_argument("--save-every", type=int, default=100, metavar="STEPS", help="default: 100")
    add_threads(parser, default=2)


def _run(args: argparse.Namespace) -> int:
    require_writable(args.json)
    require_at_least(args, 1, "steps", "batch", "context", "save_every", "threads", "units")
    require_at_least(args, 1, "layers", "width")
    if args.what != "draft" and (args.layers, args.width) != (None, None):
        raise SpecrefError("--layers and --width are for a draft: leave them out")
    if args.width is not None and args.width % 64:
        raise SpecrefError(f"--width {args.width} is not possible: give a multiple of 64")
    if not 0 < args.rate < 1:
        raise SpecrefError(f"--rate {args.rate} is not possible: give a number between 0 and 1")
    if args.text is not None and not args.text.is_dir():
        raise SpecrefError(f"{args.text} is no folder: give a folder of text files")
    if args.steps is None:
        args.steps = _STEPS[args.what]

    import torch

    from ..results import write_result
    from ..work.training_jobs import make_plan, train

    plan = make_plan(args)
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpecrefError(
            f"cannot write to {args.out} ({error.strerror}): choose another folder"
        ) from None
    torch.set_num_threads(args.threads)
    result, measured = train(args, plan)
    for name, value in measured.items():
        print(f"held-out {name.replace('_', ' ')}: {value:.3f}")
    print(f"wrote {args.out}")
    write_result(args.json, "train", result | measured)
    return 0


TRAIN_COMMAND = Command(
    "train", "train a toy target or what drafts for it", __doc__, _EXAMPLE, _add, _run
)
