"""The target and what drafts for it, as the arguments name them."""

import argparse
from pathlib import Path

import torch

from ...draft.medusa import MedusaHeads
from ...draft.mtp import MTPModule
from ...errors import SpecrefError
from ...model.checkpoint import load
from ...model.transformer import Transformer
from ...train.auxiliary import load_medusa_heads, load_mtp_module
from ..arguments import BUNDLED, require_at_least


def load_models(args: argparse.Namespace) -> tuple[Transformer, Transformer | None]:
    """Target and draft; no draft when only a target of the user's own was given."""
    if args.device.split(":")[0] not in ("cpu", "cuda"):
        raise SpecrefError(f"--device {args.device} is not known: use cpu or cuda")
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        raise SpecrefError("no CUDA device was found: use --device cpu")
    dtype = getattr(torch, args.dtype)
    target = load(args.target, dtype, args.device)
    draft = draft_folder(args)
    return target, None if draft is None else load(draft, dtype, args.device)


def load_pair(args: argparse.Namespace, command: str) -> tuple[Transformer, Transformer]:
    """Target and draft, for a command that cannot do without a draft and reads held-out text."""
    target, draft = load_models(args)
    require_bytes(target, command)
    if draft is None:
        raise SpecrefError(f"{command} needs a draft: give --draft DIR")
    return target, draft


def draft_folder(args: argparse.Namespace) -> Path | None:
    if args.draft is None and args.target == BUNDLED / "target":
        return BUNDLED / "draft"
    return args.draft


def require_bytes(target: Transformer, command: str) -> None:
    """Refuse a target that does not read held-out text, which comes as bytes."""
    if target.config.vocab_size != 256:
        raise SpecrefError(
            f"{command} reads held-out text as bytes and this target has {target.config.vocab_size}"
            " tokens: give one of 256"
        )


MOST_THREADS = 1024


def set_threads(args: argparse.Namespace) -> None:
    """As --threads says; 1 by default for the bundled target, for which it is fastest."""
    require_at_least(args, 1, "threads")
    if args.threads is not None and args.threads > MOST_THREADS:
        raise SpecrefError(
            f"--threads {args.threads} is not possible: give {MOST_THREADS} or fewer"
        )
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    elif args.target == BUNDLED / "target":
        torch.set_num_threads(1)


def load_heads(folder: Path, target: Transformer) -> MedusaHeads:
    """Heads that fit the target.

    Errors:
        SpecrefError: not there, damaged, or trained on a target of another width or vocabulary.
    """
    heads = load_medusa_heads(folder, target.dtype, target.device)
    width, vocabulary = heads.out.shape[1:]
    config = target.config
    if (width, vocabulary) != (config.hidden_size, config.vocab_size):
        raise SpecrefError(
            f"the heads in {folder} are for a width of {width} and {vocabulary} tokens, the target"
            f" has {config.hidden_size} and {config.vocab_size}: give --medusa DIR with heads"
            " trained on this target"
        )
    return heads


def load_module(folder: Path, target: Transformer) -> MTPModule:
    """An MTP module that fits the target; errors as `load_heads`."""
    module = load_mtp_module(folder, target.dtype, target.device)
    if module.config.hidden_size != target.config.hidden_size:
        raise SpecrefError(
            f"the module in {folder} is for a width of {module.config.hidden_size}, the target has "
            f"{target.config.hidden_size}: give --mtp DIR with a module trained on this target"
        )
    return module
