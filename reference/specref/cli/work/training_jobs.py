"""What `specref train` can train, and the run itself."""

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from safetensors.torch import load_file
from torch import nn

from ...draft.medusa import MedusaHeads
from ...draft.mtp import MTPModule
from ...errors import SpecrefError
from ...model.auxiliary import save_auxiliary
from ...model.checkpoint import load, save, save_tensors
from ...model.config import Config
from ...model.transformer import Transformer
from ...train import corpus, distillation, loop
from ...train.auxiliary import begin_with, load_medusa_heads, load_mtp_module
from ...train.losses import medusa_loss, mtp_loss
from ..progress import is_interactive


@dataclass(frozen=True)
class TrainingJob:
    """What learns, from what, and how it is saved and measured afterwards. teacher: whom it learns
    from; "" for none.
    """

    model: nn.Module
    loss: Callable[[torch.Tensor], torch.Tensor]
    text: torch.Tensor
    save: Callable[[Path], None]
    measure: Callable[[], dict[str, float]]
    teacher: str = ""


def make_plan(args: argparse.Namespace) -> loop.TrainingPlan:
    longest = loop.TARGET.max_position_embeddings
    if 2 * args.context > longest:
        raise SpecrefError(
            f"--context {args.context} is too long: the toy model's own context is {longest}, and"
            " every fourth step takes twice --context"
        )
    return loop.TrainingPlan(
        args.steps,
        args.batch,
        args.context,
        args.rate,
        seed=args.seed,
        save_every=args.save_every,
    )


def train(
    args: argparse.Namespace, plan: loop.TrainingPlan
) -> tuple[dict[str, Any], dict[str, float]]:
    """Train into args.out; return what the result file says of the run and of the model."""
    torch.manual_seed(args.seed)
    job = _make_job(args)
    if args.init is not None:
        _start_from(job.model, args)
    began = time.monotonic()
    losses = _fit(job, plan, args.out)
    job.save(args.out)
    result = {
        "what": args.what,
        "steps": plan.steps,
        "steps_run_now": len(losses),
        "seconds": time.monotonic() - began,
        "parameters": sum(p.numel() for p in job.model.parameters()),
    }
    return result, job.measure()


def _make_job(args: argparse.Namespace) -> TrainingJob:
    text, held_out = corpus.corpus(args.text)
    # rows of that length are measured
    held_out = {name: own for name, own in held_out.items() if len(own) >= 256}
    if args.what == "target":
        return _target_job(text, held_out)
    target = load(args.target)
    if target.config.vocab_size != loop.DRAFT.vocab_size:
        raise SpecrefError(
            f"{args.target} has {target.config.vocab_size} tokens, and the toy text is bytes: "
            "give a target of 256 tokens"
        )
    text = _with_own_text(args, target, text)
    teacher = distillation.Teacher(target)
    if args.what == "medusa":
        return _medusa_job(args, target, teacher, text)
    if args.what == "mtp":
        return _mtp_job(args, target, teacher, text)
    return _draft_job(_draft_config(args), target, teacher, text, held_out)


def _target_job(text: torch.Tensor, held_out: dict[str, bytes]) -> TrainingJob:
    model = Transformer(loop.TARGET)

    def measure() -> dict[str, float]:
        return {"bits_per_byte": loop.bits_per_byte(model, held_out)} if held_out else {}

    loss = loop.next_token_loss(model)
    return TrainingJob(model, loss, text, lambda folder: save(model, folder), measure)


def _draft_config(args: argparse.Namespace) -> Config:
    """The bundled draft's shape, or that shape with other layers and another width."""
    width = args.width or loop.DRAFT.hidden_size
    return dataclasses.replace(
        loop.DRAFT,
        num_hidden_layers=args.layers or loop.DRAFT.num_hidden_layers,
        hidden_size=width,
        intermediate_size=loop.DRAFT.intermediate_size * width // loop.DRAFT.hidden_size,
        num_attention_heads=width // loop.DRAFT.head_dim,
        num_key_value_heads=width // loop.DRAFT.head_dim // 2,
    )


