"""LOSSY. Typical acceptance with a drawn token: accept a guess that the target finds likely enough.

The criterion is Medusa's (Cai et al. 2024, arXiv:2401.10774, section 2.3.1): x is accepted when
p(x) > min(epsilon, delta exp(-H(p))). What follows is ours: the token behind the accepted path is
drawn from p, and the first of equally deep paths is kept. `medusa_typical.py` is Medusa's own rule.
Faster than any lossless rule, but the output's distribution is not the target's. How far off it is
depends on p and must be measured (proof C4).
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..chance import Chance
from ..checks import check_judgeable
from ..data import Draft, Verdict
from .nodes import path_to


@dataclass(frozen=True)
class LossyTypical:
    """The rule for one setting.

    epsilon: a token above this probability is never refused. delta: how far below the level of the
    entropy a token may be. At temperature 0 the rule accepts what `greedy` accepts.
    """

    epsilon: float = 0.09
    delta: float = 0.3
    lossless: ClassVar[bool] = False

    @property
    def __name__(self) -> str:
        return f"lossy_typical(epsilon={self.epsilon}, delta={self.delta})"

    def __call__(self, draft: Draft, p: Tensor, chance: Chance) -> Verdict:
        """Accept the deepest node whose whole path is typical, the first of equals; then draw from
        p.

        Args:
            draft: a tree of N nodes; its q is not used. p: [B,N+1,V], row 0 after the context, row
                i + 1 after node i.
        Returns:
            Verdict; its path leads to the node.
        """
        check_judgeable(draft, p, chain=False)
        draft = draft.cleared()
        count = draft.tokens.shape[1]
        rows = torch.arange(len(p), device=p.device)  # [B]
        before = draft.parents + 1  # [B,N]: the row of p that judges each node
        likely = p[rows[:, None], before, draft.tokens]  # [B,N]
        typical = (likely > self.bar(p)[rows[:, None], before]) & draft.valid  # [B,N]
        # entry 0 is the context, entry i + 1 is node i
        kept = torch.ones(len(p), count + 1, dtype=torch.bool, device=p.device)  # [B,N+1]
        depth = torch.zeros(len(p), count + 1, dtype=torch.int64, device=p.device)  # [B,N+1]
        for i in range(count):
            kept[:, i + 1] = typical[:, i] & kept[rows, before[:, i]]
            depth[:, i + 1] = depth[rows, before[:, i]] + 1
        end = torch.where(kept, depth, -1).argmax(1)  # [B]: the deepest kept entry
        accepted = depth[rows, end]  # [B]
        path = path_to(draft, end - 1, accepted)  # [B,N]
        return Verdict(path, accepted, chance.draw(p[rows, end]))

    def bar(self, p: Tensor) -> Tensor:
        """p [...,V] -> [...]: the probability that a typical token must exceed."""
        entropy = -torch.xlogy(p, p).sum(-1)  # [...]: in nats
        return (self.delta * (-entropy).exp()).clamp(max=self.epsilon)
