"""LOSSY. Typical acceptance: accept a guess when the target finds it likely enough, whoever else
was likelier.

Cai et al. 2024, Medusa (arXiv:2401.10774), section 2.3.1: x is accepted when p(x) > min(epsilon,
delta exp(-H(p))). Faster than any lossless rule, and the output is no longer the target's: how far
off is measured, never assumed (proof C4).
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..chance import Chance
from ..checks import check
from ..data import Draft, Verdict, rows_at


@dataclass(frozen=True)
class LossyTypical:
    """The rule for one setting. epsilon: no token above it is refused; delta: how far below the
    entropy's level is still typical. At temperature 0 it accepts what greedy accepts."""

    epsilon: float = 0.09
    delta: float = 0.3
    lossless: ClassVar[bool] = False

    @property
    def __name__(self) -> str:
        return f"lossy_typical(epsilon={self.epsilon}, delta={self.delta})"

    def __call__(self, draft: Draft, p: Tensor, chance: Chance) -> Verdict:
        """The deepest node all of whose path is typical, the first of equals; then a token of p.

        Args:
            draft: a tree; q plays no part. p: [B,N+1,V], row 0 after the context, row i + 1 after
                node i.
        """
        check(draft, p, chain=False)
        batch, count = draft.tokens.shape
        entropy = -torch.xlogy(p, p).sum(-1)  # [B,N+1] nats
        bar = torch.minimum(torch.full_like(entropy, self.epsilon), self.delta * (-entropy).exp())
        above = draft.parents + 1  # [B,N] row of p that judges each node
        rows = torch.arange(batch, device=p.device)[:, None]
        typical = (p[rows, above, draft.tokens] > bar[rows, above]) & draft.valid
        context = torch.ones(batch, 1, dtype=torch.bool, device=p.device)
        kept = torch.cat((context, typical), 1)  # entry 0 is the context
        depth = torch.zeros(batch, count + 1, dtype=torch.int64, device=p.device)
        for i in range(count):
            up = above[:, i : i + 1]
            kept[:, i + 1] &= kept.gather(1, up)[:, 0]
            depth[:, i + 1] = depth.gather(1, up)[:, 0] + 1
        end = torch.where(kept, depth, -1).argmax(1)  # [B] the deepest kept entry
        accepted = depth.gather(1, end[:, None])[:, 0]
        path = torch.zeros(batch, count, dtype=torch.int64, device=p.device)
        node = end - 1
        for level in range(int(accepted.max()) - 1, -1, -1):  # from the end up to the context
            on = accepted > level
            path[:, level] = torch.where(on, node, path[:, level])
            node = (
                torch.where(on, draft.parents.gather(1, node.clamp(min=0)[:, None])[:, 0], node)
                if count
                else node
            )
        return Verdict(path, accepted, chance.draw(rows_at(p, end)))
