"""Checks that refuse bad input: a draft that no rule can judge, and prompts that no model can start
from.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from .data import Draft, SpecrefError


def check(draft: Draft, p: Tensor, chain: bool = True) -> None:
    """Refuse what no rule can judge: p [B,N+1,V] or q that is no distribution, a token outside the
    vocabulary or with q = 0.

    chain: refuse branches too, which a rule for chains would read as one text.
    Errors:
        SpecrefError, one line that names the mend. Padding is not looked at.
    """
    batch, count = draft.tokens.shape
    if p.dim() != 3 or p.shape[:2] != (batch, count + 1):
        raise SpecrefError(
            f"p has shape {list(p.shape)} for a draft of {batch} rows and {count} nodes: "
            f"give [{batch}, {count + 1}, V], row 0 after the context and row i + 1 after node i"
        )
    if batch:
        shortest, longest = draft.lengths.aminmax()
        if shortest < 0 or longest > count:
            raise SpecrefError(
                f"the draft has lengths {draft.lengths[:8].tolist()} and room for {count} nodes: "
                f"give lengths from 0 to {count}"
            )
    valid = draft.valid
    _check_distribution("p", p, draft.lengths, 1)
    if not count:
        return
    vocabulary = p.shape[2]
    if bool((((draft.tokens < 0) | (draft.tokens >= vocabulary)) & valid).any()):
        raise SpecrefError(
            f"the draft holds a token outside 0..{vocabulary - 1}: "
            "draft and target must share one vocabulary"
        )
    if chain and draft.branches:
        raise SpecrefError("the draft has branches and this rule judges chains: use the tree rule")
    if draft.q is None:
        return
    if draft.q.shape != (batch, count, vocabulary):
        raise SpecrefError(
            f"q has shape {list(draft.q.shape)} and p has {list(p.shape)}: "
            "draft and target must share one vocabulary"
        )
    _check_distribution("q", draft.q, draft.lengths, 0)
    chosen = draft.q.gather(2, draft.index)[..., 0]
    if bool(((chosen <= 0) & valid).any()):
        raise SpecrefError(
            "a proposed token has q = 0, so it was not drawn from q: report the distribution that"
            " the drafter really drew from, after its own temperature and filters"
        )


def _check_distribution(name: str, distribution: Tensor, lengths: Tensor, more: int) -> None:
    """The first lengths[b] + more of each row's distributions [B,M,V] must be non-negative, finite
    and sum to 1 within 1e-4, which leaves room for float32."""
    if not distribution.numel():
        return
    # of distribution.sum(-1), which takes 5 times as long over short rows
    low, high = (distribution @ distribution.new_ones(distribution.shape[2])).aminmax()
    # no NaN is
    if float(low) >= 1 - 1e-4 and float(high) <= 1 + 1e-4 and float(distribution.amin()) >= -1e-10:
        return
    good = ((distribution.sum(-1) - 1).abs() <= 1e-4) & (distribution.amin(-1) >= -1e-10)
    bad = ~good & (
        torch.arange(distribution.shape[1], device=distribution.device)
        < lengths.to(distribution.device)[:, None] + more
    )
    if bool(bad.any()):
        row, position = (int(i) for i in bad.nonzero()[0])
        values = distribution[row, position]
        what = (
            "NaN"
            if bool(values.isnan().any())
            else (
                "a negative probability"
                if bool((values < 0).any())
                else f"the sum {float(values.sum()):.6g}"
            )
        )
        raise SpecrefError(
            f"{name}[{row},{position}] is no distribution, it has {what}: pass probabilities"
            " (softmax of finite logits), not logits or weights"
        )


def check_prompts(prompts: Sequence[Sequence[int]], vocabulary: int, room: int) -> None:
    """Refuse prompts that no model can start from."""
    if not prompts:
        raise SpecrefError("there is no prompt: give at least one")
    for number, prompt in enumerate(prompts):
        if not prompt:
            raise SpecrefError(
                f"prompt {number} is empty: give at least one token, for example the end-of-text"
                " token"
            )
        wrong = [token for token in prompt if not 0 <= token < vocabulary]
        if wrong:
            raise SpecrefError(
                f"prompt {number} holds token {wrong[0]}, outside 0..{vocabulary - 1}: "
                "use the target's own tokenizer"
            )
        if len(prompt) >= room:
            raise SpecrefError(
                f"prompt {number} has {len(prompt)} tokens and the context {room}: "
                f"shorten it to {room - 1} at most"
            )
