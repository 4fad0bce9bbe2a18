"""Trees of candidates: `tree_cycle` draws nodes when they are needed, `eager_tree_cycle` draws the
whole tree first.

A node's law may depend on its earlier siblings, all rejected by the time it is judged. So one rule
serves drawing with replacement, without it, and proposals made with certainty.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from .program import Context, Dist, Model, Prog, Ret, bind, coin, draw
from .step import accept, point_mass, residual
from .text import emit


@dataclass(frozen=True)
class Fork:
    """First child, next sibling: a node, the shape of its children, and its later siblings."""

    below: "Shape"
    next: "Shape"


@dataclass(frozen=True)
class Node:
    """A drafted token x with the law row it was drawn from, given its earlier siblings."""

    x: int
    row: Dist
    below: "Tree"
    next: "Tree"


Shape: TypeAlias = Fork | None
Tree: TypeAlias = Node | None
Tip: Shape = None
Leaf: Tree = None
# at a text, given the earlier siblings; None: no more
NodeLaw: TypeAlias = Callable[[Context, Context], Dist | None]


def tree_ask(
    p: Model, q: NodeLaw, s: Shape, c: Context, rejected: Context, left: Dist
) -> Prog[Context]:
    """left is what the rejected siblings have left of p(c), p(c) itself at first."""
    row = None if s is None else q(c, rejected)
    if s is None or row is None:
        return emit(c, left)

    def after(x: int) -> Prog[Context]:
        inside = (*c, x)
        return coin(
            accept(left, row, x),
            lambda: tree_ask(p, q, s.below, inside, (), p(inside)),
            lambda: tree_ask(p, q, s.next, c, (*rejected, x), residual(left, row)),
        )

    return bind(draw(row), after)


def tree_cycle(p: Model, q: NodeLaw, s: Shape, c: Context) -> Prog[Context]:
    """Siblings drawn when they are needed: the text after the cycle."""
    return tree_ask(p, q, s, c, (), p(c))


def tree_draft(q: NodeLaw, s: Shape, c: Context, earlier: Context = ()) -> Prog[Tree]:
    """The whole tree, drawn before anything is judged."""
    row = None if s is None else q(c, earlier)
    if s is None or row is None:
        return Ret(Leaf)
    return bind(
        draw(row),
        lambda x: bind(
            tree_draft(q, s.below, (*c, x)),
            lambda below: bind(
                tree_draft(q, s.next, c, (*earlier, x)),
                lambda later: Ret(Node(x, row, below, later)),
            ),
        ),
    )


def tree_verify(p: Model, t: Tree, c: Context, left: Dist) -> Prog[Context]:
    """Judge a given tree."""
    if t is None:
        return emit(c, left)
    inside = (*c, t.x)
    return coin(
        accept(left, t.row, t.x),
        lambda: tree_verify(p, t.below, inside, p(inside)),
        lambda: tree_verify(p, t.next, c, residual(left, t.row)),
    )


def eager_tree_cycle(p: Model, q: NodeLaw, s: Shape, c: Context) -> Prog[Context]:
    return bind(tree_draft(q, s, c), lambda t: tree_verify(p, t, c, p(c)))


def chain_shape(gamma: int) -> Shape:
    """A chain is a tree whose every node has one child."""
    return Fork(chain_shape(gamma - 1), Tip) if gamma else Tip


def fan_shape(k: int) -> Shape:
    """Several candidates for one place."""
    return Fork(Tip, fan_shape(k - 1)) if k else Tip


def certain(t: Tree, size: int) -> Tree:
    """The same tokens, as if each had been proposed with certainty: for target-only verification of
    a tree.
    """
    return (
        Node(t.x, point_mass(t.x, size), certain(t.below, size), certain(t.next, size))
        if t
        else Leaf
    )
