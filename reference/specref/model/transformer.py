"""The toy transformer: Llama's layout, small enough to read in one sitting.

RMSNorm, rotary positions, grouped-query attention, SwiGLU (Touvron et al. 2023, arXiv:2302.13971;
Ainslie et al. 2023, arXiv:2305.13245). Two choices serve speed at one token a step and nothing
else: weights are stored [in, out], so that a step is `x @ W`; and what reads the same input is one
product (query, key and value; gate and up). `checkpoint.py` turns both into Hugging Face's names
and back.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import causal
from .cache import Cache
from .pool import Pool


@dataclass(frozen=True)
class Config:
    """Shape of a decoder. Names are Hugging Face's, so that a config.json reads straight into
    it.
    """

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    max_position_embeddings: int = 2048
    rms_norm_eps: float = 1e-5
    rope_theta: float = 10000.0
    tie_word_embeddings: bool = True
    eos_token_id: tuple[int, ...] = ()


# q, k, v of one layer -> what its queries read; see `attention.Attend`
Read = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Output:
    """What one forward gives."""

    logits: Tensor  # [B,N,V]: entry i is for the token after input i
    hidden: Tensor  # [B,N,E]: the states the head read, after the last norm


class Linear(nn.Module):
    """x @ weight, the weight stored [in, out]."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs) * inputs**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight


