"""The Gumbel coupling: draft and target as if both were drawn with the same Gumbel noise.

Daliri et al. 2024 (arXiv:2408.07978): X = argmin E_i / q_i and Y = argmin E_i / p_i share the
exponential times E_i, so neither model needs the other's distribution, and the text depends on the
seed alone, whatever drafts. Here the noise is integrated out: given the draft token x, what is
emitted has the coupling's exact conditional distribution. This rule shows the coupling's acceptance
and needs no shared noise; so it does not give the same text under another drafter.

With u = q / p and M(t) = sum max(q_i, t p_i): P(Y = x | x) = 1 / M(u_x), and for another token
P(Y = y | x) = p_y max(F(u_x) - F(u_y), 0), where F is the integral of 1 / M^2 from 0.
Lossless; it accepts at most sum min(p, q), and at least (1 - TV) / (1 + TV).
"""

import torch
from torch import Tensor

from ..chance import Chance
from ..checks import check_judgeable
from ..data import Draft, Verdict
from .rejection import q_at


def gumbel(draft: Draft, p: Tensor, chance: Chance) -> Verdict:
    """Judge a chain token by token.

    Args:
        draft: a chain of N tokens with their distributions q [B,N,V]; q None: point masses.
        p: [B,N+1,V], row 0 after the context, row i + 1 after draft token i.
    Returns:
        Verdict; its path is the accepted prefix.
    """
    check_judgeable(draft, p)
    count = draft.tokens.shape[1]
    accepted = torch.zeros_like(draft.lengths)  # [B]
    rest = p[:, 0]  # [B,V]
    for i in range(count):
        going = (accepted == i) & (i < draft.lengths)  # [B]
        x = draft.index[:, i]  # [B,1]
        node = torch.full_like(accepted, i)  # [B]
        mass, integral = _race(p[:, i], q_at(draft, node, p))  # [B,V] each
        same = 1 / mass.gather(1, x)  # [B,1]
        kept = chance.accept(same, going[:, None])  # [B,1]
        gain = integral.gather(1, x) - integral  # [B,V]
        other = p[:, i] * gain.clamp(min=0)  # [B,V]
        some = other.sum(1, keepdim=True) > 0  # [B,1]: else p = q, and only rounding can reject
        other = torch.where(some, other, p[:, i])  # [B,V]
        rest = torch.where(going[:, None], other, rest)
        rest = torch.where(kept, p[:, i + 1], rest)
        accepted = accepted + kept[:, 0]
    path = torch.arange(count, device=p.device).expand_as(draft.tokens)  # [B,N]
    return Verdict(path, accepted, chance.draw(rest))


def _race(p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    """M and F of the module's text at u = q / p of every token, [B,V] each. u, M: inf at p = 0."""
    p = p / p.sum(-1, keepdim=True)  # [B,V]: float32 misses 1 by more than F may
    q = q / q.sum(-1, keepdim=True)  # [B,V]
    u, order = torch.where(p > 0, q / p, torch.inf).sort(-1)  # [B,V], [B,V]
    p, q = p.gather(1, order), q.gather(1, order)  # [B,V], [B,V]
    p_below = p.cumsum(-1) - p  # [B,V]: sum of p over the tokens with a smaller u
    q_above = q.flip(-1).cumsum(-1).flip(-1)  # [B,V]: of q over this token and those behind it
    last = u.isinf()  # [B,V]
    mass = q_above + u * p_below  # [B,V]
    mass = torch.where(last, torch.inf, mass)
    start = torch.zeros_like(u[:, :1])  # [B,1]
    u_before = torch.cat((start, u[:, :-1]), 1)  # [B,V]
    mass_before = torch.cat((q_above[:, :1], mass[:, :-1]), 1)  # [B,V]
    # M is linear between neighbours; behind the last finite u its slope is 1
    piece = (u - u_before) / (mass_before * mass)  # [B,V]
    piece = torch.where(last, 1 / mass_before, piece)
    integral = piece.cumsum(-1)  # [B,V]
    back = order.argsort(-1)  # [B,V]
    return mass.gather(1, back), integral.gather(1, back)
