"""The target on several machines: tensor parallel through torch.distributed, under torchrun.

    torchrun --nproc-per-node 2 my_server.py

Every rank runs the same engine on the same requests and holds a share of the heads, of the
feed-forward's channels and of the cache (Shoeybi et al. 2019, Megatron-LM, arXiv:1909.08053,
section 3). What decides is not computed twice: rank 0's coins are everybody's (`Shared`), since two
ranks that draw for themselves write two texts.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_module, distribute_tensor
from torch.distributed.tensor.parallel import ParallelStyle, parallelize_module
from torch.distributed.tensor.placement_types import Placement

from ..chance import Chance
from ..data import SpecrefError
from ..model.transformer import Attention, Linear, Transformer


class Split(ParallelStyle):
    """A `Linear` (weight [in, out]) split along one side.

    Args:
        by: "out": every rank has all of the input and makes its part of the output. "in": every
            rank has its part of the input, and the sum over ranks is everybody's output.
        parts: widths of what stands side by side in the output (query, key, value), each of which
            is split for itself.
    """

    def __init__(self, by: str, parts: Sequence[int] = ()):
        self.by, self.parts = by, list(parts)

    def _apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        given, made = (Replicate(), Shard(-1)) if self.by == "out" else (Shard(-1), Replicate())

        def partition(name: str, linear: nn.Module, mesh: DeviceMesh) -> None:
            assert isinstance(linear, Linear)
            weight = linear.weight.detach()
            if self.parts:  # rank by rank: its queries, its keys, its values
                pieces = [part.chunk(mesh.size(), 1) for part in weight.split(self.parts, 1)]
                weight = torch.cat(
                    [piece[rank] for rank in range(mesh.size()) for piece in pieces], 1
                )
            shard = Shard(1 if self.by == "out" else 0)
            linear.weight = nn.Parameter(
                distribute_tensor(weight, mesh, [shard]), requires_grad=False
            )

        def before(_: nn.Module, inputs: tuple[Tensor, ...], mesh: DeviceMesh) -> Any:
            return _placed(inputs[0], mesh, given)

        def after(_: nn.Module, output: DTensor, mesh: DeviceMesh) -> Any:
            return output.redistribute(mesh, [made]).to_local()

        return distribute_module(module, device_mesh, partition, before, after)


def _placed(x: Tensor, mesh: DeviceMesh, placement: Placement) -> DTensor:
    return DTensor.from_local(x, mesh, [placement], run_check=False)


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
    own, kv = (
        config.num_attention_heads * config.head_dim,
        config.num_key_value_heads * config.head_dim,
    )
    wide = config.intermediate_size
    plan: dict[str, ParallelStyle] = {
        "attention.qkv": Split("out", [own, kv, kv]),
        "attention.out": Split("in"),
        "mlp.gate_up": Split("out", [wide, wide]),
        "mlp.down": Split("in"),
    }
    for block in target.blocks:
        parallelize_module(block, mesh, plan)
        attention = block.attention
        assert isinstance(attention, Attention)
        attention.heads, attention.kv_heads = attention.heads // ranks, attention.kv_heads // ranks
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
