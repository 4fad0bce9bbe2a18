"""Trees of draft tokens: depth and visibility of each node, derived from its parent."""

import torch
from torch import Tensor


def depths(parents: Tensor) -> Tensor:
    """Depth of every node: 0 for a child of the context.

    Args:
        parents: [B,N] int64; -1 is the context, and a parent comes before its children.
    Returns:
        [B,N] int64.
    """
    depth = torch.zeros_like(parents)  # [B,N]
    for node in range(1, parents.shape[1]):
        parent = parents[:, node]  # [B]
        above = depth.gather(1, parent.clamp(min=0)[:, None])[:, 0]  # [B]
        depth[:, node] = torch.where(parent >= 0, above + 1, 0)
    return depth


def ancestors(parents: Tensor) -> Tensor:
    """Which nodes each node sees: itself and every node on its path from the context.

    Args:
        parents: [B,N] int64, as for `depths`.
    Returns:
        [B,N,N] bool; entry [b,i,j]: j is i or an ancestor of i.
    """
    count = parents.shape[1]
    seen = torch.eye(count, dtype=torch.bool, device=parents.device)  # [N,N]
    seen = seen.repeat(len(parents), 1, 1)  # [B,N,N]
    for node in range(1, count):
        parent = parents[:, node]  # [B]
        index = parent.clamp(min=0)[:, None, None].expand(-1, 1, count)  # [B,1,N]
        above = seen.gather(1, index)[:, 0]  # [B,N]: what the parent sees
        seen[:, node] |= above & (parent >= 0)[:, None]
    return seen
