"""Planted bugs and controls of kernels that take logits and a temperature."""

import torch
from torch import Tensor

from ...adapters.reference import Rejection
from ..contract import LogitsKernel
from . import Bug, Control
from .rules import OURS


class Softmaxed(LogitsKernel):
    """Right: the distributions, then rejection sampling. Subclasses override one part."""

    name = "softmaxed"

    def verify_logits(
        self,
        target: Tensor,
        proposed: Tensor | None,
        draft: Tensor,
        temperature: Tensor,
        seed: int,
    ) -> Tensor:
        p = self.target_law(target, temperature)
        q = None if proposed is None else self.draft_law(proposed, temperature)
        return Rejection().verify(p, q, draft, seed)

    def target_law(self, target: Tensor, temperature: Tensor) -> Tensor:
        return _law(target, temperature)

    def draft_law(self, proposed: Tensor, temperature: Tensor) -> Tensor:
        return _law(proposed, temperature, greedy=False)


def _law(logits: Tensor, temperature: Tensor, greedy: bool = True) -> Tensor:
    """[B,N,V]. At temperature 0 the largest logit alone; of a draft, whatever was proposed."""
    rows = temperature[:, None, None]
    law = (logits / torch.where(rows > 0, rows, 1.0)).softmax(2)
    if not greedy:
        return law
    best = torch.zeros_like(law).scatter_(2, logits.argmax(2, keepdim=True), 1.0)
    return torch.where(rows > 0, law, best)


class FirstRowsTemperature(Softmaxed):
    """The temperature of the first row is every row's."""

    def target_law(self, target: Tensor, temperature: Tensor) -> Tensor:
        return _law(target, temperature[:1].expand(len(target)))


class DraftUntempered(Softmaxed):
    """q is the softmax of the draft's logits, at no temperature."""

    def draft_law(self, proposed: Tensor, temperature: Tensor) -> Tensor:
        return _law(proposed, torch.ones_like(temperature))


class NearlyGreedy(Softmaxed):
    """Temperature 0 is taken for a small one."""

    def target_law(self, target: Tensor, temperature: Tensor) -> Tensor:
        return _law(target, temperature.clamp(min=0.1))


class TiesToTheLast(Softmaxed):
    """Of equal logits at temperature 0 the highest id is taken."""

    def target_law(self, target: Tensor, temperature: Tensor) -> Tensor:
        return _law(target.flip(2), temperature).flip(2)


LOGITS_BUGS = (
    Bug(
        "temperature-of-the-first-row",
        24,
        OURS,
        "batching",
        "a request's temperature is its neighbour's",
        "kernel.joint",
        FirstRowsTemperature,
    ),
    Bug(
        "draft-logits-untempered",
        2,
        OURS,
        "verify",
        "at other temperatures than 1 what the draft likes comes too often",
        "kernel.joint",
        DraftUntempered,
    ),
    Bug(
        "small-temperature-for-0",
        16,
        OURS,
        "numerics",
        "greedy texts differ now and then",
        "kernel.greedy",
        NearlyGreedy,
    ),
)
LOGITS_CONTROLS = (
    Control(
        "softmax-of-logits", "p is the softmax of the logits at each row's temperature", Softmaxed
    ),
    Control("softmax, ties to the highest id", "a convention", TiesToTheLast),
)
