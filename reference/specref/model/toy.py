"""Random transformers, small enough that their distributions can be enumerated."""

import torch
from torch import Tensor

from .config import Config
from .transformer import Block, Transformer


def toy_config(vocabulary: int, context: int = 64, layers: int = 2) -> Config:
    """16 channels, two query heads that share one key/value head, a head of its own."""
    return Config(
        vocab_size=vocabulary,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        max_position_embeddings=context,
        tie_word_embeddings=False,
    )


@torch.no_grad()
def toy_transformer(
    config: Config,
    random: torch.Generator,
    *,
    attention: float = 0.5,
    sharpness: float = 1.0,
    noise: float = 0.0,
    skip: int = 1,
) -> Transformer:
    """A random decoder in float32, in evaluation mode.

    Args:
        random: where the weights come from. The order in which they are drawn is fixed, so that one
            seed is one decoder: [inputs, outputs] matrices, query, key and value as one, gate and
            up as one, the channels of a rotary pair beside each other.
        attention: scale of what attention adds to a state; from 2 on the text before matters as
            much as in a trained model.
        sharpness: scale of the logits; a negative one reverses their order.
        noise: how far an untied head is moved away from that of the decoder with the same seed and
            no noise.
        skip: tables of embeddings drawn and thrown away first.
    """
    with torch.random.fork_rng(devices=[]):
        made = Transformer(config)
    heads, groups = config.num_attention_heads, config.num_key_value_heads
    wide, narrow = heads * config.head_dim, groups * config.head_dim  # H*D, G*D
    channels, units = config.hidden_size, config.intermediate_size  # E, F

    def draw(inputs: int, outputs: int, scale: float = 1.0) -> Tensor:
        weight = torch.randn(inputs, outputs, generator=random)
        return (inputs**-0.5 * scale * weight).T  # [outputs, inputs]

    for block in made.blocks:
        assert isinstance(block, Block)
        q, k, v = draw(channels, wide + 2 * narrow).split((wide, narrow, narrow))
        block.self_attn.q_proj.weight.copy_(halves(q, heads))
        block.self_attn.k_proj.weight.copy_(halves(k, groups))
        block.self_attn.v_proj.weight.copy_(v)
        block.self_attn.o_proj.weight.copy_(draw(wide, channels, attention))
        gate, up = draw(channels, 2 * units).chunk(2)
        block.mlp.gate_proj.weight.copy_(gate)
        block.mlp.up_proj.weight.copy_(up)
        block.mlp.down_proj.weight.copy_(draw(units, channels, 0.5))
    tables = torch.randn(skip + 1, config.vocab_size, channels, generator=random)  # [_,V,E]
    made.embedding.weight.copy_(tables[-1])
    if made.head is not None:
        made.head.weight.copy_(draw(channels, config.vocab_size))
        if noise:
            moved = torch.randn(channels, config.vocab_size, generator=random).T  # [V,E]
            made.head.weight.add_(noise * moved)
        made.head.weight.mul_(sharpness)
    return made.eval().requires_grad_(False)


def halves(weight: Tensor, heads: int) -> Tensor:
    """Rows of each head from neighbours (2j, 2j + 1) to halves (j, j + D/2): [heads*D, E]."""
    return weight.unflatten(0, (heads, -1, 2)).transpose(1, 2).reshape(weight.shape)
