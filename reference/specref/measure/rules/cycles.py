"""What one cycle of a rule does in a world, by enumeration of the drafts and of the rule's own
randomness.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import cast

import torch
from torch import Tensor

from ...chance import Chance
from ...data import Draft
from ...exact.cycle_bound import DraftText
from ...exact.enumerate import distributions
from ...verify import Rule
from .worlds import DraftShape, RuleWorld, turned_round


@dataclass(frozen=True)
class RuleCycle:
    """What one cycle does. texts: the distribution of what it emits; first: P(a draft token is
    accepted at the first place); tokens: emitted on average.
    """

    texts: Mapping[DraftText, float]
    first: float
    tokens: float


def rule_cycle(rule: Rule, world: RuleWorld, shape: DraftShape) -> RuleCycle:
    """One cycle of a rule, by enumeration of the drafts and of the rule's own randomness."""

    def program(chance: Chance, root: Tensor) -> list[Hashable]:
        draft, p = _drawn(chance, len(root), world, shape)
        verdict = rule(draft, p, chance)
        return list(map(tuple, verdict.emitted(draft)))

    texts = cast(dict[DraftText, float], distributions(program, 1)[0])
    first = tokens = 0.0
    for text, weight in texts.items():
        tokens += weight * len(text)
        if len(text) > 1:
            first += weight
    return RuleCycle(texts, first, tokens)


def drawn_texts(world: RuleWorld, shape: DraftShape) -> dict[frozenset[DraftText], float]:
    """The texts that a draft of this shape holds, with the probability of each such set."""

    def program(chance: Chance, root: Tensor) -> list[Hashable]:
        draft, _ = _drawn(chance, len(root), world, shape)
        found: list[Hashable] = []
        for tokens in draft.tokens.tolist():
            texts: list[DraftText] = [()]
            for parent, token in zip(shape.parents, tokens, strict=True):
                before = texts[parent + 1]
                texts.append((*before, token))
            found.append(frozenset(texts[1:]))
        return found

    return cast(dict[frozenset[DraftText], float], distributions(program, 1)[0])


def _rows(row: Sequence[float]) -> Tensor:
    """Row s [V] of [V,V]: the distribution after a text whose tokens sum to s modulo V."""
    rows = [turned_round(row, (total,)) for total in range(len(row))]
    return torch.tensor(rows, dtype=torch.float64)


def _drawn(chance: Chance, batch: int, world: RuleWorld, shape: DraftShape) -> tuple[Draft, Tensor]:
    """A draft for each of `batch` rows, and p [B,N+1,V]."""
    p_rows, q_rows = _rows(world.p), _rows(world.q)  # [V,V] each
    size = len(p_rows)
    sums = [torch.zeros(batch, dtype=torch.int64)]  # [B] of the context and of every node
    tokens: list[Tensor] = []
    q = []
    for node, parent in enumerate(shape.parents):
        before = sums[parent + 1]  # [B]
        row = q_rows[before].clone()  # [B,V]
        if not shape.replacement:
            siblings = [i for i in range(node) if shape.parents[i] == parent]
            _take_out(row, [tokens[i] for i in siblings])
        token = chance.draw(row)  # [B]
        q.append(row)
        tokens.append(token)
        sums.append((before + token) % size)
    parents = torch.tensor(shape.parents).expand(batch, -1)
    lengths = torch.full((batch,), len(shape.parents))
    draft = Draft(
        torch.stack(tokens, 1),
        parents,
        torch.stack(q, 1),
        lengths,
    )
    places = torch.stack(sums, 1)  # [B,N+1]
    return draft, p_rows[places]


def _take_out(row: Tensor, siblings: Sequence[Tensor]) -> None:
    """q [B,V] without the tokens of earlier siblings; as it was where that leaves nothing."""
    whole = row.clone()
    for token in siblings:
        row.scatter_(1, token[:, None], 0)
    mass = row.sum(1, keepdim=True)  # [B,1]
    row += torch.where(mass > 0, 0.0, whole)
    row /= row.sum(1, keepdim=True)


def texts_to_length(
    world: RuleWorld, texts: Mapping[DraftText, float], length: int, greedy: bool = False
) -> dict[DraftText, float]:
    """The distribution of `length` tokens: each text, cut there or continued from the target."""
    found: dict[DraftText, float] = {}
    tokens = range(len(world.p))
    for text, weight in texts.items():
        missing = max(0, length - len(text))
        for more in product(tokens, repeat=missing):
            whole, mass = text[:length], weight
            for token in more:
                row = world.target(whole, greedy)
                mass *= row[token]
                whole = (*whole, token)
            found[whole] = found.get(whole, 0.0) + mass
    return found
