"""One step over a tree against its exact distribution: every outcome of the guesses, the coins and
the last draw.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache

import torch
from torch import Tensor

from ...exact.enumerate import Forking, distributions
from .. import cases
from ..cases import Tables
from ..tree_subjects import Parents, TreeStep, grow
from . import Distribution, ExactFinding, compare, exact_check
from .edges import outside
from .rule import continued, target

_Outcome = tuple[tuple[int, ...], tuple[int, ...]]  # the accepted path, the emitted tokens
_SIBLINGS = (-1, -1)
# level by level, branch by branch
_SHAPES: tuple[Parents, ...] = ((-1, -1, 0, 1), (-1, 0, -1, 2), (-1, 0, 0), (-1, -1, -1))


@lru_cache(maxsize=64)
def outcomes(step: TreeStep, tables: Tables, parents: Parents) -> list[Distribution]:
    """For every case with the whole tree, then for every case with one node less, and so on to
    none: the exact distribution of the `Outcome`. Padding looks like a node with token 0: it has a
    parent, a distribution q and a distribution p, which is another's."""
    count = len(parents)

    def program(chance: Forking, root: Tensor) -> list[_Outcome]:
        case, lengths = root % len(tables.names), count - root // len(tables.names)
        draft = grow(
            lambda tokens: tables.q[tokens.shape[1]][case, tables.prefixes(tokens)],
            parents,
            lengths,
            step.guess,
            chance,
        )
        texts = [torch.zeros(len(root), 0, dtype=torch.int64)]
        for token, parent in zip(draft.tokens.T, parents, strict=True):
            texts.append(torch.cat((texts[parent + 1], token[:, None]), 1))
        p = torch.stack([tables.p[text.shape[1]][case, tables.prefixes(text)] for text in texts], 1)
        p[:, 1:] = torch.where(draft.valid[..., None], p[:, 1:], p[:, 1:].roll(1, -1))
        verdict = step.rule(draft, p, chance)
        return [
            (tuple(path[:accepted]), tuple(block))
            for path, accepted, block in zip(
                verdict.path.tolist(),
                verdict.accepted.tolist(),
                verdict.emitted(draft),
                strict=True,
            )
        ]

    return distributions(program, len(tables.names) * (count + 1))


def _trees(step: TreeStep, shapes: Sequence[Parents] = _SHAPES) -> Iterator[tuple[Tables, Parents]]:
    """Distributions of three tokens over every shape, with tables as deep as the shape after the
    step's own order.
    """
    for shape in shapes:
        parents = step.order(shape)
        yield cases.chains(_depth(parents)), parents


def _depth(parents: Parents) -> int:
    depths: list[int] = []
    for parent in parents:
        depths.append(1 if parent < 0 else depths[parent] + 1)
    return max(depths)


def _siblings(step: TreeStep) -> Iterator[tuple[Tables, Parents]]:
    """Two guesses for one token, on every pair of distributions."""
    parents = step.order(_SIBLINGS)
    for tables in cases.pairs() if _depth(parents) == 1 else [cases.chains(2)]:
        yield tables, parents


def _name(tables: Tables, case: int, parents: Parents) -> str:
    return f"{tables.names[case].split(',')[0]}, parents {list(parents)}"


def _joint(
    step: TreeStep, tables: Tables, parents: Parents, missing: int = 0
) -> Iterator[ExactFinding]:
    count = len(tables.names)
    for case in range(count):
        emitted: dict[tuple[int, ...], float] = {}
        for (_, block), mass in outcomes(step, tables, parents)[missing * count + case].items():
            emitted[block] = emitted.get(block, 0.0) + mass
        name = _name(tables, case, parents)
        yield from compare(
            f"{name}, {missing} missing" if missing else name,
            continued(emitted, tables, case),
            target(tables, case),
        )


@exact_check("tree.first-token")
def exact_tree_first_token(step: TreeStep) -> Iterator[ExactFinding]:
    """Does the first token have the target's distribution, with two guesses for it and with
    three?
    """
    for tables, parents in (*_siblings(step), *_trees(step, [(-1, -1, -1)])):
        for case, distribution in enumerate(outcomes(step, tables, parents)[: len(tables.names)]):
            first: dict[int, float] = {}
            for (_, block), mass in distribution.items():
                first[block[0]] = first.get(block[0], 0.0) + mass
            yield from compare(
                _name(tables, case, parents), first, dict(enumerate(tables.p[0][case, 0].tolist()))
            )


@exact_check("tree.joint")
def exact_tree_joint(step: TreeStep) -> Iterator[ExactFinding]:
    """Do all tokens together, continued to a fixed length, have the target's distribution?"""
    for tables, parents in _trees(step):
        yield from _joint(step, tables, parents)


@exact_check("tree.ragged")
def exact_tree_ragged(step: TreeStep) -> Iterator[ExactFinding]:
    """Do rows whose trees lack nodes, padded in one batch, have the target's distribution?"""
    for tables, parents in _trees(step):
        for missing in range(1, len(parents) + 1):
            yield from _joint(step, tables, parents, missing)


@exact_check("tree.support")
def exact_tree_support(step: TreeStep) -> Iterator[ExactFinding]:
    """Does no outcome hold a token of probability zero?"""
    for tables, parents in (*_siblings(step), *_trees(step)):
        for case, distribution in enumerate(outcomes(step, tables, parents)[: len(tables.names)]):
            mass = sum(
                weight
                for (_, block), weight in distribution.items()
                if outside(tables, case, block)
            )
            if mass > 0:
                yield ExactFinding(
                    _name(tables, case, parents),
                    f"a token of probability zero comes out with probability {mass:.3g}",
                    mass,
                )


@exact_check("tree.path")
def exact_tree_path(step: TreeStep) -> Iterator[ExactFinding]:
    """Is what is accepted a path: a child of the context, then a child of each node before, and
    none that is missing?
    """
    for tables, parents in _trees(step):
        count = len(tables.names)
        for number, distribution in enumerate(outcomes(step, tables, parents)):
            nodes = len(parents) - number // count
            for (way, _), mass in distribution.items():
                above = [-1, *way]
                if any(
                    node >= nodes or parents[node] != parent for node, parent in zip(way, above)
                ):
                    yield ExactFinding(
                        f"{_name(tables, number % count, parents)}, {nodes} nodes",
                        f"accepts {list(way)}, which is no path of that tree, with probability"
                        f" {mass:.3g}",
                    )
                    break
