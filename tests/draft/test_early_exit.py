"""Early exit: the target's own first layers draft, without a second set of weights.

Protects: the shared weights, the depth, and the same distributions as those of a shallow model
built on its own.
"""

import pytest
import torch
from specref.data import SpecrefError
from specref.draft.early_exit import EarlyExitDrafter
from specref.model.transformer import Transformer

from tests.stub import DEVICES, tiny


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("layers", [1, 2])
@torch.inference_mode()
def test_it_is_the_shallow_model(layers, tied, device):
    target = tiny(layers=3, tied=tied, device=device)
    shallow = EarlyExitDrafter(target, layers).model
    built = Transformer(shallow.config).to(device, torch.float64).eval()
    left_out = tuple(f"blocks.{i}." for i in range(layers, 3))
    weights = target.state_dict().items()
    built.load_state_dict({name: w for name, w in weights if not name.startswith(left_out)})
    assert shallow.config.num_hidden_layers == layers
    tokens = torch.randint(11, (2, 12), device=device)
    assert torch.equal(shallow(tokens).logits, built(tokens).logits)
    assert not torch.equal(shallow(tokens).logits, target(tokens).logits)
    cache = shallow.new_cache(2, 12)
    assert cache.keys.shape[0] == layers
    torch.testing.assert_close(
        shallow(tokens, cache).logits, built(tokens).logits, rtol=0, atol=1e-10
    )


def test_it_has_no_weights_of_its_own():
    target = tiny(layers=3)
    own = {parameter.data_ptr() for parameter in target.parameters()}
    assert all(
        parameter.data_ptr() in own for parameter in EarlyExitDrafter(target, 2).model.parameters()
    )


def test_the_target_stays_as_it_is():
    target, tokens = tiny(layers=3), torch.arange(8)[None]
    before = target(tokens).logits
    EarlyExitDrafter(target, 1)
    assert len(target.blocks) == target.config.num_hidden_layers == 3
    assert torch.equal(target(tokens).logits, before)


@pytest.mark.parametrize("layers", [-1, 0, 3, 4])
def test_an_exit_that_is_none_is_refused(layers):
    with pytest.raises(SpecrefError, match=f"after layer {layers} is not possible: give 1 to 2"):
        EarlyExitDrafter(tiny(layers=3), layers)
