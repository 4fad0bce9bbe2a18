"""A checkpoint that cannot be read right is refused by name, in one line that names the mend; a
failed save loses nothing.

Protects: users from a model that loads and writes nonsense, from pickles, from paths that leave the
folder, and from half a file where a whole one stood.
"""

import json
import os

import pytest
import torch
from safetensors.torch import load_file, save_file
from specref.data import SpecrefError
from specref.model.checkpoint import load, read_config, save
from specref.outputs import write_file

from tests.stub import tiny


@pytest.fixture
def folder(tmp_path):
    save(tiny(dtype=torch.float32), tmp_path / "model", torch.float32)
    return tmp_path / "model"


def refused(folder, *words: str) -> None:
    with pytest.raises(SpecrefError) as caught:
        load(folder)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model_type", "mistral"),
        ("model_type", "qwen2"),
        ("hidden_act", "gelu"),
        ("attention_bias", True),
        ("mlp_bias", True),
        ("quantization_config", {"quant_method": "gptq", "bits": 4}),
    ],
)
def test_a_setting_that_is_not_supported_is_named(folder, name, value):
    change(folder, {name: value})
    refused(folder, name, repr(value), "not supported")


def change(folder, settings: dict, drop: tuple[str, ...] = ()) -> None:
    raw = json.loads((folder / "config.json").read_text()) | settings
    (folder / "config.json").write_text(
        json.dumps({name: value for name, value in raw.items() if name not in drop})
    )


@pytest.mark.parametrize(
    "settings",
    [
        {"rope_scaling": {"type": "linear", "factor": 2.0}},
        {"rope_scaling": {"rope_type": "llama3", "factor": 8.0}},
        {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4, "factor": 2.0}},
    ],
)
def test_stretched_rotary_positions_are_named(folder, settings):
    change(folder, settings)
    kind = next(iter(settings.values()))
    refused(folder, "rope scaling", kind.get("rope_type") or kind["type"])


def test_a_config_without_a_model_type_is_refused(folder):
    change(folder, {}, drop=("model_type",))
    refused(folder, "model_type")


@pytest.mark.parametrize("name", ["vocab_size", "hidden_size", "rms_norm_eps"])
def test_a_config_that_lacks_a_size_names_it(folder, name):
    change(folder, {}, drop=(name,))
    refused(folder, "lacks", name)


def test_heads_that_cannot_be_rotated_or_grouped_are_refused(folder):
    change(folder, {"head_dim": 5})
    refused(folder, "head_dim = 5")
    change(folder, {"head_dim": 4, "num_key_value_heads": 3})
    refused(folder, "3 key/value heads")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("num_hidden_layers", (0, -3, 1.5, "2", True, float("nan"), 10**30)),
        ("hidden_size", (0, 1.5, [16], 2**40)),
        ("num_attention_heads", (0, "4", {})),
        ("num_key_value_heads", (0, "gelu", [1], 64)),
        ("head_dim", (0, -4, "x", [4])),
        ("max_position_embeddings", (0, 10**30)),
        ("rms_norm_eps", (-1, 0, float("nan"), "x", True)),
        ("rope_theta", (-1, 0, float("nan"), "x", [1])),
        ("tie_word_embeddings", ("yes", 1)),
        ("eos_token_id", ("x", -1, 10**6, 1.0, [0, 10**6], [[0]], True)),
        ("rope_scaling", ("x", [1])),
    ],
)
def test_a_value_that_is_not_possible_is_named(folder, name, values):
    before = (folder / "config.json").read_text()
    for value in values:
        change(folder, {name: value})
        refused(folder, name)
        (folder / "config.json").write_text(before)


def test_end_tokens_are_those_of_generation_config(folder):
    """Chat models end a turn with another token than a text, and only that file says so."""
    path = folder / "generation_config.json"
    before = read_config(folder).eos_token_id
    for given, read in (
        ({}, before),
        ({"eos_token_id": [2, 0]}, (2, 0)),
        ({"eos_token_id": 3}, (3,)),
    ):
        path.write_text(json.dumps(given))
        assert read_config(folder).eos_token_id == read
    path.write_text('{"eos_token_id": "x"}')
    refused(folder, "eos_token_id")
    path.write_text("{")
    refused(folder, "generation_config.json", "copy the checkpoint again")


def rewrite(folder, change) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def test_tensors_that_the_config_does_not_name_are_refused(folder):
    """Twelve of twenty-four layers would load, and write nonsense."""
    change(folder, {"num_hidden_layers": 1})
    refused(folder, "no place for", "model.layers.1.")
    change(folder, {"num_hidden_layers": 2})
    bias = {"model.layers.0.self_attn.q_proj.bias": torch.zeros(16)}
    rewrite(folder, lambda tensors: tensors.update(bias))
    refused(folder, "no place for 1 tensors", "q_proj.bias")


def test_stored_frequencies_are_no_other_model(folder):
    name = "model.layers.0.self_attn.rotary_emb.inv_freq"
    rewrite(folder, lambda tensors: tensors.update({name: torch.ones(2)}))
    load(folder)


