"""Which candidate tree to propose, from how often each guess is right.

The greedy construction of Medusa (Cai et al. 2024, arXiv:2401.10774, section 2.3.3): the heads are
taken as independent, so the value of a node is the product of the accuracies on its path. The best
tree of a given size grows by the node of the largest value, one at a time.
"""

import math
from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor

from ...draft.medusa import MedusaHeads, Node
from ...errors import SpecrefError
from ...model.transformer import Transformer

# [K][R]: how often the guess of this rank of this head is the target's token
Accuracy = Sequence[Sequence[float]]


@torch.inference_mode()
def head_accuracy(
    heads: MedusaHeads, target: Transformer, rows: Tensor, ranks: int = 10
) -> list[list[float]]:
    """Mean p(x) of each head's rank-r guess: how often it is what the target draws at temperature
    1.

    Args:
        rows: [R,C] int64 texts, in which each position gives one guess a head.
    Returns:
        [K][ranks].
    """
    count = len(heads.block)
    total = torch.zeros(count, ranks, dtype=torch.float64)
    seen = torch.zeros(count, 1, dtype=torch.float64)
    for part in rows.split(8):
        output = target(part)
        p = output.logits.float().softmax(-1)  # [B,C,V]
        guess = heads(output.hidden).topk(ranks, -1).indices  # [B,C,K,ranks]
        for k in range(count):
            right = p[:, k + 1 :].gather(2, guess[:, : -k - 1, k])  # [B,C-k-1,ranks]
            total[k] += right.double().sum((0, 1)).cpu()
            seen[k] += right.shape[0] * right.shape[1]
    return (total / seen).tolist()


def node_value(node: Node, accuracy: Accuracy) -> float:
    """Probability that the whole path to this node is right, heads taken as independent."""
    return math.prod(accuracy[head][rank] for head, rank in enumerate(node))


def expected_tree_tokens(tree: Sequence[Node], accuracy: Accuracy) -> float:
    """Tokens a cycle: the next token, and every node that is accepted. At most one sibling is, so
    the values add up.
    """
    return 1.0 + sum(node_value(node, accuracy) for node in tree)


def best_tree(accuracy: Accuracy, budget: int) -> list[Node]:
    """The tree of `budget` nodes with the largest expected_tree_tokens; fewer nodes when the
    accuracies hold no more.
    """
    if budget < 1:
        raise SpecrefError(f"a tree of {budget} nodes is not possible: give a budget of 1 or more")
    tree: list[Node] = []
    root: Node = (0,)
    border = {root: node_value(root, accuracy)}

    def order(node: Node) -> tuple[float, Node]:
        """By value; of equals, the one of better ranks."""
        return border[node], tuple(-rank for rank in node)

    while border and len(tree) < budget:
        node = max(border, key=order)
        del border[node]
        tree.append(node)
        head, rank = len(node) - 1, node[-1]
        if rank + 1 < len(accuracy[head]):
            sibling = (*node[:-1], rank + 1)
            border[sibling] = node_value(sibling, accuracy)
        if len(node) < len(accuracy):
            child = (*node, 0)
            border[child] = node_value(child, accuracy)
    return tree


def cartesian(widths: Sequence[int]) -> list[Node]:
    """The full tree in which every node of depth d has widths[d] children."""
    tree: list[Node] = []
    for depth in range(1, len(widths) + 1):
        tree.extend(product(*(range(width) for width in widths[:depth])))
    return tree


def best_budget(
    accuracy: Accuracy, steps: Sequence[float], heads_cost: float = 0.0
) -> tuple[int, float]:
    """The node count with the largest predicted speedup, and that speedup; 0 nodes and 1.0 where no
    tree pays.

    Args:
        steps: steps[k-1] = T(k)/T(1), the target's verify curve. heads_cost: the heads' work in the
            same unit.
    """
    best, fastest = 0, 1.0
    for budget in range(1, len(steps)):
        tree = best_tree(accuracy, budget)
        if len(tree) < budget:
            break
        speed = expected_tree_tokens(tree, accuracy) / (steps[budget] + heads_cost)
        if speed > fastest:
            best, fastest = budget, speed
    return best, fastest
