"""Medusa heads and MTP modules that `specref train` wrote, and how a training begins with them."""

from pathlib import Path
from typing import Any

import torch

from ..draft.medusa import MedusaHeads
from ..draft.mtp import MTPModule
from ..model.auxiliary import load_auxiliary
from ..model.config import Config


def load_medusa_heads(
    folder: Path | str, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> MedusaHeads:
    """Heads that `specref train medusa` wrote; errors as `load_auxiliary`."""

    def make(settings: dict[str, Any]) -> MedusaHeads:
        return MedusaHeads(**settings)

    return load_auxiliary(folder, "medusa", make, dtype, device)


def load_mtp_module(
    folder: Path | str, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> MTPModule:
    """A module that `specref train mtp` wrote; errors as `load_auxiliary`."""

    def make(settings: dict[str, Any]) -> MTPModule:
        return MTPModule(Config(**settings))

    return load_auxiliary(folder, "mtp", make, dtype, device)


@torch.no_grad()
def begin_with(module: MTPModule, other: MTPModule) -> None:
    """Give `module` the weights of `other`, which has at most as many MLP units.

    The units that `other` lacks keep their input weights and get output weights of 0, so that both
    modules compute the same.
    """
    units = other.config.intermediate_size
    own = module.state_dict()  # shares memory with the parameters
    for name, value in other.state_dict().items():
        if name.endswith(("gate_proj.weight", "up_proj.weight")):
            own[name][:units] = value
        elif name.endswith("down_proj.weight"):
            own[name][:, units:] = 0
            own[name][:, :units] = value
        else:
            own[name].copy_(value)
