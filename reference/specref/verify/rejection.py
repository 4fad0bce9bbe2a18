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
    coins = chance.accept(ratios(draft, p).clamp(max=1), draft.valid)  # [B,N]
    return first_rejection(draft, p, coins, chance)


def ratios(draft: Draft, p: Tensor) -> Tensor:
    """p(x) / q(x) of every draft token, [B,N]; p(x) where x was proposed with certainty."""
    ratio = p[:, : draft.tokens.shape[1]].gather(2, draft.index)[..., 0]  # [B,N]
    if draft.q is None:
        return ratio
    return ratio / draft.q.gather(2, draft.index)[..., 0]


def first_rejection(draft: Draft, p: Tensor, coins: Tensor, chance: Chance) -> Verdict:
    """Keep the tokens before the first tails of coins [B,N]; then draw from the residual there, or
    from the bonus row where there is none.
    """
    batch, count = draft.tokens.shape
    path = torch.arange(count, device=p.device).expand(batch, count)  # [B,N]
    accepted = coins.cumprod(1).sum(1)  # [B]
    rows = torch.arange(batch, device=p.device)  # [B]
    after = p[rows, accepted]  # [B,V]: p of the first rejected token, or of the bonus token
    if not count:
        return Verdict(path, accepted, chance.draw(after))
    rejected = (accepted < draft.lengths)[:, None]  # [B,1]
    rest = residual(after, q_at(draft, accepted.clamp(max=count - 1), p))  # [B,V]
    return Verdict(path, accepted, chance.draw(torch.where(rejected, rest, after)))


def q_at(draft: Draft, node: Tensor, p: Tensor) -> Tensor:
    """q of one node [B] of each row, [B,V]; a point mass where it was proposed with certainty."""
    rows = torch.arange(len(node), device=node.device)  # [B]
    if draft.q is not None:
        return draft.q[rows, node]
    return torch.zeros_like(p[:, 0]).scatter_(1, draft.index[rows, node], 1)
