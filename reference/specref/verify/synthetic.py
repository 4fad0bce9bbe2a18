"""LOSSY. Synthetic acceptance: accept at given rates, whatever the tokens are.

vLLM, `rejection_sample_method="synthetic"` (pull requests 40662, 41035): for load tests, which want
a known acceptance. `rates` are unconditional: entry i is the probability that the first i + 1
tokens are all accepted, so token i is accepted with probability rates[i] / rates[i - 1]. What comes
after the last accepted token is drawn as in speculative sampling.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor

from ..chance import Chance
from ..checks import check_judgeable
from ..data import Draft, SpecrefError, Verdict
from .rejection import first_rejection


@dataclass(frozen=True)
class LossySynthetic:
    """The rule for one list of rates.

    Errors:
        SpecrefError where the rates rise or leave [0,1]; when called, for a draft that is longer.
    """

    rates: tuple[float, ...] = (0.8, 0.6, 0.4, 0.2)
    lossless: ClassVar[bool] = False

    def __post_init__(self) -> None:
        falling = (1.0, *self.rates, 0.0)
        if not all(before >= after for before, after in pairwise(falling)):
            raise SpecrefError(f"rates {self.rates} are not possible: from 1 to 0, never rising")

    @property
    def __name__(self) -> str:
        return f"lossy_synthetic(rates={self.rates})"

    def __call__(self, draft: Draft, p: Tensor, chance: Chance) -> Verdict:
        """Judge a chain by coins of fixed bias.

        Args:
            draft: a chain of N tokens with q [B,N,V]; q None: point masses. q plays a part in the
                residual alone.
            p: [B,N+1,V], row 0 after the context, row i + 1 after draft token i.
        Returns:
            Verdict; its path is the accepted prefix.
        """
        check_judgeable(draft, p)
        count = draft.tokens.shape[1]
        if count > len(self.rates):
            raise SpecrefError(f"a draft of {count} tokens needs as many rates: give more")
        reached = torch.tensor((1.0, *self.rates), dtype=p.dtype, device=p.device)  # [K+1]
        rate = torch.where(reached[:-1] > 0, reached[1:] / reached[:-1], 0.0)  # [K]
        coins = chance.accept(rate[:count].expand(len(p), count), draft.valid)  # [B,N]
        return first_rejection(draft, p, coins, chance)
