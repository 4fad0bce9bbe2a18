"""A decoder in Llama's layout (Touvron et al. 2023, arXiv:2302.13971): RMSNorm, rotary positions,
grouped-query attention, SwiGLU. The layers of a block have Hugging Face's names and weights.

B rows, N tokens, E channels, F channels of the MLP, H query heads, G key/value heads of D channels.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import Attend, attend_causally
from .cache import Cache
from .config import Config
from .packing import without_padding
from .pool import Pool

Read = Callable[[Tensor, Tensor, Tensor], Tensor]  # `attention.Attend` of one layer
Rotary = tuple[Tensor, Tensor]  # cosine and signed sine, both [B,1,N,D]


@dataclass(frozen=True)
class Output:
    """What one forward returns."""

    logits: Tensor  # [B,N,V]: entry i is for the token after input i
    hidden: Tensor  # [B,N,E]: the states the head read, after the last norm


def linear(inputs: int, outputs: int) -> nn.Linear:
    """A layer without bias whose outputs have variance 1 for inputs of variance 1."""
    made = nn.Linear(inputs, outputs, bias=False)
    nn.init.normal_(made.weight, std=inputs**-0.5)
    return made


def rotary(positions: Tensor, config: Config, dtype: torch.dtype) -> Rotary:
    """Rotary position embedding (Su et al. 2021, arXiv:2104.09864).

    Args:
        positions: [B,N] int64. dtype: of the model; angles are float32, or float64 for float64.
    Returns:
        cosine and sine [B,1,N,D] of position * theta^(-2j/D) for channels j and j + D/2; the sine
        of the first half is negative, as `rotate` needs it.
    """
    exact = torch.promote_types(dtype, torch.float32)
    j = torch.arange(0, config.head_dim, 2, dtype=exact, device=positions.device)  # [D/2]
    angle = positions[:, None, :, None] * config.rope_theta ** (-j / config.head_dim)  # [B,1,N,D/2]
    cos, sin = angle.cos(), angle.sin()
    return torch.cat((cos, cos), -1), torch.cat((-sin, sin), -1)  # [B,1,N,D]


def rotate(x: Tensor, rotary: Rotary) -> Tensor:
    """Rotate each pair (x[j], x[j + D/2]) by its position's angle. x [B,H,N,D] -> [B,H,N,D]."""
    cos, sin = rotary
    return (x * cos + x.roll(x.shape[-1] // 2, -1) * sin).to(x.dtype)


class Attention(nn.Module):
    """Grouped-query attention: every key/value head serves H/G query heads."""

    def __init__(self, config: Config):
        super().__init__()
        self.head_dim = config.head_dim
        wide = config.num_attention_heads * config.head_dim  # H*D
        narrow = config.num_key_value_heads * config.head_dim  # G*D
        self.q_proj = linear(config.hidden_size, wide)
        self.k_proj = linear(config.hidden_size, narrow)
        self.v_proj = linear(config.hidden_size, narrow)
        self.o_proj = linear(wide, config.hidden_size)

    def forward(self, x: Tensor, rotary: Rotary, read: Read) -> Tensor:
        q = self.heads(self.q_proj(x))  # [B,H,N,D]
        k = self.heads(self.k_proj(x))  # [B,G,N,D]
        v = self.heads(self.v_proj(x))  # [B,G,N,D]
        y = read(rotate(q, rotary), rotate(k, rotary), v)  # [B,H,N,D]
        return self.o_proj(y.transpose(1, 2).flatten(2))  # [B,N,H*D] -> [B,N,E]

    def heads(self, x: Tensor) -> Tensor:  # [B,N,H*D] -> [B,H,N,D]
        return x.view(*x.shape[:2], -1, self.head_dim).transpose(1, 2)


class MLP(nn.Module):
    """SwiGLU (Shazeer 2020, arXiv:2002.05202): down(silu(gate(x)) * up(x))."""

    def __init__(self, config: Config):
        super().__init__()
        self.gate_proj = linear(config.hidden_size, config.intermediate_size)
        self.up_proj = linear(config.hidden_size, config.intermediate_size)
        self.down_proj = linear(config.intermediate_size, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))  # [B,N,F] -> [B,N,E]


class Block(nn.Module):
    """One layer."""

    def __init__(self, config: Config):
        super().__init__()
        self.input_layernorm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = MLP(config)

    def forward(self, x: Tensor, rotary: Rotary, read: Read) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), rotary, read)  # [B,N,E]
        return x + self.mlp(self.post_attention_layernorm(x))  # [B,N,E]


