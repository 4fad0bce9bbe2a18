"""A small model drafts a chain: gamma forwards of the draft for one of the target.

Leviathan et al. 2023 (arXiv:2211.17192). The draft samples from its own probs() with the request's
parameters, and that distribution is the q that it reports. Its cache may lack tokens of the text:
usually the pending token, after a fully accepted draft also the last draft token, after cycles
without a draft everything written since. The first forward of a draft reads them.
"""

import torch
from torch import Tensor

from ..chance import Chance
from ..data import Draft, SpecrefError
from ..model.cache import select
from ..model.transformer import Transformer
from .base import Drafter, Text, draft_distribution, no_draft


class ModelDrafter(Drafter):
    """Drafts with `model`, which must share the target's vocabulary."""

    def __init__(self, model: Transformer):
        self.model = model

    def begin(self, text: Text, capacity: int) -> None:
        self.check_vocabulary(text.vocabulary)
        self.cache = self.model.new_cache(len(text.tokens), capacity)
        self.base = torch.zeros(len(text.tokens), dtype=torch.int64)  # [B]: text before the draft

    def check_vocabulary(self, size: int) -> None:
        """Errors:
        SpecrefError where the target has another vocabulary, of `size` tokens.
        """
        if self.model.config.vocab_size != size:
            raise SpecrefError(
                f"the draft has {self.model.config.vocab_size} tokens and the target"
                f" {size}: draft and target must share one vocabulary"
            )

    def to_model(self, tokens: Tensor) -> Tensor:
        """What the model is given for tokens of the target [B,M]."""
        return tokens

    def from_model(self, logits: Tensor) -> Tensor:
        """The model's logits, over the target's vocabulary [B,M,V]."""
        return logits

    def propose(self, text: Text, budget: Tensor, chance: Chance) -> Draft:
        device = self.model.device
        self.base = torch.tensor([len(row) for row in text.tokens])  # [B]
        room = self.model.config.max_position_embeddings - self.base  # [B]: of the draft's context
        budget = torch.minimum(budget, room).clamp(min=0)  # [B]
        drafted: list[Tensor] = []  # [B] each
        q: list[Tensor] = []  # [B,V] each
        for i in range(int(budget.max())):
            if i == 0:
                logits = self._catch_up(text, budget)  # [B,1,V]
            else:
                logits = self._extend(drafted[-1], budget >= i)  # [B,1,V]
            asked = (budget > i).to(device)  # [B]
            q.append(draft_distribution(logits, text, drafted))
            drafted.append(chance.draw(q[-1], asked))
        if not drafted:
            return no_draft(len(budget), device)
        tokens = torch.stack(drafted, 1)  # [B,N]
        return Draft.chain(tokens, torch.stack(q, 1), budget.to(device))

    def _catch_up(self, text: Text, budget: Tensor) -> Tensor:
        """Read what the cache lacks, in rows that draft; logits after each row's last token,
        [B,1,V].
        """
        counts = torch.where(budget > 0, self.base - self.cache.lengths, 0)  # [B]
        width = int(counts.max())  # M
        missing = []
        for row, count in enumerate(counts.tolist()):
            tokens = text.tokens[row]
            padding = [0] * (width - count)
            missing.append(tokens[len(tokens) - count :] + padding)
        new = torch.tensor(missing, device=self.model.device)  # [B,M]
        states = self.model.states(self.to_model(new), self.cache, None, counts)  # [B,M,E]
        self.cache.lengths += counts
        rows = torch.arange(len(counts))  # [B]
        end = (counts - 1).clamp(min=0)  # [B]
        last = states[rows, end]  # [B,E]
        return self.from_model(self.model.logits(last[:, None]))

    def _extend(self, token: Tensor, going: Tensor) -> Tensor:
        """Read one drafted token [B] in the rows of `going` [B]; logits after it, [B,1,V]."""
        logits = self.model(self.to_model(token[:, None]), self.cache, None, going.long()).logits
        self.cache.lengths += going
        return self.from_model(logits)

    def commit(self, accepted: Tensor) -> None:
        self.cache.trim(self.base + accepted)

    def rows(self, index: list[int]) -> None:
        self.cache = self.cache.rows(index)
        self.base = select(self.base, index)
