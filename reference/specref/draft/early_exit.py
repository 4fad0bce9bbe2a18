"""The target's own first layers draft: no second model, no second set of weights.

Self-speculation by early exit (Elhoushi et al. 2024, LayerSkip, arXiv:2404.16710). The target's
last norm and head read an earlier layer's states; how well they can is a matter of training.
"""

from dataclasses import replace

from torch import nn

from ..data import SpecrefError
from ..model.transformer import Transformer
from .model import ModelDrafter


class EarlyExitDrafter(ModelDrafter):
    """Drafts with the first `layers` layers of `target`, which it shares and does not copy."""

    def __init__(self, target: Transformer, layers: int):
        if not 1 <= layers < len(target.blocks):
            raise SpecrefError(
                f"an early exit after layer {layers} is not possible: "
                f"give 1 to {len(target.blocks) - 1} for this target"
            )
        shallow = Transformer.__new__(Transformer)
        nn.Module.__init__(shallow)
        shallow.config = replace(target.config, num_hidden_layers=layers)
        shallow.embedding, shallow.norm, shallow.head = target.embedding, target.norm, target.head
        shallow.blocks = nn.ModuleList(list(target.blocks)[:layers])
        shallow.register_buffer("turn", target.turn, persistent=False)
        super().__init__(shallow)