class Stack(nn.Module):
    """The blocks of a decoder and the last norm, without embedding and head."""

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        blocks = [Block(config) for _ in range(config.num_hidden_layers)]
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)
        for block in blocks:  # residual branches start small, as in GPT-2
            block.self_attn.o_proj.weight.data.mul_((2 * len(blocks)) ** -0.5)
            block.mlp.down_proj.weight.data.mul_((2 * len(blocks)) ** -0.5)

    @property
    def device(self) -> torch.device:
        return self.norm.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.norm.weight.dtype

    def new_cache(self, batch: int, capacity: int) -> Cache:
        return Cache(self.config, batch, capacity, self.dtype, self.device)

    def new_pool(self, blocks: int, size: int = 16, states: bool = False) -> Pool:
        """Memory for a `PagedCache`."""
        return Pool(self.config, blocks, size, self.dtype, self.device, states)

    def run(
        self,
        x: Tensor,
        cache: Cache | None = None,
        parents: Tensor | None = None,
        counts: Tensor | None = None,
    ) -> Tensor:
        """Inputs [B,N,E] through all blocks and the last norm: [B,N,E], 0 for padding."""
        if cache is None:
            positions = torch.arange(x.shape[1], device=x.device)[None]  # [1,N]
            return self._blocks(x, positions, attend_causally)
        step = cache.step(x.shape[1], parents, counts)
        positions, read, mask = step.positions, cache.reader(step), step.padding_mask
        if mask is None:
            x = self._blocks(x, positions, read)  # [B,N,E]
        else:
            x = without_padding(self._blocks, x, positions, read, mask)  # [B,N,E]
        cache.keep_states(step, x)
        return x

    def _blocks(self, x: Tensor, positions: Tensor, read: Attend) -> Tensor:
        angles = rotary(positions, self.config, self.dtype)
        for layer, block in enumerate(self.blocks):
            x = block(x, angles, partial(read, layer))  # [B,N,E]
        return self.norm(x)


class Transformer(Stack):
    """A decoder. `model(tokens)` trains it; `model(tokens, cache)` extends a cache."""

    def __init__(self, config: Config):
        super().__init__(config)
        self.embedding = nn.Embedding(config.vocab_size, config.hidden_size)
        nn.init.normal_(self.embedding.weight, std=0.02 if config.tie_word_embeddings else 1.0)
        tied = config.tie_word_embeddings
        self.head = None if tied else linear(config.hidden_size, config.vocab_size)

    def forward(
        self,
        tokens: Tensor,
        cache: Cache | None = None,
        parents: Tensor | None = None,
        counts: Tensor | None = None,
    ) -> Output:
        """One forward.

        Args:
            tokens: [B,N] int64. cache: what came before; the new keys and values are written behind
                it, uncommitted. parents: [B,N] int64 makes the tokens a tree rooted at token 0;
                None: a chain. counts: [B] int64, how many of the N tokens each row has, the others
                being padding; None: all.
        Returns:
            Output with logits [B,N,V] and hidden [B,N,E], in the model's dtype.
        """
        hidden = self.states(tokens, cache, parents, counts)  # [B,N,E]
        return Output(self.logits(hidden), hidden)

    def states(
        self,
        tokens: Tensor,
        cache: Cache | None = None,
        parents: Tensor | None = None,
        counts: Tensor | None = None,
    ) -> Tensor:
        """As `forward`, without the head: [B,N,E]."""
        return self.run(self.embedding(tokens), cache, parents, counts)

    def logits(self, hidden: Tensor) -> Tensor:
        """hidden [B,N,E] -> [B,N,V]. A tied head is the embedding."""
        head = self.embedding if self.head is None else self.head
        return F.linear(hidden, head.weight)
