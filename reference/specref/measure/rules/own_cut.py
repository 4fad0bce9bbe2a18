"""NOT LOSSLESS, though it looks so: a draft that ends before a token that its own q finds unlikely.

"Only the number of positions changes, so the output does not" (said in TensorRT-LLM 17056 of
adaptive verification) holds where the length is decided before the token is drawn. Here whether
token i is verified depends on token i, so unlikely tokens are seldom verified and are redrawn from
p instead. It stands here to be refuted.
"""

from dataclasses import dataclass, replace

from torch import Tensor

from ...chance import Chance
from ...data import Draft, Verdict
from ...verify import rejection


@dataclass(frozen=True)
class CutByOwnToken:
    """Rejection on the tokens before the first one with q(x) < least."""

    least: float

    def __call__(self, draft: Draft, p: Tensor, chance: Chance) -> Verdict:
        """As `rejection`; a draft without q is not cut."""
        if draft.q is None:
            return rejection(draft, p, chance)
        likely = draft.q.gather(2, draft.index)[..., 0] >= self.least  # [B,N]
        lengths = (likely & draft.valid).cumprod(1).sum(1)  # [B]
        return rejection(replace(draft, lengths=lengths), p, chance)
