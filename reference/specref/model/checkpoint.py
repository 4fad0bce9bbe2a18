"""Hugging Face Llama checkpoints, in and out: config.json and safetensors, never pickle.

The weights are the same; only the names of the outer layers differ (`PREFIXES`).
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..data import SpecrefError
from ..outputs import write_file, write_text
from .config import Config
from .config_json import read_settings
from .fast import store_by_input
from .transformer import Transformer

# What safetensors calls the types that weights may be stored in.
STORED_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
}
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


def _written_token_ids(ids: tuple[int, ...]) -> int | list[int] | None:
    """As config.json has them: none, one or a list."""
    if not ids:
        return None
    return ids[0] if len(ids) == 1 else list(ids)


def read_config(folder: Path) -> Config:
    """Config of the checkpoint in `folder`.

    Errors:
        SpecrefError names the first setting that this decoder does not support.
    """
    raw = read_json(folder / "config.json")
    generation = folder / "generation_config.json"
    if generation.exists():  # whose end tokens are those that a text ends with
        ends = read_json(generation).get("eos_token_id")
        raw = raw if ends is None else raw | {"eos_token_id": ends}
    return read_settings(raw, folder)


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file, which is read when it is asked for, and then alone: a file that is mapped
    to memory as a whole would count twice.
    """

    path: Path
    begin: int  # bytes, from the file's first
    size: int
    shape: tuple[int, ...]
    dtype: torch.dtype | None  # None: one that no weight has here

    def read(self) -> Tensor:
        data = bytearray(self.size)
        with self.path.open("rb") as file:
            file.seek(self.begin)
            if file.readinto(data) != self.size:
                raise SpecrefError(f"{self.path} is damaged (cut short): copy the checkpoint again")
        assert self.dtype is not None  # `_check_tensors` refuses it
        return torch.frombuffer(data, dtype=self.dtype).view(self.shape)


def _stored(path: Path) -> dict[str, StoredTensor]:
    """The tensors of one .safetensors file.

    Errors:
        SpecrefError where the file is damaged.
    """
    try:
        with safe_open(path, "pt"):
            pass  # looks at the whole header, and whether the file is as long as it says
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length))
    except (SafetensorError, OSError) as error:
        raise SpecrefError(f"{path} is damaged ({error}): copy the checkpoint again") from None
    header.pop("__metadata__", None)
    tensors = {}
    for name, one in header.items():
        begin, end = one["data_offsets"]
        dtype = STORED_DTYPES.get(one["dtype"])
        place = 8 + length + begin
        tensors[name] = StoredTensor(path, place, end - begin, tuple(one["shape"]), dtype)
    return tensors


def read_tensors(folder: Path) -> dict[str, StoredTensor]:
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
    tensors: dict[str, StoredTensor] = {}
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
        tensors |= _stored(path)
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
    with torch.device("meta"):  # no memory, and no random weights
        model = Transformer(config)
    tensors = read_tensors(folder)
    _check_tensors(model, tensors, folder)
    weights = {}
    for name in model.state_dict():
        stored = tensors.pop(hugging_face_name(name))
        weights[name] = stored.read().to(device, dtype)
    model.load_state_dict(weights, assign=True)
    del weights  # else every weight that is stored in another order would be held twice
    return store_by_input(model.eval().requires_grad_(False))


def _check_tensors(model: Transformer, tensors: dict[str, StoredTensor], folder: Path) -> None:
    """Refuse tensors that are not those of the model: missing, left over, of another shape or kind.

    A head of its own beside tied embeddings must be equal to them. Frequencies of the rotary
    positions, which some checkpoints store, follow from the config and are not looked at.
    """
    if model.config.tie_word_embeddings and "lm_head.weight" in tensors:
        head, embedding = tensors.pop("lm_head.weight"), tensors.get("model.embed_tokens.weight")
        if embedding is None or not _same(head, embedding):
            raise SpecrefError(
                f"{folder}: tie_word_embeddings is true and lm_head.weight is another tensor than"
                " the embedding: set it to false in config.json"
            )
    wanted = {hugging_face_name(name): value for name, value in model.state_dict().items()}
    for name, value in wanted.items():
        if name not in tensors:
            raise SpecrefError(f"{folder} lacks the tensor {name!r}: copy the checkpoint again")
        stored = tensors[name]
        if stored.shape != value.shape:
            raise SpecrefError(
                f"{folder}: the tensors do not fit config.json ({name} has shape"
                f" {list(stored.shape)} and not {list(value.shape)}): copy both again"
            )
        if stored.dtype is None:
            raise SpecrefError(
                f"{folder}: {name} is quantized, or holds no floating-point numbers, which is not"
                " supported: use a checkpoint in float32, float16 or bfloat16"
            )
    left = [name for name in tensors if name not in wanted and not name.endswith(".inv_freq")]
    if left:
        raise SpecrefError(
            f"{folder}: config.json has no place for {len(left)} tensors, such as {left[0]}: it"
            " belongs to another model; copy both again"
        )


def _same(a: StoredTensor, b: StoredTensor) -> bool:
    return None not in (a.dtype, b.dtype) and torch.equal(a.read(), b.read())


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