class RMSNorm(nn.Module):
    """sqrt(E) weight x / |(x, sqrt(E eps))|: x over the root of its mean square."""

    def __init__(self, size: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps
        self.floor: Tensor
        self.root: Tensor
        self.register_buffer("floor", torch.tensor((size * eps) ** 0.5), persistent=False)
        self.register_buffer("root", torch.tensor(size**0.5), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype != torch.float32 or x.is_cuda:
            return F.rms_norm(x, (x.shape[-1],), self.weight, self.eps)
        # The same in fewer calls, which are what a step of a small model costs on a processor.
        length = torch.hypot(torch.linalg.vector_norm(x, 2, -1, True), self.floor)
        return x / length * (self.weight * self.root)


def rope_table(config: Config) -> Tensor:
    """Unit complex numbers exp(i * position * theta^(-2j/D)), [max_position_embeddings, D/2]
    complex64.
    """
    j = torch.arange(0, config.head_dim, 2, dtype=torch.float32) / config.head_dim
    angle = torch.outer(
        torch.arange(config.max_position_embeddings, dtype=torch.float32), config.rope_theta**-j
    )
    return torch.polar(torch.ones_like(angle), angle)


def rotate(x: Tensor, turn: Tensor) -> Tensor:
    """Turn each pair (x[2j], x[2j+1]) by its position's angle.

    x [B,N,H,D]; turn [B,N,1,D/2] complex. Pairs stand side by side (Meta's layout), unlike Hugging
    Face's two halves: the same rotation once the rows of the weights are permuted on loading.
    """
    wide = x if x.dtype == torch.float64 else x.float()
    pairs = torch.view_as_complex(wide.unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * turn).flatten(-2).to(x.dtype)


def pack(x: Tensor, real: Tensor | None) -> Tensor:
    """x [B,N,...] -> [1,T,...]: the real tokens of all rows, one after the other. real [B,N] bool;
    None: no padding.
    """
    return x if real is None else x[real][None]


def spread(x: Tensor, real: Tensor | None) -> Tensor:
    """The inverse of `pack`, with zeros for padding: [1,T,...] -> [B,N,...]."""
    if real is None:
        return x
    padded = x.new_zeros(*real.shape, *x.shape[2:])
    padded[real] = x[0]
    return padded


class Attention(nn.Module):
    """Grouped-query attention: every key/value head serves H/G query heads."""

    def __init__(self, config: Config):
        super().__init__()
        self.heads, self.kv_heads, self.dim = (
            config.num_attention_heads,
            config.num_key_value_heads,
            config.head_dim,
        )
        self.qkv = Linear(config.hidden_size, (self.heads + 2 * self.kv_heads) * self.dim)
        self.out = Linear(self.heads * self.dim, config.hidden_size)

    def forward(self, x: Tensor, turn: Tensor, read: Read, real: Tensor | None) -> Tensor:
        qkv = spread(self.qkv(x), real).unflatten(-1, (-1, self.dim))  # [B,N,H+2G,D]
        qk = rotate(qkv[:, :, : self.heads + self.kv_heads], turn).transpose(1, 2)  # [B,H+G,N,D]
        v = qkv[:, :, self.heads + self.kv_heads :].transpose(1, 2)
        y = read(qk[:, : self.heads], qk[:, self.heads :], v)  # [B,H,N,D]
        return self.out(pack(y.transpose(1, 2).flatten(2), real))


class MLP(nn.Module):
    """SwiGLU: down(silu(gate(x)) * up(x))."""

    def __init__(self, config: Config):
        super().__init__()
        self.gate_up = Linear(config.hidden_size, 2 * config.intermediate_size)
        self.down = Linear(config.intermediate_size, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up(x).chunk(2, -1)
        return self.down(F.silu(gate) * up)


class Block(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.attention_norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.attention = Attention(config)
        self.mlp_norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = MLP(config)

    def forward(self, x: Tensor, turn: Tensor, read: Read, real: Tensor | None) -> Tensor:
        x = x + self.attention(self.attention_norm(x), turn, read, real)
        return x + self.mlp(self.mlp_norm(x))


class Stack(nn.Module):
    """The blocks of a decoder and what they share: angles, mask, cache, last norm."""

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        blocks = [Block(config) for _ in range(config.num_hidden_layers)]
        self.blocks = nn.ModuleList(blocks)
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.turn: Tensor
        self.register_buffer("turn", torch.view_as_real(rope_table(config)), persistent=False)
        for block in blocks:  # residual branches start small, as in GPT-2
            block.attention.out.weight.data.mul_((2 * len(blocks)) ** -0.5)
            block.mlp.down.weight.data.mul_((2 * len(blocks)) ** -0.5)

    @property
    def device(self) -> torch.device:
        return self.norm.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.norm.weight.dtype

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Stack":
        """Moves follow the weights, but angles never lose precision: they stay float32 or wider."""
        turn = self.turn
        super()._apply(fn, recurse)
        self.turn = turn.to(
            self.device, torch.float64 if self.dtype == torch.float64 else torch.float32
        )
        return self

    def new_cache(self, batch: int, capacity: int) -> Cache:
        config = self.config
        return Cache(
            config.num_hidden_layers,
            config.num_key_value_heads,
            config.head_dim,
            batch,
            capacity,
            self.dtype,
            self.device,
        )

    def new_pool(self, blocks: int, size: int = 16, states: bool = False) -> Pool:
        """Memory for `PagedCache`, of `blocks` blocks of `size` tokens; states: for drafters that
        read the last states.
        """
        config = self.config
        return Pool(
            config.num_hidden_layers,
            config.num_key_value_heads,
            config.head_dim,
            blocks,
            size,
            self.dtype,
            self.device,
            config.hidden_size if states else 0,
        )

    def run(
        self,
        x: Tensor,
        cache: Cache | None = None,
        parents: Tensor | None = None,
        counts: Tensor | None = None,
    ) -> Tensor:
        """Inputs [B,N,E] through all blocks and the last norm: [B,N,E]. `cache`, `parents`,
        `counts` as in Transformer.
        """
        config, count = self.config, x.shape[1]
        groups = config.num_attention_heads // config.num_key_value_heads
        turn, step, real = torch.view_as_complex(self.turn), None, None
        if cache is None:
            turn, reads = (
                turn[:count][None, :, None],
                causal(count, groups, self.dtype, self.device),
            )
        else:
            step = cache.step(count, parents, counts)
            # Only padding may stand behind the context's end; its angle does not matter.
            turn, real = turn[step.positions.clamp(max=len(turn) - 1)][:, :, None], step.real
            reads = cache.reader(step, groups)
        # ragged rows are padded for attention alone, whatever else is done is done for real tokens
        x = pack(x, real)
        for layer, block in enumerate(self.blocks):
            x = block(x, turn, partial(reads, layer), real)
        states = spread(self.norm(x), real)
        if cache is not None and step is not None:
            cache.note(step, states)
        return states


class Transformer(Stack):
    """A decoder. `model(tokens)` trains it; `model(tokens, cache)` extends a cache."""

    def __init__(self, config: Config):
        super().__init__(config)
        self.embedding = nn.Embedding(config.vocab_size, config.hidden_size)
        nn.init.normal_(self.embedding.weight, std=0.02 if config.tie_word_embeddings else 1.0)
        self.head = (
            None if config.tie_word_embeddings else Linear(config.hidden_size, config.vocab_size)
        )

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
                    None: a chain.
            counts: [B] int64, how many of the N tokens each row has, the others being padding;
                None: all.
        Returns:
            Output with logits [B,N,V] and hidden [B,N,E], in the model's dtype.
        """
        hidden = self.states(tokens, cache, parents, counts)
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
        """hidden [B,N,E] -> [B,N,V]."""
        return hidden @ self.embedding.weight.T if self.head is None else self.head(hidden)