def _draft_job(
    config: Config,
    target: Transformer,
    teacher: distillation.Teacher,
    text: torch.Tensor,
    held_out: dict[str, bytes],
) -> TrainingJob:
    model = Transformer(config)

    def measure() -> dict[str, float]:
        if not held_out:
            return {}
        acceptance = distillation.held_out_acceptance(model, target, held_out)
        return {"expected_acceptance": acceptance}

    loss = distillation.distillation_loss(model, teacher)
    return TrainingJob(model, loss, text, lambda folder: save(model, folder), measure, teacher.name)


def _medusa_job(
    args: argparse.Namespace,
    target: Transformer,
    teacher: distillation.Teacher,
    text: torch.Tensor,
) -> TrainingJob:
    heads = MedusaHeads.of(target, args.heads)

    def keep(folder: Path) -> None:
        save_auxiliary(heads, folder, "medusa", heads.settings)

    return TrainingJob(heads, medusa_loss(heads, teacher), text, keep, dict, teacher.name)


def _mtp_job(
    args: argparse.Namespace,
    target: Transformer,
    teacher: distillation.Teacher,
    text: torch.Tensor,
) -> TrainingJob:
    module = MTPModule.of(target, units=args.units)

    def keep(folder: Path) -> None:
        save_auxiliary(module, folder, "mtp", module.settings)

    return TrainingJob(module, mtp_loss(module, teacher), text, keep, dict, teacher.name)


def _start_from(model: nn.Module, args: argparse.Namespace) -> None:
    """Weights of an earlier run of the same kind and shape; an MTP module may be wider than they
    were.
    """
    try:
        if isinstance(model, MTPModule):
            begin_with(model, load_mtp_module(args.init))
        else:
            earlier = load_medusa_heads(args.init) if args.what == "medusa" else load(args.init)
            model.load_state_dict(earlier.state_dict())
    except RuntimeError:
        raise SpecrefError(
            f"{args.init} holds a model of another shape: leave --init out"
        ) from None


def _with_own_text(
    args: argparse.Namespace, target: Transformer, text: torch.Tensor
) -> torch.Tensor:
    """Rows [R,2C+1] that the target writes itself, and half as many of the corpus. They are written
    to a file once, so that a resumed run reads the same.
    """
    path = args.out / "own-text.safetensors"
    if not path.exists():
        own = _write_own_text(args, target, text)
        save_tensors(path, {"text": own})
    own = load_file(path)["text"]
    random = torch.Generator().manual_seed(args.seed)
    start = torch.randint(len(text) - own.shape[1], (len(own) // 2,), generator=random)
    rows = text[start[:, None] + torch.arange(own.shape[1])]
    return torch.cat((own, rows))


def _write_own_text(
    args: argparse.Namespace, target: Transformer, text: torch.Tensor
) -> torch.Tensor:
    bar = Progress(
        TextColumn("the target writes text to learn from"),
        BarColumn(),
        console=Console(stderr=True),
        disable=not is_interactive(),
    )
    with bar:
        task = bar.add_task("", total=1.0)
        return distillation.own_text(
            target,
            text,
            distillation.OwnText(rows=args.own_rows, context=2 * args.context),
            report=lambda done: bar.update(task, completed=done),
        )


def _fit(job: TrainingJob, plan: loop.TrainingPlan, folder: Path) -> list[float]:
    """`loop.fit` with a bar on a terminal, and a log that a resumed run continues."""
    bar = Progress(
        TextColumn("step {task.completed:.0f}/{task.total:.0f}"),
        BarColumn(),
        TextColumn("loss {task.fields[loss]:.3f} nats · {task.fields[left]} left"),
        console=Console(stderr=True),
        disable=not is_interactive(),
    )
    plan = dataclasses.replace(plan, teacher=job.teacher)
    with bar, (folder / "log.jsonl").open("a") as log:
        task = bar.add_task("", total=plan.steps, loss=float("nan"), left="?")

        def report(step: int, value: float, left: float) -> None:
            bar.update(task, completed=step, loss=value, left=f"{left / 60:.0f} min")
            if step % 10 == 0 or step == plan.steps:
                log.write(json.dumps({"step": step, "loss": round(value, 4)}) + "\n")
                log.flush()

        try:
            return loop.fit(job.model, job.loss, job.text, plan, folder, report)
        except KeyboardInterrupt:
            said = f"stopped; the same command continues from the last saved step in {folder}"
            print(said, file=sys.stderr)
            raise
