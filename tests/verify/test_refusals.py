"""No rule judges what is not a distribution or not its draft: one line that names the place and the
mend, no wrong token.

Protects: checks.check_judgeable, and that every rule calls it. Padding is never looked at.
"""

import re
from typing import Any

import pytest
import torch
from specref.chance import Streams
from specref.checks import check_judgeable
from specref.data import Draft, SpecrefError
from specref.verify import (
    RESEARCH_RULES,
    RULES,
    LossyEnsemble,
    LossyFly,
    LossyMedusaTypical,
    LossyRelaxed,
    LossySynthetic,
    Rule,
)
from torch import Tensor

P = torch.tensor([[[0.5, 0.25, 0.25, 0.0]] * 3] * 2, dtype=torch.float64)  # [2,3,4]
Q = torch.tensor([[[0.25, 0.25, 0.5, 0.0]] * 2] * 2, dtype=torch.float64)  # [2,2,4]
LOSSY: dict[str, Rule] = {
    "medusa-typical": LossyMedusaTypical(),
    "fly": LossyFly(),
    "relaxed": LossyRelaxed(),
    "ensemble": LossyEnsemble(),
    "synthetic": LossySynthetic(),
}
ALL: dict[str, Rule] = {**RULES, **RESEARCH_RULES, **LOSSY}
TREES = {"tree", "naive", "k_sequential", "canonical", "traversal", "medusa-typical"}
TOKENS = torch.tensor([[0, 1], [2, 0]])


def changed(table: Tensor, place: Any, value: Any) -> Tensor:
    result = table.clone()
    result[place] = torch.as_tensor(value, dtype=table.dtype)
    return result


BAD = {
    "p too short": (
        Draft.chain(TOKENS, Q),
        P[:, :2],
        "p has shape [2, 2, 4] for a draft of 2 rows and 2 nodes",
    ),
    "p without rows": (Draft.chain(TOKENS, Q), P[0], "p has shape [3, 4]"),
    "NaN in p": (
        Draft.chain(TOKENS, Q),
        changed(P, (1, 2, 0), float("nan")),
        "p[1,2] is no distribution, it has NaN",
    ),
    "infinite p": (
        Draft.chain(TOKENS, Q),
        changed(P, (0, 0, 0), float("inf")),
        "p[0,0] is no distribution",
    ),
    "logits for p": (
        Draft.chain(TOKENS, Q),
        changed(P, (0, 1), [3.0, 1.0, 0.5, 2.0]),
        "p[0,1] is no distribution, it has the sum",
    ),
    "negative p": (
        Draft.chain(TOKENS, Q),
        changed(P, (0, 1), [1.25, -0.25, 0, 0]),
        "p[0,1] is no distribution, it has a negative",
    ),
    "weights for q": (Draft.chain(TOKENS, 2 * Q), P, "q[0,0] is no distribution, it has the sum 2"),
    "NaN in q": (
        Draft.chain(TOKENS, changed(Q, (1, 1, 3), float("nan"))),
        P,
        "q[1,1] is no distribution, it has NaN",
    ),
    "token never drawn": (
        Draft.chain(changed(TOKENS, (1, 0), 3), Q),
        P,
        "a proposed token has q = 0",
    ),
    "token below 0": (Draft.chain(changed(TOKENS, (0, 0), -1), Q), P, "outside 0..3"),
    "token above V": (Draft.chain(changed(TOKENS, (0, 1), 4)), P, "outside 0..3"),
    "other vocabulary": (
        Draft.chain(TOKENS, torch.full((2, 2, 5), 0.2)),
        P,
        "must share one vocabulary",
    ),
    "length above N": (Draft.chain(TOKENS, Q, torch.tensor([2, 3])), P, "2 lengths from 0 to N"),
    "length below 0": (
        Draft.chain(TOKENS, Q, torch.tensor([-1, 2])),
        P,
        "2 lengths from 0 to N",
    ),
}


@pytest.mark.parametrize("rule", ALL)
@pytest.mark.parametrize("what", BAD)
def test_every_rule_refuses(what: str, rule: str) -> None:
    draft, p, message = BAD[what]
    with pytest.raises(SpecrefError, match=re.escape(message)) as error:
        ALL[rule](draft, p, Streams([0, 1]))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("rule", sorted(ALL.keys() - TREES))
def test_a_chain_rule_refuses_branches(rule: str) -> None:
    """Read as a chain, siblings would be judged as parent and child: a wrong distribution without a
    sign of it.
    """
    siblings = Draft(TOKENS, torch.full_like(TOKENS, -1), Q, torch.tensor([2, 2]))
    with pytest.raises(SpecrefError, match="use the tree rule"):
        ALL[rule](siblings, P, Streams([0, 1]))
    check_judgeable(siblings, P, chain=False)


@pytest.mark.parametrize("rule", ALL)
@pytest.mark.parametrize("certain", [True, False])
def test_padding_is_never_looked_at(rule: str, certain: bool) -> None:
    """A row gives the same verdict, from the same coins, alone and padded with nonsense."""
    for seed in range(20):
        alone = ALL[rule](
            Draft.chain(TOKENS[:1, :1], None if certain else Q[:1, :1]), P[:1, :2], Streams([seed])
        )
        tokens = torch.tensor([[0, -7, 99], [2, 0, 1]])
        q = torch.cat((Q, Q[:, :1]), 1)
        q[0, 1:] = torch.nan
        p = torch.cat((P, P[:, :1]), 1)
        p[0, 2:] = torch.inf
        parents = torch.tensor([[-1, 50, -9], [-1, 0, 1]])
        padded = ALL[rule](
            Draft(tokens, parents, None if certain else q, torch.tensor([1, 3])),
            p,
            Streams([seed, 7]),
        )
        assert (int(padded.accepted[0]), int(padded.next_token[0])) == (
            int(alone.accepted[0]),
            int(alone.next_token[0]),
        )


@pytest.mark.parametrize("rule", ALL)
def test_float32_distributions_are_distributions(rule: str) -> None:
    """Softmax in float32 misses 1 by its rounding: no refusal, at a large vocabulary either."""
    torch.manual_seed(0)
    p, q = torch.randn(2, 3, 50_000).softmax(-1), torch.randn(2, 2, 50_000).softmax(-1)
    ALL[rule](Draft.chain(torch.tensor([[5, 6], [7, 8]]), q), p, Streams([0, 1]))


@pytest.mark.parametrize("rule", ALL)
def test_an_empty_draft_is_a_plain_draw(rule: str) -> None:
    verdict = ALL[rule](
        Draft.chain(torch.zeros(2, 0, dtype=torch.int64)), P[:, :1], Streams([0, 1])
    )
    assert verdict.accepted.tolist() == [0, 0]
    assert verdict.path.shape == (2, 0)
    assert all(token in (0, 1, 2) for token in verdict.next_token.tolist())
