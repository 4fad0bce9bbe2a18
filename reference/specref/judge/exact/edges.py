"""Support: a token of probability zero is wrong at once, and the last place to look is the ends of
the coins.
"""

from collections.abc import Iterator
from itertools import product

import torch

from ...chance import Injected
from ...data import Draft, SpecrefError
from .. import cases
from ..cases import Tables
from ..subjects import RuleStep
from . import ExactFinding, exact_check
from .rule import blocks

_ENDS = (0.0, 1 - 2**-24)  # the smallest and the largest uniform of a 24-bit generator


def outside(tables: Tables, case: int, block: tuple[int, ...]) -> bool:
    """Whether a block holds a token that the target gives no probability, or that does not
    exist.
    """
    prefix = 0
    for i, token in enumerate(block):
        if not 0 <= token < tables.vocabulary or not tables.p[i][case, prefix, token] > 0:
            return True
        prefix = prefix * tables.vocabulary + token
    return False


@exact_check("rule.support")
def rule_support(step: RuleStep) -> Iterator[ExactFinding]:
    """Does no outcome hold a token of probability zero?"""
    for tables in (*cases.pairs(), cases.chains(2), cases.long_sum()):
        for case, (name, distribution) in enumerate(
            zip(tables.names, blocks(step, tables), strict=True)
        ):
            mass = sum(
                weight
                for (_, block), weight in distribution.items()
                if outside(tables, case, block)
            )
            if mass > 0:
                yield ExactFinding(
                    name, f"a token of probability zero comes out with probability {mass:.3g}", mass
                )


@exact_check("rule.edges")
def rule_edges(step: RuleStep) -> Iterator[ExactFinding]:
    """Does no token of probability zero come out at u = 0 and at the largest u below 1, in every
    coin and draw?
    """
    for tables in (*cases.pairs(), cases.chains(2), cases.long_sum()):
        size, count = tables.vocabulary, tables.draft_tokens
        coins = torch.tensor(list(product(_ENDS, repeat=count + 1)), dtype=torch.float64)
        drafts = torch.tensor(list(product(range(size), repeat=count)))
        for case, name in enumerate(tables.names):
            tokens = drafts.repeat_interleave(len(coins), 0)
            uniforms = coins.repeat(len(drafts), 1)
            where = torch.full((len(tokens),), case)
            p, q = tables.rows(tables.p, where, tokens), tables.rows(tables.q, where, tokens)
            certain = step.propose(q[:, 0], Injected(torch.zeros(len(q), 1)))[1] is None
            possible = (q.gather(2, tokens[..., None])[..., 0] > 0).all(1) | certain
            draft = Draft.chain(tokens[possible], None if certain else q[possible])
            verdict = step.rule(draft, p[possible], Injected(uniforms[possible]))
            for row, block in enumerate(verdict.emitted(draft)):
                if outside(tables, case, tuple(block)):
                    yield ExactFinding(
                        name,
                        f"emits {tuple(block)}, which has probability zero, at the uniforms "
                        f"{uniforms[possible][row].tolist()}",
                    )
                    break


@exact_check("rule.refuses")
def rule_refuses(step: RuleStep) -> Iterator[ExactFinding]:
    """Is what is no distribution refused with a clear error?"""
    p = torch.tensor([[[0.5, 0.5], [0.5, 0.5]]], dtype=torch.float64)
    good = Draft.chain(torch.tensor([[1]]), p[:, :1])
    nan = torch.full_like(p, torch.nan)
    for name, draft, distribution in (
        ("NaN in p", good, nan),
        ("NaN in q", Draft.chain(good.tokens, nan[:, :1]), p),
        ("p of sum 2", good, p * 2),
        ("a token outside the vocabulary", Draft.chain(torch.tensor([[2]])), p),
        ("a proposed token with q = 0", Draft.chain(good.tokens, torch.tensor([[[1.0, 0.0]]])), p),
    ):
        try:
            tokens = step.rule(
                draft, distribution, Injected(torch.full((1, 4), 0.7))
            ).next_token.tolist()
        except SpecrefError:
            continue
        yield ExactFinding(name, f"is not refused; token {tokens[0]} comes out")
