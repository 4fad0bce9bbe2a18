"""Canonical decomposition for two candidates: choose one by weights, then judge it by p over the
distribution of the choice.

Khisti et al. 2025 (arXiv:2410.18234), Theorem 1: the best rule for several candidates is importance
sampling, which picks one of them, and then speculative sampling against the distribution p_I of the
picked one. Lossless with any weights; those of `pair_weights.py` reach the bound for two
independent draws from one q. They cost V^2 a node: for small vocabularies (the paper truncates
larger ones).
"""

import torch
from torch import Tensor

from ..chance import Chance
from ..checks import check_judgeable
from ..data import Draft, SpecrefError, Verdict
from .nodes import first_of
from .pair_weights import pair_weights
from .residual import residual
from .walk import same_q, walk


def canonical(draft: Draft, p: Tensor, chance: Chance) -> Verdict:
    """Judge a tree whose nodes have two children at most, drawn with replacement.

    Args:
        draft: N nodes; siblings share one q. p: [B,N+1,V], row 0 after the context, row i + 1 after
            node i.
    Returns:
        Verdict; its path is the walk.
    Errors:
        SpecrefError for a third child, and where siblings were drawn from different distributions.
    """
    check_judgeable(draft, p, chain=False)
    return walk(draft, p, chance, _select)


def _select(draft: Draft, children: Tensor, p: Tensor, chance: Chance) -> tuple[Tensor, Tensor]:
    """The picked child if it is accepted, and what is left of p [B,V] where it is not."""
    if int(children.sum(1).max()) > 2:
        raise SpecrefError("a node has a third child: canonical judges two, the tree rule any")
    q = same_q(draft, children, p)  # [B,V]
    first = first_of(children)  # [B]
    second = first_of(
        children & (torch.arange(children.shape[1], device=p.device) > first[:, None])
    )  # [B]
    rows, x = torch.arange(len(p), device=p.device), draft.index[..., 0]  # [B], [B,N]
    picked = q  # [B,V]: p_I, the distribution of the picked token
    two = second >= 0  # [B]
    if bool(two.any()):
        win = pair_weights(p, q)  # [B,V,V]
        picked = torch.where(two[:, None], 2 * q * (win @ q[..., None])[..., 0], q)
        a, b = x[rows, first.clamp(min=0)], x[rows, second.clamp(min=0)]  # [B]
        differ = two & (a != b)  # [B]: two equal candidates are one
        stays = chance.accept(win[rows, a, b][:, None], differ[:, None])[:, 0]  # [B]
        first = torch.where(differ & ~stays, second, first)
    token = x[rows, first.clamp(min=0)][:, None]  # [B,1]
    ratio = (p.gather(1, token) / picked.gather(1, token)).clamp(max=1)  # [B,1]
    kept = chance.accept(ratio, children.any(1)[:, None])[:, 0]  # [B]
    return torch.where(kept, first, -1), residual(p, picked)
