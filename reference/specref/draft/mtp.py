"""Multi-token prediction: one block reads the target's state and the next token's embedding, and
guesses the one after.

DeepSeek-V3 (DeepSeek-AI 2024, arXiv:2412.19437, section 2.2), used as a drafter: to guess further,
the block reads its own state instead of the target's, as EAGLE does (Li et al. 2024,
arXiv:2401.15077). Embedding and head are the target's.
"""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..chance import Chance
from ..data import Draft, SpecrefError
from ..model.auxiliary import load_addon
from ..model.cache import Cache, select
from ..model.transformer import Config, Linear, RMSNorm, Stack, Transformer
from ..probs import history, needs_history, probs
from ..train.distillation import Teacher, Unrolled, distance
from .base import Drafter, Text


class MTPModule(Stack):
    """state_t, token_{t+1} -> a state from which the target's head reads token t+2.

    Args:
        config: the target's own shape, with as many layers as this module shall have (one, as in
            the paper).
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
    def load(
        folder: Path | str, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
    ) -> "MTPModule":
        """A module that `specref train mtp` wrote."""
        return load_addon(
            folder, "mtp", lambda settings: MTPModule(Config(**settings)), dtype, device
        )

    @staticmethod
    def of(target: Transformer, layers: int = 1, units: int | None = None) -> "MTPModule":
        """A fresh module for `target`; units: of its MLP (default: as many as the target's)."""
        units = target.config.intermediate_size if units is None else units
        return MTPModule(replace(target.config, num_hidden_layers=layers, intermediate_size=units))

    @torch.no_grad()
    def begin_with(self, other: "MTPModule") -> None:
        """The weights of a module that is as wide, or has fewer MLP units; those that it lacks
        begin silent.
        """
        # mine shares its memory with the parameters
        units, mine = other.config.intermediate_size, self.state_dict()
        for name, value in other.state_dict().items():
            if name.endswith("gate_up.weight"):
                for half, given in zip(mine[name].chunk(2, 1), value.chunk(2, 1), strict=True):
                    half[:, :units] = given
            elif name.endswith("down.weight"):
                mine[name][units:] = 0
                mine[name][:units] = value
            else:
                mine[name].copy_(value)

    def brought(self, embedded: Tensor) -> Tensor:
        """Embeddings [..,E] -> what these tokens add to a state that is read with them, [..,E]: the
        same for every state.
        """
        return self.token_norm(embedded) @ self.join.weight[self.config.hidden_size :]

    def forward(
        self,
        states: Tensor,
        brought: Tensor,
        cache: Cache | None = None,
        counts: Tensor | None = None,
    ) -> Tensor:
        """states [B,N,E] and what the tokens one place further on bring [B,N,E] -> states [B,N,E].
        counts [B]: how many of the N each row has; None: all."""
        joined = self.state_norm(states) @ self.join.weight[: self.config.hidden_size] + brought
        # mixed-precision training multiplies in bfloat16
        return self.run(joined.to(self.dtype), cache, None, counts)


def mtp_loss(
    module: MTPModule, target: Transformer | Teacher, depth: int = 7, apart: int = 8
) -> Callable[[Tensor], Tensor]:
    """The distance of the module's distributions from the target's, at every depth of a draft, as
    drafting meets it.

    The first pass reads the target's states everywhere; from every `apart`-th place a chain goes on
    from its own states. A
    depth counts as the tokens that hang on it when most of each depth are accepted: 1 + 0.85 + ...
    to the draft's end.

    Source: training-time test of EAGLE-3 (Li et al. 2025, arXiv:2503.01840), section 3.2.
    """
    hangs = [sum(0.85**d for d in range(k, depth)) for k in range(depth)]

    def loss(rows: Tensor) -> Tensor:
        with torch.no_grad():
            output = target(rows[:, :-1])
            p = output.logits.float().softmax(-1)  # p[:, i]: after token i
            embedded = target.embedding(rows)
        brought = module.brought(embedded)
        # another one in every batch, the same one when a run is resumed
        offset = int(rows.sum()) % apart
        anchors = torch.arange(offset, rows.shape[1] - depth - 1, apart)
        cache = Unrolled(len(module.blocks), anchors)
        states = module(output.hidden[:, :-1], brought[:, 1:-1], cache)
        total = hangs[0] * distance(p[:, 1:], target.logits(states))
        states = states[:, anchors]
        # a chain's state has read the tokens up to its anchor + k, and guesses the next but one
        for k in range(1, depth):
            states = module(states, brought[:, anchors + k + 1], cache)
            total = total + hangs[k] * distance(p[:, anchors + k + 1], target.logits(states))
        return total / sum(hangs)

    return loss


class MTPDrafter(Drafter):
    """Drafts a chain with one MTP module, applied again to its own states.

    Args:
        target: whose embedding and head it uses: the one that judges, or a copy of it in the
            module's type.
        sure: a row's draft ends with the token at which it is probably lost: where the product of
            (1 + q(x)) / 2, a guess at how likely each token x is accepted, falls below this; 0:
            never. What is lost costs more than it brings (EAGLE-2: Li et al. 2024,
                arXiv:2406.16858, section 3.1). The token itself stays, so its distribution is still
                    q.
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
        self.base = torch.zeros(len(text.tokens), dtype=torch.int64)

    @torch.inference_mode()
    def propose(self, text: Text, budget: Tensor, chance: Chance) -> Draft:
        device = self.target.device
        none = Draft.chain(torch.zeros(len(budget), 0, dtype=torch.int64, device=device))
        if text.states is None or text.fresh is None:
            return none
        state = self._catch_up(text, text.states, text.fresh)  # [B,1,E]
        budget = torch.where(text.fresh > 0, budget, 0)
        left, alive = budget.tolist(), [1.0] * len(budget)
        looks_back = needs_history(text.params)
        past = None
        drafted: list[Tensor] = []
        distributions: list[Tensor] = []
        while (i := len(drafted)) < max(left):
            going = None if min(left) > i else torch.tensor(left) > i  # None: every row
            if i:
                counts = None if going is None else going.long()
                state = self.module(state, self.brought[drafted[-1]][:, None], self.cache, counts)
                self.cache.lengths += 1 if counts is None else counts
            if looks_back:
                rows = [t + [int(d[b]) for d in drafted] for b, t in enumerate(text.tokens)]
                past = history(rows, text.prompts, text.vocabulary, device=device)
            distributions.append(probs(self.target.logits(state), text.params, past)[:, 0])
            drafted.append(
                chance.draw(distributions[-1], None if going is None else going.to(device))
            )
            if self.sure:
                chosen = distributions[-1].gather(1, drafted[-1][:, None])[:, 0].tolist()
                alive = [a * (1 + q) / 2 for a, q in zip(alive, chosen, strict=True)]
                left = [
                    n if a >= self.sure else min(n, i + 1) for a, n in zip(alive, left, strict=True)
                ]
        if not drafted:
            return none
        return Draft.chain(
            torch.stack(drafted, 1),
            torch.stack(distributions, 1),
            torch.tensor(left, device=device),
        )

    def _catch_up(self, text: Text, target_states: Tensor, fresh: Tensor) -> Tensor:
        """Read the target's new states with the tokens behind them; the last state of every row,
        [B,1,E].
        """
        width = int(fresh.max())
        behind = [
            tokens[len(tokens) - n :] + [0] * (width - n)
            for tokens, n in zip(text.tokens, fresh.tolist(), strict=True)
        ]
        brought = self.brought[torch.tensor(behind, device=self.target.device)]
        states = self.module(
            target_states[:, :width].to(self.module.dtype), brought, self.cache, fresh
        )
        self.cache.lengths += fresh
        self.base = self.cache.lengths.clone()
        return states[torch.arange(len(fresh)), (fresh - 1).clamp(min=0)][:, None]

    def commit(self, accepted: Tensor) -> None:
        # what stands behind was read from its own states, not the target's
        self.cache.trim(self.base)

    def rows(self, index: list[int]) -> None:
        self.cache, self.base = self.cache.rows(index), select(self.base, index)
