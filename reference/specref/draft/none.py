"""Proposes nothing: the flow is then plain decoding, one token for each target forward."""

from torch import Tensor

from ..chance import Chance
from ..data import Draft
from .base import Drafter, Text, no_draft


class NoDrafter(Drafter):
    """The target alone."""

    def propose(self, text: Text, budget: Tensor, chance: Chance) -> Draft:
        return no_draft(len(budget))
