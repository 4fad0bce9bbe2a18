"""Which of two candidates to pick, so that the picked token is as near to p as it can be.

The weights that Khisti et al. 2025 (arXiv:2410.18234) get from a linear program, for two
independent draws from one q, found without one. A pair {i, j} has mass 2 q_i q_j, to be divided
between i and j. Token by token, i takes from its pairs what it needs to reach p_i, or all there is.
It takes from the tokens whose need, left / q, is lowest; so the needs that remain are as level as
they can be, and no other division leaves more for a later token to take. tests/verify compares the
result with the linear program.
"""

import torch
from torch import Tensor

_HALVINGS = 60


def pair_weights(p: Tensor, q: Tensor) -> Tensor:
    """win [B,V,V]: win[i,j] is the probability to pick i of the candidates i and j; 1/2 at i = j.

    Args:
        p: [B,V]. q: [B,V].
    """
    win = torch.full_like(p[:, :, None] * q[:, None], 0.5)  # [B,V,V]
    left = p.clone()  # [B,V]: what each token still needs
    for i in range(p.shape[1] - 1):
        own, later = q[:, i : i + 1], slice(i + 1, None)  # [B,1]
        others = q[:, later]  # [B,R]: of the tokens not yet settled
        pairs = 2 * own * others  # [B,R]: the mass of each pair
        all_pairs = pairs.sum(1, keepdim=True)  # [B,1]
        wanted = left[:, i : i + 1] - own**2  # [B,1]; the pair {i, i} is its own
        taken = torch.minimum(wanted.clamp(min=0), all_pairs)  # [B,1]
        need = torch.where(others > 0, left[:, later] / others, 0.0)  # [B,R]
        lost = _levelled(need, others, 2 * own, all_pairs - taken)  # [B,R]: the others' shares
        left[:, later] -= pairs * lost
        win[:, i, later] = 1 - lost
        win[:, later, i] = lost
    return win


def _levelled(need: Tensor, q: Tensor, step: Tensor, mass: Tensor) -> Tensor:
    """Shares [B,R] in [0,1] that give away `mass` [B,1], each q step share, to the largest needs,
    so that the needs left, need - step share, are as level as can be.
    """
    low = need.amin(1, keepdim=True) - step  # [B,1]
    high = need.amax(1, keepdim=True)  # [B,1]
    for _ in range(_HALVINGS):
        level = (low + high) / 2  # [B,1]
        share = _above(need, level, step)  # [B,R]
        given = (q * step * share).sum(1, keepdim=True)  # [B,1]
        enough = given >= mass  # [B,1]
        low = torch.where(enough, level, low)
        high = torch.where(enough, high, level)
    return _above(need, low, step)


def _above(need: Tensor, level: Tensor, step: Tensor) -> Tensor:
    """How far each need is above the level, in steps, cut to [0,1]: [B,R]."""
    steps = (need - level) / step  # [B,R]; NaN where step is 0
    return torch.where(step > 0, steps, 0.5).clamp(0, 1)
