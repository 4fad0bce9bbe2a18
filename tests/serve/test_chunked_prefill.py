"""Rows that decode beside chunks of prompts get the logits that they get alone, and the chunks are
in the cache afterwards as if they had been read alone.

Protects: both kinds of rows of one forward from each other, for chains and trees, and for chunks
that are longer or shorter than the drafts.
"""

import pytest
import torch
from specref.decode import prefill
from specref.model.cache import Cache
from specref.serve.chunked_prefill import ChunkedPrefill

from tests.stub import own_logits, tiny

TARGET = tiny(seed=4, vocabulary=11)
TEXTS = [[1, 2, 3], [4, 5]]  # in the cache of the rows that decode
FORWARD = [[6, 7, 8], [9, 1, 2]]  # a pending token and two drafted ones
CHAIN, TREE = None, [[-1, 0, 0]] * 2


def cache_of(texts: list[list[int]]) -> Cache:
    cache = TARGET.new_cache(len(texts), 32)
    prefill(TARGET, cache, texts)
    return cache


def paths(parents: list[list[int]] | None) -> list[list[int]]:
    """The forward's tokens on the way to each of the three, by index."""
    return [[0], [0, 1], [0, 1, 2] if parents is None else [0, 2]]


@torch.inference_mode()
@pytest.mark.parametrize("parents", [CHAIN, TREE], ids=["chain", "tree"])
@pytest.mark.parametrize("chunks", [[], [[3]], [[3, 4, 5, 6, 7]], [[3, 4], [5, 6, 7, 8, 9]]])
def test_each_row_sees_its_own_text_alone(
    parents: list[list[int]] | None, chunks: list[list[int]]
) -> None:
    begun = [[8, 9] for _ in chunks]  # what was read of those prompts before
    cache = cache_of(TEXTS + begun)
    table = None if parents is None else torch.tensor(parents)
    counts = torch.tensor([3, 3])
    output = ChunkedPrefill(TARGET, chunks)(torch.tensor(FORWARD), cache, table, counts)
    assert output.logits.shape == (2, 3, 11)
    assert output.hidden.shape == (2, 3, 16)
    for row, text in enumerate(TEXTS):
        for token, path in enumerate(paths(parents)):
            whole = text + [FORWARD[row][i] for i in path]
            torch.testing.assert_close(output.logits[row, token], own_logits(TARGET, whole))
    # nothing of the rows that decode is committed, and all of the chunks is
    assert cache.lengths.tolist() == [3, 2, *(2 + len(chunk) for chunk in chunks)]
    after = TARGET(torch.full((len(cache.lengths), 1), 10), cache).logits
    for row, chunk in enumerate(chunks, 2):
        torch.testing.assert_close(after[row, 0], own_logits(TARGET, [8, 9, *chunk, 10]))


@torch.inference_mode()
def test_padding_of_a_ragged_draft_is_not_read() -> None:
    """The second row drafts one token; what stands behind it is padding."""
    cache = cache_of([*TEXTS, [8, 9]])
    forward = ChunkedPrefill(TARGET, [[3, 4, 5, 6]])
    output = forward(torch.tensor(FORWARD), cache, None, torch.tensor([3, 2]))
    torch.testing.assert_close(output.logits[1, 1], own_logits(TARGET, [4, 5, 9, 1]))
    torch.testing.assert_close(output.logits[0, 2], own_logits(TARGET, [1, 2, 3, 6, 7, 8]))


def test_it_stands_on_the_targets_device() -> None:
    assert ChunkedPrefill(TARGET, []).device == TARGET.device
