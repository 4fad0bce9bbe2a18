"""LOSSY. Static ensemble verification: judge the draft by a mixture of target and draft.

Wang, Kasa et al. 2026, DIVERSED (arXiv:2604.07622); transformers, `assistant_ensemble_weight`. The
verifier is w p + (1 - w) q, so x is accepted with probability min(1, 1 - w + w p(x) / q(x)). After
a rejection the residual is that of p and q, which the mixture has too; the bonus token is drawn
from p. A drafted place has the mixture's distribution, at distance (1 - w) TV(p, q) from p.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ..chance import Chance
from ..checks import check_judgeable
from ..data import Draft, Verdict
from .rejection import first_rejection, ratios


@dataclass(frozen=True)
class LossyEnsemble:
    """The rule for one weight w of the target; 1 is `rejection`."""

    weight: float = 0.7
    lossless: ClassVar[bool] = False

    @property
    def __name__(self) -> str:
        return f"lossy_ensemble(weight={self.weight})"

    def __call__(self, draft: Draft, p: Tensor, chance: Chance) -> Verdict:
        """Judge a chain token by token.

        Args:
            draft: a chain of N tokens with q [B,N,V]; q None: point masses.
            p: [B,N+1,V], row 0 after the context, row i + 1 after draft token i.
        Returns:
            Verdict; its path is the accepted prefix.
        """
        check_judgeable(draft, p)
        mixed = 1 - self.weight + self.weight * ratios(draft, p)  # [B,N]
        coins = chance.accept(mixed.clamp(max=1), draft.valid)  # [B,N]
        return first_rejection(draft, p, coins, chance)
