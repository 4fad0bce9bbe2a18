"""Which candidate tree to propose, from how often each guess is right.

As in Medusa (Cai et al. 2024, arXiv:2401.10774, section 2.3.3) the heads are taken as independent,
so the value of a node is the product of the accuracies on its path. Medusa's tree grows by the node
of the largest value, one at a time. That is the best tree only where a better rank is never less
accurate, as a node needs its earlier siblings. Measured accuracies need not be in that order, so
the best trees come from a dynamic program over subtrees, as in Sequoia (Chen et al. 2024,
arXiv:2402.12374).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class _Forest:
    """Subtrees side by side. value: of all nodes together, where the node above them is right."""

    value: float
    nodes: tuple[Node, ...]  # by ranks from the top of the forest on


_NOTHING = _Forest(0.0, ())


def best_trees(accuracy: Accuracy, budget: int) -> list[list[Node]]:
    """The best tree of every size from 1 to `budget`, or to all nodes that the accuracies hold: the
    one with the largest expected_tree_tokens of those in which each node has its parent and its
    earlier siblings.
    """
    if budget < 1:
        raise SpecrefError(f"a tree of {budget} nodes is not possible: give a budget of 1 or more")
    best = [_NOTHING]  # by size: below the last head there is nothing
    for rates in reversed(accuracy):
        best = _best_forests(rates, best, budget)
    return [list(forest.nodes) for forest in best[1:]]


def _best_forests(rates: Sequence[float], below: list[_Forest], budget: int) -> list[_Forest]:
    """The best forest of every size, by size, whose tops are guesses of one head.

    Args:
        rates: accuracy of the head by rank. below: the best forests under one node, by size.
    """
    later = [_NOTHING]  # by size: of the ranks behind this one
    for rank in range(len(rates) - 1, -1, -1):
        longest = min(budget, len(below) + len(later) - 1)
        found = [_NOTHING]
        for size in range(1, longest + 1):
            under = range(max(0, size - len(later)), min(size, len(below)))  # nodes under this one
            value, most = max(
                (rates[rank] * (1 + below[n].value) + later[size - 1 - n].value, -n) for n in under
            )
            mine, rest = below[-most], later[size - 1 + most]
            nodes = ((rank,), *((rank, *node) for node in mine.nodes), *rest.nodes)
            found.append(_Forest(value, nodes))
        later = found
    return later


def best_tree(accuracy: Accuracy, budget: int) -> list[Node]:
    """The best tree of `budget` nodes; of fewer when the accuracies hold no more."""
    return best_trees(accuracy, budget)[-1]


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
    if len(steps) < 2:
        return best, fastest
    for budget, tree in enumerate(best_trees(accuracy, len(steps) - 1), 1):
        speed = expected_tree_tokens(tree, accuracy) / (steps[budget] + heads_cost)
        if speed > fastest:
            best, fastest = budget, speed
    return best, fastest
