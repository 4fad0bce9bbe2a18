"""Hugging Face Llama checkpoints, in and out: config.json and safetensors, never pickle.

What differs from our layout is undone here and nowhere else: weights are stored [out, in] there,
query, key and value apart, gate and up apart, and rotary pairs stand as two halves of a head, (j, j
+ D/2).
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..data import SpecrefError
from .transformer import Config, Transformer

SHARED_NAMES = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "max_position_embeddings",
    "rms_norm_eps",
)
MUST_BE = {
    "model_type": "llama",
    "hidden_act": "silu",
    "attention_bias": False,
    "mlp_bias": False,
    "quantization_config": None,
}


def read_json(path: Path) -> dict:
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise SpecrefError(
            f"{path} does not exist: give a folder with a Hugging Face checkpoint "
            "(config.json and *.safetensors)"
        ) from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise SpecrefError(
            f"{path} is not readable JSON ({error}): copy the checkpoint again"
        ) from None
    if not isinstance(content, dict):
        raise SpecrefError(f"{path} holds no JSON object: copy the checkpoint again")
    return content


def read_config(folder: Path) -> Config:
    """Config of the checkpoint in `folder`.

    Errors:
        SpecrefError names the first setting that this decoder does not support.
    """
    raw = read_json(folder / "config.json")
    for name, wanted in MUST_BE.items():
        if raw.get(name, wanted) not in (wanted, None) or (
            name == "model_type" and name not in raw
        ):
            raise SpecrefError(
                f"{folder}: {name} = {raw.get(name)!r} is not supported, only {wanted!r}: "
                "use a plain Llama checkpoint"
            )
    rope = raw.get("rope_parameters") or {}
    scaling = raw.get("rope_scaling") or {}
    kind = rope.get("rope_type") or scaling.get("rope_type") or scaling.get("type") or "default"
    if kind != "default":
        raise SpecrefError(
            f"{folder}: rope scaling {kind!r} is not supported, only 'default': "
            "use a checkpoint without it"
        )
    missing = [name for name in SHARED_NAMES if not isinstance(raw.get(name), int | float)]
    if missing:
        raise SpecrefError(
            f"{folder}/config.json lacks {', '.join(missing)}: copy the checkpoint again"
        )
    eos = raw.get("eos_token_id")
    config = Config(
        **{name: raw[name] for name in SHARED_NAMES},
        num_key_value_heads=raw.get("num_key_value_heads") or raw["num_attention_heads"],
        head_dim=raw.get("head_dim") or raw["hidden_size"] // raw["num_attention_heads"],
        rope_theta=float(rope.get("rope_theta") or raw.get("rope_theta") or 10000.0),
        tie_word_embeddings=bool(raw.get("tie_word_embeddings", False)),
        eos_token_id=() if eos is None else tuple(eos) if isinstance(eos, list) else (eos,),
    )
    if config.head_dim % 2 or config.num_attention_heads % config.num_key_value_heads:
        raise SpecrefError(
            f"{folder}: head_dim = {config.head_dim} with {config.num_attention_heads} heads over"
            f" {config.num_key_value_heads} key/value heads is not supported: head_dim must be"
            " even, and the heads a multiple"
        )
    return config


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint, sharded or not."""
    index = folder / "model.safetensors.index.json"
    if index.exists():
        where = read_json(index).get("weight_map")
        if not isinstance(where, dict) or not all(isinstance(name, str) for name in where.values()):
            raise SpecrefError(
                f"{index} has no weight_map of file names: copy the checkpoint again"
            )
        files = sorted(set(where.values()))
    else:
        files = ["model.safetensors"]
    tensors: dict[str, Tensor] = {}
    for name in files:
        path = folder / name
        if path.parent != folder:
            raise SpecrefError(
                f"{index} points outside its folder ({name}): do not trust this checkpoint"
            )
        if not path.exists():
            pickled = any(folder.glob("*.bin")) or any(folder.glob("*.pt"))
            hint = (
                "pickled weights are never loaded, save them again with safe_serialization=True"
                if pickled
                else "copy the checkpoint again"
            )
            raise SpecrefError(f"{path} does not exist: {hint}")
        try:
            with safe_open(path, "pt") as file:
                tensors.update({key: file.get_tensor(key) for key in file.keys()})
        except (SafetensorError, OSError) as error:
            raise SpecrefError(f"{path} is damaged ({error}): copy the checkpoint again") from None
    return tensors


def _pairs(weight: Tensor, heads: int) -> Tensor:
    """Rows of each head from two halves (j, j + D/2) to neighbours (2j, 2j + 1)."""
    return weight.unflatten(0, (heads, 2, -1)).transpose(1, 2).reshape(weight.shape)


def _halves(weight: Tensor, heads: int) -> Tensor:
    """The inverse of `_pairs`."""
    return weight.unflatten(0, (heads, -1, 2)).transpose(1, 2).reshape(weight.shape)


