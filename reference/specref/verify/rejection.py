"""Speculative sampling: accept x with probability min(1, p(x)/q(x)), else draw from max(p - q, 0).

Leviathan et al. 2023 (arXiv:2211.17192), Algorithm 1; Chen et al. 2023 (arXiv:2302.01318),
Algorithm 2.
Lossless: the emitted tokens have the target's distribution, whatever q is (proofs T1, T4).
"""

import torch
from torch import Tensor

from ..chance import Chance
from ..checks import check
from ..data import Draft, Verdict, residual, rows_at


def rejection(draft: Draft, p: Tensor, chance: Chance) -> Verdict:
    """Judge a chain token by token.

    Args:
        draft: a chain of N tokens with their distributions q [B,N,V]; q None means that x was
            proposed with certainty, and then the ratio is p(x) and the residual is p without x.
        p: [B,N+1,V], row 0 after the context, row i + 1 after draft token i.
    Returns:
        Verdict; its path is the accepted prefix.
    """
    check(draft, p)
    batch, count = draft.tokens.shape
    x = draft.index  # [B,N,1]
    ratio = p[:, :count].gather(2, x)[..., 0]  # [B,N]
    if draft.q is not None:
        ratio = ratio / draft.q.gather(2, x)[..., 0]
    coins = chance.accept(ratio.clamp(max=1), draft.valid) if count else ratio.bool()
    accepted = coins.cumprod(1).sum(1)  # [B]: the run of heads before the first tail
    distribution = rows_at(p, accepted)  # [B,V]
    if count:
        distribution = torch.where(
            (accepted < draft.lengths)[:, None],
            residual(distribution, _rejected_q(draft, accepted, p)),
            distribution,
        )
    path = torch.arange(count, device=p.device).expand(batch, count)
    return Verdict(path, accepted, chance.draw(distribution))


def _rejected_q(draft: Draft, accepted: Tensor, p: Tensor) -> Tensor:
    """q of the first rejected token, [B,V]; a point mass where it was proposed with certainty."""
    index = accepted.clamp(max=draft.tokens.shape[1] - 1)
    if draft.q is not None:
        return rows_at(draft.q, index)
    return torch.zeros_like(p[:, 0]).scatter_(1, rows_at(draft.index, index), 1)
