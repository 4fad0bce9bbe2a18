"""Sampler match: draw from p as if there were no draft; go on while the draw is the draft token.

The simplest lossless rule (proof T11), used by the judge as a control. q plays no part in it. It
accepts x with probability p(x), on average sum p(x) q(x). Rejection sampling accepts more:
sum min(p, q).
"""

import torch
from torch import Tensor

from ..chance import Chance
from ..checks import check_judgeable
from ..data import Draft, Verdict


def matching(draft: Draft, p: Tensor, chance: Chance) -> Verdict:
    """Judge a chain by the target's own draws.

    Args:
        draft: a chain of N tokens; its q is not used. p: [B,N+1,V], row 0 after the context, row
            i + 1 after draft token i.
    Returns:
        Verdict; its path is the accepted prefix.
    """
    check_judgeable(draft, p)
    batch, count = draft.tokens.shape
    accepted = torch.zeros(batch, dtype=torch.int64, device=p.device)  # [B]
    next_token = torch.zeros_like(accepted)  # [B]
    going = torch.ones(batch, dtype=torch.bool, device=p.device)  # [B]
    for i in range(count + 1):
        token = chance.draw(p[:, i], going)  # [B]
        next_token = torch.where(going, token, next_token)
        if i < count:
            going = going & (i < draft.lengths) & (token == draft.tokens[:, i])  # [B]
            accepted = accepted + going
    path = torch.arange(count, device=p.device).expand(batch, count)  # [B,N]
    return Verdict(path, accepted, next_token)
