"""The right tree rule taken apart, so that a bug replaces one part; and orders of nodes."""

from collections.abc import Callable

import torch
from torch import Tensor

from ...chance import Chance
from ...checks import check_judgeable
from ...data import Draft, Verdict
from ...verify import Rule
from ...verify.residual import residual
from ..tree_subjects import Parents

# A part sees what is left of the target here, q of the node, its token x [B], and the target's
# whole distribution here; [B,V] each.
_Part = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def node_ratio(left: Tensor, q: Tensor, x: Tensor, p: Tensor) -> Tensor:
    """left(x)/q(x), [B]. The value at padding, where q may be 0, is never used."""
    return at(left, x) / at(q, x).clamp(min=1e-300)


def _rest(left: Tensor, q: Tensor, x: Tensor, p: Tensor) -> Tensor:
    """The distribution of the target that is left after the rejection of x, [B,V]."""
    return residual(left, q)


def child(draft: Draft, node: int, here: Tensor, accepted: Tensor) -> Tensor:
    """Whether the rule asks about a node, [B]: the node is valid, and its parent is the last
    accepted node.
    """
    return draft.valid[:, node] & (draft.parents[:, node] == here)


def at(distribution: Tensor, x: Tensor) -> Tensor:
    """distribution [B,V] at x [B] -> [B]."""
    return distribution.gather(1, x[:, None])[:, 0]


def assembled_tree(
    coin: _Part = node_ratio,
    rest: _Part = _rest,
    asks: Callable[[Draft, int, Tensor, Tensor], Tensor] = child,
    row: Callable[[int], int] = lambda node: node + 1,
) -> Rule:
    """`tree` put together from its parts. With the default parts it is right.

    row: node -> the row of p after that node.
    """

    def rule(draft: Draft, p: Tensor, chance: Chance) -> Verdict:
        check_judgeable(draft, p, chain=False)
        batch, count = draft.tokens.shape
        here, accepted = torch.full((batch,), -1), torch.zeros(batch, dtype=torch.int64)
        path = torch.zeros(batch, count + 1, dtype=torch.int64)
        whole = left = p[:, 0]
        for node in range(count):
            asked, x = asks(draft, node, here, accepted), draft.tokens[:, node]
            q = (
                torch.zeros_like(left).scatter_(1, x[:, None], 1)
                if draft.q is None
                else draft.q[:, node]
            )
            kept = chance.accept(coin(left, q, x, whole).clamp(max=1)[:, None], asked[:, None])[
                :, 0
            ]
            after = rest(left, q, x, whole)
            after = after / after.sum(-1, keepdim=True)
            whole = torch.where(kept[:, None], p[:, row(node)], whole)
            left = torch.where(kept[:, None], whole, torch.where(asked[:, None], after, left))
            here = torch.where(kept, node, here)
            path[torch.arange(batch), accepted] = torch.where(kept, node, 0)
            accepted = accepted + kept
        return Verdict(path[:, :count], accepted, chance.draw(left))

    return rule


def as_chain(parents: Parents) -> Parents:
    """A chain with as many nodes as the tree."""
    return tuple(range(-1, len(parents) - 1))


def _reordered(parents: Parents, depth_first: bool) -> Parents:
    """The same tree with its nodes in another order; siblings keep theirs."""
    order, queue = [-1], [-1]
    while queue:
        node = queue.pop(0)
        children = [i for i, parent in enumerate(parents) if parent == node]
        queue = children + queue if depth_first else queue + children
        order += [node] * (node >= 0)
    return tuple(order.index(parents[node]) - 1 for node in order[1:])


def depth_first(parents: Parents) -> Parents:
    return _reordered(parents, True)


def breadth_first(parents: Parents) -> Parents:
    return _reordered(parents, False)
