"""An adapter for one verification step, to be judged.

    specref validate my_adapter.py:Mine

It runs as it stands: rejection sampling in plain torch. Put a call of your own kernel where it says
so. Other classes that
the judge knows: contract.InjectableKernel (the judge chooses the coins, and then knows the
distribution exactly) and contract.TreeKernel (drafts that branch); a class may be several of these.
"""

import torch
from torch import Tensor

from specref.judge.contract import Kernel


class Mine(Kernel):
    name = "mine"
    # False if it is meant to change the target's distribution: then it is reported as such
    lossless = True

    def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
        """p [B,K+1,V] float32: the target's distribution after the context and after each draft
        token.
        q [B,K,V] float32: the distribution that each draft token was drawn from; None: it was
        proposed with certainty.
        draft [B,K] int64. seed: the same one gives the same tokens, another one other coins.
        -> [B,K+1] int64: for each row the accepted tokens, then one more, then -1 up to the end.

        Every row is a request of its own, with coins of its own. K may be 0. The inputs are not
        yours to change. Distributions with
        NaN in them, which a model that overflows makes, may be refused: raise.
        """
        # ---- your engine: replace what follows by a call of your kernel
        # ------------------------------------------------- Move the tensors to its device, and turn
        # what it returns into the rows above. If it takes logits, give it p.log().
        generator = torch.Generator().manual_seed(seed)
        batch, count = draft.shape
        if q is None:
            q = torch.nn.functional.one_hot(draft, p.shape[2]).to(p.dtype)
        at = draft[..., None]  # [B,K,1]
        coins = torch.rand(batch, count, generator=generator)
        # accept with min(1, p/q)
        kept = coins * q.gather(2, at)[..., 0] < p[:, :count].gather(2, at)[..., 0]
        accepted = kept.long().cumprod(1).sum(1)  # [B]: tokens before the first rejection
        rows = torch.arange(batch)
        target = p[rows, accepted]  # [B,V]
        # nothing was drafted after all K
        drafted = torch.cat([q, torch.zeros_like(p[:, :1])], 1)[rows, accepted]
        residual = (target - drafted).clamp(min=0)
        # p = q up to rounding
        residual = residual.where(residual.sum(-1, keepdim=True) > 0, target)
        final = torch.multinomial(residual, 1, generator=generator)  # [B,1]
        # ---- to here
        # ----------------------------------------------------------------------
        out = torch.cat([draft, torch.zeros_like(final)], 1)
        place = torch.arange(count + 1)
        return out.where(place < accepted[:, None], -1).scatter(1, accepted[:, None], final)
