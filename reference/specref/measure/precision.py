"""What a narrower type costs and brings, piece by piece: one block's work on one row and on
several.

A step of a small model is made of calls, not of arithmetic. A call's own cost depends on the
library that serves the type: where it is dear, as that of bfloat16 products is on small matrices,
neither bytes saved nor matrix units pay for it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F

from ..model.transformer import Block, Config, rope_table, rotate
from .timing import microseconds


def pieces(
    config: Config, dtype: torch.dtype, rows: int, context: int
) -> dict[str, Callable[[], object]]:
    """The work of one block over `rows` tokens behind `context` others, each piece as often as a
    block does it.
    """
    block = Block(config).to(dtype).requires_grad_(False)
    mlp, attention = block.mlp, block.attention

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape).to(dtype)

    x, y = random(1, rows, config.hidden_size), random(1, rows, config.intermediate_size)
    read, stacked = (
        random(1, rows, attention.heads * attention.dim),
        attention.heads // attention.kv_heads * rows,
    )
    q = random(1, attention.kv_heads, stacked, attention.dim)
    k = random(1, attention.kv_heads, context + rows, attention.dim)
    mask = torch.zeros(1, 1, stacked, context + rows, dtype=dtype) if rows > 1 else None
    qk = random(1, rows, attention.heads + attention.kv_heads, attention.dim)
    turn = rope_table(config)[None, :rows, None]
    return {
        "products": lambda: (attention.qkv(x), attention.out(read), mlp.gate_up(x), mlp.down(y)),
        "norms": lambda: (block.attention_norm(x), block.mlp_norm(x)),
        "attention": lambda: F.scaled_dot_product_attention(q, k, k, attn_mask=mask),
        "rotation": lambda: rotate(qk, turn),
        "gate": lambda: F.silu(y) * y,
    }


@torch.inference_mode()
def block_costs(
    config: Config,
    dtypes: Sequence[torch.dtype],
    rows: Sequence[int],
    context: int,
    rounds: int = 200,
) -> dict[str, Mapping[str, float]]:
    """One block's pieces in each type, on each number of rows, in units of one block's work in
    dtypes[0] on one row.

    Returns:
        "float32 8" and the like -> piece -> cost; "all" is their sum.
    """
    ways = {
        (f"{dtype}".removeprefix("torch.") + f" {count}", piece): work
        for dtype in dtypes
        for count in rows
        for piece, work in pieces(config, dtype, count, context).items()
    }
    costs = microseconds(
        {" ".join(name): work for name, work in ways.items()}, torch.device("cpu"), rounds
    )
    table: dict[str, dict[str, float]] = {}
    for name, piece in ways:
        table.setdefault(name, {})[piece] = costs[f"{name} {piece}"]
    unit = sum(next(iter(table.values())).values())
    return {
        name: (
            {piece: cost / unit for piece, cost in row.items()} | {"all": sum(row.values()) / unit}
        )
        for name, row in table.items()
    }


def costs_by_width(
    config: Config,
    dtypes: Sequence[torch.dtype],
    rows: Sequence[int],
    context: int,
    times: Sequence[int] = (1, 2, 4, 8),
) -> dict[str, dict[str, float]]:
    """A whole block's cost, were the model that many times as wide: in units of dtypes[0] on one
    row at the same width.

    Returns:
        hidden size -> "float32 8" and the like -> cost.
    """
    table = {}
    for factor in times:
        wide = replace(
            config,
            hidden_size=factor * config.hidden_size,
            intermediate_size=factor * config.intermediate_size,
            num_attention_heads=factor * config.num_attention_heads,
            num_key_value_heads=factor * config.num_key_value_heads,
        )
        costs = block_costs(wide, dtypes, rows, context, rounds=60)
        table[str(wide.hidden_size)] = {name: row["all"] for name, row in costs.items()}
    return table
