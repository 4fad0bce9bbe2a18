"""A small model drafts a chain: gamma forwards of the draft for one of the target.

Leviathan et al. 2023 (arXiv:2211.17192). The draft samples from its own probs() with the request's
parameters, and that
distribution is the q it reports. What its cache lacks it catches up on by itself: usually the
pending token, after a fully accepted draft also the last draft token, after cycles without a draft
all that was written meanwhile.
"""

import torch
from torch import Tensor

from ..chance import Chance
from ..data import Draft, SpecrefError
from ..model.cache import select
from ..model.transformer import Transformer
from ..probs import history, needs_history, probs
from .base import Drafter, Text


class ModelDrafter(Drafter):
    """Drafts with `model`, which must share the target's vocabulary."""

    def __init__(self, model: Transformer):
        self.model = model

    def begin(self, text: Text, capacity: int) -> None:
        if self.model.config.vocab_size != text.vocabulary:
            raise SpecrefError(
                f"the draft has {self.model.config.vocab_size} tokens and the target"
                f" {text.vocabulary}: draft and target must share one vocabulary"
            )
        self.cache = self.model.new_cache(len(text.tokens), capacity)
        self.base = torch.zeros(len(text.tokens), dtype=torch.int64)

    def propose(self, text: Text, budget: Tensor, chance: Chance) -> Draft:
        device = self.model.device
        self.base = torch.tensor([len(tokens) for tokens in text.tokens])
        # the draft's own context may end first
        room = self.model.config.max_position_embeddings - self.base
        budget = torch.minimum(budget, room).clamp(min=0)
        count = int(budget.max())
        drafted: list[Tensor] = []
        distributions: list[Tensor] = []
        penalised = needs_history(text.params)
        for i in range(count):
            logits = (
                self._catch_up(text, budget) if i == 0 else self._extend(drafted[-1], i <= budget)
            )
            past = None
            if penalised:
                rows = [t + [int(d[b]) for d in drafted] for b, t in enumerate(text.tokens)]
                past = history(rows, text.prompts, text.vocabulary, device=device)
            distribution = probs(logits, text.params, past)[:, 0]
            distributions.append(distribution)
            drafted.append(chance.draw(distribution, (budget > i).to(device)))
        tokens = (
            torch.stack(drafted, 1)
            if drafted
            else torch.zeros(len(budget), 0, dtype=torch.int64, device=device)
        )
        q = torch.stack(distributions, 1) if distributions else None
        return Draft.chain(tokens, q, budget.to(device))

    def _catch_up(self, text: Text, budget: Tensor) -> Tensor:
        """Feed the rows that draft what their cache lacks, ragged; logits after each row's last
        token, [B,1,V].
        """
        missing = [
            tokens[have:] if most else []
            for tokens, have, most in zip(
                text.tokens, self.cache.lengths.tolist(), budget.tolist(), strict=True
            )
        ]
        counts = torch.tensor([len(tokens) for tokens in missing])
        width = int(counts.max())
        padded = torch.tensor(
            [tokens + [0] * (width - len(tokens)) for tokens in missing], device=self.model.device
        )
        states = self.model.states(padded, self.cache, None, counts)
        self.cache.lengths += counts
        if bool((counts == width).all()):
            return self.model.logits(states[:, -1:])
        return self.model.logits(
            states[torch.arange(len(counts)), (counts - 1).clamp(min=0)][:, None]
        )

    def _extend(self, token: Tensor, going: Tensor) -> Tensor:
        """Feed one drafted token to each row [B] whose budget is not used up."""
        logits = self.model(token[:, None], self.cache, None, going.long()).logits
        self.cache.lengths += going
        return logits

    def commit(self, accepted: Tensor) -> None:
        self.cache.trim(self.base + accepted)

    def rows(self, index: list[int]) -> None:
        self.cache, self.base = self.cache.rows(index), select(self.base, index)
