"""Recursive rejection over a tree: several guesses for the same place, tried one after the other.

SpecInfer (Miao et al. 2023, arXiv:2305.09781) draws siblings with replacement, Sequoia (Chen et al.
2024, arXiv:2402.12374) without. Both are this one rule: q of a node is its distribution given its
earlier siblings, and after every rejection what is left of the target is max(r - q, 0). With q None
(nodes chosen with certainty, as EAGLE's and Medusa's top-k trees are) it is target-only
verification: accept x with probability r(x), else take x out of r. Lossless for any tree (proofs
T5, T10). On a chain it is `rejection`.
"""

import torch
from torch import Tensor

from ..chance import Chance
from ..checks import check
from ..data import Draft, Verdict, residual


def tree(draft: Draft, p: Tensor, chance: Chance) -> Verdict:
    """Judge a tree by walking down from the context.

    Args:
        draft: parents before children, siblings in the order in which they were drawn. p:
            [B,N+1,V], row 0 after the context, row i + 1 after node i.
    Returns:
        Verdict; its path is the walk.
    """
    check(draft, p, chain=False)
    batch, count = draft.tokens.shape
    here = torch.full((batch,), -1, device=p.device)  # the node reached; -1 is the context
    accepted = torch.zeros(batch, dtype=torch.int64, device=p.device)
    path = torch.zeros(batch, max(count, 1), dtype=torch.int64, device=p.device)
    left = p[:, 0]  # [B,V]: the target's distribution here, less what was rejected here
    for i in range(count):  # one pass is enough: whatever hangs below a node stands behind it
        asked = draft.valid[:, i] & (draft.parents[:, i] == here)
        x = draft.index[:, i]
        ratio = left.gather(1, x)
        if draft.q is None:
            q = torch.zeros_like(left).scatter_(1, x, 1)
        else:
            q = draft.q[:, i]
            ratio = ratio / q.gather(1, x)
        kept = chance.accept(ratio.clamp(max=1), asked[:, None])[:, 0]
        rest = residual(left, q)
        rest = rest / rest.sum(-1, keepdim=True)
        left = torch.where(
            (asked & ~kept)[:, None], rest, torch.where(kept[:, None], p[:, i + 1], left)
        )
        here = torch.where(kept, i, here)
        path = torch.where(
            kept[:, None] & (torch.arange(path.shape[1], device=p.device) == accepted[:, None]),
            i,
            path,
        )
        accepted = accepted + kept
    return Verdict(path[:, :count], accepted, chance.draw(left))
