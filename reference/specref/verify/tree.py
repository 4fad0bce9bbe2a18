"""Recursive rejection over a tree: several guesses for the same place, tried one after the other.

SpecInfer (Miao et al. 2023, arXiv:2305.09781) draws siblings with replacement, Sequoia (Chen et al.
2024, arXiv:2402.12374) without. This rule serves both: q of a node is its distribution given its
earlier siblings, and a rejection replaces the rest r of the target by max(r - q, 0). With q None
(nodes chosen with certainty, as EAGLE's and Medusa's top-k trees are) a node is accepted with
probability r(x), and a rejection takes x out of r.
Lossless for any tree (proofs T5, T10). On a chain it is `rejection`.
"""

import torch
from torch import Tensor

from ..chance import Chance
from ..checks import check_judgeable
from ..data import Draft, Verdict
from .residual import residual


def tree(draft: Draft, p: Tensor, chance: Chance) -> Verdict:
    """Judge a tree by walking down from the context.

    Args:
        draft: N nodes, parents before children, siblings in the order in which they were drawn.
        p: [B,N+1,V], row 0 after the context, row i + 1 after node i.
    Returns:
        Verdict; its path is the walk.
    """
    check_judgeable(draft, p, chain=False)
    batch, count = draft.tokens.shape
    here = torch.full((batch,), -1, device=p.device)  # [B]: the node reached; -1 is the context
    accepted = torch.zeros(batch, dtype=torch.int64, device=p.device)  # [B]
    path = torch.zeros(batch, max(count, 1), dtype=torch.int64, device=p.device)  # [B,N]
    rest = p[:, 0]  # [B,V]: the target's distribution here, less what was rejected here
    step = torch.arange(path.shape[1], device=p.device)  # [N]
    for i in range(count):  # one pass is enough: the children of a node stand behind it
        asked = draft.valid[:, i] & (draft.parents[:, i] == here)  # [B]
        x = draft.index[:, i]  # [B,1]
        ratio = rest.gather(1, x)  # [B,1]
        if draft.q is None:
            q = torch.zeros_like(rest).scatter_(1, x, 1)  # [B,V]: a point mass
        else:
            q = draft.q[:, i]  # [B,V]
            ratio = ratio / q.gather(1, x)
        kept = chance.accept(ratio.clamp(max=1), asked[:, None])[:, 0]  # [B]
        left = residual(rest, q)  # [B,V]
        left = left / left.sum(-1, keepdim=True)
        rest = torch.where((asked & ~kept)[:, None], left, rest)
        rest = torch.where(kept[:, None], p[:, i + 1], rest)
        here = torch.where(kept, i, here)
        place = kept[:, None] & (step == accepted[:, None])  # [B,N]
        path = torch.where(place, i, path)
        accepted = accepted + kept
    return Verdict(path[:, :count], accepted, chance.draw(rest))
