"""Sampler match: draw from p as if there were no draft, and go on while the draw equals the draft
token.

The simplest lossless rule (proof T11) and the control of the judge: right, though q plays no part
in it. It accepts x with probability p(x), so on average sum p(x) q(x), less than the sum min(p, q)
of rejection sampling.
"""

import torch
from torch import Tensor

from ..chance import Chance
from ..checks import check
from ..data import Draft, Verdict


def matching(draft: Draft, p: Tensor, chance: Chance) -> Verdict:
    """Judge a chain by the target's own draws.

    Args:
        draft: a chain of N tokens; its q is not looked at. p: [B,N+1,V], row 0 after the context.
    Returns:
        Verdict; its path is the accepted prefix.
    """
    check(draft, p)
    batch, count = draft.tokens.shape
    accepted = torch.zeros(batch, dtype=torch.int64, device=p.device)
    next_token = torch.zeros_like(accepted)
    going = torch.ones(batch, dtype=torch.bool, device=p.device)
    for i in range(count + 1):
        token = chance.draw(p[:, i], going)
        next_token = torch.where(going, token, next_token)
        if i < count:
            going = going & (i < draft.lengths) & (token == draft.tokens[:, i])
            accepted = accepted + going
    return Verdict(torch.arange(count, device=p.device).expand(batch, count), accepted, next_token)
