"""Greedy verification: accept a draft token iff the target itself would have chosen it.

Stern et al. 2018 (arXiv:1811.03115).
Lossless at temperature 0: the output is the target's greedy text for any drafter (proof T6).
"""

import torch
from torch import Tensor

from ..chance import Chance
from ..checks import check_judgeable
from ..data import Draft, Verdict


def greedy(draft: Draft, p: Tensor, chance: Chance) -> Verdict:
    """Judge a chain by argmax, ties to the lowest id; asks nothing of chance.

    Args:
        draft: a chain of N tokens. p: [B,N+1,V], row 0 after the context, row i + 1 after draft
            token i.
    Returns:
        Verdict; its path is the accepted prefix.
    """
    check_judgeable(draft, p)
    batch, count = draft.tokens.shape
    choice = p.argmax(-1)  # [B,N+1]
    same = (draft.tokens == choice[:, :count]) & draft.valid  # [B,N]
    accepted = same.cumprod(1).sum(1)  # [B]: equal tokens before the first other one
    path = torch.arange(count, device=p.device).expand(batch, count)  # [B,N]
    next_token = choice[torch.arange(batch, device=p.device), accepted]  # [B]
    return Verdict(path, accepted, next_token)
