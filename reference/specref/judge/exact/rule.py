"""One step against its exact distribution: every outcome of the draft, the coins and the last
draw.
"""

from collections.abc import Iterator
from functools import lru_cache

import torch
from torch import Tensor

from ...exact.enumerate import Forking, distributions
from .. import cases
from ..cases import Tables
from ..subjects import RuleStep
from . import TOLERANCE, Distribution, ExactFinding, compare, exact_check

_Block = tuple[int, tuple[int, ...]]  # accepted count, emitted tokens


@lru_cache(maxsize=64)
def blocks(step: RuleStep, tables: Tables) -> list[Distribution]:
    """For every case the exact distribution of the `Block` that the step emits."""

    def program(chance: Forking, case: Tensor) -> list[_Block]:
        draft = step.draft(
            lambda tokens: tables.q[tokens.shape[1]][case, tables.prefixes(tokens)],
            tables.draft_tokens,
            tables.lengths[case],
            chance,
        )
        p = tables.rows(tables.p, case, draft.tokens)
        # padding: a distribution, but not the target's
        behind = torch.arange(p.shape[1]) > draft.lengths[:, None]
        p = torch.where(behind[..., None], p.roll(1, -1), p)
        verdict = step.rule(draft, p, chance)
        return [
            (count, tuple(block))
            for count, block in zip(verdict.accepted.tolist(), verdict.emitted(draft), strict=True)
        ]

    return distributions(program, len(tables.names))


def continued(
    start: dict[tuple[int, ...], float], tables: Tables, case: int
) -> dict[tuple[int, ...], float]:
    """The distribution of K+1 tokens that begin as `start` says and go on as the target does.

    Comparing at a fixed length is what makes this right: a token given that it was accepted does
    not have the distribution p.
    """
    size, distribution = tables.vocabulary, dict(start)
    for i, table in enumerate(tables.p):
        for prefix in list(distribution):
            if len(prefix) != i or not all(0 <= token < size for token in prefix):
                continue
            mass = distribution.pop(prefix)
            row = table[
                case, int(tables.prefixes(torch.tensor([prefix], dtype=torch.int64).view(1, i)))
            ].tolist()
            for token, probability in enumerate(row):
                if probability > 0:
                    text = (*prefix, token)
                    distribution[text] = distribution.get(text, 0.0) + mass * probability
    return distribution


@lru_cache(maxsize=256)
def target(tables: Tables, case: int) -> dict[tuple[int, ...], float]:
    """The distribution of K+1 tokens of the target alone."""
    return continued({(): 1.0}, tables, case)


def _joint(step: RuleStep, tables: Tables) -> Iterator[ExactFinding]:
    for case, (name, distribution) in enumerate(
        zip(tables.names, blocks(step, tables), strict=True)
    ):
        emitted: dict[tuple[int, ...], float] = {}
        for (_, block), mass in distribution.items():
            emitted[block] = emitted.get(block, 0.0) + mass
        yield from compare(name, continued(emitted, tables, case), target(tables, case))


@exact_check("rule.first-token")
def rule_first_token(step: RuleStep) -> Iterator[ExactFinding]:
    """Does the first token have the target's distribution?"""
    for tables in cases.pairs():
        for case, (name, distribution) in enumerate(
            zip(tables.names, blocks(step, tables), strict=True)
        ):
            first: dict[int, float] = {}
            for (_, block), mass in distribution.items():
                first[block[0]] = first.get(block[0], 0.0) + mass
            yield from compare(name, first, dict(enumerate(tables.p[0][case, 0].tolist())))


@exact_check("rule.joint")
def rule_joint(step: RuleStep) -> Iterator[ExactFinding]:
    """Do all tokens together, continued to a fixed length, have the target's distribution?"""
    yield from _joint(step, cases.chains(2))
    yield from _joint(step, cases.chains(3))


@exact_check("rule.bonus")
def rule_bonus(step: RuleStep) -> Iterator[ExactFinding]:
    """Does the token after a fully accepted draft have the target's distribution? The draft is the
    target, so it always comes.
    """
    yield from _joint(step, cases.chains(2, equal=True))


@exact_check("rule.ragged")
def rule_ragged(step: RuleStep) -> Iterator[ExactFinding]:
    """Do rows with shorter drafts, padded in one batch, have the target's distribution?"""
    yield from _joint(step, cases.chains(2, ragged=True))


@exact_check("rule.acceptance")
def rule_acceptance(step: RuleStep) -> Iterator[ExactFinding]:
    """Is a first draft token accepted as often as the closed form says?"""
    for tables in cases.pairs():
        expected = step.accepts(tables.p[0][:, 0], tables.q[0][:, 0]).tolist()
        for name, distribution, right in zip(
            tables.names, blocks(step, tables), expected, strict=True
        ):
            rate = sum(mass for (count, _), mass in distribution.items() if count)
            if not abs(rate - right) <= TOLERANCE:
                yield ExactFinding(
                    name, f"accepts with probability {rate:.6g} instead of {right:.6g}"
                )


@exact_check("rule.near-equal")
def rule_near_equal(step: RuleStep) -> Iterator[ExactFinding]:
    """Does the step survive a draft that is the target up to rounding?"""
    tables = cases.near_equal_pairs()
    for case, (name, distribution) in enumerate(
        zip(tables.names, blocks(step, tables), strict=True)
    ):
        first: dict[int, float] = {}
        for (_, block), mass in distribution.items():
            first[block[0]] = first.get(block[0], 0.0) + mass
        p = tables.p[0][case, 0]
        yield from compare(name, first, dict(enumerate((p / p.sum()).tolist())))


@exact_check("greedy.choice")
def greedy_choice(step: RuleStep) -> Iterator[ExactFinding]:
    """At temperature 0, is every token the target's first choice, whatever the draft proposes?

    Of tokens that tie any may be taken.
    """
    for tables in (*cases.pairs(), cases.chains(2), cases.chains(3)):
        for case, (name, distribution) in enumerate(
            zip(tables.names, blocks(step, tables), strict=True)
        ):
            wrong: dict[tuple[int, ...], float] = {}
            for (_, block), mass in distribution.items():
                if any(token not in best for token, best in zip(block, _best(tables, case, block))):
                    wrong[block] = wrong.get(block, 0.0) + mass
            if sum(wrong.values()) > 0:
                block = next(iter(wrong))
                best = [min(tokens) for tokens in _best(tables, case, block)]
                yield ExactFinding(
                    name,
                    f"emits {block} instead of {tuple(best)} at temperature 0",
                    sum(wrong.values()),
                )


def _best(tables: Tables, case: int, block: tuple[int, ...]) -> list[set[int]]:
    """The tokens that the target likes best at every place of a block: several where they tie."""
    tokens, best = torch.tensor([block]), []
    for i in range(len(block)):
        row = tables.p[i][case, int(tables.prefixes(tokens[:, :i]))]  # [V]
        best.append(set((row == row.max()).nonzero()[:, 0].tolist()))
    return best
