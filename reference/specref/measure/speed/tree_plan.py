"""Which candidate tree of the Medusa heads is predicted to be fastest on this machine."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...data import SamplingParams
from ...draft.medusa import MedusaHeads, Node, chain
from ...model.transformer import Transformer
from ...train.corpus import held_out, held_out_rows
from .candidate_tree import (
    Accuracy,
    best_tree,
    cartesian,
    expected_tree_tokens,
    head_accuracy,
)
from .step_costs import TimedModels, in_plain_steps, step_costs

_NODE_COUNTS = (2, 3, 4, 6, 8, 12, 16, 24, 32)
_FULL_TREES = ((2, 2), (2, 2, 2), (3, 3), (4, 2), (4, 4))  # children of each node, by depth
_CONTEXT = 192  # tokens before the timed forwards


def plan_tree(
    target: Transformer,
    draft: Transformer | None,
    heads: MedusaHeads,
    report: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Measure the heads and the verify curve, and predict the speed of every candidate tree.

    Returns:
        rows {shape, nodes, tokens_per_cycle, cost, predicted, tree}; best, one of them; accuracy
        [K][ranks]; steps, the verify curve; heads_cost, in plain steps.
    """
    report("measuring head accuracies ...")
    length = min(256, target.config.max_position_embeddings - 1)
    accuracy = head_accuracy(heads, target, held_out_rows(held_out(), length, 64))
    report("measuring the verify curve ...")
    models = TimedModels(target, draft or target, heads=heads)
    costs = step_costs(models, SamplingParams(), _CONTEXT, range(1, _NODE_COUNTS[-1] + 2))
    return predict_trees(accuracy, costs)


def predict_trees(accuracy: Accuracy, costs: Mapping[str, float]) -> dict[str, Any]:
    """The prediction from measured accuracies and costs; see `plan_tree`."""
    steps, heads_cost = in_plain_steps(costs), costs["heads"] / costs["plain"]
    rows: list[dict[str, Any]] = []
    for shape, tree in _candidates(accuracy):
        if len(tree) >= len(steps):
            continue
        tokens = expected_tree_tokens(tree, accuracy)
        cost = steps[len(tree)] + (heads_cost if tree else 0)
        rows.append(
            {
                "shape": shape,
                "nodes": len(tree),
                "tokens_per_cycle": tokens,
                "cost": cost,
                "predicted": tokens / cost,
                "tree": [list(node) for node in tree],
            }
        )
    best = max(rows, key=lambda row: row["predicted"])
    return {
        "rows": rows,
        "best": best,
        "accuracy": accuracy,
        "steps": steps,
        "heads_cost": heads_cost,
    }


def _candidates(accuracy: Accuracy) -> list[tuple[str, Sequence[Node]]]:
    depth = len(accuracy)
    shapes: list[tuple[str, Sequence[Node]]] = [("no tree", [])]
    shapes += [(f"chain of {n}", chain(n)) for n in range(1, depth + 1)]
    shapes += [(f"best tree of {n}", best_tree(accuracy, n)) for n in _NODE_COUNTS]
    for widths in _FULL_TREES:
        if len(widths) <= depth:
            shapes.append(("full tree " + "x".join(map(str, widths)), cartesian(widths)))
    return shapes
