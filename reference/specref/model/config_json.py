"""A checkpoint's config.json, read by one table: what each setting is, and what it may be."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import SpecrefError, shortened
from .config import Config

MUST_BE = {
    "model_type": "llama",
    "hidden_act": "silu",
    "attention_bias": False,
    "mlp_bias": False,
    "quantization_config": None,
}


@dataclass(frozen=True)
class Setting:
    """A number of config.json. whole: it is an integer. default: None: it must be there."""

    name: str
    whole: bool
    least: float
    most: float
    default: float | None = None

    def read(self, raw: dict[str, Any], folder: Path) -> Any:
        """Its value.

        Errors:
            SpecrefError: it is missing, of another type, or outside its limits.
        """
        value = raw.get(self.name)
        if value is None and self.default is not None:
            return self.default
        if value is None:
            raise SpecrefError(f"{folder}/config.json lacks {self.name}: copy the checkpoint again")
        kinds: tuple[type, ...] = (int,) if self.whole else (int, float)
        good = isinstance(value, kinds) and not isinstance(value, bool)
        if not good or not self.least <= value <= self.most:
            kind = "an integer" if self.whole else "a number"
            raise SpecrefError(
                f"{folder}: {self.name} = {shortened(value)} is not possible: it is {kind} from"
                f" {self.least:g} to {self.most:g}; copy the checkpoint again"
            )
        return value


CONFIG_NUMBERS = (
    Setting("vocab_size", True, 1, 2**24),
    Setting("hidden_size", True, 1, 2**20),
    Setting("intermediate_size", True, 1, 2**22),
    Setting("num_hidden_layers", True, 1, 2**12),
    Setting("num_attention_heads", True, 1, 2**16),
    Setting("max_position_embeddings", True, 1, 2**30),
    Setting("rms_norm_eps", False, 1e-30, 1),
)
THETA = Setting("rope_theta", False, 1, 1e30, default=10000.0)


def read_settings(raw: dict[str, Any], folder: Path) -> Config:
    """The config of a checkpoint.

    Args:
        raw: what its config.json holds. folder: for errors.
    Errors:
        SpecrefError names the first setting that is not possible, or that this decoder lacks.
    """
    _check_kind(raw, folder)
    read = {one.name: one.read(raw, folder) for one in CONFIG_NUMBERS}
    heads = read["num_attention_heads"]
    grouped = Setting("num_key_value_heads", True, 1, heads, default=heads)
    depth = Setting("head_dim", True, 1, 2**16, default=read["hidden_size"] // heads)
    rope = _object(raw, "rope_parameters", folder)
    config = Config(
        **read,
        num_key_value_heads=grouped.read(raw, folder),
        head_dim=depth.read(raw, folder),
        rope_theta=float(THETA.read(raw | rope, folder)),
        tie_word_embeddings=_flag(raw, "tie_word_embeddings", folder),
        eos_token_id=_tokens(raw, "eos_token_id", read["vocab_size"], folder),
    )
    if config.head_dim % 2 or heads % config.num_key_value_heads or not config.head_dim:
        raise SpecrefError(
            f"{folder}: head_dim = {config.head_dim} with {heads} heads over"
            f" {config.num_key_value_heads} key/value heads is not supported: head_dim must be"
            " even, and the heads a multiple"
        )
    return config


def _check_kind(raw: dict[str, Any], folder: Path) -> None:
    """Refuse another architecture, and stretched rotary positions."""
    for name, wanted in MUST_BE.items():
        if raw.get(name, wanted) not in (wanted, None) or (
            name == "model_type" and name not in raw
        ):
            raise SpecrefError(
                f"{folder}: {name} = {shortened(raw.get(name))} is not supported, only"
                f" {wanted!r}: use a plain Llama checkpoint"
            )
    rope, scaling = (_object(raw, name, folder) for name in ("rope_parameters", "rope_scaling"))
    kind = rope.get("rope_type") or scaling.get("rope_type") or scaling.get("type") or "default"
    if kind != "default":
        raise SpecrefError(
            f"{folder}: rope scaling {kind!r} is not supported, only 'default': "
            "use a checkpoint without it"
        )


def _object(raw: dict[str, Any], name: str, folder: Path) -> dict[str, Any]:
    value = raw.get(name)
    if value is not None and not isinstance(value, dict):
        raise SpecrefError(
            f"{folder}: {name} = {shortened(value)} is no object: copy the checkpoint again"
        )
    return value or {}


def _flag(raw: dict[str, Any], name: str, folder: Path) -> bool:
    value = raw.get(name)
    if value is not None and not isinstance(value, bool):
        raise SpecrefError(
            f"{folder}: {name} = {shortened(value)} is neither true nor false: copy the"
            " checkpoint again"
        )
    return bool(value)


def _tokens(raw: dict[str, Any], name: str, vocabulary: int, folder: Path) -> tuple[int, ...]:
    """None, one or a list of them."""
    value = raw.get(name)
    tokens = [] if value is None else value
    tokens = tokens if isinstance(tokens, list) else [tokens]
    for token in tokens:
        if type(token) is not int or not 0 <= token < vocabulary:
            raise SpecrefError(
                f"{folder}: {name} = {shortened(value)} is not possible: give tokens from 0 to"
                f" {vocabulary - 1}; copy the checkpoint again"
            )
    return tuple(tokens)
