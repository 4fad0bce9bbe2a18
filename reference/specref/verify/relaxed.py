"""LOSSY. Relaxed acceptance: accept a token that is nearly as likely as the target's choice.

TensorRT-LLM, `use_relaxed_acceptance_for_thinking` (kernel `mtpRelaxedAcceptance`): x is accepted
when it is among the `top_k` likeliest and p(x) is at least max p - `delta`; the next token is the
target's argmax. The engine does so between the thinking tokens and is greedy elsewhere; this is the
rule inside. With delta 0 it is `greedy`, up to ties.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..chance import Chance
from ..checks import check_judgeable
from ..data import Draft, Verdict


@dataclass(frozen=True)
class LossyRelaxed:
    """The rule for one setting. The defaults are those of the engine's example for DeepSeek-R1."""

    top_k: int = 15
    delta: float = 0.5
    lossless: ClassVar[bool] = False

    @property
    def __name__(self) -> str:
        return f"lossy_relaxed(top_k={self.top_k}, delta={self.delta})"

    def __call__(self, draft: Draft, p: Tensor, chance: Chance) -> Verdict:
        """Judge a chain by the target's likeliest tokens; asks nothing of chance.

        Args:
            draft: a chain of N tokens; its q is not used. p: [B,N+1,V] at the temperature that
                `delta` is meant at, row 0 after the context, row i + 1 after draft token i.
        Returns:
            Verdict; its path is the accepted prefix.
        """
        check_judgeable(draft, p)
        batch, count = draft.tokens.shape
        judged = p[:, :count]  # [B,N,V]
        likely, token = judged.topk(min(self.top_k, p.shape[2]))  # [B,N,k]
        near = likely >= likely[..., :1] - self.delta  # [B,N,k]
        passes = ((token == draft.index) & near).any(-1) & draft.valid  # [B,N]
        accepted = passes.cumprod(1).sum(1)  # [B]
        path = torch.arange(count, device=p.device).expand(batch, count)  # [B,N]
        rows = torch.arange(batch, device=p.device)  # [B]
        return Verdict(path, accepted, p[rows, accepted].argmax(-1))
