"""The target on several machines: tensor parallel through torch.distributed, under torchrun.

    torchrun --nproc-per-node 2 my_server.py

Every rank runs the same engine on the same requests and holds a share of the heads, of the
feed-forward's channels and of the cache (Shoeybi et al. 2019, Megatron-LM, arXiv:1909.08053,
section 3). What decides is not computed twice: rank 0's coins are everybody's (`Shared`), since two
ranks that draw for themselves write two texts.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    ParallelStyle,
    RowwiseParallel,
    parallelize_module,
)

from ..chance import Chance
from ..data import SpecrefError
from ..model.transformer import Transformer

# Column-wise: every rank makes its part of the output. Row-wise: every rank has its part of the
# input, and the sum over ranks is everybody's output.
PARALLEL_PLAN: dict[str, type[ParallelStyle]] = {
    "self_attn.q_proj": ColwiseParallel,
    "self_attn.k_proj": ColwiseParallel,
    "self_attn.v_proj": ColwiseParallel,
    "self_attn.o_proj": RowwiseParallel,
    "mlp.gate_proj": ColwiseParallel,
    "mlp.up_proj": ColwiseParallel,
    "mlp.down_proj": RowwiseParallel,
}


def split(target: Transformer, mesh: DeviceMesh) -> Transformer:
    """The target with its blocks split over the mesh, in place; its caches and pools then hold this
    rank's heads alone.

    Errors:
        SpecrefError when the heads cannot be shared out evenly.
    """
    config, ranks = target.config, mesh.size()
    if config.num_key_value_heads % ranks or config.intermediate_size % ranks:
        raise SpecrefError(
            f"{config.num_key_value_heads} key/value heads and {config.intermediate_size} channels"
            f" cannot be shared by {ranks} ranks: use a number of ranks that divides both"
        )
    target.requires_grad_(False)
    for block in target.blocks:
        parallelize_module(block, mesh, {name: style() for name, style in PARALLEL_PLAN.items()})
    target.config = replace(
        config,
        num_attention_heads=config.num_attention_heads // ranks,
        num_key_value_heads=config.num_key_value_heads // ranks,
    )
    return target


class Shared:
    """Rank 0's answers, on every rank."""

    def __init__(self, chance: Chance):
        self.chance = chance

    def accept(self, probability: Tensor, asked: Tensor | None = None) -> Tensor:
        answer = self.chance.accept(probability, asked).byte()
        dist.broadcast(answer, 0)
        return answer.bool()

    def draw(self, distribution: Tensor, asked: Tensor | None = None) -> Tensor:
        answer = self.chance.draw(distribution, asked).contiguous()
        dist.broadcast(answer, 0)
        return answer

    def rows(self, index: Sequence[int]) -> "Shared":
        return Shared(self.chance.rows(index))
