"""An adapter for a policy that decides how many tokens of each draft are verified.

    specref validate my_adapter.py:Mine

The file runs as it is: it stops behind the first token of which the draft was unsure. Replace the
marked part by a call of your policy. If it learns from cycle to cycle, define `begin` and `observe`
too.
"""

import torch
from torch import Tensor

from specref.judge.contract import Scheduler


class Mine(Scheduler):
    name = "mine"
    lossless = True  # False: your policy changes the distribution on purpose
    # True: confidence[b,i] is made of token i, as q(token i) is. It may then decide slot i + 1, not
    # slot i.
    confidence_sees_token = False

    def begin(self, rows: int) -> None:
        """A new batch of `rows` requests begins: forget all earlier cycles."""

    def admit(self, q: Tensor, draft: Tensor, confidence: Tensor | None, seed: int) -> Tensor:
        """Decide how many tokens of each draft are verified in this cycle.

        Args:
            q: [B,K,V] float32. Row i is the distribution that draft token i is drawn from.
            draft: [B,K] int64.
            confidence: [B,K] float32 in [0,1]: how likely the token in slot i is accepted, as far
                as the drafter knows before it draws token i; None: it does not say.
            seed: Of this cycle. The same past and the same seed give the same lengths.
        Returns:
            [B] int64, from 0 to K: slot i of a row is verified if its length is above i.

        Whether slot i is verified may depend on the tokens before it, never on token i or on what
        is behind it. Do not change the inputs. B and K may be 0.
        """
        # ---- your policy: replace from here
        sure = q.gather(2, draft[..., None])[..., 0] >= 0.3  # [B,K]
        # A token of which the draft was unsure is verified itself; the tokens behind it are not.
        before = torch.cat([torch.ones_like(sure[:, :1]), sure[:, :-1]], 1)
        return before.long().cumprod(1).sum(1)  # [B]
        # ---- to here

    def observe(self, accepted: Tensor) -> None:
        """The cycle is over. accepted: [B] int64, how many of the verified tokens were accepted."""
