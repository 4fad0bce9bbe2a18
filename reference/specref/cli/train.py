"""Train a toy target, or what drafts for it: a draft model, Medusa heads, an MTP module.

It learns from a folder of text (default: the standard library's own sources).

The run can be stopped at any moment and goes on when the same command is given again; it loses at
most the last --save-every steps. DIR gets a Hugging Face Llama checkpoint, the training state and
log.jsonl.

Example:
  specref train target --out my-target
  specref train draft --target my-target --out my-draft
  specref train medusa --target my-target --out my-heads
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from safetensors.torch import load_file, save_file
from torch import nn

from ..data import SpecrefError
from ..draft.medusa import MedusaHeads, medusa_loss
from ..draft.mtp import MTPModule, mtp_loss
from ..model.auxiliary import save_addon
from ..model.checkpoint import load, replace, save
from ..model.transformer import Transformer
from ..train import corpus
from ..train import distillation as distil
from ..train import loop as train
from .common import BUNDLED, add_json, interactive, writable, write_result

DEFAULT_STEPS = {"target": 1400, "draft": 1000, "medusa": 400, "mtp": 700}


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=tuple(DEFAULT_STEPS))
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder of the checkpoint and the state",
    )
    parser.add_argument(
        "--text", type=Path, default=None, metavar="DIR", help="folder of text files to learn from"
    )
    parser.add_argument(
        "--target",
        type=Path,
        default=BUNDLED / "target",
        metavar="DIR",
        help="what a draft learns from (default: the bundled target)",
    )
    parser.add_argument("--steps", type=int, default=None, help=f"default: {DEFAULT_STEPS}")
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
    parser.add_argument(
        "--heads",
        type=int,
        default=4,
        choices=range(1, 17),
        metavar="K",
        help="Medusa heads (default: 4)",
    )
    parser.add_argument(
        "--units",
        type=int,
        default=None,
        metavar="N",
        help="units of an MTP module's MLP (default: as many as the target's)",
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
        default=None,
        metavar="DIR",
        help="begin with the weights that an earlier run left there, not with random ones",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save-every", type=int, default=100, metavar="STEPS", help="default: 100")
    parser.add_argument("--threads", type=int, default=2, help="processor threads (default: 2)")
    add_json(parser)


@dataclass(frozen=True)
class Job:
    """One kind of training: what learns, from what, and how it is kept and measured afterwards."""

    model: nn.Module
    loss: Callable[[torch.Tensor], torch.Tensor]
    text: torch.Tensor
    keep: Callable[[Path], None]
    measure: Callable[[], dict[str, float]]
    about: str = ""  # whom it learns from


def run(args: argparse.Namespace) -> int:
    writable(args.json)
    plan = _plan(args)
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    if args.text is not None and not args.text.is_dir():
        raise SpecrefError(f"{args.text} is no folder: give a folder of text files")
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpecrefError(
            f"cannot write to {args.out} ({error.strerror}): choose another folder"
        ) from None
    job = _job(args)
    if args.init is not None:
        _begin_with(job.model, args)
    began = time.monotonic()
    losses = _fit(job, plan, args.out)
    job.keep(args.out)
    seconds = time.monotonic() - began
    measured = job.measure()
    for name, value in measured.items():
        print(f"held-out {name.replace('_', ' ')}: {value:.3f}")
    print(f"wrote {args.out}")
    write_result(
        args.json,
        "train",
        {
            "what": args.what,
            "steps": plan.steps,
            "steps_run_now": len(losses),
            "seconds": seconds,
            "parameters": sum(p.numel() for p in job.model.parameters()),
        }
        | measured,
    )
    return 0


def _job(args: argparse.Namespace) -> Job:
    text, held = corpus.corpus(args.text)
    # what is measured reads rows of that length
    held = {name: own for name, own in held.items() if len(own) >= 256}
    if args.what == "target":
        model = Transformer(train.TARGET)
        return Job(
            model,
            train.next_token_loss(model),
            text,
            lambda folder: save(model, folder),
            lambda: {"bits_per_byte": train.bits_per_byte(model, held)} if held else {},
        )
    target = load(args.target)
    if target.config.vocab_size != train.DRAFT.vocab_size:
        raise SpecrefError(
            f"{args.target} has {target.config.vocab_size} tokens, and the toy text is bytes: "
            "give a target of 256 tokens"
        )
    text = _with_own_text(args, target, text)
    teacher = distil.Teacher(target)
    if args.what == "medusa":
        heads = MedusaHeads.of(target, args.heads)
        return Job(
            heads,
            medusa_loss(heads, teacher),
            text,
            lambda folder: save_addon(heads, folder, "medusa", heads.settings),
            dict,
            teacher.name,
        )
    if args.what == "mtp":
        module = MTPModule.of(target, units=args.units)
        return Job(
            module,
            mtp_loss(module, teacher),
            text,
            lambda folder: save_addon(module, folder, "mtp", module.settings),
            dict,
            teacher.name,
        )
    draft = Transformer(train.DRAFT)
    return Job(
        draft,
        distil.distillation_loss(draft, teacher),
        text,
        lambda folder: save(draft, folder),
        lambda: (
            {"expected_acceptance": distil.expected_acceptance(draft, target, held)} if held else {}
        ),
        teacher.name,
    )


def _begin_with(model: nn.Module, args: argparse.Namespace) -> None:
    """Weights of an earlier run of the same kind and shape; an MTP module may have got wider."""
    try:
        if isinstance(model, MTPModule):
            model.begin_with(MTPModule.load(args.init))
        else:
            earlier = MedusaHeads.load(args.init) if args.what == "medusa" else load(args.init)
            model.load_state_dict(earlier.state_dict())
    except RuntimeError:
        raise SpecrefError(
            f"{args.init} holds a model of another shape: leave --init out"
        ) from None


def _with_own_text(
    args: argparse.Namespace, target: Transformer, text: torch.Tensor
) -> torch.Tensor:
    """Rows [R,2C+1] that the target writes itself, and half as many of the corpus; written once, so
    that a resumed run reads the same."""
    path = args.out / "own-text.safetensors"
    if not path.exists():
        with Progress(
            TextColumn("the target writes text to learn from"),
            BarColumn(),
            console=Console(stderr=True),
            disable=not interactive(),
        ) as bar:
            task = bar.add_task("", total=1.0)
            own = distil.own_text(
                target,
                text,
                args.own_rows,
                context=2 * args.context,
                report=lambda done: bar.update(task, completed=done),
            )
        args.out.mkdir(parents=True, exist_ok=True)
        replace(path, lambda part: save_file({"text": own}, part))
    own = load_file(path)["text"]
    random = torch.Generator().manual_seed(args.seed)
    start = torch.randint(len(text) - own.shape[1], (len(own) // 2,), generator=random)
    return torch.cat((own, text[start[:, None] + torch.arange(own.shape[1])]))


def _plan(args: argparse.Namespace) -> train.Plan:
    steps = DEFAULT_STEPS[args.what] if args.steps is None else args.steps
    for name, value in (
        ("--steps", steps),
        ("--batch", args.batch),
        ("--context", args.context),
        ("--save-every", args.save_every),
        ("--threads", args.threads),
        ("--units", 1 if args.units is None else args.units),
    ):
        if value < 1:
            raise SpecrefError(f"{name} {value} is not possible: give 1 or more")
    if 2 * args.context > train.TARGET.max_position_embeddings:
        raise SpecrefError(
            f"--context {args.context} is too long: the toy model's own context is "
            f"{train.TARGET.max_position_embeddings}, and every fourth step takes twice --context"
        )
    if not 0 < args.rate < 1:
        raise SpecrefError(f"--rate {args.rate} is not possible: give a number between 0 and 1")
    return train.Plan(
        steps, args.batch, args.context, args.rate, seed=args.seed, save_every=args.save_every
    )


def _fit(job: Job, plan: train.Plan, folder: Path) -> list[float]:
    """`train.fit` with a bar on a terminal, and a log that a resumed run goes on with."""
    columns = (
        TextColumn("step {task.completed:.0f}/{task.total:.0f}"),
        BarColumn(),
        TextColumn("loss {task.fields[loss]:.3f} nats · {task.fields[left]} left"),
    )
    with (
        Progress(*columns, console=Console(stderr=True), disable=not interactive()) as bar,
        (folder / "log.jsonl").open("a") as log,
    ):
        task = bar.add_task("", total=plan.steps, loss=float("nan"), left="?")

        def report(step: int, value: float, left: float) -> None:
            bar.update(task, completed=step, loss=value, left=f"{left / 60:.0f} min")
            if step % 10 == 0 or step == plan.steps:
                log.write(json.dumps({"step": step, "loss": round(value, 4)}) + "\n")
                log.flush()

        try:
            return train.fit(job.model, job.loss, job.text, plan, folder, report, job.about)
        except KeyboardInterrupt:
            print(
                f"stopped; the same command goes on from the last saved step in {folder}",
                file=sys.stderr,
            )
            raise
