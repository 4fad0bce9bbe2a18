"""Trees drawn by Hypothesis, and the exact distribution of judging one whose tokens were drawn, or
chosen, node by node.
"""

from collections.abc import Callable, Hashable
from itertools import pairwise
from typing import cast

import torch
from hypothesis import strategies as st
from specref.chance import Chance
from specref.data import Draft, Verdict
from specref.exact.enumerate import distributions
from torch import Tensor

from tests.distributions import Outcome, World, a_pair

WITH, WITHOUT, CERTAIN = "with replacement", "without replacement", "with certainty"


def depth_of(parents: list[int]) -> list[int]:
    depth: list[int] = []
    for parent in parents:
        depth.append(0 if parent < 0 else depth[parent] + 1)
    return depth


@st.composite
def shapes(draw: st.DrawFn, most: int = 5) -> list[int]:
    """Parents of a tree of width and depth 3 at most, nodes in any order that puts parents
    first.
    """
    parents: list[int] = []
    for node in range(draw(st.integers(1, most))):
        depth = depth_of(parents)
        free = [at for at in range(-1, node) if parents.count(at) < 3 and (at < 0 or depth[at] < 2)]
        parents.append(draw(st.sampled_from(free)))
    return parents


@st.composite
def tree_worlds(draw: st.DrawFn, size: int = 3) -> World:
    """Two cases whose tables reach as deep as any tree here."""
    pools = draw(st.lists(st.lists(a_pair(size), min_size=1, max_size=4), min_size=2, max_size=2))
    return World(size, 3, [3, 3], False, pools)


def outcomes(
    world: World, parents: list[int], how: str, rule: Callable[[Draft, Tensor, Chance], Verdict]
) -> list[dict[Outcome, float]]:
    """For every case, the exact distribution of (emitted tokens, accepted count).

    Case 1 is ragged: it lacks the last node, and what stands there is nonsense on purpose.
    """
    size, count = world.vocabulary, len(parents)

    def program(chance: Chance, root: Tensor) -> list[Hashable]:
        lengths = torch.tensor([count, count - 1])[root]
        place = [torch.zeros_like(root)]  # table row of the context, then of every node
        p = [world.p[root, place[0]]]
        q: list[Tensor] = []
        tokens: list[Tensor] = []
        for node, parent in enumerate(parents):
            here = node < lengths
            distribution = world.q[root, place[parent + 1]]
            siblings = [i for i in range(node) if parents[i] == parent]
            left = torch.ones_like(distribution)
            if how != WITH:
                for i in siblings:
                    left.scatter_(1, tokens[i].clamp(min=0)[:, None], 0)
            if how == CERTAIN:
                # the best token not yet proposed here, if any is left
                token = (distribution + left).argmax(-1)
            else:
                rest = distribution * left
                rest = torch.where(
                    rest.sum(-1, keepdim=True) > 0,
                    rest,
                    torch.where(left.sum(-1, keepdim=True) > 0, left, distribution),
                )
                distribution = rest / rest.sum(-1, keepdim=True)
                token = chance.draw(distribution, here)
            place.append(torch.where(here, size * place[parent + 1] + 1 + token, 0))
            tokens.append(torch.where(here, token, -1))
            q.append(torch.where(here[:, None], distribution, torch.nan))
            p.append(torch.where(here[:, None], world.p[root, place[-1]], torch.nan))
        draft = Draft(
            torch.stack(tokens, 1),
            torch.tensor(parents).expand(len(root), -1),
            None if how == CERTAIN else torch.stack(q, 1),
            lengths,
        )
        verdict = rule(draft, torch.stack(p, 1), chance)
        for row in range(len(root)):  # the path is a walk down from the context
            walk = [-1, *verdict.path[row, : int(verdict.accepted[row])].tolist()]
            assert all(parents[child] == parent for parent, child in pairwise(walk)), (
                "the path is no path"
            )
        return [
            (tuple(emitted), int(accepted))
            for emitted, accepted in zip(verdict.emitted(draft), verdict.accepted, strict=True)
        ]

    return cast(list[dict[Outcome, float]], distributions(program, 2))