def from_hugging_face(config: Config, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State dict of our Transformer from Hugging Face names."""
    state = {
        "embedding.weight": tensors["model.embed_tokens.weight"],
        "norm.weight": tensors["model.norm.weight"],
    }
    if not config.tie_word_embeddings:
        state["head.weight"] = tensors["lm_head.weight"].T
    for i in range(config.num_hidden_layers):
        hf, ours = f"model.layers.{i}.", f"blocks.{i}."
        q = _pairs(tensors[hf + "self_attn.q_proj.weight"], config.num_attention_heads)
        k = _pairs(tensors[hf + "self_attn.k_proj.weight"], config.num_key_value_heads)
        state[ours + "attention.qkv.weight"] = torch.cat(
            (q, k, tensors[hf + "self_attn.v_proj.weight"])
        ).T
        state[ours + "attention.out.weight"] = tensors[hf + "self_attn.o_proj.weight"].T
        state[ours + "mlp.gate_up.weight"] = torch.cat(
            (tensors[hf + "mlp.gate_proj.weight"], tensors[hf + "mlp.up_proj.weight"])
        ).T
        state[ours + "mlp.down.weight"] = tensors[hf + "mlp.down_proj.weight"].T
        state[ours + "attention_norm.weight"] = tensors[hf + "input_layernorm.weight"]
        state[ours + "mlp_norm.weight"] = tensors[hf + "post_attention_layernorm.weight"]
    return state


def to_hugging_face(config: Config, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `from_hugging_face`."""
    heads, kv_heads, dim = config.num_attention_heads, config.num_key_value_heads, config.head_dim
    tensors = {
        "model.embed_tokens.weight": state["embedding.weight"],
        "model.norm.weight": state["norm.weight"],
    }
    if not config.tie_word_embeddings:
        tensors["lm_head.weight"] = state["head.weight"].T
    for i in range(config.num_hidden_layers):
        hf, ours = f"model.layers.{i}.", f"blocks.{i}."
        q, k, v = state[ours + "attention.qkv.weight"].T.split(
            (heads * dim, kv_heads * dim, kv_heads * dim)
        )
        gate, up = state[ours + "mlp.gate_up.weight"].T.chunk(2)
        tensors |= {
            hf + "self_attn.q_proj.weight": _halves(q, heads),
            hf + "self_attn.k_proj.weight": _halves(k, kv_heads),
            hf + "self_attn.v_proj.weight": v,
            hf + "self_attn.o_proj.weight": state[ours + "attention.out.weight"].T,
            hf + "mlp.gate_proj.weight": gate,
            hf + "mlp.up_proj.weight": up,
            hf + "mlp.down_proj.weight": state[ours + "mlp.down.weight"].T,
            hf + "input_layernorm.weight": state[ours + "attention_norm.weight"],
            hf + "post_attention_layernorm.weight": state[ours + "mlp_norm.weight"],
        }
    return tensors


def load(
    folder: Path | str, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> Transformer:
    """The decoder stored in `folder`.

    Errors:
        SpecrefError: missing, truncated, pickled or unsupported, and what to do about it.
    """
    folder = Path(folder)
    config = read_config(folder)
    tensors = read_tensors(folder)
    try:
        state = from_hugging_face(config, tensors)
        model = Transformer(config)
        model.load_state_dict({name: value.float() for name, value in state.items()})
    except KeyError as error:
        raise SpecrefError(
            f"{folder} lacks the tensor {error}: copy the checkpoint again"
        ) from None
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise SpecrefError(
            f"{folder}: the tensors do not fit config.json ({reason}): copy both again"
        ) from None
    return model.to(device, dtype).eval().requires_grad_(False)


def save(model: Transformer, folder: Path | str, dtype: torch.dtype = torch.float16) -> None:
    """Write `model` to `folder` in Hugging Face's layout; every file that was there is replaced in
    one move.
    """
    folder, config = Path(folder), model.config
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpecrefError(
            f"cannot write to {folder} ({error.strerror or error}): choose another folder"
        ) from None
    raw = asdict(config) | {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "torch_dtype": str(dtype).removeprefix("torch."),
        "eos_token_id": (
            None
            if not config.eos_token_id
            else (
                config.eos_token_id[0]
                if len(config.eos_token_id) == 1
                else list(config.eos_token_id)
            )
        ),
        "bos_token_id": None,
    }
    weights = to_hugging_face(config, model.state_dict())
    replace(
        folder / "model.safetensors",
        lambda path: save_file(
            {name: value.to("cpu", dtype).contiguous() for name, value in weights.items()},
            path,
            metadata={"format": "pt"},
        ),
    )
    replace(folder / "config.json", lambda path: path.write_text(json.dumps(raw, indent=2) + "\n"))
    # the shards of a checkpoint that stood here
    (folder / "model.safetensors.index.json").unlink(missing_ok=True)


def replace(path: Path, write: Callable[[Path], object]) -> None:
    """Call write(temporary file), then move it over `path`: a reader sees the old file or the new
    one.
    """
    part = path.with_name(path.name + ".part")
    try:
        write(part)
        part.replace(path)
    except (OSError, SafetensorError) as error:  # what was there stays; half a file does not
        if part.is_file():
            part.unlink()
        raise SpecrefError(
            f"cannot write {path} ({error}): choose another folder, or free some space"
        ) from None
