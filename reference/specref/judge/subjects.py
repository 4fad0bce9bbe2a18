"""What a check puts to the test, in the two forms in which our own code comes: one step, and the
whole loop.

A variant, right or wrong, replaces one part. All randomness passes through `chance`, so both forms
are exact subjects: run them over every outcome and their distribution is known.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..chance import Chance, Streams
from ..data import Completion, Draft, SamplingParams, Verdict
from ..decode import Cycle, Request, decode_loop
from ..draft.base import Drafter, Text
from ..draft.model import ModelDrafter
from ..model.transformer import Transformer
from ..verify import Rule
from ..verify.rejection import rejection

Propose = Callable[[Tensor, Chance], tuple[Tensor, Tensor | None]]


def drawn(distribution: Tensor, chance: Chance) -> tuple[Tensor, Tensor | None]:
    """Draw from the draft's distribution [B,V] and report it: tokens [B], and the q they were drawn
    from [B,V].
    """
    return chance.draw(distribution), distribution


def overlap(p: Tensor, q: Tensor) -> Tensor:
    """sum min(p, q) over the last dimension: how often a first draft token is accepted (Leviathan
    et al., Theorem 3.5).
    """
    return torch.minimum(p, q).sum(-1)


@dataclass(frozen=True)
class RuleStep:
    """One step: a proposal and the rule that judges it."""

    rule: Rule
    propose: Propose = drawn
    # P(first token accepted) from p and q [...,V]
    accepts: Callable[[Tensor, Tensor], Tensor] = overlap
    # or "greedy": a rule for temperature 0, which sees p before it is made one-hot
    level: str = "rule"

    def draft(
        self, distributions: Callable[[Tensor], Tensor], count: int, lengths: Tensor, chance: Chance
    ) -> Draft:
        """Propose a chain. distributions: tokens so far [W,i] -> the draft model's distribution
        [W,V]; lengths [W], at most count.
        """
        tokens = torch.zeros(len(lengths), 0, dtype=torch.int64)
        reported: list[Tensor] = []
        for _ in range(count):
            token, q = self.propose(distributions(tokens), chance)
            tokens = torch.cat((tokens, token[:, None]), 1)
            reported += [] if q is None else [q]
        return Draft.chain(tokens, torch.stack(reported, 1) if reported else None, lengths)


class Loop:
    """Our loop with a target and a draft model. Subclasses override one part."""

    level = "loop"
    # the right rule whose accepted counts this loop must show; "" where it has its own way of
    # drafting
    distribution = "rejection"
    own_draft = False  # True: it takes no notice of the draft model
    rests = False  # as an engine: proposes nothing in every second cycle
    request: type[Request] = Request

    def __init__(
        self, target: Transformer, draft: Transformer, gamma: int = 2, rests: bool = False
    ):
        self.target, self.draft, self.gamma, self.rests = target, draft, gamma, rests
        self.watch: Callable[[Cycle], None] = lambda cycle: None  # told of every cycle

    def drafter(self) -> Drafter:
        return ModelDrafter(self.draft)

    def judge(self, draft: Draft, p: Tensor, chance: Chance) -> Verdict:
        return rejection(draft, p, chance)

    def chance(self, params: Sequence[SamplingParams]) -> Chance:
        return Streams([s.seed for s in params])

    def limit(self, params: SamplingParams, prompt: Sequence[int]) -> int:
        return min(params.max_new_tokens, self.target.config.max_position_embeddings - len(prompt))

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        params: Sequence[SamplingParams],
        chance: Chance | None = None,
    ) -> list[Completion]:
        requests = [
            self.request(list(prompt), s, self.limit(s, prompt))
            for prompt, s in zip(prompts, params, strict=True)
        ]
        drafter: Drafter = Resting(self.drafter()) if self.rests else self.drafter()
        coins = self.chance(params) if chance is None else chance
        for cycle in decode_loop(self.target, drafter, self.judge, requests, self.gamma, coins):
            self.watch(cycle)
        return [request.completion() for request in requests]


class Resting(Drafter):
    """Another drafter that proposes nothing in every second cycle."""

    def __init__(self, drafter: Drafter):
        self.drafter, self.cycle = drafter, 0

    def nodes(self, gamma: int) -> int:
        return self.drafter.nodes(gamma)

    def begin(self, text: Text, capacity: int) -> None:
        self.drafter.begin(text, capacity)

    def propose(self, text: Text, budget: Tensor, chance: Chance) -> Draft:
        self.cycle += 1
        return self.drafter.propose(text, budget * (self.cycle % 2), chance)

    def commit(self, accepted: Tensor) -> None:
        self.drafter.commit(accepted)

    def rows(self, index: list[int]) -> None:
        self.drafter.rows(index)
