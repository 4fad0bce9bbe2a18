"""Our decoder is Llama: its logits are those of transformers' LlamaForCausalLM on the same
checkpoint, both ways.

Protects: the layout of the weights and their names, rotary angles, grouped
queries, tied and untied heads, norms, the sharded index, and every setting that config.json may
spell in more than one way.
"""

import json
from typing import Any

import pytest
import torch
from specref.model.checkpoint import load, read_config, save

from tests.stub import DEVICES, tiny

SHAPES: dict[str, dict[str, Any]] = {
    "one key/value head each": {"num_attention_heads": 4, "num_key_value_heads": 4},
    "two queries share": {"num_attention_heads": 4, "num_key_value_heads": 2},
    "four queries share": {"num_attention_heads": 4, "num_key_value_heads": 1},
    "tied head": {"tie_word_embeddings": True},
    "untied head": {"tie_word_embeddings": False},
    "wide heads": {"head_dim": 10},
    "narrow heads": {"head_dim": 2},
    "slow rotation": {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}},
    "fast rotation": {"rope_parameters": {"rope_type": "default", "rope_theta": 7.5}},
    "large epsilon": {"rms_norm_eps": 0.3},
}


def their_model(seed: int = 0, **settings):
    from transformers import (  # seconds, which others of the suite need not wait for
        LlamaConfig,
        LlamaForCausalLM,
    )

    torch.manual_seed(seed)
    shape = {
        "vocab_size": 23,
        "hidden_size": 24,
        "intermediate_size": 40,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
        "pad_token_id": None,
    } | settings
    model = LlamaForCausalLM(LlamaConfig(**shape)).eval()
    for parameter in model.parameters():
        parameter.data.normal_(0.1, 0.3)  # norms too: a weight that is dropped or swapped must show
    return model


def opened(folder):
    from transformers import LlamaForCausalLM

    return LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)


def same(ours: torch.Tensor, theirs: torch.Tensor, error: float = 1e-5) -> None:
    difference = (ours.cpu().double() - theirs.double()).abs().max() / theirs.abs().max()
    assert difference < error, f"largest difference {difference:.2e} of the largest logit"


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("shape", SHAPES)
def test_our_logits_are_theirs_on_a_checkpoint_they_saved(shape, device, tmp_path):
    theirs = their_model(**SHAPES[shape])
    theirs.save_pretrained(tmp_path)
    tokens = torch.randint(23, (3, 40))
    with torch.no_grad():
        same(load(tmp_path, device=device)(tokens.to(device)).logits, theirs(tokens).logits)


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("tied", [True, False])
def test_their_logits_are_ours_on_a_checkpoint_we_saved(groups, tied, tmp_path):
    ours = tiny(groups=groups, tied=tied, dtype=torch.float32)
    save(ours, tmp_path, torch.float32)
    theirs = opened(tmp_path)
    tokens = torch.randint(11, (2, 40))
    with torch.no_grad():
        same(ours(tokens).logits, theirs(tokens).logits)


def test_saving_what_was_loaded_gives_the_same_tensors_and_settings(tmp_path):
    theirs = their_model(eos_token_id=[3, 4])
    theirs.save_pretrained(tmp_path / "a")
    save(load(tmp_path / "a"), tmp_path / "b", torch.float32)
    again = opened(tmp_path / "b").state_dict()
    assert again.keys() == theirs.state_dict().keys()
    assert all(torch.equal(value, again[name]) for name, value in theirs.state_dict().items())
    assert read_config(tmp_path / "a") == read_config(tmp_path / "b")
    assert read_config(tmp_path / "b").eos_token_id == (3, 4)


def test_a_checkpoint_in_shards_is_the_same_model(tmp_path):
    theirs = their_model()
    theirs.save_pretrained(tmp_path, max_shard_size="4KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
    tokens = torch.randint(23, (2, 20))
    with torch.no_grad():
        same(load(tmp_path)(tokens).logits, theirs(tokens).logits)


def test_a_save_over_shards_is_what_a_load_sees(tmp_path):
    their_model().save_pretrained(tmp_path, max_shard_size="4KB")
    ours = tiny(dtype=torch.float32)
    save(ours, tmp_path, torch.float32)
    assert torch.equal(load(tmp_path).embedding.weight, ours.embedding.weight)


def test_older_spellings_of_the_settings_mean_the_same(tmp_path):
    their_model(
        rope_parameters={"rope_type": "default", "rope_theta": 7.5}, num_key_value_heads=4
    ).save_pretrained(tmp_path)
    new = read_config(tmp_path)
    raw = json.loads((tmp_path / "config.json").read_text())
    for name in ("rope_parameters", "head_dim", "num_key_value_heads", "tie_word_embeddings"):
        del raw[name]
    raw |= {"rope_theta": 7.5, "rope_scaling": None, "torch_dtype": raw.pop("dtype")}
    (tmp_path / "config.json").write_text(json.dumps(raw))
    assert read_config(tmp_path) == new
    assert (new.rope_theta, new.head_dim, new.num_key_value_heads, new.eos_token_id) == (
        7.5,
        6,
        4,
        (2,),
    )


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("dtype", "error"),
    [(torch.float64, 1e-5), (torch.float32, 1e-5), (torch.float16, 2e-2), (torch.bfloat16, 1e-1)],
)
def test_every_type_loads_and_runs_over_a_cache(dtype, error, device, tmp_path):
    theirs = their_model()
    theirs.save_pretrained(tmp_path)
    ours = load(tmp_path, dtype, device)
    assert ours.dtype == dtype
    tokens = torch.randint(23, (2, 20))
    cache = ours.new_cache(2, 20)
    with torch.inference_mode():
        first = ours(tokens[:, :13].to(device), cache).logits
        cache.lengths += 13
        logits = torch.cat((first, ours(tokens[:, 13:].to(device), cache).logits), 1)
        assert logits.dtype == dtype
        same(logits, theirs(tokens).logits, error)
