"""Speculative sampling: accept x with probability min(1, p(x)/q(x)), else draw from max(p - q, 0).

Leviathan et al. 2023 (arXiv:2211.17192), Algorithm 1; Chen et al. 2023 (arXiv:2302.01318),
Algorithm 2.
Lossless: the emitted tokens have the target's distribution, whatever q is (proofs T1, T4).
"""

import torch
from torch import Tensor

from ..chance import Chance
from ..checks import check_judgeable
from ..data import Draft, Verdict
from .residual import residual


def rejection(draft: Draft, p: Tensor, chance: Chance) -> Verdict:
    """Judge a chain token by token.

    Args:
        draft: a chain of N tokens with their distributions q [B,N,V]. q None: the tokens were
            proposed with certainty; the ratio is then p(x) and the residual is p without x.
        p: [B,N+1,V], row 0 after the context, row i + 1 after draft token i.
    Returns:
        Verdict; its path is the accepted prefix.
    """
    check_judgeable(draft, p)
    batch, count = draft.tokens.shape
    path = torch.arange(count, device=p.device).expand(batch, count)  # [B,N]
    if not count:
        return Verdict(path, draft.lengths, chance.draw(p[:, 0]))
    x = draft.index  # [B,N,1]
    ratio = p[:, :count].gather(2, x)[..., 0]  # [B,N]
    if draft.q is not None:
        ratio = ratio / draft.q.gather(2, x)[..., 0]  # [B,N]
    coins = chance.accept(ratio.clamp(max=1), draft.valid)  # [B,N]
    accepted = coins.cumprod(1).sum(1)  # [B]: accepted tokens before the first rejection
    rows = torch.arange(batch, device=p.device)  # [B]
    rejected = accepted < draft.lengths  # [B]
    after = p[rows, accepted]  # [B,V]: p of the first rejected token, or of the bonus token
    rest = residual(after, _q_at(draft, accepted.clamp(max=count - 1), p))  # [B,V]
    return Verdict(path, accepted, chance.draw(torch.where(rejected[:, None], rest, after)))


def _q_at(draft: Draft, node: Tensor, p: Tensor) -> Tensor:
    """q of one node [B] of each row, [B,V]; a point mass where it was proposed with certainty."""
    rows = torch.arange(len(node), device=node.device)  # [B]
    if draft.q is not None:
        return draft.q[rows, node]
    return torch.zeros_like(p[:, 0]).scatter_(1, draft.index[rows, node], 1)
