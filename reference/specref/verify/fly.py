"""LOSSY. FLy: forgive a rejection where the target is unsure and what follows is accepted.

Li et al. 2025 (arXiv:2511.22972), as vLLM builds it for sampled text (pull requests 50808, 53987):
a rejected token is kept all the same when p(x) > 0, the entropy of the three largest probabilities
of p, in nats, is at least `threshold`, and each of the next `window` tokens is accepted by its own
coin. A draft that ends before the window does is not forgiven.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..chance import Chance
from ..checks import check_judgeable
from ..data import Draft, Verdict
from .rejection import first_rejection, ratios

_TOP = 3  # probabilities that the entropy counts


@dataclass(frozen=True)
class LossyFly:
    """The rule for one setting; the defaults are vLLM's."""

    threshold: float = 0.3  # nats
    window: int = 6  # tokens
    lossless: ClassVar[bool] = False

    @property
    def __name__(self) -> str:
        return f"lossy_fly(threshold={self.threshold}, window={self.window})"

    def __call__(self, draft: Draft, p: Tensor, chance: Chance) -> Verdict:
        """Judge a chain token by token, then forgive.

        Args:
            draft: a chain of N tokens with q [B,N,V], or q None for tokens proposed with certainty.
            p: [B,N+1,V], row 0 after the context, row i + 1 after draft token i.
        Returns:
            Verdict; its path is the accepted prefix.
        """
        check_judgeable(draft, p)
        ratio = ratios(draft, p)  # [B,N]
        coins = chance.accept(ratio.clamp(max=1), draft.valid)  # [B,N]
        count = draft.tokens.shape[1]
        if not count:
            return first_rejection(draft, p, coins, chance)
        top = p[:, :count].topk(min(_TOP, p.shape[2])).values  # [B,N,3]
        unsure = -torch.xlogy(top, top).sum(-1) >= self.threshold  # [B,N]
        followed = torch.ones_like(coins)  # [B,N]: the window behind each token is accepted
        for offset in range(1, self.window + 1):
            later = torch.zeros_like(coins)  # [B,N]
            later[:, :-offset] = (coins & draft.valid)[:, offset:]
            followed = followed & later
        forgiven = unsure & followed & (ratio > 0)  # [B,N]
        return first_rejection(draft, p, coins | forgiven, chance)
