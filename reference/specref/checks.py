"""Checks of what is handed in. Each refuses with one line that names the mend.

`check_prompts`: prompts that no model can start from. `check_readable`: drafts that no model can
read. `check_judgeable`: drafts and distributions that no rule can judge. Padding is not looked at.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from .data import Draft, SpecrefError

SUM_TOLERANCE = 1e-4  # of a distribution's sum: room for float32
LEAST = -1e-10  # a smaller entry is a negative probability


def check_prompts(prompts: Sequence[Sequence[int]], vocabulary: int, context: int) -> None:
    """Refuse prompts that no model can start from.

    Args:
        prompts: B token lists, ragged. vocabulary: V. context: positions that the model has.
    Errors:
        SpecrefError: no prompt, an empty one, a token outside 0..V-1, no room for a new token.
    """
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
        if len(prompt) >= context:
            raise SpecrefError(
                f"prompt {number} has {len(prompt)} tokens and the context {context}: "
                f"shorten it to {context - 1} at most"
            )


def check_readable(draft: Draft, batch: int, vocabulary: int) -> None:
    """Refuse a draft that no model can read.

    Args:
        batch: B, rows that the draft must have. vocabulary: V.
    Errors:
        SpecrefError: wrong shapes or lengths, a token outside 0..V-1, a node before its parent.
    """
    count, lengths = draft.tokens.shape[1], draft.lengths.tolist()
    if (
        draft.tokens.shape != (batch, count)
        or draft.parents.shape != (batch, count)
        or draft.lengths.shape != (batch,)
        or not all(0 <= length <= count for length in lengths)
    ):
        raise SpecrefError(
            f"the draft has tokens {list(draft.tokens.shape)}, parents {list(draft.parents.shape)}"
            f" and lengths {lengths[:8]}: give [{batch}, N], [{batch}, N] and {batch} lengths from"
            " 0 to N"
        )
    known = (draft.tokens >= 0) & (draft.tokens < vocabulary)  # [B,N]
    unknown = draft.valid & ~known  # [B,N]
    if bool(unknown.any()):
        raise SpecrefError(
            f"the draft holds token {int(draft.tokens[unknown][0])}, outside 0..{vocabulary - 1}: "
            "draft and target must share one vocabulary"
        )
    node = torch.arange(count, device=draft.parents.device)  # [N]
    ordered = (draft.parents >= -1) & (draft.parents < node)  # [B,N]
    if bool((draft.valid & ~ordered).any()):
        raise SpecrefError(
            "a draft node stands before its parent: give -1 or the index of an earlier node"
        )


def check_judgeable(draft: Draft, p: Tensor, chain: bool = True) -> None:
    """Refuse a draft, or distributions p [B,N+1,V] and q [B,N,V], that no rule can judge.

    Args:
        chain: the rule judges chains; refuse a draft with branches.
    Errors:
        SpecrefError: what `check_readable` refuses; wrong shapes; p or q that is no distribution;
            branches in a chain; a proposed token with q = 0.
    """
    batch, count = draft.tokens.shape
    if p.dim() != 3 or p.shape[:2] != (batch, count + 1):
        raise SpecrefError(
            f"p has shape {list(p.shape)} for a draft of {batch} rows and {count} nodes: "
            f"give [{batch}, {count + 1}, V], row 0 after the context and row i + 1 after node i"
        )
    check_readable(draft, batch, p.shape[2])
    _check_distribution("p", p, draft.lengths + 1)
    if chain and draft.branches:
        raise SpecrefError("the draft has branches and this rule judges chains: use the tree rule")
    if draft.q is not None:
        _check_q(draft, draft.q, p)


def _check_q(draft: Draft, q: Tensor, p: Tensor) -> None:
    """Refuse q that is no distribution [B,N,V], or that cannot have given the draft's tokens."""
    batch, count = draft.tokens.shape
    if q.shape != (batch, count, p.shape[2]):
        raise SpecrefError(
            f"q has shape {list(q.shape)} and p has {list(p.shape)}: "
            "draft and target must share one vocabulary"
        )
    _check_distribution("q", q, draft.lengths)
    chosen = q.gather(2, draft.index)[..., 0]  # [B,N]
    if bool((draft.valid & (chosen <= 0)).any()):
        raise SpecrefError(
            "a proposed token has q = 0, so it was not drawn from q: report the distribution that"
            " the drafter really drew from, after its own temperature and filters"
        )


def _check_distribution(name: str, distribution: Tensor, lengths: Tensor) -> None:
    """Refuse negative, NaN or infinite entries, or a sum other than 1, in the first lengths[b]
    distributions of each row of `distribution` [B,M,V].
    """
    if not distribution.numel():
        return
    total, least = distribution.sum(-1), distribution.amin(-1)  # [B,M], [B,M]
    good = ((total - 1).abs() <= SUM_TOLERANCE) & (least >= LEAST)  # [B,M]; NaN is never good
    position = torch.arange(distribution.shape[1], device=distribution.device)  # [M]
    bad = ~good & (position < lengths.to(distribution.device)[:, None])  # [B,M]
    if bool(bad.any()):
        row, place = (int(i) for i in bad.nonzero()[0])
        raise SpecrefError(
            f"{name}[{row},{place}] is no distribution, it has {_fault(distribution[row, place])}:"
            " pass probabilities (softmax of finite logits), not logits or weights"
        )


def _fault(weights: Tensor) -> str:
    """What is wrong with weights [V] that are no distribution."""
    if bool(weights.isnan().any()):
        return "NaN"
    if bool((weights < 0).any()):
        return "a negative probability"
    return f"the sum {float(weights.sum()):.6g}"
