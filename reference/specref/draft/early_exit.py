"""The target's own first layers draft: no second model, no second set of weights.

Self-speculation by early exit (Elhoushi et al. 2024, LayerSkip, arXiv:2404.16710). The target's
last norm and head read the states of an earlier layer. How well they can depends on how the target
was trained.
"""

from dataclasses import replace

import torch

from ..data import SpecrefError
from ..model.transformer import Transformer
from .model import ModelDrafter


def first_layers(target: Transformer, layers: int) -> Transformer:
    """A decoder of the first `layers` layers of `target`, whose weights it shares."""
    with torch.device("meta"):  # without memory and random numbers: every part is replaced below
        shallow = Transformer(replace(target.config, num_hidden_layers=layers))
    shallow.embedding, shallow.norm, shallow.head = target.embedding, target.norm, target.head
    shallow.blocks = target.blocks[:layers]
    return shallow


class EarlyExitDrafter(ModelDrafter):
    """Drafts with the first `layers` layers of `target`.

    Errors:
        SpecrefError unless layers is from 1 to one less than the target has.
    """

    def __init__(self, target: Transformer, layers: int):
        if not 1 <= layers < len(target.blocks):
            raise SpecrefError(
                f"an early exit after layer {layers} is not possible: "
                f"give 1 to {len(target.blocks) - 1} for this target"
            )
        super().__init__(first_layers(target, layers))
