"""Multi-token prediction: one block reads the target's state and the next token's embedding, and
guesses the token after that one.

DeepSeek-V3 (DeepSeek-AI 2024, arXiv:2412.19437, section 2.2), used as a drafter. To guess further,
the block reads its own state instead of the target's, as EAGLE does (Li et al. 2024,
arXiv:2401.15077). Embedding and head are the target's.
"""

from dataclasses import asdict, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..chance import Chance
from ..data import Draft, SpecrefError
from ..model.cache import Cache, select
from ..model.config import Config
from ..model.transformer import Stack, Transformer, linear
from .base import Drafter, Text, draft_distribution, no_draft


class MTPModule(Stack):
    """state_t, token_{t+1} -> a state from which the target's head reads token t+2.

    Args:
        config: the target's own shape, with as many layers as this module shall have (one, as in
            the paper).
    """

    def __init__(self, config: Config):
        super().__init__(config)
        self.state_norm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.token_norm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.join = linear(2 * config.hidden_size, config.hidden_size)

    @property
    def settings(self) -> dict[str, Any]:
        return asdict(self.config)

    @staticmethod
    def of(target: Transformer, layers: int = 1, units: int | None = None) -> "MTPModule":
        """A fresh module for `target`; units: of its MLP (default: as many as the target's)."""
        units = target.config.intermediate_size if units is None else units
        return MTPModule(replace(target.config, num_hidden_layers=layers, intermediate_size=units))

    def brought(self, embedded: Tensor) -> Tensor:
        """Embeddings [..,E] -> what these tokens add to a state that is read with them, [..,E]: the
        same for every state.
        """
        return F.linear(self.token_norm(embedded), self.join.weight[:, self.config.hidden_size :])

    def forward(
        self,
        states: Tensor,
        brought: Tensor,
        cache: Cache | None = None,
        counts: Tensor | None = None,
    ) -> Tensor:
        """states [B,N,E] and what the tokens one place further on bring [B,N,E] -> states [B,N,E].
        counts [B]: how many of the N each row has; None: all."""
        own = F.linear(self.state_norm(states), self.join.weight[:, : self.config.hidden_size])
        # mixed-precision training multiplies in bfloat16
        return self.run((own + brought).to(self.dtype), cache, None, counts)


class MTPDrafter(Drafter):
    """Drafts a chain with one MTP module, applied again to its own states.

    Args:
        target: its embedding and head are used: the target that judges, or a copy of it in the
            module's type.
        sure: a row's draft ends with the token at which the product of (1 + q(x)) / 2 over its
            tokens x falls below this; 0: never. The product estimates the chance that all of them
            are accepted (EAGLE-2: Li et al. 2024, arXiv:2406.16858, section 3.1). That token stays
            in the draft, so its distribution is still q.
    Errors:
        SpecrefError for a module of another width than the target's.
    """

    reads_states = True

    def __init__(self, module: MTPModule, target: Transformer, sure: float = 0.0):
        if module.config.hidden_size != target.config.hidden_size:
            raise SpecrefError(
                f"the module is {module.config.hidden_size} wide and the target "
                f"{target.config.hidden_size}: use the module trained on this target"
            )
        self.module, self.target, self.sure = module, target, sure
        with torch.inference_mode():
            self.brought = module.brought(target.embedding.weight.to(module.dtype))  # [V,E]

    def begin(self, text: Text, capacity: int) -> None:
        self.cache = self.module.new_cache(len(text.tokens), capacity)
        self.base = torch.zeros(len(text.tokens), dtype=torch.int64)  # [B]: text before the draft

    @torch.inference_mode()
    def propose(self, text: Text, budget: Tensor, chance: Chance) -> Draft:
        device = self.target.device
        if text.states is None or text.fresh is None:
            return no_draft(len(budget), device)
        state = self._catch_up(text, text.states, text.fresh)  # [B,1,E]
        depth = torch.where(text.fresh > 0, budget, 0)  # [B]
        alive = torch.ones(len(depth), dtype=torch.float64)  # [B]: estimated P(all are accepted)
        drafted: list[Tensor] = []  # [B] each
        q: list[Tensor] = []  # [B,V] each
        while len(drafted) < int(depth.max()):
            going = depth > len(drafted)  # [B]
            if drafted:
                state = self._extend(state, drafted[-1], going)  # [B,1,E]
            q.append(draft_distribution(self.target.logits(state), text, drafted))
            drafted.append(chance.draw(q[-1], going.to(device)))
            if self.sure:
                chosen = q[-1].gather(1, drafted[-1][:, None])[:, 0]  # [B]
                alive = alive * (1 + chosen.cpu().double()) / 2
                depth = torch.where(alive < self.sure, depth.clamp(max=len(drafted)), depth)
        if not drafted:
            return no_draft(len(budget), device)
        return Draft.chain(torch.stack(drafted, 1), torch.stack(q, 1), depth.to(device))

    def _catch_up(self, text: Text, target_states: Tensor, fresh: Tensor) -> Tensor:
        """Read the target's new states [B,M,E], each with the token behind it; the last state of
        every row, [B,1,E].
        """
        width = int(fresh.max())
        behind = []
        for row, count in enumerate(fresh.tolist()):
            tokens = text.tokens[row]
            behind.append(tokens[len(tokens) - count :] + [0] * (width - count))
        brought = self.brought[torch.tensor(behind, device=self.target.device)]  # [B,M,E]
        states = target_states[:, :width].to(self.module.dtype)  # [B,M,E]
        states = self.module(states, brought, self.cache, fresh)
        self.cache.lengths += fresh
        self.base = self.cache.lengths.clone()
        return states[torch.arange(len(fresh)), (fresh - 1).clamp(min=0)][:, None]

    def _extend(self, state: Tensor, token: Tensor, going: Tensor) -> Tensor:
        """Read one drafted token [B] with the state before it [B,1,E]; the state after, [B,1,E]."""
        state = self.module(state, self.brought[token][:, None], self.cache, going.long())
        self.cache.lengths += going
        return state

    def commit(self, accepted: Tensor) -> None:
        # the draft's keys come from the module's own states: the next draft reads the target's
        self.cache.trim(self.base)

    def rows(self, index: list[int]) -> None:
        self.cache, self.base = self.cache.rows(index), select(self.base, index)
