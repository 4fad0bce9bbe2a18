"""A tree of drafts is verified in one forward, as if every path had been read alone; commit keeps
one path of it.

Protects: depths, the ancestor mask, positions of siblings, ragged contexts, and the compaction of
the cache.
"""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from specref.model.tree import ancestors, depths

from tests.stub import DEVICES, own_logits, tiny

MODELS = {device: tiny(device=device) for device in DEVICES}


@st.composite
def trees(draw):
    """Contexts [B] of tokens, tokens [B,N] and parents [B,N] of trees rooted at node 0, and a node
    of each row.
    """
    rows, count = draw(st.integers(1, 3)), draw(st.integers(1, 7))
    token = st.integers(0, 10)
    contexts = [draw(st.lists(token, max_size=6)) for _ in range(rows)]
    tokens = [draw(st.lists(token, min_size=count, max_size=count)) for _ in range(rows)]
    parents = []
    for _ in range(rows):
        parents.append([-1, *(draw(st.integers(0, node - 1)) for node in range(1, count))])
    chosen = [draw(st.integers(0, count - 1)) for _ in range(rows)]
    return contexts, tokens, parents, chosen


def path_to(parents: list[int], node: int) -> list[int]:
    """Nodes from the root to `node`, by walking up."""
    path: list[int] = []
    while node >= 0:
        path.insert(0, node)
        node = parents[node]
    return path


def cache_of(model, texts: list[list[int]], capacity: int = 20):
    """A cache that read every row by itself, token by token."""
    cache = model.new_cache(len(texts), capacity)
    for row, text in enumerate(texts):
        alone = model.new_cache(1, capacity)
        for token in text:
            model(torch.tensor([[token]], device=model.device), alone)
            alone.lengths += 1
        cache.keys[:, row], cache.values[:, row] = alone.keys[:, 0], alone.values[:, 0]
        cache.lengths[row] = len(text)
    return cache


@given(trees())
def test_depth_and_ancestors_are_those_of_the_walk_upwards(tree):
    _, _, parents, _ = tree
    depth, seen = depths(torch.tensor(parents)), ancestors(torch.tensor(parents))
    for row, tree_parents in enumerate(parents):
        for node in range(len(tree_parents)):
            path = path_to(tree_parents, node)
            assert depth[row, node] == len(path) - 1
            assert seen[row, node].nonzero()[:, 0].tolist() == sorted(path)


def test_a_forest_has_several_roots():
    parents = torch.tensor([[-1, -1, 0, 1, 2, -1]])
    assert depths(parents).tolist() == [[0, 0, 1, 1, 2, 0]]
    assert ancestors(parents)[0, 4].tolist() == [True, False, True, False, True, False]
    assert ancestors(parents)[0, 5].tolist() == [False] * 5 + [True]


@pytest.mark.parametrize("device", DEVICES)
@given(tree=trees())
@torch.inference_mode()
def test_every_node_has_the_logits_of_its_own_path(device, tree):
    model, (contexts, tokens, parents, _) = MODELS[device], tree
    cache = cache_of(model, contexts)
    logits = model(
        torch.tensor(tokens, device=device), cache, torch.tensor(parents, device=device)
    ).logits
    for row, context in enumerate(contexts):
        for node in range(len(tokens[row])):
            path = [tokens[row][i] for i in path_to(parents[row], node)]
            torch.testing.assert_close(
                logits[row, node], own_logits(model, context + path), rtol=0, atol=1e-10
            )


@pytest.mark.parametrize("device", DEVICES)
@given(tree=trees(), noise=st.integers(0, 99))
@torch.inference_mode()
def test_after_a_commit_the_cache_is_that_of_plain_decoding(device, tree, noise):
    model, (contexts, tokens, parents, chosen) = MODELS[device], tree
    count = len(tokens[0])
    cache = cache_of(model, contexts, max(map(len, contexts)) + count)  # not a slot to spare
    model(torch.tensor(tokens, device=device), cache, torch.tensor(parents, device=device))
    paths = [path_to(nodes, node) for nodes, node in zip(parents, chosen, strict=True)]
    # Draft node i is tree node i + 1; behind the accepted ones a path may hold any index.
    behind = torch.randint(
        max(1, count - 1), (len(paths), count), generator=torch.Generator().manual_seed(noise)
    )
    for row, nodes in enumerate(paths):
        behind[row, : len(nodes) - 1] = torch.tensor(nodes[1:]) - 1
    path = behind[:, : count - 1]
    cache.commit(path, torch.tensor([len(nodes) - 1 for nodes in paths]))
    texts = []
    for context, row, nodes in zip(contexts, tokens, paths, strict=True):
        texts.append(context + [row[i] for i in nodes])
    plain = cache_of(model, texts)
    assert cache.lengths.tolist() == plain.lengths.tolist()
    for row, length in enumerate(cache.lengths.tolist()):
        for mine, theirs in ((cache.keys, plain.keys), (cache.values, plain.values)):
            torch.testing.assert_close(
                mine[:, row, :, :length], theirs[:, row, :, :length], rtol=0, atol=1e-10
            )
