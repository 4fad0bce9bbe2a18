"""A draft model whose vocabulary is not the target's: a map from its tokens to the target's.

Two published forms. Token-level intersection, TLI (Timor et al. 2025, arXiv:2502.05202): the draft
proposes only tokens that both vocabularies have, from its own distribution cut to them. Reduced
vocabulary, d2t (EAGLE-3, Li et al. 2025, arXiv:2503.01840): the draft has only the frequent tokens.

Lossless with any rule that is: what is drawn is drawn from the mapped q, and that q is reported.
The logits are mapped before probs(), so temperature and filters see the target's tokens. A token of
the text that the draft lacks is read as `unknown`; TLI as published encodes the text anew with the
draft's tokenizer instead. That changes how often a draft is accepted, not what comes out.
Matching strings across tokens of different borders is lossless at temperature 0 only; it is not
built here.
"""

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

from ..errors import SpecrefError
from ..model.transformer import Transformer
from .model import ModelDrafter


class MappedDrafter(ModelDrafter):
    """Drafts with `model`; writes[i] is the target's id of its token i, -1 where there is none.

    unknown: the draft's own token that stands for a token it lacks.
    Errors:
        SpecrefError where two draft tokens have one target token, where none has one, and for a map
            of another length than the draft's vocabulary.
    """

    def __init__(self, model: Transformer, writes: Sequence[int], unknown: int = 0):
        super().__init__(model)
        mapped = [target for target in writes if target >= 0]
        if len(writes) != model.config.vocab_size or not mapped:
            raise SpecrefError(
                f"the map has {len(mapped)} target tokens for {len(writes)} draft tokens and the"
                f" draft has {model.config.vocab_size}: give one entry a draft token, -1 for none"
            )
        if len(set(mapped)) < len(mapped):
            raise SpecrefError("two draft tokens have the same target token: map one of them to -1")
        own = torch.tensor(writes, device=model.device)  # [W]: W draft tokens
        self.kept = (own >= 0).nonzero()[:, 0]  # [K]: draft tokens that the target has
        self.targets = own[self.kept]  # [K]: and their ids there
        self.unknown = unknown
        self.size = 0

    def check_vocabulary(self, size: int) -> None:
        """Errors:
        SpecrefError where the map leads out of the target's vocabulary.
        """
        largest = int(self.targets.max())
        if largest >= size:
            raise SpecrefError(
                f"the map leads to token {largest} and the target has {size} tokens: make it for"
                " this target"
            )
        self.size = size
        self.reads = torch.full((size,), self.unknown, device=self.kept.device)  # [V]
        self.reads[self.targets] = self.kept

    def to_model(self, tokens: Tensor) -> Tensor:
        return self.reads[tokens]

    def from_model(self, logits: Tensor) -> Tensor:
        shape = (*logits.shape[:-1], self.size)
        mapped = logits.new_full(shape, -torch.inf)  # [B,M,V]
        mapped[..., self.targets] = logits[..., self.kept]
        return mapped


def token_intersection(draft: Sequence[Hashable], target: Sequence[Hashable]) -> list[int]:
    """The map of TLI: for every draft token, the target's id of the same token, -1 for none.

    Args:
        draft, target: the tokens of each vocabulary in order of their ids, as bytes or strings.
    """
    ids = {token: i for i, token in reversed([*enumerate(target)])}
    found = [ids.get(token, -1) for token in draft]
    first = {token: i for i, token in reversed([*enumerate(found)])}
    return [token if first[token] == i else -1 for i, token in enumerate(found)]
