"""Grouped-query attention (Ainslie et al. 2023, arXiv:2305.13245)."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

# One layer's attention: its number, q [B,H,N,D], new k and v [B,G,N,D] -> [B,H,N,D].
Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """q [B,H,N,D] reads k and v [B,G,S,D]; mask [B,1,N,S] is added to the scores -> [B,H,N,D]."""
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)


def attend_causally(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention without a cache: token i reads tokens 0..i. Shapes as in `Attend`."""
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
