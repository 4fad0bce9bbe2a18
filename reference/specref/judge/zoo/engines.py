"""Planted bugs and controls as engines: bugs of a loop, and bugs of a step's draft, as far as the
judge can see them from outside.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ...adapters.reference import Looped
from ...chance import Chance
from ...data import Draft, Verdict
from ...draft.base import Drafter, Text
from ...draft.model import ModelDrafter
from ..contract import Engine
from ..subjects import Loop, Propose, RuleStep


class Asking:
    """A chance that passes on the drafter's own mask `asked`, whatever mask a step's proposal
    gives.
    """

    def __init__(self, inner: Chance, asked: Tensor | None):
        self.inner, self.asked = inner, asked

    def accept(self, probability: Tensor, asked: Tensor | None = None) -> Tensor:
        return self.inner.accept(probability, asked)

    def draw(self, distribution: Tensor, asked: Tensor | None = None) -> Tensor:
        return self.inner.draw(distribution, self.asked)

    def rows(self, index: Sequence[int]) -> "Asking":
        return Asking(self.inner.rows(index), self.asked)


class Proposing(ModelDrafter):
    """A draft model's chain in which each token is proposed by a step's proposal."""

    def __init__(self, drafter: ModelDrafter, propose: Propose):
        super().__init__(drafter.model)
        self.step = propose

    def propose(self, text: Text, budget: Tensor, chance: Chance) -> Draft:
        reported: list[Tensor | None] = []

        class Stepping(Asking):
            def draw(this, distribution: Tensor, asked: Tensor | None = None) -> Tensor:  # noqa: N805
                token, q = self.step(distribution, Asking(chance, asked))
                reported.append(q)
                return token if asked is None else torch.where(asked, token, 0)

        draft = super().propose(text, budget, Stepping(chance, None))
        distributions = [q for q in reported if q is not None]
        return replace(draft, q=torch.stack(distributions, 1) if distributions else None)


def looped(step: RuleStep) -> type[Loop]:
    """The loop that uses a step's proposal and rule."""

    class Stepped(Loop):
        def drafter(self) -> Drafter:
            return Proposing(ModelDrafter(self.draft), step.propose)

        def judge(self, draft: Draft, p: Tensor, chance: Chance) -> Verdict:
            return step.rule(draft, p, chance)

    return Stepped


def engine(subject: type[Loop] | type[Engine] | RuleStep) -> type[Engine]:
    """The adapter through which the judge meets a subject."""
    if isinstance(subject, RuleStep):
        return _plugged(looped(subject))
    return subject if issubclass(subject, Engine) else _plugged(subject)


def _plugged(made: type[Loop]) -> type[Engine]:
    class Plugged(Looped):
        loop, own_draft, rests = made, made.own_draft, made.rests

    return Plugged
