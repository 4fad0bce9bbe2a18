"""LOSSY. Typical acceptance as Medusa has it: accept likely guesses, then take the likeliest token.

Cai et al. 2024, Medusa (arXiv:2401.10774), section 2.3.1, and the authors' code. A guess passes
when p(x) > min(epsilon, delta exp(-H(p))); of the deepest paths the likeliest is kept; the token
behind it is the target's argmax. (The code adds 1e-5 inside the entropy's logarithm;
this file does not.) At temperature 0 it is `greedy` on a chain.
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
class LossyMedusaTypical:
    """The rule for one setting; the defaults are Medusa's (posterior_threshold, posterior_alpha).

    epsilon: a token above this probability always passes. delta: scale of the bar by the entropy.
    """

    epsilon: float = 0.09
    delta: float = 0.3
    lossless: ClassVar[bool] = False

    @property
    def __name__(self) -> str:
        return f"lossy_medusa_typical(epsilon={self.epsilon}, delta={self.delta})"

    def __call__(self, draft: Draft, p: Tensor, chance: Chance) -> Verdict:
        """Keep the likeliest of the deepest typical paths, then the argmax; asks nothing of chance.

        Args:
            draft: a tree of N nodes; its q is not used. p: [B,N+1,V], row 0 after the context, row
                i + 1 after node i.
        Returns:
            Verdict; its path leads to the node.
        """
        check_judgeable(draft, p, chain=False)
        draft = draft.cleared()
        rows = torch.arange(len(p), device=p.device)  # [B]
        before = draft.parents + 1  # [B,N]: the row of p that judges each node
        likely = p[rows[:, None], before, draft.tokens]  # [B,N]
        entropy = -torch.xlogy(p, p).sum(-1)  # [B,N+1]: in nats
        bar = (self.delta * (-entropy).exp()).clamp(max=self.epsilon)  # [B,N+1]
        typical = (likely > bar[rows[:, None], before]) & draft.valid  # [B,N]
        # entry 0 is the context, entry i + 1 is node i
        kept = torch.ones_like(bar, dtype=torch.bool)  # [B,N+1]
        depth = torch.zeros_like(kept, dtype=torch.int64)  # [B,N+1]
        score = torch.zeros_like(bar)  # [B,N+1]: log probability of the path
        for i in range(draft.tokens.shape[1]):
            kept[:, i + 1] = typical[:, i] & kept[rows, before[:, i]]
            depth[:, i + 1] = depth[rows, before[:, i]] + 1
            score[:, i + 1] = score[rows, before[:, i]] + likely[:, i].log()
        reached = torch.where(kept, depth, 0).amax(1, keepdim=True)  # [B,1]
        end = torch.where(kept & (depth == reached), score, -torch.inf).argmax(1)  # [B]
        accepted = depth[rows, end]  # [B]
        return Verdict(path_to(draft, end - 1, accepted), accepted, p[rows, end].argmax(-1))
