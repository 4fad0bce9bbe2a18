"""Planted bugs of one step: a wrong part of the rule, or a wrong draft."""

import torch
from torch import Tensor

from ...chance import Chance
from ...checks import check_judgeable
from ...data import Draft, Verdict
from ...verify.block import block
from ...verify.rejection import rejection
from ...verify.residual import residual
from ..subjects import RuleStep
from . import Bug
from .parts import (
    FirstTail,
    Inclusive,
    Overrun,
    Undrawn,
    assembled,
    finish,
    one_hot,
    token_ratio,
    top,
)
from .parts import bonus_row as right_bonus

OURS = "constructed"  # kinds that the rule invites, seen in no project's issues


def _reused_noise(p: Tensor, q: Tensor, x: Tensor) -> Tensor:
    """The residual is drawn with the uniform that drew x. Given x, that uniform lies between the
    running sums of q before and after x.
    """
    after = torch.where((p > q).any(-1, keepdim=True), (p - q).clamp(min=0), p)
    end = (after / after.sum(-1, keepdim=True)).cumsum(-1)
    high = q.cumsum(-1).gather(1, x[:, None])
    low = high - q.gather(1, x[:, None])
    both = torch.minimum(end, high) - torch.maximum(
        end.roll(1, -1).index_fill(1, torch.tensor([0]), 0), low
    )
    return both.clamp(min=0) * (after > 0)


def _block_plain_residual(draft: Draft, p: Tensor, chance: Chance) -> Verdict:
    """Accepts as block verification does, then draws from the token-wise residual."""
    return finish(draft, p, block(draft, p, Undrawn(chance)).accepted, chance)


def _first_unverified(draft: Draft, p: Tensor) -> Tensor:
    return torch.cat((torch.ones_like(p[:, :1, 0]), token_ratio(draft, p)[:, 1:]), 1)


def _shifted(draft: Draft, p: Tensor) -> Tensor:
    return token_ratio(draft, torch.cat((p[:, 1:], p[:, -1:]), 1))


def _is_argmax(draft: Draft, p: Tensor) -> Tensor:
    return (draft.tokens == p[:, :-1].argmax(-1)).double()


def _row_before_last(draft: Draft, p: Tensor) -> Tensor:
    return p[torch.arange(len(p)), (draft.lengths - 1).clamp(min=0)]


def _last_q(draft: Draft, p: Tensor) -> Tensor:
    if draft.q is None:
        return p[:, 0]
    return draft.q[torch.arange(len(p)), (draft.lengths - 1).clamp(min=0)]


def _rule(
    name: str,
    number: int,
    source: str,
    kind: str,
    symptom: str,
    caught_by: str,
    subject: RuleStep,
    crashes: bool = False,
) -> Bug:
    return Bug(name, number, source, kind, symptom, caught_by, subject, crashes)


def _all_heads(draft: Draft, p: Tensor, chance: Chance) -> Verdict:
    """Counts every accepted coin, also those after the first rejection."""
    check_judgeable(draft, p)
    return finish(draft, p, chance.accept(token_ratio(draft, p), draft.valid).sum(1), chance)


def _joint_ratio(draft: Draft, p: Tensor) -> Tensor:
    """Uses the ratio of the whole prefix, as block verification does, with the residual of one
    token.
    """
    return token_ratio(draft, p, 1e9).cumprod(1).clamp(max=1)


def _wrong_q_row(draft: Draft, p: Tensor, chance: Chance) -> Verdict:
    """The residual always uses the q of the draft's first token."""
    first = None if draft.q is None else draft.q[:, :1].expand_as(draft.q)
    accepted = rejection(draft, p, Undrawn(chance)).accepted
    return finish(Draft.chain(draft.tokens, first, draft.lengths), p, accepted, chance)


def _row_after(draft: Draft, p: Tensor, chance: Chance) -> Verdict:
    """The residual uses the row of p after that of the rejected token."""
    accepted = rejection(draft, p, Undrawn(chance)).accepted
    later = torch.cat((p[:, 1:], p[:, -1:]), 1)
    return finish(draft, later, accepted, chance, bonus=lambda draft, _: right_bonus(draft, p))


def _without(p: Tensor, x: Tensor) -> Tensor:
    """p without x, normalised later; p itself where it has no other token."""
    left = p.scatter(1, x[:, None], 0)
    return torch.where(left.sum(-1, keepdim=True) > 0, left, p)


