"""Planted bugs and controls of the loop with trees and of Medusa's heads."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from ...chance import Chance
from ...data import Draft, Verdict
from ...draft.base import Drafter, Text
from ...draft.medusa import MedusaDrafter, MedusaHeads, best_first
from ...draft.mtp import MTPDrafter, MTPModule
from ...model.cache import Cache
from ...model.cache import Step as Place
from ...model.transformer import Output, Transformer
from ...train.losses import medusa_loss
from ..subjects import Loop
from ..tree_subjects import Heads, TreeLoop, anew, without
from . import Bug, Control
from .loop_parts import Other
from .tree_parts import assembled_tree, child
from .trees import OURS


class Uncompacted(Cache):
    def commit(self, path: Tensor, accepted: Tensor) -> None:
        self.lengths += accepted + 1  # keeps the first nodes, whichever are on the path


class Cousins(Cache):
    def step(
        self, count: int, parents: Tensor | None = None, counts: Tensor | None = None
    ) -> Place:
        # a chain's mask
        return replace(
            super().step(count, parents, counts), mask=super().step(count, None, counts).mask
        )


class ByIndex(Cache):
    def step(
        self, count: int, parents: Tensor | None = None, counts: Tensor | None = None
    ) -> Place:
        return replace(
            super().step(count, parents, counts), positions=super().step(count).positions
        )


def _with_cache(cache: type[Cache]) -> type[TreeLoop]:
    class Cached(TreeLoop):
        def __init__(
            self, target: Transformer, draft: Transformer, gamma: int = 2, rests: bool = False
        ):
            super().__init__(Other(target, cache), draft, gamma, rests)

    return Cached


def _first_born(draft: Draft, node: int, here: Tensor, accepted: Tensor) -> Tensor:
    return child(draft, node, here, accepted) & (
        draft.parents[:, :node] != draft.parents[:, node, None]
    ).all(1)


class FirstBorn(TreeLoop):
    def judge(self, draft: Draft, p: Tensor, chance: Chance) -> Verdict:
        return assembled_tree(asks=_first_born)(draft, p, chance)


class Tied(MedusaHeads):
    def forward(self, hidden: Tensor) -> Tensor:
        heads = super().forward(hidden)
        return heads[..., :1, :].expand_as(heads)

    @staticmethod
    def of(target: Transformer, heads: int) -> MedusaHeads:
        return Tied(target.config.hidden_size, target.config.vocab_size, heads)


class StateBefore(MedusaDrafter):
    def propose(self, text: Text, budget: Tensor, chance: Chance) -> Draft:
        states = None if text.states is None else text.states.roll(1, 1)
        return super().propose(replace(text, states=states), budget, chance)


class Late(Other):
    def forward(
        self,
        tokens: Tensor,
        cache: Cache | None = None,
        parents: Tensor | None = None,
        counts: Tensor | None = None,
    ) -> Output:
        output = super().forward(tokens, cache, parents, counts)
        return replace(output, logits=output.logits.roll(1, 1))


def _taught_too_near(heads: MedusaHeads, target: Transformer) -> Callable[[Tensor], Tensor]:
    """Head k is taught the token k + 1 places on, which is the next head's neighbour."""
    return medusa_loss(heads, Late(target))


class Drawn(TreeLoop):
    parents = (-1, -1, 0)

    def guess(
        self, distribution: Tensor, earlier: Tensor, chance: Chance, asked: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        return without(distribution, earlier, chance, asked)


class DrawnAnew(TreeLoop):
    parents = (-1, -1)

    def guess(
        self, distribution: Tensor, earlier: Tensor, chance: Chance, asked: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        return anew(distribution, earlier, chance, asked)


def _own_heads(target: Transformer) -> MedusaHeads:
    """Heads of any quality."""
    generator = torch.Generator().manual_seed(0)
    made = MedusaHeads.of(target, 2).to(target.dtype).requires_grad_(False)
    made.block.copy_(torch.randn(made.block.shape, generator=generator))
    return made.eval()


class Medusa(TreeLoop):
    own_draft = True

    def drafter(self) -> Drafter:
        return MedusaDrafter(_own_heads(self.target), best_first(2, 2))


class MedusaDrawn(TreeLoop):
    own_draft = True

    def drafter(self) -> Drafter:
        return MedusaDrafter(_own_heads(self.target), [(0,), (1,), (0, 0)], draws=True)


class MTP(Loop):
    distribution, own_draft = "", True

    def drafter(self) -> Drafter:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return MTPDrafter(MTPModule.of(self.target).to(self.target.dtype).eval(), self.target)


TREE_LOOP_BUGS = (
    Bug(
        "tree-path-not-compacted",
        39,
        "SGLang #15360",
        "cache",
        "text derails after a later guess was accepted",
        "loop.tree-cache",
        _with_cache(Uncompacted),
    ),
    Bug(
        "node-sees-cousin",
        56,
        OURS,
        "tree",
        "what is judged depends on guesses beside it",
        "loop.tree-mask",
        _with_cache(Cousins),
    ),
    Bug(
        "positions-by-index",
        57,
        OURS,
        "tree",
        "guesses after the first are judged as if they stood further on",
        "loop.tree-law",
        _with_cache(ByIndex),
    ),
    Bug(
        "later-siblings-ignored",
        58,
        OURS,
        "tree",
        "trees are no better than chains; no text shows it",
        "loop.tree-greedy",
        FirstBorn,
    ),
    Bug(
        "heads-tied",
        59,
        OURS,
        "heads",
        "acceptance is low from the second token on; no text shows it",
        "heads.differ",
        Heads(Tied.of),
    ),
    Bug(
        "heads-one-off",
        60,
        OURS,
        "heads",
        "hardly a guess is accepted; no text shows it",
        "heads.offset",
        Heads(drafter=StateBefore),
    ),
    Bug(
        "heads-taught-one-off",
        60,
        OURS,
        "heads",
        "hardly a guess is accepted; no text shows it",
        "heads.taught",
        Heads(loss=_taught_too_near),
    ),
)
TREE_LOOP_CONTROLS = (
    Control("loop with trees", "the reference, also at temperature 0", TreeLoop),
    Control(
        "loop with trees drawn without replacement",
        "q is the distribution given the earlier siblings",
        Drawn,
    ),
    Control(
        "loop with trees drawn with replacement", "the same guess twice is no mistake", DrawnAnew
    ),
    Control("loop with Medusa", "heads may guess as badly as they like", Medusa),
    Control("loop with Medusa, drawn", "and draw their guesses", MedusaDrawn),
    Control("loop with multi-token prediction", "any draft will do", MTP),
    Control("Medusa's heads", "the reference", Heads()),
)
