"""How the queries of one forward read keys and values, whatever keeps them: rows padded to one
width, in two parts where some are much longer than others.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

# One layer's attention: its number, q [B,H,N,D], new k and v [B,G,N,D], which it keeps, ->
# [B,H,N,D].
Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]
Part = tuple[slice, int, Tensor | None]  # rows that attend together, their width, and their mask


def attending(count: int, mask: Tensor | None, real: Tensor | None, groups: int) -> list[Part]:
    """Which rows attend together: all, but rows that come first and are not half as long as the
    longest are padded among themselves. A batch that decodes is not made as wide as the prompt that
    is read beside it.

    Args:
        count: N. mask [B,1,N,S]. real [B,N]. groups: query heads that read the same keys; the mask
            gets a copy for each.
    """

    def copies(mask: Tensor | None) -> Tensor | None:
        return mask if mask is None or groups == 1 else mask.repeat(1, 1, groups, 1)

    lengths = [] if real is None else real.sum(1).tolist()
    short = next((row for row, length in enumerate(lengths) if 2 * length >= count), 0)
    if not short or mask is None:
        return [(slice(None), count, copies(mask))]
    width = max(1, *lengths[:short])
    return [
        (slice(short), width, copies(mask[:short, :, :width])),
        (slice(short, None), count, copies(mask[short:])),
    ]


def attend(q: Tensor, k: Tensor, v: Tensor, parts: list[Part]) -> Tensor:
    """q [B,H,N,D] reads k and v [B,G,S,D] -> [B,H,N,D]; where a part is narrower than N, the rest
    is 0.
    """
    heads, dim = q.shape[1], q.shape[3]
    read = None if len(parts) == 1 else torch.zeros_like(q)
    for rows, width, mask in parts:
        # The query heads of one group read the same keys: stack them along the queries,
        # [B,G,(H/G)*N,D].
        stacked = q[rows, :, :width].reshape(-1, k.shape[1], heads // k.shape[1] * width, dim)
        y = F.scaled_dot_product_attention(stacked, k[rows], v[rows], attn_mask=mask).view(
            -1, heads, width, dim
        )
        if read is None:
            return y
        read[rows, :, :width] = y
    assert read is not None
    return read


def causal(count: int, groups: int, dtype: torch.dtype, device: torch.device) -> Attend:
    """Without a cache: each of `count` tokens sees itself and those before it."""
    mask = torch.full((count, count), -torch.inf, dtype=dtype, device=device).triu(1)[None, None]
    parts = attending(count, mask, None, groups)
    return lambda layer, q, k, v: attend(q, k, v, parts)
