"""The shape of a decoder."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Config:
    """Shape of a decoder. Names are those of Hugging Face's config.json."""

    vocab_size: int  # V
    hidden_size: int  # E
    intermediate_size: int  # F
    num_hidden_layers: int
    num_attention_heads: int  # H
    num_key_value_heads: int  # G, divides H
    head_dim: int  # D
    max_position_embeddings: int = 2048
    rms_norm_eps: float = 1e-5
    rope_theta: float = 10000.0
    tie_word_embeddings: bool = True
    eos_token_id: tuple[int, ...] = ()
