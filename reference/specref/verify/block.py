"""Block verification: judge the draft as a whole instead of token by token.

Sun et al. 2024 (arXiv:2403.10444), Algorithm 2.
Lossless (proof T9). It accepts at least as many tokens in expectation as the token-wise rule: a
later token can save a prefix that the token-wise rule would have cut. That no lossless rule accepts
more is the paper's theorem; it is not proved here.
"""

import torch
from torch import Tensor

from ..chance import Chance
from ..checks import check_judgeable
from ..data import Draft, Verdict
from .residual import residual


def block(draft: Draft, p: Tensor, chance: Chance) -> Verdict:
    """Judge a chain by its longest accepted prefix.

    Args:
        draft: a chain of N tokens with q [B,N,V], or q None for tokens proposed with certainty.
        p: [B,N+1,V], row 0 after the context, row i + 1 after draft token i.
    Returns:
        Verdict; its path is the accepted prefix.
    """
    check_judgeable(draft, p)
    batch, count = draft.tokens.shape
    path = torch.arange(count, device=p.device).expand(batch, count)  # [B,N]
    if not count:
        return Verdict(path, draft.lengths, chance.draw(p[:, 0]))
    q = draft.q  # [B,N,V]
    if q is None:
        q = torch.zeros_like(p[:, :count])
        q.scatter_(2, draft.index, 1)  # point masses
    weight = _weights(draft, p, q)  # [B,N+1]: p_i of the paper, for i = 0..N
    coins = chance.accept(_chances(draft, p, q, weight), draft.valid)  # [B,N]
    length = path + 1  # [B,N]: 1..N
    accepted = (coins * length).amax(1)  # [B]: the longest prefix whose coin said yes
    rows = torch.arange(batch, device=p.device)  # [B]
    node = accepted.clamp(max=count - 1)  # [B]: the first rejected node
    bonus = p[rows, accepted]  # [B,V]
    scale = weight[rows, accepted]  # [B]
    scaled = scale[:, None] * bonus  # [B,V]
    rest = residual(scaled, q[rows, node])  # [B,V]
    rejected = (accepted < draft.lengths)[:, None]  # [B,1]
    distribution = torch.where(rejected, rest, bonus)  # [B,V]
    return Verdict(path, accepted, chance.draw(distribution))


def _chances(draft: Draft, p: Tensor, q: Tensor, weight: Tensor) -> Tensor:
    """The probability with which each prefix of a row is kept, [B,N]: h_i of the paper, and p_N
    for the whole draft.

    Args:
        p: [B,N+1,V]. q: [B,N,V]. weight: [B,N+1], of `_weights`.
    """
    before = weight[:, :-1]  # [B,N]: p_0..p_{N-1}
    excess = before[..., None] * p[:, :-1] - q  # [B,N,V]
    mass = excess.clamp(min=0).sum(-1)  # [B,N]: of the residual after i tokens, 0 <= i < N
    total = mass + 1 - before  # [B,N]
    # h_i, and 1 where it is 0/0: then p_i = 1 and the coins of later tokens are certain
    keep = torch.where(total > 0, mass / total, 1.0)  # [B,N]: h_0..h_{N-1}
    end = weight[:, -1:]  # [B,1]: p_N
    after = torch.cat((keep[:, 1:], end), 1)  # [B,N]: h_1..h_{N-1}, p_N
    length = torch.arange(1, weight.shape[1], device=p.device)  # [N]
    last = length == draft.lengths[:, None]  # [B,N]: the last token of a row that is shorter
    return torch.where(last, weight[:, 1:], after).clamp(0, 1)


def _weights(draft: Draft, p: Tensor, q: Tensor) -> Tensor:
    """p_0 = 1, p_i = min(1, p_{i-1} p(x_i) / q(x_i)): [B,N+1]. Padding repeats the last one."""
    x = draft.index  # [B,N,1]
    count = draft.tokens.shape[1]
    p_x = p[:, :count].gather(2, x)[..., 0]  # [B,N]
    q_x = q.gather(2, x)[..., 0]  # [B,N]
    ratio = p_x / q_x  # [B,N]; in the padding anything, NaN too
    ratio = torch.where(draft.valid, ratio, 1.0)
    weight = torch.ones_like(ratio[:, 0])  # [B]
    weights = [weight]
    for i in range(count):
        weight = (weight * ratio[:, i]).clamp(max=1)  # [B]
        weights.append(weight)
    return torch.stack(weights, 1)  # [B,N+1]
