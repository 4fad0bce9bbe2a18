"""The walk down a tree that every rule for several candidates shares.

A selection rule judges the children of one node: it keeps one of them, or none and says what the
next token is drawn from. Where each selection is lossless the walk is (proof T10).
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ..chance import Chance
from ..data import Draft, SpecrefError, Verdict
from .nodes import first_of, pick

# (draft, children [B,N] bool, p there [B,V], chance) -> the kept node [B], -1 for none, and the
# weights [B,V] of the next token where none is kept. Rows without a child are not asked.
Selection = Callable[[Draft, Tensor, Tensor, Chance], tuple[Tensor, Tensor]]

_ROUNDING = 1e-6  # of two reports of one q


def walk(draft: Draft, p: Tensor, chance: Chance, select: Selection) -> Verdict:
    """Judge a tree from the context down, all children of a node at once.

    Args:
        draft: N nodes. p: [B,N+1,V], row 0 after the context, row i + 1 after node i.
    Returns:
        Verdict; its path is the walk.
    """
    here = torch.full_like(draft.lengths, -1)  # [B]: the node reached; -1 is the context
    accepted = torch.zeros_like(here)  # [B]
    path = torch.zeros_like(draft.tokens)  # [B,N]
    going = torch.ones_like(here, dtype=torch.bool)  # [B]
    rest = p[:, 0]  # [B,V]
    for level in range(path.shape[1]):
        below = draft.parents == here[:, None]  # [B,N]
        children = draft.valid & below & going[:, None]  # [B,N]
        going = children.any(1)  # [B]
        if not bool(going.any()):
            break
        node, left = select(draft, children, pick(p, here + 1), chance)
        kept = going & (node >= 0)  # [B]
        lost = going & ~kept  # [B]
        rest = torch.where(lost[:, None], left, rest)
        rest = torch.where(kept[:, None], pick(p, node + 1), rest)
        path[:, level] = torch.where(kept, node, 0)
        here = torch.where(kept, node, here)
        accepted, going = accepted + kept, kept
    return Verdict(path, accepted, chance.draw(rest))


def same_q(draft: Draft, children: Tensor, p: Tensor) -> Tensor:
    """The one q [B,V] that all children of a node were drawn from, with replacement.

    Args:
        children: [B,N] bool. p: [B,V].
    Errors:
        SpecrefError where siblings have different distributions, or several none.
    """
    first = first_of(children).clamp(min=0)  # [B]
    token = pick(draft.index, first)  # [B,1]
    if draft.q is None:
        q = torch.zeros_like(p).scatter_(1, token, 1)  # [B,V]: a point mass
        same = draft.tokens == token  # [B,N]
    else:
        q = pick(draft.q, first)  # [B,V]
        farthest = (draft.q - q[:, None]).abs().amax(-1)  # [B,N]
        same = farthest <= _ROUNDING
    if bool((children & ~same).any()):
        raise SpecrefError(
            "siblings have different q: this rule needs them drawn from one q with replacement;"
            " the tree rule takes any"
        )
    return q
