"""Planted bugs and controls of one step over a tree."""

import torch
from torch import Tensor

from ...chance import Chance
from ...data import Draft
from ...verify.k_sequential import k_sequential
from ...verify.naive import naive
from ...verify.rejection import rejection
from ...verify.residual import residual
from ...verify.traversal import traversal
from ...verify.tree import tree
from ...verify.typical import LossyTypical
from ..tree_subjects import TreeStep, anew, best, without
from . import Bug, Control
from .rules import OURS
from .tree_parts import as_chain, assembled_tree, at, breadth_first, depth_first, node_ratio


def _unreported(
    distribution: Tensor, earlier: Tensor, chance: Chance, asked: Tensor
) -> tuple[Tensor, Tensor | None]:
    """Draws siblings without replacement, but reports q as if with replacement."""
    token, q = without(distribution, earlier, chance, asked)
    assert q is not None
    return token, torch.where(distribution.gather(1, token[:, None]) > 0, distribution, q)


def _any_cousin(draft: Draft, node: int, here: Tensor, accepted: Tensor) -> Tensor:
    """Asks about every node at the next depth, also where its parent was not accepted."""
    depth, parent = torch.zeros_like(here), draft.parents[:, node]
    while bool((parent >= 0).any()):
        depth += parent >= 0
        parent = torch.where(
            parent >= 0, draft.parents.gather(1, parent.clamp(min=0)[:, None])[:, 0], -1
        )
    return draft.valid[:, node] & (depth == accepted)


def _children_in_a_row(draft: Draft, node: int, here: Tensor, accepted: Tensor) -> Tensor:
    """Finds a node's children from the first child and their number: right only where siblings are
    stored next to each other, as in level order.
    """
    mine = draft.parents == here[:, None]  # [B,N]
    first = mine.long().argmax(1)
    return draft.valid[:, node] & (first <= node) & (node < first + mine.sum(1))


def _bug(
    name: str, number: int, source: str, kind: str, symptom: str, caught_by: str, step: TreeStep
) -> Bug:
    return Bug(name, number, source, kind, symptom, caught_by, step)


TREE_BUGS = (
    _bug(
        "tree-redraws-target",
        13,
        "fms-extras #12",
        "tree",
        "what several guesses agree on comes out too often",
        "tree.first-token",
        TreeStep(
            assembled_tree(coin=lambda left, q, x, p: at(p, x), rest=lambda left, q, x, p: p), best
        ),
    ),
    _bug(
        "tree-residual-floored",
        19,
        "vLLM #13933",
        "tree",
        "tokens that the target rules out, after rejected siblings",
        "tree.support",
        TreeStep(assembled_tree(rest=lambda left, q, x, p: (left - q).clamp(min=1e-5))),
    ),
    _bug(
        "missing-leaf-is-token-0",
        50,
        OURS,
        "tree",
        "in a batch, rows with smaller trees write token 0 too often",
        "tree.ragged",
        TreeStep(
            assembled_tree(asks=lambda draft, node, here, accepted: draft.parents[:, node] == here)
        ),
    ),
    _bug(
        "siblings-independent",
        51,
        OURS,
        "tree",
        "text leans to what the draft guesses twice",
        "tree.first-token",
        TreeStep(
            assembled_tree(
                coin=lambda left, q, x, p: node_ratio(p, q, x, p),
                rest=lambda left, q, x, p: residual(p, q),
            )
        ),
    ),
    _bug(
        "siblings-q-with-replacement",
        52,
        OURS,
        "tree",
        "second guesses are accepted at the wrong rate",
        "tree.first-token",
        TreeStep(tree, _unreported),
    ),
    _bug(
        "cousin-accepted",
        53,
        OURS,
        "tree",
        "text goes on as if another guess had been accepted",
        "tree.path",
        TreeStep(assembled_tree(asks=_any_cousin)),
    ),
    _bug(
        "children-in-a-row",
        53,
        OURS,
        "tree",
        "text goes wrong below trees whose nodes do not stand level by level",
        "tree.joint",
        TreeStep(assembled_tree(asks=_children_in_a_row)),
    ),
    _bug(
        "tree-judged-as-chain",
        54,
        OURS,
        "tree",
        "below the second guess, text is judged by the wrong distribution",
        "tree.joint",
        TreeStep(assembled_tree(row=lambda node: node)),
    ),
    _bug(
        "typical-called-lossless",
        55,
        OURS,
        "verify",
        "the target's likely tokens come out even more often",
        "tree.first-token",
        TreeStep(LossyTypical(), best),
    ),
)
TREE_CONTROLS = (
    Control(
        "tree with replacement",
        "the same guess twice is judged twice, by what is left each time",
        TreeStep(tree),
    ),
    Control(
        "tree without replacement",
        "q is the distribution given the earlier siblings",
        TreeStep(tree, without),
    ),
    Control(
        "tree of best guesses",
        "chosen with certainty, needs no q: target-only",
        TreeStep(tree, best),
    ),
    Control(
        "assembled tree",
        "the parts that bugs replace, all right",
        TreeStep(assembled_tree(), without),
    ),
    Control(
        "nodes depth first", "an order is no part of a tree", TreeStep(tree, without, depth_first)
    ),
    Control(
        "nodes breadth first",
        "an order is no part of a tree",
        TreeStep(tree, without, breadth_first),
    ),
    Control("chains as trees", "a chain is a tree", TreeStep(tree, anew, as_chain)),
    Control(
        "chain rule on chain-shaped trees",
        "a tree without branches is a chain",
        TreeStep(rejection, anew, as_chain),
    ),
    Control(
        "naive sampling",
        "a draw from p that happens to be a candidate is a draw from p",
        TreeStep(naive, without),
    ),
    Control(
        "k-sequential selection",
        "one threshold for all siblings is as right as one after the other",
        TreeStep(k_sequential, anew),
    ),
    Control(
        "traversal verification",
        "a tree may be judged from its leaves up",
        TreeStep(traversal, without),
    ),
    Control(
        "traversal of best guesses",
        "from the leaves up, without a q",
        TreeStep(traversal, best),
    ),
)
