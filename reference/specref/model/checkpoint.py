"""Hugging Face Llama checkpoints, in and out: config.json and safetensors, never pickle.

The weights are the same; only the names of the outer layers differ (`PREFIXES`).
"""

import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..data import SpecrefError
from ..outputs import write_file, write_text
from .config import Config
from .fast import store_by_input
from .transformer import Transformer

SHARED_NAMES = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "max_position_embeddings",
    "rms_norm_eps",
)
# Names begin otherwise in Hugging Face's checkpoints; what follows is the same.
PREFIXES = {
    "embedding.": "model.embed_tokens.",
    "blocks.": "model.layers.",
    "norm.": "model.norm.",
    "head.": "lm_head.",
}
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


def _token_ids(raw: int | list[int] | None) -> tuple[int, ...]:
    """The end tokens of a config.json, which gives none, one or a list."""
    if raw is None:
        return ()
    return tuple(raw) if isinstance(raw, list) else (raw,)


def _written_token_ids(ids: tuple[int, ...]) -> int | list[int] | None:
    """The inverse of `_token_ids`."""
    if not ids:
        return None
    return ids[0] if len(ids) == 1 else list(ids)


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
    config = Config(
        **{name: raw[name] for name in SHARED_NAMES},
        num_key_value_heads=raw.get("num_key_value_heads") or raw["num_attention_heads"],
        head_dim=raw.get("head_dim") or raw["hidden_size"] // raw["num_attention_heads"],
        rope_theta=float(rope.get("rope_theta") or raw.get("rope_theta") or 10000.0),
        tie_word_embeddings=bool(raw.get("tie_word_embeddings", False)),
        eos_token_id=_token_ids(raw.get("eos_token_id")),
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


def hugging_face_name(name: str) -> str:
    """Hugging Face's name of one of our parameters."""
    for ours, theirs in PREFIXES.items():
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    raise KeyError(name)


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
        model = Transformer(config)
        model.load_state_dict(
            {name: tensors[hugging_face_name(name)].float() for name in model.state_dict()}
        )
    except KeyError as error:
        raise SpecrefError(
            f"{folder} lacks the tensor {error}: copy the checkpoint again"
        ) from None
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise SpecrefError(
            f"{folder}: the tensors do not fit config.json ({reason}): copy both again"
        ) from None
    return store_by_input(model.to(device, dtype).eval().requires_grad_(False))


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
        "eos_token_id": _written_token_ids(config.eos_token_id),
        "bos_token_id": None,
    }
    weights = {
        hugging_face_name(name): value.to("cpu", dtype).contiguous()
        for name, value in model.state_dict().items()
    }
    save_tensors(folder / "model.safetensors", weights, {"format": "pt"})
    write_text(folder / "config.json", json.dumps(raw, indent=2) + "\n")
    # the shards of a checkpoint that stood here
    (folder / "model.safetensors.index.json").unlink(missing_ok=True)


def save_tensors(
    path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write a .safetensors file, whole or not at all.

    Errors:
        SpecrefError where that cannot be done; what was there stays.
    """

    def write(part: Path) -> None:
        try:
            save_file(tensors, part, metadata=metadata)
        except SafetensorError as error:
            raise OSError(str(error)) from None

    write_file(path, write)
