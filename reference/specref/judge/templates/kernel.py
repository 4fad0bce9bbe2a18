"""An adapter for one verification step.

    specref validate my_adapter.py:Mine

The file runs as it is: speculative sampling in plain torch. Replace the marked part by a call of
your kernel. If your kernel can take its random numbers as arguments, use
`contract.InjectableKernel`: the judge then computes the distribution exactly. If your drafts are
trees, use `contract.TreeKernel`; if your kernel takes logits and temperatures, use
`contract.LogitsKernel`, so that its temperature is judged too. One class may have several of these
methods, but not `verify` beside `verify_logits`.
"""

import torch
from torch import Tensor

from specref.judge.contract import Kernel


class Mine(Kernel):
    name = "mine"
    lossless = True  # False: your kernel changes the distribution on purpose

    def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
        """Verify B drafts of K tokens. Every row is a request of its own. K may be 0.

        Args:
            p: [B,K+1,V] float32. Target distributions: row 0 after the context, row i + 1 after
                draft token i.
            q: [B,K,V] float32. The distribution that each draft token was drawn from. None: the
                tokens were proposed with certainty.
            draft: [B,K] int64.
            seed: The same seed gives the same tokens; another seed gives other ones.
        Returns:
            [B,K+1] int64. In each row: the accepted tokens, one more token, then -1.

        Do not change the inputs. You may raise an error if a distribution holds NaN.
        """
        # ---- your kernel: replace from here. Move the tensors to its device, call it, and bring
        # its answer into the shape above.
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
        out = torch.cat([draft, torch.zeros_like(final)], 1)  # [B,K+1]
        place = torch.arange(count + 1)
        return out.where(place < accepted[:, None], -1).scatter(1, accepted[:, None], final)
