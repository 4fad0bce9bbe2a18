"""A forward over a cache is the forward from scratch, however the text is cut and however long its
neighbours are.

Protects: positions, slots and masks of ragged rows, the copy of rows, trim, and the error when the
room ends.
"""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from specref.data import SpecrefError
from specref.model.cache import Cache

from tests.stub import DEVICES, own_logits, tiny

MODELS = {device: tiny(device=device) for device in DEVICES}


def tokens_of(seed: int, count: int) -> list[int]:
    return torch.randint(11, (count,), generator=torch.Generator().manual_seed(seed)).tolist()


@st.composite
def feedings(draw):
    """Several forwards: how many tokens each row gains in each; 0 is a row that only looks on."""
    rows = draw(st.integers(1, 4))
    return draw(
        st.lists(
            st.lists(st.integers(0, 4), min_size=rows, max_size=rows).filter(any),
            min_size=1,
            max_size=5,
        )
    )


@pytest.mark.parametrize("device", DEVICES)
@given(counts=feedings(), seed=st.integers(0, 99))
@torch.inference_mode()
def test_a_text_fed_in_pieces_gives_the_logits_of_the_whole(device, counts, seed):
    model = MODELS[device]
    texts = [tokens_of(seed + row, sum(each)) for row, each in enumerate(zip(*counts, strict=True))]
    cache = model.new_cache(len(texts), 24)
    for step in counts:
        had = cache.lengths.tolist()
        pieces = [text[at : at + n] for text, at, n in zip(texts, had, step, strict=True)]
        padded = torch.tensor(
            [piece + [7] * (max(step) - len(piece)) for piece in pieces], device=device
        )
        logits = model(padded, cache).logits
        cache.lengths += torch.tensor(step)
        for row, (text, at, n) in enumerate(zip(texts, had, step, strict=True)):
            if n:
                whole = model(torch.tensor([text[: at + n]], device=device)).logits[0, at:]
                torch.testing.assert_close(logits[row, :n], whole, rtol=0, atol=1e-10)


@pytest.mark.parametrize("device", DEVICES)
@torch.inference_mode()
def test_trim_forgets_and_writing_goes_on_from_there(device):
    model, text, other = MODELS[device], tokens_of(1, 9), tokens_of(2, 5)
    cache = model.new_cache(2, 16)
    model(torch.tensor([text, text], device=device), cache)
    cache.lengths += 9
    cache.trim(torch.tensor([4, 12]))
    assert cache.lengths.tolist() == [4, 9], "a row that is shorter already stays as it is"
    logits = model(torch.tensor([other, other], device=device), cache).logits[:, -1]
    torch.testing.assert_close(logits[0], own_logits(model, text[:4] + other), rtol=0, atol=1e-10)
    torch.testing.assert_close(logits[1], own_logits(model, text + other), rtol=0, atol=1e-10)


@pytest.mark.parametrize("device", DEVICES)
@torch.inference_mode()
def test_the_rows_that_go_on_keep_their_text_and_are_copies(device):
    model, texts = MODELS[device], [tokens_of(row, 6) for row in range(3)]
    cache = model.new_cache(3, 16)
    model(torch.tensor(texts, device=device), cache)
    cache.lengths += torch.tensor([6, 5, 4])
    part = cache.rows([2, 0])
    before = cache.keys.clone()
    logits = model(torch.tensor([[3], [3]], device=device), part).logits[:, -1]
    part.lengths += 1
    torch.testing.assert_close(logits[0], own_logits(model, [*texts[2][:4], 3]), rtol=0, atol=1e-10)
    torch.testing.assert_close(logits[1], own_logits(model, texts[0] + [3]), rtol=0, atol=1e-10)
    assert torch.equal(cache.keys, before)
    assert cache.lengths.tolist() == [6, 5, 4]


@torch.inference_mode()
def test_the_last_slot_can_be_used_and_one_more_is_an_error():
    model = MODELS["cpu"]
    cache = model.new_cache(2, 8)
    cache.lengths = torch.tensor([3, 6])
    model(torch.zeros(2, 2, dtype=torch.int64), cache)
    with pytest.raises(
        SpecrefError, match="the cache holds 8 tokens and this step needs 9: make it larger"
    ):
        model(torch.zeros(2, 3, dtype=torch.int64), cache)


@torch.inference_mode()
def test_what_was_committed_never_changes_until_it_is_forgotten():
    model, text = MODELS["cpu"], tokens_of(3, 6)
    cache = model.new_cache(1, 16)
    model(torch.tensor([text]), cache)
    cache.lengths += 6
    before = cache.keys[:, :, :, :6].clone(), cache.values[:, :, :, :6].clone()
    for parents in (None, torch.tensor([[-1, 0, 0, 1]])):
        model(torch.tensor([[1, 2, 3, 4]]), cache, parents)
        assert torch.equal(cache.keys[:, :, :, :6], before[0])
        assert torch.equal(cache.values[:, :, :, :6], before[1])


def test_the_rows_of_a_cache_are_a_cache_of_its_own_class():
    class Other(Cache):
        pass

    shape = MODELS["cpu"].config
    assert type(Other(shape, 3, 4).rows([0, 2])) is Other
    assert Other(shape, 3, 4).rows([0, 2]).lengths.tolist() == [0, 0]
