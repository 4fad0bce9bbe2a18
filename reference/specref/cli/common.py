"""What several commands share: the bundled checkpoints, arguments with one meaning, progress, and
the result file.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from ..data import SamplingParams, SpecrefError
from ..model.checkpoint import load, replace
from ..model.transformer import Transformer

BUNDLED = Path(__file__).parents[1] / "checkpoints"


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result here")


def add_models(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--target",
        type=Path,
        default=BUNDLED / "target",
        metavar="DIR",
        help="checkpoint of the target, Hugging Face Llama layout (default: the bundled one)",
    )
    parser.add_argument(
        "--draft",
        type=Path,
        default=None,
        metavar="DIR",
        help="checkpoint of the draft (default: the bundled one for the bundled target)",
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    parser.add_argument(
        "--dtype",
        choices=("float32", "bfloat16", "float16", "float64"),
        default="float32",
        help=(
            "type that both models are computed in, whatever they are stored in (default: float32)"
        ),
    )


def add_sampling(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--temperature", type=float, default=1.0, help="0 is greedy (default: 1)")
    parser.add_argument("--top-k", type=int, default=0)
    parser.add_argument("--top-p", type=float, default=1.0)
    parser.add_argument("--min-p", type=float, default=0.0)
    parser.add_argument("--max-new-tokens", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)


def sampling(args: argparse.Namespace, **more: Any) -> SamplingParams:
    return SamplingParams(
        temperature=args.temperature,
        top_k=args.top_k,
        top_p=args.top_p,
        min_p=args.min_p,
        max_new_tokens=args.max_new_tokens,
        seed=args.seed,
        **more,
    )


def load_models(args: argparse.Namespace) -> tuple[Transformer, Transformer | None]:
    """Target and draft as the arguments name them; no draft when only a target of one's own was
    given.
    """
    if args.device.split(":")[0] not in ("cpu", "cuda"):
        raise SpecrefError(f"--device {args.device} is not known: use cpu or cuda")
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        raise SpecrefError("no CUDA device is here: use --device cpu")
    dtype = getattr(torch, args.dtype)
    target = load(args.target, dtype, args.device)
    draft = args.draft
    if draft is None and args.target == BUNDLED / "target":
        draft = BUNDLED / "draft"
    return target, None if draft is None else load(draft, dtype, args.device)


def bytes_only(target: Transformer, command: str) -> None:
    """Refuse a target that does not read held-out text, which comes as bytes."""
    if target.config.vocab_size != 256:
        raise SpecrefError(
            f"{command} reads held-out text as bytes and this target has {target.config.vocab_size}"
            " tokens: give one of 256"
        )


def writable(path: Path | None) -> None:
    """Find out before the work, not after it, that a result cannot be written."""
    if path is None:
        return
    folder = path.parent
    if path.is_dir():
        raise SpecrefError(f"{path} is a folder: give a file to write")
    if not folder.is_dir():
        raise SpecrefError(
            f"cannot write {path}, the folder {folder} does not exist: create it first"
        )
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise SpecrefError(f"cannot write {path}: choose another place")


def write_result(path: Path | None, command: str, result: dict[str, Any]) -> None:
    """A result file: command, commit, machine, versions, then the result; replaced in one move."""
    if path is None:
        return
    full = {
        "command": command,
        "commit": commit(),
        "machine": machine(),
        "versions": versions(),
    } | result
    try:
        replace(path, lambda part: part.write_text(json.dumps(full, indent=1) + "\n"))
    except OSError as error:
        raise SpecrefError(
            f"cannot write {path} ({error.strerror}): choose another place"
        ) from None


def commit() -> str | None:
    """The commit of the source tree that runs, with a + when it was edited since; None for an
    installed package.
    """

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(BUNDLED.parent), *words], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "data.py")
        return git("rev-parse", "HEAD") + (
            "+" if git("status", "--porcelain", "--untracked-files=no") else ""
        )
    except (OSError, subprocess.CalledProcessError):
        return None


def machine() -> dict[str, Any]:
    """Processor, cores and accelerator; nothing that names a host or a person."""
    cpu = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": gpu,
        "system": platform.system(),
    }


def versions() -> dict[str, str]:
    return {"python": platform.python_version(), "torch": torch.__version__}


def interactive() -> bool:
    """Whether progress has somebody to look at it."""
    return sys.stderr.isatty()


def say(line: str) -> None:
    """One line of progress, for whoever looks."""
    if interactive():
        print(line, file=sys.stderr)
