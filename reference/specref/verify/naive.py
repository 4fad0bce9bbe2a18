"""Naive sampling over a tree: draw from p, and accept the candidate that was drawn, if one was.

SpecInfer (Miao et al. 2023, arXiv:2305.09781), section 4.3, names it and shows that recursive
rejection rejects less. It is `matching` for several candidates: every emitted token is a draw from
p, so it is lossless for any candidates; q plays no part.
"""

import torch
from torch import Tensor

from ..chance import Chance
from ..checks import check_judgeable
from ..data import Draft, Verdict
from .nodes import first_of
from .walk import walk


def naive(draft: Draft, p: Tensor, chance: Chance) -> Verdict:
    """Judge a tree by the target's own draws.

    Args:
        draft: N nodes; its q is not used. p: [B,N+1,V], row 0 after the context, row i + 1 after
            node i.
    Returns:
        Verdict; its path is the walk.
    """
    check_judgeable(draft, p, chain=False)
    return walk(draft, p, chance, _drawn)


def _drawn(draft: Draft, children: Tensor, p: Tensor, chance: Chance) -> tuple[Tensor, Tensor]:
    """The child that a draw from p [B,V] names, and the drawn token as a point mass."""
    token = chance.draw(p, children.any(1))  # [B]
    node = first_of(children & (draft.tokens == token[:, None]))  # [B]
    return node, torch.zeros_like(p).scatter_(1, token[:, None], 1)
