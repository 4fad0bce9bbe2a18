"""Auxiliary heads in and out of a folder: auxiliary.json and auxiliary.safetensors, never pickle.

Auxiliary heads are what is trained on top of a target: Medusa heads, an MTP module.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from ..data import SpecrefError
from ..outputs import write_text
from .checkpoint import read_json, save_tensors
from .fast import store_by_input

_M = TypeVar("_M", bound=nn.Module)


def save_auxiliary(
    module: nn.Module,
    folder: Path,
    kind: str,
    settings: dict[str, Any],
    dtype: torch.dtype = torch.float16,
) -> None:
    """Write a module and what rebuilds it. Files are replaced in one move."""
    tensors = {
        name: value.detach().to("cpu", dtype).contiguous()
        for name, value in module.state_dict().items()
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_tensors(folder / "auxiliary.safetensors", tensors)
        about = json.dumps({"kind": kind, "settings": settings}, indent=2)
        write_text(folder / "auxiliary.json", about + "\n")
    except OSError as error:
        raise SpecrefError(
            f"cannot write to {folder} ({error.strerror or error}): choose another folder"
        ) from None


def load_auxiliary(
    folder: Path | str,
    kind: str,
    make: Callable[[dict[str, Any]], _M],
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> _M:
    """Rebuild a module of this kind: `make` gets the settings and returns it untrained.

    Errors:
        SpecrefError: missing, of another kind, damaged, or not fitting.
    """
    folder = Path(folder)
    raw = read_json(folder / "auxiliary.json")
    if raw.get("kind") != kind:
        raise SpecrefError(
            f"{folder} holds {raw.get('kind')!r}, not {kind!r}: give the folder that "
            f"`specref train {kind}` wrote"
        )
    try:
        module = make(raw["settings"])
        tensors = load_file(folder / "auxiliary.safetensors")
        module.load_state_dict({name: value.float() for name, value in tensors.items()})
    except (SafetensorError, OSError, KeyError, TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise SpecrefError(
            f"{folder} is damaged ({reason}): train it again, or copy it again"
        ) from None
    return store_by_input(module.to(device, dtype).eval().requires_grad_(False))


def size_in_bytes(module: nn.Module) -> int:
    """Bytes of the parameters in the type they are held in."""
    return sum(parameter.numel() * parameter.element_size() for parameter in module.parameters())
