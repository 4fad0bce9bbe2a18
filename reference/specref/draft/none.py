"""Proposes nothing: the flow is then plain decoding, one token a target forward."""

import torch
from torch import Tensor

from ..chance import Chance
from ..data import Draft
from .base import Drafter, Text


class NoDrafter(Drafter):
    """Target alone."""

    def propose(self, text: Text, budget: Tensor, chance: Chance) -> Draft:
        return Draft.chain(torch.zeros(len(budget), 0, dtype=torch.int64))
