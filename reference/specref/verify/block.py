"""Block verification: judge the draft as a whole instead of token by token.

Sun et al. 2024 (arXiv:2403.10444), Algorithm 2. Lossless, and it accepts at least as many tokens in
expectation as the token-wise rule (proof T9; that no lossless rule accepts more is their theorem,
not proved here). A coin that falls late can save a prefix that the token-wise rule would have cut:
what an early token lacks in p/q, later tokens may make up for.
"""

import torch
from torch import Tensor

from ..chance import Chance
from ..checks import check
from ..data import Draft, Verdict, residual, rows_at


def block(draft: Draft, p: Tensor, chance: Chance) -> Verdict:
    """Judge a chain by its longest accepted prefix.

    Args:
        draft: a chain of N tokens with q [B,N,V], or q None for tokens proposed with certainty.
        p: [B,N+1,V], row 0 after the context, row i + 1 after draft token i.
    Returns:
        Verdict; its path is the accepted prefix.
    """
    check(draft, p)
    batch, count = draft.tokens.shape
    path = torch.arange(count, device=p.device).expand(batch, count)
    if not count:
        return Verdict(path, draft.lengths, chance.draw(p[:, 0]))
    q = (
        draft.q
        if draft.q is not None
        else torch.zeros_like(p[:, :count]).scatter_(2, draft.index, 1)
    )
    weight = _weights(draft, p, q)  # [B,N+1]: p_i of the paper, for i = 0..N
    # Mass still to give out after i tokens, sum_x max(p_i p(x) - q(x), 0), for 0 <= i < N.
    left = (weight[:, :count, None] * p[:, :count] - q).clamp(min=0).sum(-1)
    total = left + 1 - weight[:, :count]
    # h_i; nothing left and p_i = 1: later coins surely fall
    stop = torch.where(total > 0, left / total, 1.0)
    end = torch.arange(1, count + 1, device=p.device) == draft.lengths[:, None]
    # [B,N]: h_1..h_N
    chances = torch.where(end, weight[:, 1:], torch.cat((stop[:, 1:], weight[:, -1:]), 1))
    coins = chance.accept(chances.clamp(0, 1), draft.valid)
    # the longest prefix whose coin fell
    accepted = (coins * torch.arange(1, count + 1, device=p.device)).amax(1)
    whole = rows_at(p, accepted)
    after = accepted.clamp(max=count - 1)
    scaled = weight.gather(1, accepted[:, None]) * whole
    distribution = torch.where(
        (accepted < draft.lengths)[:, None], residual(scaled, rows_at(q, after)), whole
    )
    return Verdict(path, accepted, chance.draw(distribution))


def _weights(draft: Draft, p: Tensor, q: Tensor) -> Tensor:
    """p_0 = 1, p_i = min(1, p_{i-1} p(x_i) / q(x_i)): [B,N+1]. Padding keeps the last one."""
    x = draft.index
    count = draft.tokens.shape[1]
    ratio = torch.where(
        draft.valid, p[:, :count].gather(2, x)[..., 0] / q.gather(2, x)[..., 0], 1.0
    )
    weights = [torch.ones_like(ratio[:, 0])]
    for step in ratio.unbind(1):
        weights.append((weights[-1] * step).clamp(max=1))
    return torch.stack(weights, 1)
