"""What a narrower number type costs: one block's work, piece by piece, on one row and on several.

A step of a small model is made of calls, not of arithmetic. What a call costs depends on the
library that serves the type. A bfloat16 product on a small matrix is an expensive call, and then
neither fewer bytes nor matrix units make up for it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F

from ...model.attention import attend
from ...model.config import Config
from ...model.transformer import Block, rotary, rotate
from .timing import microseconds


def block_pieces(
    config: Config, dtype: torch.dtype, rows: int, context: int
) -> dict[str, Callable[[], object]]:
    """The work of one block over `rows` tokens behind `context` others, each piece as often as a
    block does it.
    """
    block = Block(config).to(dtype).requires_grad_(False)
    mlp, attention = block.mlp, block.self_attn

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape).to(dtype)

    x, y = random(1, rows, config.hidden_size), random(1, rows, config.intermediate_size)
    heads, groups, dim = config.num_attention_heads, config.num_key_value_heads, config.head_dim
    read = random(1, rows, heads * dim)
    q, new = random(1, heads, rows, dim), random(1, groups, rows, dim)
    k = random(1, groups, context + rows, dim)
    mask = torch.zeros(1, 1, rows, context + rows, dtype=dtype)
    angles = rotary(torch.arange(rows)[None], config, dtype)
    return {
        "products": lambda: (
            attention.q_proj(x),
            attention.k_proj(x),
            attention.v_proj(x),
            attention.o_proj(read),
            mlp.gate_proj(x),
            mlp.up_proj(x),
            mlp.down_proj(y),
        ),
        "norms": lambda: (block.input_layernorm(x), block.post_attention_layernorm(x)),
        "attention": lambda: attend(q, k, k, mask),
        "rotation": lambda: (rotate(q, angles), rotate(new, angles)),
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
    works: dict[str, Callable[[], object]] = {}
    names: dict[str, tuple[str, str]] = {}
    for dtype in dtypes:
        for count in rows:
            name = str(dtype).removeprefix("torch.") + f" {count}"
            for piece, work in block_pieces(config, dtype, count, context).items():
                works[f"{name} {piece}"] = work
                names[f"{name} {piece}"] = name, piece
    costs = microseconds(works, torch.device("cpu"), rounds)
    table: dict[str, dict[str, float]] = {}
    for key, (name, piece) in names.items():
        table.setdefault(name, {})[piece] = costs[key]
    unit = sum(next(iter(table.values())).values())
    for row in table.values():
        for piece in row:
            row[piece] /= unit
        row["all"] = sum(row.values())
    return dict(table)


def costs_by_width(
    config: Config,
    dtypes: Sequence[torch.dtype],
    rows: Sequence[int],
    context: int,
    times: Sequence[int] = (1, 2, 4, 8),
) -> dict[str, dict[str, float]]:
    """A whole block's cost in models that are `times` as wide, each in units of dtypes[0] on one
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
