"""What the engine level stands on: toys that float32 holds exactly."""

import pytest
import torch
from specref.judge import toys
from specref.model.checkpoint import load


@pytest.mark.parametrize("name", toys.RECIPES)
def test_a_toy_is_a_checkpoint_that_float32_holds_exactly(name, tmp_path):
    made = toys.toy(name)
    for path, model in zip(made.write(tmp_path), (made.target, made.draft), strict=True):
        read = load(path)
        assert read.config.eos_token_id == (read.config.vocab_size - 1,)
        for key, value in read.state_dict().items():
            assert value.dtype == torch.float32
            assert torch.equal(value.double(), model.state_dict()[key])
        text = torch.arange(12)[None] % 8
        assert torch.allclose(read(text).logits.double(), model(text).logits, atol=1e-4)


def test_drafts_disagree_with_their_targets():
    text = torch.randint(7, (64, 12), generator=torch.Generator().manual_seed(0))

    def shared(name):
        made = toys.toy(name)
        return float(
            torch.minimum(made.target(text).logits.softmax(-1), made.draft(text).logits.softmax(-1))
            .sum(-1)
            .mean()
        )

    assert 0.5 < shared("small") < 0.8
    assert 0.5 < shared("wide") < 0.8
    assert shared("small-opposed") < 0.3
    assert shared("small-same") == pytest.approx(1)


def test_what_the_target_writes_is_known_without_a_tie_or_a_cache():
    for found in toys.written("wide", 48)[:4]:
        text = list(found.prompt)
        missed = []
        for place, token in enumerate(found.text):
            best = toys.toy("wide").target(torch.tensor([text])).logits[0, -1].topk(2)
            assert int(best.indices[0]) == token
            assert float(best.values[0] - best.values[1]) > toys.TOY_TIE
            if int(toys.toy("wide").draft(torch.tensor([text])).logits[0, -1].argmax()) != token:
                missed.append(place)
            text.append(token)
        assert tuple(missed) == found.missed
