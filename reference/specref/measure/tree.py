"""Which tree of guesses to propose, from how often each guess is right.

The greedy construction of Medusa (Cai et al. 2024, arXiv:2401.10774, section 2.3.3): guesses of
different heads are taken as independent, so a node is worth the product of the accuracies on its
path, and the tree of a given size that is worth most is grown by always adding the best node next.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..data import SpecrefError
from ..draft.medusa import MedusaHeads, Node
from ..model.transformer import Transformer

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
        p = output.logits.float().softmax(-1)
        guess = heads(output.hidden).topk(ranks, -1).indices  # [B,C,K,ranks]
        for k in range(count):
            right = p[:, k + 1 :].gather(2, guess[:, : -k - 1, k])
            total[k] += right.double().sum((0, 1)).cpu()
            seen[k] += right.shape[0] * right.shape[1]
    return (total / seen).tolist()


def value(node: Node, accuracy: Accuracy) -> float:
    """Probability that the whole path to this node is right, heads taken as independent."""
    product = 1.0
    for head, rank in enumerate(node):
        product *= accuracy[head][rank]
    return product


def expected_tokens(tree: Sequence[Node], accuracy: Accuracy) -> float:
    """Tokens a cycle: the next token, and every node that is accepted. At most one sibling is, so
    the values add up.
    """
    return 1.0 + sum(value(node, accuracy) for node in tree)


def best_tree(accuracy: Accuracy, budget: int) -> list[Node]:
    """The tree of `budget` nodes with the largest expected_tokens; fewer when the accuracies hold
    no more.
    """
    if budget < 1:
        raise SpecrefError(f"a tree of {budget} nodes is not possible: give a budget of 1 or more")
    tree: list[Node] = []
    border: dict[Node, float] = {(0,): value((0,), accuracy)}
    while border and len(tree) < budget:
        node = max(border, key=lambda n: (border[n], tuple(-rank for rank in n)))
        del border[node]
        tree.append(node)
        sibling, child = (*node[:-1], node[-1] + 1), (*node, 0)
        if node[-1] + 1 < len(accuracy[len(node) - 1]):
            border[sibling] = value(sibling, accuracy)
        if len(node) < len(accuracy):
            border[child] = value(child, accuracy)
    return tree


def cartesian(widths: Sequence[int]) -> list[Node]:
    """The full tree in which every node of depth d has widths[d] children."""
    level: list[Node] = [()]
    tree: list[Node] = []
    for width in widths:
        level = [(*node, rank) for node in level for rank in range(width)]
        tree.extend(level)
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
    best = (0, 1.0)
    for budget in range(1, len(steps)):
        tree = best_tree(accuracy, budget)
        if len(tree) < budget:
            break
        speed = expected_tokens(tree, accuracy) / (steps[budget] + heads_cost)
        if speed > best[1]:
            best = (budget, speed)
    return best
