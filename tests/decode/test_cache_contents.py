"""After every commit the target's cache holds the text so far without its pending token, and
nothing else counts.

Protects: the commit of accepted paths, of trees above all, and of rows that leave: a wrong entry
may hide for many tokens before it changes an output.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from specref.data import SamplingParams
from specref.model.cache import Cache
from specref.verify import RULES

from tests.decode.players import Bushy, drafters, greedy_tree
from tests.stub import DEVICES, Scripted, Told, generate_with, scramble, tiny

MODELS = {device: tiny(seed=4, device=device) for device in DEVICES}


def watched(model, drafter, rule, prompts, params, gamma, compare) -> int:
    """Generate, and after every commit compare each row's cache with its text; returns how many
    were compared.
    """
    committed: list[Cache] = []
    texts = [list(prompt) for prompt in prompts]
    seen = 0
    original = Cache.commit

    def commit(cache: Cache, path: torch.Tensor, accepted: torch.Tensor) -> None:
        original(cache, path, accepted)
        committed[:] = [cache]

    def watch(cycle) -> None:
        nonlocal seen
        for row, number in enumerate(cycle.rows):
            count = int(cycle.verdict.accepted[row])
            whole = (
                texts[number] + cycle.draft.tokens[row][cycle.verdict.path[row, :count]].tolist()
            )
            length = int(committed[0].lengths[row])
            assert length == len(whole)
            compare(
                whole,
                committed[0].keys[:, row, :, :length],
                committed[0].values[:, row, :, :length],
            )
            texts[number] += cycle.emitted[row]
            seen += 1

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Cache, "commit", commit)
        generate_with(model, drafter, rule, prompts, params, gamma=gamma, watch=watch)
    return seen


prompts_and_lengths = st.lists(
    st.tuples(st.lists(st.integers(0, 10), min_size=1, max_size=5), st.integers(1, 8)),
    min_size=1,
    max_size=3,
)


def split(batch):
    return [prompt for prompt, _ in batch], [
        SamplingParams(seed=row, max_new_tokens=count) for row, (_, count) in enumerate(batch)
    ]


@pytest.mark.parametrize("device", DEVICES)
@settings(max_examples=50)
@given(
    batch=prompts_and_lengths,
    name=st.sampled_from([*drafters(MODELS["cpu"]), "tree"]),
    salt=st.integers(0, 99),
    rule=st.sampled_from(["rejection", "block", "matching", "greedy"]),
    gamma=st.integers(1, 5),
)
def test_the_cache_is_one_built_from_scratch(device, batch, name, salt, rule, gamma):
    model, (prompts, params) = MODELS[device], split(batch)

    def compare(text, keys, values):
        alone = model.new_cache(1, len(text))
        with torch.inference_mode():
            model(torch.tensor([text], device=device), alone)
        torch.testing.assert_close(keys, alone.keys[:, 0, :, : len(text)], rtol=0, atol=1e-10)
        torch.testing.assert_close(values, alone.values[:, 0, :, : len(text)], rtol=0, atol=1e-10)

    drafter = Bushy(model, salt) if name == "tree" else drafters(model, salt)[name]()
    judge = greedy_tree if name == "tree" else RULES[rule]
    assert watched(model, drafter, judge, prompts, params, gamma, compare) >= len(prompts)


@settings(max_examples=50)
@given(
    batch=prompts_and_lengths, salt=st.integers(0, 99), tree=st.booleans(), gamma=st.integers(1, 5)
)
def test_the_scripted_targets_cache_spells_the_text(batch, salt, tree, gamma):
    prompts, params = split(batch)
    model = Scripted(
        11, lambda text: [float(scramble(text, salt + token, 9)) for token in range(11)]
    )

    def compare(text, keys, values):
        assert keys[0, 0, :, 0].tolist() == text
        assert values[0, 0, :, 0].tolist() == list(range(len(text)))

    if tree:
        watched(model, Bushy(model, salt), greedy_tree, prompts, params, gamma, compare)
    else:
        tell = Told(lambda text, most: [scramble(text, salt + i, 11) for i in range(most)])
        watched(model, tell, RULES["rejection"], prompts, params, gamma, compare)
