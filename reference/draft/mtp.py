"""Multi-token prediction: one block reads the target's state and the next token's embedding, and guesses the one after.

DeepSeek-V3 (DeepSeek-AI 2024, arXiv:2412.19437, section 2.2), used as a drafter: to guess further, the block reads its own
state instead of the target's, as EAGLE does (Li et al. 2024, arXiv:2401.15077). Embedding and head are the target's.
"""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..chance import Chance
from ..model.addon import load_addon
from ..model.cache import Cache, select
from ..model.transformer import Config, Linear, RMSNorm, Stack, Transformer
from ..probs import history, needs_history, probs
from ..types import Draft, SpecdecError
from .base import Drafter, Text


class MTPModule(Stack):
    """state_t, token_{t+1} -> a state from which the target's head reads token t+2.

    Args:
        config: the target's own shape, with as many layers as this module shall have (one, as in the paper).
    """

    def __init__(self, config: Config):
        super().__init__(config)
        self.state_norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.token_norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.join = Linear(2 * config.hidden_size, config.hidden_size)

    @property
    def settings(self) -> dict[str, Any]:
        return asdict(self.config)

    @staticmethod
    def load(folder: Path | str, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> "MTPModule":
        """A module that `specdec train mtp` wrote."""
        return load_addon(folder, "mtp", lambda settings: MTPModule(Config(**settings)), dtype, device)

    @staticmethod
    def of(target: Transformer, layers: int = 1) -> "MTPModule":
        """A fresh module for `target`."""
        return MTPModule(replace(target.config, num_hidden_layers=layers))

    def forward(self, states: Tensor, embedded: Tensor, cache: Cache | None = None, counts: Tensor | None = None) -> Tensor:
        """states [B,N,E] and embeddings of the tokens one place further on [B,N,E] -> states [B,N,E]. counts [B]: how many
        of the N each row has; None: all."""
        joined = self.join(torch.cat((self.state_norm(states), self.token_norm(embedded)), -1))
        return self.run(joined.to(self.dtype), cache, None, counts)  # mixed-precision training multiplies in bfloat16


def mtp_loss(module: MTPModule, target: Transformer, depth: int = 3) -> Callable[[Tensor], Tensor]:
    """Mean over depths of KL(p || q) + TV(p, q), the module fed with its own states from the second depth on."""

    def loss(rows: Tensor) -> Tensor:
        with torch.no_grad():
            output = target(rows[:, :-1])
            p = output.logits.float().softmax(-1)
            embedded = target.embedding(rows)
        states, total = output.hidden, torch.zeros(())
        for k in range(1, depth + 1):  # states[:, i] stands for position i + k - 1 and has seen the tokens up to there
            count = p.shape[1] - k
            states = module(states[:, :count], embedded[:, k: k + count])
            logq = target.logits(states).float().log_softmax(-1)
            want = p[:, k: k + count]
            kl = (torch.xlogy(want, want) - want * logq).sum(-1).mean()
            total = total + kl + (want - logq.exp()).clamp(min=0).sum(-1).mean()
        return total / depth

    return loss


class MTPDrafter(Drafter):
    """Drafts a chain with one MTP module, applied again to its own states."""

    reads_states = True

    def __init__(self, module: MTPModule, target: Transformer):
        if module.config.hidden_size != target.config.hidden_size:
            raise SpecdecError(f"the module is {module.config.hidden_size} wide and the target "
                               f"{target.config.hidden_size}: use the module trained on this target")
        self.module, self.target = module, target

    def begin(self, text: Text, capacity: int) -> None:
        self.cache = self.module.new_cache(len(text.tokens), capacity)
        self.base = torch.zeros(len(text.tokens), dtype=torch.int64)

    @torch.inference_mode()
    def propose(self, text: Text, budget: Tensor, chance: Chance) -> Draft:
        device = self.target.device
        none = Draft.chain(torch.zeros(len(budget), 0, dtype=torch.int64, device=device))
        if text.states is None or text.fresh is None:
            return none
        state = self._catch_up(text, text.states, text.fresh)  # [B,1,E]
        budget = torch.where(text.fresh > 0, budget, 0)
        drafted: list[Tensor] = []
        laws: list[Tensor] = []
        for i in range(int(budget.max())):
            if i:
                state = self.module(state, self.target.embedding(drafted[-1])[:, None], self.cache, (i <= budget).long())
                self.cache.lengths += i <= budget
            past = None
            if needs_history(text.params):
                rows = [t + [int(d[b]) for d in drafted] for b, t in enumerate(text.tokens)]
                past = history(rows, text.prompts, text.vocabulary, device=device)
            laws.append(probs(self.target.logits(state), text.params, past)[:, 0])
            drafted.append(chance.draw(laws[-1], (budget > i).to(device)))
        if not drafted:
            return none
        return Draft.chain(torch.stack(drafted, 1), torch.stack(laws, 1), budget.to(device))

    def _catch_up(self, text: Text, target_states: Tensor, fresh: Tensor) -> Tensor:
        """Read the target's new states with the tokens behind them; the last state of every row, [B,1,E]."""
        width = int(fresh.max())
        behind = [tokens[len(tokens) - n:] + [0] * (width - n) for tokens, n in
                  zip(text.tokens, fresh.tolist(), strict=True)]
        embedded = self.target.embedding(torch.tensor(behind, device=self.target.device))
        states = self.module(target_states[:, :width], embedded, self.cache, fresh)
        self.cache.lengths += fresh
        self.base = self.cache.lengths.clone()
        return states[torch.arange(len(fresh)), (fresh - 1).clamp(min=0)][:, None]

    def commit(self, accepted: Tensor) -> None:
        self.cache.trim(self.base)  # what stands behind was read from its own states, not the target's

    def rows(self, index: list[int]) -> None:
        self.cache, self.base = self.cache.rows(index), select(self.base, index)
