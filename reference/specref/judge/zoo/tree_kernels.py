"""Planted bugs that only a kernel over trees can have: random numbers, seeds and batches. Their
verification of chains is right.
"""

import torch
from torch import Tensor

from ...adapters.reference import OneGenerator, Tree, depth, emitted
from ...chance import Chance
from ...data import Draft, Verdict
from ...verify.tree import tree
from . import Bug
from .rules import OURS
from .tree_parts import assembled_tree


class TreeCoins(Tree):
    """The right kernel, with the random numbers of its trees made in one place."""

    def coins(self, batch: int, seed: int) -> Chance:
        return OneGenerator(seed)

    def verify_tree(
        self, p: Tensor, q: Tensor | None, tokens: Tensor, parents: Tensor, seed: int
    ) -> Tensor:
        batch, count = tokens.shape
        draft = Draft(tokens, parents.expand(batch, -1), q, torch.full((batch,), count))
        return emitted(draft, self.walk(draft, p, self.coins(batch, seed)), 1 + depth(parents))

    def walk(self, draft: Draft, p: Tensor, coins: Chance) -> Verdict:
        return tree(draft, p, coins)


class PairedRows(OneGenerator):
    """Rows 2i and 2i + 1 use the same uniforms."""

    def _uniforms(
        self, shape: tuple[int, int], asked: Tensor | None, device: torch.device
    ) -> Tensor:
        half = torch.rand(
            (-(-shape[0] // 2), shape[1]), dtype=torch.float64, generator=self.generator
        )
        drawn = half.repeat_interleave(2, 0)[: shape[0]]
        return (drawn if asked is None else drawn.where(asked.cpu(), 1.0)).to(device)


class NeighboursShareCoins(TreeCoins):
    def coins(self, batch: int, seed: int) -> Chance:
        return PairedRows(seed)


class SeedThroughAFloat(TreeCoins):
    """The seed is rounded to a float, so its last bits are lost."""

    def coins(self, batch: int, seed: int) -> Chance:
        return OneGenerator(int(float(seed)))


class OneTreeGreedy(TreeCoins):
    def walk(self, draft: Draft, p: Tensor, coins: Chance) -> Verdict:
        found = tree(draft, p, coins)
        if len(p) == 1:
            count = int(found.accepted)
            found.next_token[:] = p[0, int(found.path[0, count - 1]) + 1 if count else 0].argmax()
        return found


class NothingLeft(TreeCoins):
    """Normalises the residual of the target after a rejection also where it is 0 everywhere."""

    def walk(self, draft: Draft, p: Tensor, coins: Chance) -> Verdict:
        return assembled_tree(rest=lambda left, q, x, p: (left - q).clamp(min=0))(draft, p, coins)


class NodesOfThreeBits(TreeCoins):
    """The index of a node's row of p is stored in three bits."""

    def walk(self, draft: Draft, p: Tensor, coins: Chance) -> Verdict:
        return assembled_tree(row=lambda node: node + 1 & 7)(draft, p, coins)


TREE_KERNEL_BUGS = (
    Bug(
        "neighbouring-trees-share-coins",
        22,
        "TensorRT-LLM #19487",
        "random numbers",
        "two requests that stand beside each other get the same text, with trees",
        "kernel.tree-independence",
        NeighboursShareCoins,
    ),
    Bug(
        "tree-seed-through-a-float",
        23,
        OURS,
        "random numbers",
        "steps of one request throw the same coins, with trees",
        "kernel.tree-seeds",
        SeedThroughAFloat,
    ),
    Bug(
        "one-tree-greedy",
        64,
        OURS,
        "batching",
        "a request alone is answered as if at temperature 0, with trees",
        "kernel.token-bets",
        OneTreeGreedy,
    ),
    Bug(
        "tree-residual-0/0",
        17,
        "jaymody/speculative-sampling #5",
        "numerics",
        "crashes when the draft is as good as the target, with trees",
        "kernel.tree-near-equal",
        NothingLeft,
        crashes=True,
    ),
    Bug(
        "nodes-of-three-bits",
        54,
        OURS,
        "tree",
        "below the eighth guess, text is judged by the wrong distribution",
        "kernel.tree-mixed-rows",
        NodesOfThreeBits,
    ),
)