def test_a_tied_config_with_a_head_of_its_own_is_refused(folder):
    change(folder, {"tie_word_embeddings": True})
    refused(folder, "tie_word_embeddings", "lm_head.weight")
    same = load_file(folder / "model.safetensors")["model.embed_tokens.weight"]
    rewrite(folder, lambda tensors: tensors.update({"lm_head.weight": same.clone()}))
    load(folder)


@pytest.mark.parametrize("kind", [torch.int8, torch.uint8, torch.float8_e4m3fn])
def test_quantized_tensors_are_refused(folder, kind):
    name = "model.norm.weight"
    rewrite(folder, lambda tensors: tensors.update({name: tensors[name].to(kind)}))
    refused(folder, name, "quantized")


def test_weights_come_in_the_type_that_was_asked_for(folder):
    """And from the type that they are stored in: no detour, and no random weights."""
    state = torch.random.get_rng_state()
    loaded = load(folder, torch.bfloat16)
    assert {value.dtype for value in loaded.state_dict().values()} == {torch.bfloat16}
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_folder_without_config_is_refused(folder, tmp_path):
    (folder / "config.json").unlink()
    refused(folder, "config.json does not exist")
    refused(tmp_path / "nowhere", "config.json does not exist")


@pytest.mark.parametrize("content", ["{", "[1]", "\xff\x00"])
def test_a_config_that_is_no_json_object_is_refused(folder, content):
    (folder / "config.json").write_bytes(content.encode("latin-1"))
    refused(folder, "config.json", "copy the checkpoint again")


def test_pickled_weights_are_never_read(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    refused(folder, "pickled weights are never loaded")


def test_missing_weights_are_named(folder):
    (folder / "model.safetensors").unlink()
    refused(folder, "model.safetensors does not exist", "copy")


@pytest.mark.parametrize("keep", [0, 4, 100, 0.5, 0.999])
def test_truncated_weights_are_refused(folder, keep):
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: keep if isinstance(keep, int) else int(len(whole) * keep)])
    refused(folder, "damaged")


@pytest.mark.parametrize(
    "name", ["lm_head.weight", "model.norm.weight", "model.layers.1.self_attn.k_proj.weight"]
)
def test_a_missing_tensor_is_named(folder, name):
    tensors = load_file(folder / "model.safetensors")
    del tensors[name]
    save_file(tensors, folder / "model.safetensors")
    refused(folder, "lacks the tensor", name)


@pytest.mark.parametrize(
    "name",
    [
        "lm_head.weight",
        "model.embed_tokens.weight",
        "model.layers.0.mlp.down_proj.weight",
        "model.layers.0.self_attn.q_proj.weight",
    ],
)
def test_a_tensor_of_another_shape_is_refused(folder, name):
    tensors = load_file(folder / "model.safetensors")
    tensors[name] = tensors[name][:-1].clone()
    save_file(tensors, folder / "model.safetensors")
    refused(folder, "do not fit config.json")


@pytest.mark.parametrize(
    "outside", ["../model.safetensors", "sub/model.safetensors", "/etc/passwd", ".."]
)
def test_an_index_that_leaves_its_folder_is_refused(folder, outside):
    os.makedirs(folder / "sub")
    for place in (folder / "sub", folder.parent):
        save_file(load_file(folder / "model.safetensors"), place / "model.safetensors")
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"model.norm.weight": outside}})
    )
    refused(folder, "model.safetensors.index.json" if outside != ".." else "damaged")


@pytest.mark.parametrize(
    "index", [{}, {"weight_map": ["a"]}, {"weight_map": {"model.norm.weight": 3}}]
)
def test_an_index_without_file_names_is_refused(folder, index):
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    refused(folder, "weight_map")


def test_an_index_that_names_a_missing_shard_is_refused(folder):
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"a": "model-1.safetensors"}})
    )
    refused(folder, "model-1.safetensors does not exist")


def test_a_save_over_another_model_replaces_it(folder):
    other = tiny(seed=5, layers=3, dtype=torch.float32)
    save(other, folder, torch.float32)
    assert read_config(folder).num_hidden_layers == 3
    name = "blocks.2.mlp.down_proj.weight"
    read, wrote = (each.get_parameter(name) for each in (load(folder), other))
    assert torch.equal(read, wrote)
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]


def test_a_save_that_fails_half_way_leaves_the_old_file(folder):
    before = (folder / "model.safetensors").read_bytes()

    def fail(path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(SpecrefError, match="No space left"):
        write_file(folder / "model.safetensors", fail)
    assert (folder / "model.safetensors").read_bytes() == before
    assert not list(folder.glob(".*.part"))


def test_a_reader_never_sees_half_a_file(folder):
    before = (folder / "model.safetensors").read_bytes()
    seen = []

    def write(path):
        path.write_bytes(b"half")
        seen.append((folder / "model.safetensors").read_bytes())

    write_file(folder / "model.safetensors", write)
    assert seen == [before]
    assert (folder / "model.safetensors").read_bytes() == b"half"


def test_a_place_that_cannot_be_written_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SpecrefError, match=r"cannot write .*choose another folder"):
        save(tiny(), tmp_path / "file" / "model")
    (tmp_path / "model" / "model.safetensors").mkdir(parents=True)
    with pytest.raises(SpecrefError, match=r"cannot write .*choose another place"):
        save(tiny(), tmp_path / "model")
