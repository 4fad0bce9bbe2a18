"""Tables over the nodes of a tree: read and write one entry of each row, find the first, and go
back to the context.
"""

import torch
from torch import Tensor

from ..data import Draft


def pick(table: Tensor, at: Tensor) -> Tensor:
    """Entry at[b] of each row of a table [B,N,...]: [B,...]."""
    rows = torch.arange(len(at), device=at.device)  # [B]
    return table[rows, at]


def put(table: Tensor, at: Tensor, value: Tensor, where: Tensor) -> None:
    """Write value [B,...] into entry at[b] of the rows of a table [B,N,...] where `where` [B]."""
    rows = where.nonzero()[:, 0]
    table[rows, at[rows]] = value[rows]


def first_of(mask: Tensor) -> Tensor:
    """The first true entry of each row of mask [B,N], -1 where none is: [B]."""
    first = mask.int().argmax(1)  # [B]
    return torch.where(mask.any(1), first, -1)


def path_to(draft: Draft, node: Tensor, depth: Tensor) -> Tensor:
    """The nodes from the context down to `node` [B] (-1: the context), depth[b] of them: [B,N]."""
    path = torch.zeros_like(draft.tokens)  # [B,N]
    for level in range(int(depth.max()) - 1, -1, -1):  # from the node up to the context
        reached = depth > level  # [B]
        path[:, level] = torch.where(reached, node, path[:, level])
        parent = pick(draft.parents, node.clamp(min=0))  # [B]
        node = torch.where(reached, parent, node)
    return path
