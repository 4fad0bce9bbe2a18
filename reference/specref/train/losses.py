"""What Medusa's heads and an MTP module are trained with: the distance from a target's own
distributions.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ..draft.medusa import MedusaHeads
from ..draft.mtp import MTPModule
from ..model.transformer import Transformer
from .distillation import Teacher, Unrolled, distance


def medusa_loss(heads: MedusaHeads, target: Transformer | Teacher) -> Callable[[Tensor], Tensor]:
    """KL(p || head k) with p the target's distribution k + 1 positions further on, in nats.

    Source: Medusa (Cai et al. 2024, arXiv:2401.10774), section 2.2.1, with the target's
    distributions in place of the text's tokens.

    Returns:
        a loss: rows [B,C+1] int64 -> scalar, the mean over heads and positions.
    """
    count = len(heads.block)  # K

    def loss(rows: Tensor) -> Tensor:
        with torch.no_grad():
            output = target(rows[:, :-1])
            p = output.logits.float().softmax(-1)  # [B,C,V]: row i after token i
        logq = heads(output.hidden).float().log_softmax(-1)  # [B,C,K,V]
        parts = []
        for k in range(count):
            want, got = p[:, k + 1 :], logq[:, : -k - 1, k]  # [B,C-k-1,V]
            parts.append((torch.xlogy(want, want) - want * got).sum(-1).mean())
        return torch.stack(parts).sum() / count

    return loss


def mtp_loss(
    module: MTPModule, target: Transformer | Teacher, depth: int = 7, apart: int = 8
) -> Callable[[Tensor], Tensor]:
    """The distance of the module's distributions from the target's at every depth of a draft.

    The first pass reads the target's states everywhere. From every `apart`-th position a chain goes
    on from its own states, as it does when it drafts. A depth weighs as much as the tokens that
    depend on it when 85 % of each depth are accepted: 1 + 0.85 + ... to the draft's end.

    Source: training-time test of EAGLE-3 (Li et al. 2025, arXiv:2503.01840), section 3.2.

    Returns:
        a loss: rows [B,C+1] int64 -> scalar.
    """
    weights = []
    for k in range(depth):
        weights.append(sum(0.85**d for d in range(k, depth)))

    def loss(rows: Tensor) -> Tensor:
        with torch.no_grad():
            output = target(rows[:, :-1])  # hidden [B,C,E]
            p = output.logits.float().softmax(-1)  # [B,C,V]: row i after token i
            embedded = target.embedding(rows)  # [B,C+1,E]
        brought = module.brought(embedded)  # [B,C+1,E]
        # another offset in every batch, and the same one when a run is resumed
        offset = int(rows.sum()) % apart
        anchors = torch.arange(offset, rows.shape[1] - depth - 1, apart)  # [A]
        cache = Unrolled(len(module.blocks), anchors)
        states = module(output.hidden[:, :-1], brought[:, 1:-1], cache)  # [B,C-1,E]
        total = weights[0] * distance(p[:, 1:], target.logits(states))
        states = states[:, anchors]  # [B,A,E]
        # a chain's state has read the tokens up to its anchor + k, and guesses the next but one
        for k in range(1, depth):
            states = module(states, brought[:, anchors + k + 1], cache)  # [B,A,E]
            total = total + weights[k] * distance(p[:, anchors + k + 1], target.logits(states))
        return total / sum(weights)

    return loss
