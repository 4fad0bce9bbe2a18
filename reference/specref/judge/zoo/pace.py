"""A draft depth that is chosen too late: it depends on the draft tokens that it cuts."""

from dataclasses import replace

import torch
from torch import Tensor

from ...chance import Chance
from ...data import Draft
from ...draft.base import Drafter, Text
from ...draft.model import ModelDrafter
from ..subjects import Loop, Resting
from . import Bug, Control
from .trees import OURS


class LateCut(Resting):
    """Draws a whole draft, then cuts it before the first token with q below a half. The tokens that
    are left were not drawn from q.
    """

    def propose(self, text: Text, budget: Tensor, chance: Chance) -> Draft:
        draft = self.drafter.propose(text, budget, chance)
        if draft.q is None:
            return draft
        return replace(draft, lengths=_sure(draft, draft.q).sum(1))


class StopsAfter(LateCut):
    """Right: cuts behind the first token with q below a half. Whether there is a next token may
    depend on this one.
    """

    def propose(self, text: Text, budget: Tensor, chance: Chance) -> Draft:
        draft = self.drafter.propose(text, budget, chance)
        if draft.q is None:
            return draft
        return replace(
            draft, lengths=torch.minimum(_sure(draft, draft.q).sum(1) + 1, draft.lengths)
        )


def _sure(draft: Draft, q: Tensor) -> Tensor:
    """[B,N]: 1 for the leading tokens whose q is a half or more, then 0."""
    return ((q.gather(2, draft.index)[..., 0] >= 0.5) & draft.valid).long().cumprod(1)


class StopsAfterUnlikely(Loop):
    distribution = ""

    def drafter(self) -> Drafter:
        return StopsAfter(ModelDrafter(self.draft))


class CutsUnlikely(Loop):
    distribution = ""

    def drafter(self) -> Drafter:
        return LateCut(ModelDrafter(self.draft))


PACE_BUGS = (
    Bug(
        "draft-cut-by-its-own-tokens",
        61,
        OURS,
        "draft length",
        "tokens that the draft likes come out too often",
        "loop.joint",
        CutsUnlikely,
    ),
)
PACE_CONTROLS = (
    Control(
        "a draft that ends after an unlikely token",
        "the token stays in the draft",
        StopsAfterUnlikely,
    ),
)
