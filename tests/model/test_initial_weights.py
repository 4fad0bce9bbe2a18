"""The weights that a training begins with have the variance that is promised.

Protects: a training from scratch. Activations and gradients that grow or vanish with the depth of
the model are seen after hours, if at all.
"""

import pytest
import torch
from specref.model.config import Config
from specref.model.transformer import Transformer, linear


def deviation(weight: torch.Tensor) -> float:
    return float(weight.detach().double().square().mean().sqrt())


def made(layers: int, tied: bool = False) -> Transformer:
    """64 channels, 128 units, four query heads on two key heads of 32."""
    config = Config(500, 64, 128, layers, 4, 2, 32, 64, tie_word_embeddings=tied)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Transformer(config)


@pytest.mark.parametrize("inputs", [16, 64, 400])
def test_a_layers_outputs_vary_as_its_inputs_do(inputs: int) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layer = linear(inputs, 300)
        x = torch.randn(500, inputs)
    assert layer.bias is None
    assert deviation(layer(x)) == pytest.approx(1, rel=0.05)


@pytest.mark.parametrize(("layers", "share"), [(1, 2**-0.5), (2, 0.5), (8, 0.25)])
def test_what_a_block_adds_to_the_residual_stream_starts_small(layers: int, share: float) -> None:
    """2 L branches add up to the variance of one: each is divided by the root of 2 L. Other layers
    are not."""
    for name, weight in made(layers).blocks.named_parameters():
        if "layernorm" in name:
            assert torch.equal(weight, torch.ones(64))
            continue
        branch = "o_proj" in name or "down_proj" in name
        usual = weight.shape[1] ** -0.5
        wanted = usual * share if branch else usual
        assert deviation(weight) == pytest.approx(wanted, rel=0.05), name


def test_an_embedding_that_is_also_the_head_starts_small() -> None:
    """Alone it has the variance of a state, 1; tied to the head, GPT-2's standard deviation."""
    assert deviation(made(1).embedding.weight) == pytest.approx(1, rel=0.05)
    tied = made(1, tied=True)
    assert deviation(tied.embedding.weight) == pytest.approx(0.02, rel=0.05)
    assert tied.head is None
