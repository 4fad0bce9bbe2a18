"""Traversal verification: judge a tree from its leaves up, each path as a whole.

Weng et al. 2025 (arXiv:2505.12398). A node's weight is the probability to keep the path to it, the
product of p/q along the path cut to 1 after each token, as in block verification. The deepest open
node tosses its weight. Tails takes it out of the tree: its parent's target becomes what is left,
max(w p - q, 0), its weight falls, and the next sibling is tried.
Lossless for any tree by enumeration (tests/verify); the paper has the proof. On a chain it is
`block`, on siblings without children it is `tree`.
"""

import torch
from torch import Tensor

from ..chance import Chance
from ..checks import check_judgeable
from ..data import Draft, Verdict
from .nodes import first_of, path_to, pick, put
from .rejection import q_at


def traversal(draft: Draft, p: Tensor, chance: Chance) -> Verdict:
    """Judge a tree from the leaves up.

    Args:
        draft: N nodes, parents before children, siblings in the order in which they were drawn.
        p: [B,N+1,V], row 0 after the context, row i + 1 after node i.
    Returns:
        Verdict; its path leads to the kept node.
    """
    check_judgeable(draft, p, chain=False)
    draft = draft.cleared()
    count = draft.tokens.shape[1]
    waiting = draft.valid.clone()  # [B,N]: not entered yet
    # entry 0 is the context, entry i + 1 is node i
    target = p.clone()  # [B,N+1,V]: less what was rejected below
    weight = torch.ones_like(p[..., 0])  # [B,N+1]
    depth = torch.zeros_like(weight, dtype=torch.int64)  # [B,N+1]
    here = torch.zeros_like(draft.lengths)  # [B]: the entry reached
    kept = torch.zeros_like(here, dtype=torch.bool)  # [B]
    for _ in range(2 * count):  # every node is entered once and left once
        below = draft.parents + 1 == here[:, None]  # [B,N]
        child = first_of(waiting & below & ~kept[:, None])  # [B]
        entered, node = child >= 0, child.clamp(min=0)  # [B], [B]
        reach = _reach(draft, pick(target, here), pick(weight, here), node)  # [B]
        put(weight, node + 1, reach, entered)
        put(depth, node + 1, pick(depth, here) + 1, entered)
        put(waiting, node, ~entered, entered)
        asked = ~entered & ~kept & (here > 0)  # [B]: no child is left
        coin = pick(weight, here)  # [B]
        kept = kept | chance.accept(coin[:, None], asked[:, None])[:, 0]
        lost, last = asked & ~kept, (here - 1).clamp(min=0)  # [B], [B]
        above = pick(draft.parents, last) + 1  # [B]
        left, fell = _left(pick(target, above), pick(weight, above), q_at(draft, last, p))
        put(target, above, left, lost)
        put(weight, above, fell, lost)
        here = torch.where(lost, above, here)
        here = torch.where(entered, node + 1, here)
    accepted = pick(depth, here)  # [B]
    path = path_to(draft, here - 1, accepted)  # [B,N]
    return Verdict(path, accepted, chance.draw(pick(target, here)))


def _reach(draft: Draft, target: Tensor, weight: Tensor, node: Tensor) -> Tensor:
    """The weight [B] of `node` [B] below a node of this target [B,V] and weight [B]."""
    x = pick(draft.index, node)  # [B,1]
    q_x = q_at(draft, node, target[:, None]).gather(1, x)  # [B,1]
    ratio = target.gather(1, x) / q_x  # [B,1]
    return (weight * ratio[:, 0]).clamp(max=1)


def _left(target: Tensor, weight: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    """Target [B,V] and weight [B] of a node after a child drawn from q [B,V] was rejected."""
    rest = (weight[:, None] * target - q).clamp(min=0)  # [B,V]
    mass = rest.sum(1, keepdim=True)  # [B,1]; 0 where p = q, and below a node that is never kept
    left = torch.where(mass > 0, rest / mass, target)  # [B,V]
    total = mass[:, 0] + 1 - weight  # [B]
    fell = torch.where(total > 0, mass[:, 0] / total, 1.0)  # [B]
    return left, fell