RULE_BUGS = (
    _rule(
        "residual-softmax",
        1,
        "transformers #28508",
        "residual",
        "rejected tokens are replaced by nearly random ones",
        "rule.first-token",
        RuleStep(assembled(rest=lambda p, q, x: (p - q).clamp(min=0).softmax(-1))),
    ),
    _rule(
        "resample-from-p",
        2,
        "several teaching repositories",
        "residual",
        "what the draft likes comes out too often",
        "rule.first-token",
        RuleStep(assembled(rest=lambda p, q, x: p)),
    ),
    _rule(
        "draft-filter-unreported",
        3,
        "transformers #47932",
        "verify",
        "with a draft top-k of its own, text leans to the draft's favourites",
        "rule.first-token",
        RuleStep(
            rejection,
            lambda distribution, chance: (
                chance.draw(top(distribution, max(1, distribution.shape[1] // 2))),
                distribution,
            ),
        ),
    ),
    _rule(
        "argmax-draft-soft-q",
        4,
        "transformers #32867",
        "verify",
        "a greedy draft's favourites come out too seldom or too often",
        "rule.first-token",
        RuleStep(rejection, lambda distribution, chance: (distribution.argmax(-1), distribution)),
    ),
    _rule(
        "ratio-in-greedy",
        5,
        "jaymody/speculative-sampling #9",
        "verify",
        "temperature 0 writes text that the target alone would not",
        "greedy.choice",
        RuleStep(
            assembled(
                rest=lambda p, q, x: one_hot(p),
                bonus=lambda draft, p: one_hot(right_bonus(draft, p)),
            ),
            level="greedy",
        ),
    ),
    _rule(
        "draft-rows-by-argmax",
        7,
        "ROCm/ATOM #2318",
        "verify",
        "sampled text is nearly greedy",
        "rule.joint",
        RuleStep(assembled(coin=_is_argmax, rest=lambda p, q, x: one_hot(p))),
    ),
    _rule(
        "coin-stuck-at-0",
        8,
        "vllm-ascend #13730",
        "verify",
        "every draft is accepted, the draft model writes the text",
        "rule.acceptance",
        RuleStep(assembled(coin=lambda draft, p: (token_ratio(draft, p) > 0).double())),
    ),
    _rule(
        "first-token-unverified",
        10,
        "transformers #28166",
        "verify",
        "the first draft token of every cycle is kept",
        "rule.first-token",
        RuleStep(assembled(coin=_first_unverified)),
    ),
    _rule(
        "wrong-logits-row",
        10,
        "transformers #28166",
        "verify",
        "drafts are judged by the distribution of the next place",
        "rule.joint",
        RuleStep(assembled(coin=_shifted)),
    ),
    _rule(
        "block-plain-residual",
        12,
        "vllm-ascend #7807",
        "verify",
        "block verification shifts text by a little",
        "rule.joint",
        RuleStep(_block_plain_residual),
    ),
    _rule(
        "block-first-tail",
        12,
        "vllm-ascend #7603",
        "verify",
        "block verification cut at its first tail",
        "rule.joint",
        RuleStep(lambda draft, p, chance: block(draft, p, FirstTail(chance))),
    ),
    _rule(
        "inclusive-coin",
        15,
        "SGLang #35771",
        "numerics",
        "once in some ten million coins an impossible token",
        "rule.edges",
        RuleStep(lambda draft, p, chance: rejection(draft, p, Inclusive(chance))),
    ),
    _rule(
        "running-sum-overrun",
        16,
        "SGLang #22643",
        "numerics",
        "once in some ten million draws the last id of the vocabulary",
        "rule.edges",
        RuleStep(lambda draft, p, chance: rejection(draft, p, Overrun(chance))),
    ),
    _rule(
        "residual-0/0",
        17,
        "jaymody/speculative-sampling #5",
        "numerics",
        "crashes when the draft is as good as the target",
        "rule.near-equal",
        RuleStep(
            assembled(
                rest=lambda p, q, x: (
                    (p - q).clamp(min=0) / (p - q).clamp(min=0).sum(-1, keepdim=True)
                )
            )
        ),
        crashes=True,
    ),
    _rule(
        "nan-unnoticed",
        18,
        "vLLM #53029",
        "numerics",
        "an id outside the vocabulary when the model overflows",
        "rule.refuses",
        RuleStep(assembled(checked=False)),
    ),
    _rule(
        "residual-floored",
        19,
        "vLLM #13933",
        "residual",
        "tokens that the target rules out, now and then",
        "rule.support",
        RuleStep(assembled(rest=lambda p, q, x: (p - q).clamp(min=1e-5))),
    ),
    _rule(
        "noise-reused",
        21,
        "vLLM #47386",
        "random numbers",
        "replacements depend on what was rejected",
        "rule.first-token",
        RuleStep(assembled(rest=_reused_noise)),
    ),
    _rule(
        "bonus-from-row-before",
        49,
        "Spec-Bench",
        "bonus",
        "after an accepted draft a token too early",
        "rule.bonus",
        RuleStep(assembled(bonus=_row_before_last)),
    ),
    _rule(
        "bonus-from-draft",
        49,
        "shreyansh26's repository",
        "bonus",
        "after an accepted draft the draft model's token",
        "rule.bonus",
        RuleStep(assembled(bonus=_last_q)),
    ),
    _rule(
        "bonus-by-argmax",
        49,
        "Spec-Bench",
        "bonus",
        "after an accepted draft always the likeliest token",
        "rule.bonus",
        RuleStep(assembled(bonus=lambda draft, p: one_hot(right_bonus(draft, p)))),
    ),
    _rule(
        "bonus-from-padding",
        49,
        "shreyansh26's repository",
        "bonus",
        "in a batch, rows with shorter drafts go astray",
        "rule.ragged",
        RuleStep(assembled(bonus=lambda draft, p: p[:, -1])),
    ),
    _rule(
        "residual-absolute",
        61,
        OURS,
        "residual",
        "replacements are half the draft's favourites",
        "rule.first-token",
        RuleStep(
            assembled(
                rest=lambda p, q, x: torch.where((p != q).any(-1, keepdim=True), (p - q).abs(), p)
            )
        ),
    ),
    _rule(
        "residual-reversed",
        61,
        OURS,
        "residual",
        "replacements are the draft's favourites",
        "rule.first-token",
        RuleStep(assembled(rest=lambda p, q, x: residual(q, p))),
    ),
    _rule(
        "residual-without-x",
        61,
        OURS,
        "residual",
        "the residual of a certain draft, used for a drawn one",
        "rule.first-token",
        RuleStep(assembled(rest=lambda p, q, x: _without(p, x))),
    ),
    _rule(
        "residual-by-argmax",
        61,
        OURS,
        "residual",
        "every rejection is replaced by the same token",
        "rule.first-token",
        RuleStep(assembled(rest=lambda p, q, x: one_hot(residual(p, q)))),
    ),
    _rule(
        "residual-of-first-q",
        61,
        OURS,
        "residual",
        "replacements behind the first token go astray",
        "rule.joint",
        RuleStep(_wrong_q_row),
    ),
    _rule(
        "residual-from-row-after",
        10,
        OURS,
        "residual",
        "replacements come from the distribution of the next place",
        "rule.first-token",
        RuleStep(_row_after),
    ),
    _rule(
        "ratio-inverted",
        62,
        OURS,
        "verify",
        "the draft's unlikely tokens are kept, its likely ones replaced",
        "rule.first-token",
        RuleStep(assembled(coin=lambda draft, p: 1 / token_ratio(draft, p, 1e9).clamp(min=1))),
    ),
    _rule(
        "ratio-too-lenient",
        62,
        OURS,
        "verify",
        "a tenth more is accepted than the distribution allows",
        "rule.first-token",
        RuleStep(assembled(coin=lambda draft, p: (1.1 * token_ratio(draft, p, 1e9)).clamp(max=1))),
    ),
    _rule(
        "ratio-floored",
        62,
        OURS,
        "verify",
        "now and then a token that the target rules out",
        "rule.support",
        RuleStep(assembled(coin=lambda draft, p: token_ratio(draft, p).clamp(min=0.01))),
    ),
    _rule(
        "ratio-of-prefix",
        12,
        OURS,
        "verify",
        "later tokens are accepted for what earlier ones lack",
        "rule.joint",
        RuleStep(assembled(coin=_joint_ratio)),
    ),
    _rule(
        "heads-behind-a-tail",
        62,
        OURS,
        "verify",
        "a rejected token stays when a later one is liked",
        "rule.joint",
        RuleStep(_all_heads),
    ),
)
