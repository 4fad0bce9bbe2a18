"""Our loop's right forms: other rules, other drafters."""

from torch import Tensor

from ..chance import Chance
from ..data import Draft, Verdict
from ..draft.base import Drafter
from ..draft.early_exit import EarlyExitDrafter
from ..draft.ngram import NGramDrafter
from ..draft.none import NoDrafter
from ..verify.block import block
from ..verify.matching import matching
from ..verify.tree import tree
from .subjects import Loop


class Blockwise(Loop):
    distribution = "block"

    def judge(self, draft: Draft, p: Tensor, chance: Chance) -> Verdict:
        return block(draft, p, chance)


class Matching(Loop):
    distribution = "matching"

    def judge(self, draft: Draft, p: Tensor, chance: Chance) -> Verdict:
        return matching(draft, p, chance)


class Recursive(Loop):
    def judge(self, draft: Draft, p: Tensor, chance: Chance) -> Verdict:
        return tree(draft, p, chance)


class NGram(Loop):
    distribution, own_draft = "", True

    def drafter(self) -> Drafter:
        return NGramDrafter(2, 1)


class NoDraft(Loop):
    distribution, own_draft = "", True

    def drafter(self) -> Drafter:
        return NoDrafter()


class EarlyExit(Loop):
    distribution, own_draft = "", True

    def drafter(self) -> Drafter:
        return EarlyExitDrafter(self.target, 1)
