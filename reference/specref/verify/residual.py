"""What is left of the target after a rejection: the residual distribution.

Leviathan et al. 2023 (arXiv:2211.17192), Algorithm 1.
"""

import torch
from torch import Tensor


def residual(p: Tensor, q: Tensor) -> Tensor:
    """max(p - q, 0), not yet normalised; p where that is zero everywhere.

    The residual is zero where p = q. A rejection then has probability 0, and only rounding can
    lead here.

    Args:
        p: [B,V]. q: [B,V].
    Returns:
        [B,V], non-negative.
    """
    rest = (p - q).clamp(min=0)  # [B,V]
    mass = rest.sum(-1, keepdim=True)  # [B,1]
    return torch.where(mass > 0, rest, p)
