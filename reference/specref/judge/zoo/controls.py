"""Controls of the exact checks: right but unusual code that is often reported as a bug. It must
pass every check of its level.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ...chance import Chance
from ...checks import check_judgeable
from ...data import Completion, Draft, SamplingParams, Verdict
from ...draft.base import Drafter, Text
from ...draft.model import ModelDrafter
from ...verify.block import block
from ...verify.greedy import greedy
from ...verify.gumbel import gumbel
from ...verify.matching import matching
from ...verify.rejection import rejection
from ...verify.tree import tree
from ..loops import Blockwise, EarlyExit, Matching, NGram, NoDraft, Recursive
from ..subjects import Loop, RuleStep, overlap
from . import Control
from .parts import Through, assembled, one_hot, top


def _both(p: Tensor, q: Tensor) -> Tensor:
    """sum p q: the probability that a token drawn from p independently equals the draft token."""
    return (p * q).sum(-1)


def _race(p: Tensor, q: Tensor) -> Tensor:
    """The probability that two tokens that race on the same exponential times are equal: the sum
    of 1 / sum max(q / q(x), p / p(x)).
    """
    slowest = torch.maximum(q[..., None, :] / q[..., None], p[..., None, :] / p[..., None])
    return (1 / slowest.sum(-1)).nan_to_num(0).sum(-1)


def _ignores_draft(draft: Draft, p: Tensor, chance: Chance) -> Verdict:
    check_judgeable(draft, p)
    return Verdict(
        torch.zeros_like(draft.tokens), torch.zeros_like(draft.lengths), chance.draw(p[:, 0])
    )


def _greedy_of_the_last(draft: Draft, p: Tensor, chance: Chance) -> Verdict:
    """Greedy verification in which ties go to the highest id: that of the ids turned round."""
    most = p.shape[2] - 1
    verdict = greedy(replace(draft, tokens=most - draft.tokens, q=None), p.flip(-1), chance)
    return replace(verdict, next_token=most - verdict.next_token)


def without_bonus(draft: Draft, p: Tensor, chance: Chance) -> Verdict:
    """A fully accepted draft gains no extra token: the draft's last token takes the bonus token's
    place.
    """
    verdict = rejection(draft, p, chance)
    if not draft.tokens.shape[1]:
        return verdict
    whole = (verdict.accepted == draft.lengths) & (draft.lengths > 0)
    last = draft.tokens.gather(1, (draft.lengths - 1).clamp(min=0)[:, None])[:, 0]
    return Verdict(
        verdict.path, verdict.accepted - whole.long(), torch.where(whole, last, verdict.next_token)
    )


class FromTheEnd(Through):
    """Asks for the coins of a draft in the order from its last token to its first."""

    def accept(self, probability: Tensor, asked: Tensor | None = None) -> Tensor:
        return self.inner.accept(
            probability.flip(1), None if asked is None else asked.flip(1)
        ).flip(1)


class Certain(ModelDrafter):
    """The draft model's first choices, proposed with certainty."""

    def propose(self, text: Text, budget: Tensor, chance: Chance) -> Draft:
        text = replace(text, params=[replace(s, temperature=0.0) for s in text.params])
        return replace(super().propose(text, budget, chance), q=None)


class CertainDraft(Loop):
    distribution = ""

    def drafter(self) -> Drafter:
        return Certain(self.draft)


class RowsTurnedRound(Loop):
    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        params: Sequence[SamplingParams],
        chance: Chance | None = None,
    ) -> list[Completion]:
        turned = None if chance is None else chance.rows(range(len(prompts))[::-1])
        return super().generate(prompts[::-1], params[::-1], turned)[::-1]


RULE_CONTROLS = (
    Control("rejection", "the reference", RuleStep(rejection)),
    Control("assembled", "the parts that bugs replace, all right", RuleStep(assembled())),
    Control("block", "another lossless rule", RuleStep(block)),
    Control("tree on a chain", "a chain is a tree", RuleStep(tree)),
    Control("sampler match", "the draw is the target's own", RuleStep(matching, accepts=_both)),
    Control(
        "target-only",
        "accept with probability p(x), else p without x: lossless however x was drawn",
        RuleStep(rejection, lambda distribution, chance: (chance.draw(distribution), None), _both),
    ),
    Control(
        "target-only with argmax draft",
        "a certain draft needs no q",
        RuleStep(
            rejection,
            lambda distribution, chance: (distribution.argmax(-1), None),
            lambda p, q: _both(p, one_hot(q)),
        ),
    ),
    Control(
        "block with argmax draft",
        "a certain draft needs no q",
        RuleStep(
            block,
            lambda distribution, chance: (distribution.argmax(-1), None),
            lambda p, q: _both(p, one_hot(q)),
        ),
    ),
    Control(
        "filtered draft reported",
        "q is the distribution drawn from",
        RuleStep(
            rejection,
            lambda distribution, chance: (chance.draw(top(distribution, 2)), top(distribution, 2)),
            lambda p, q: overlap(p, top(q, 2)),
        ),
    ),
    Control(
        "draft ignored",
        "slow, not wrong",
        RuleStep(_ignores_draft, accepts=lambda p, q: 0 * overlap(p, q)),
    ),
    Control(
        "without bonus",
        "slower, not wrong",
        RuleStep(without_bonus, accepts=lambda p, q: 0 * overlap(p, q)),
    ),
    Control(
        "coins from the end",
        "independent coins have no order",
        RuleStep(lambda draft, p, chance: rejection(draft, p, FromTheEnd(chance))),
    ),
    Control(
        "Gumbel coupling",
        "what the same noise would have drawn is a draw",
        RuleStep(gumbel, accepts=_race),
    ),
    Control("greedy", "the reference", RuleStep(greedy, level="greedy")),
    Control(
        "greedy, ties to the highest id",
        "a convention: any of the likeliest tokens is a first choice",
        RuleStep(_greedy_of_the_last, level="greedy"),
    ),
    Control(
        "rejection from one-hot distributions",
        "temperature 0 is a distribution like any other",
        RuleStep(lambda draft, p, chance: rejection(draft, one_hot(p), chance), level="greedy"),
    ),
)
LOOP_CONTROLS = (
    Control("loop", "the reference", Loop),
    Control("loop with block", "another lossless rule", Blockwise),
    Control("loop with sampler match", "the draw is the target's own", Matching),
    Control("loop with the tree rule", "a chain is a tree", Recursive),
    Control("loop with n-grams", "a certain draft needs no q, and may be empty", NGram),
    Control("loop without a draft", "plain decoding", NoDraft),
    Control("loop with early exit", "any draft will do", EarlyExit),
    Control("loop with certain drafts", "target-only verification", CertainDraft),
    Control("loop with rows turned round", "a batch has no order", RowsTurnedRound),
)
