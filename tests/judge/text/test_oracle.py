"""The oracle of scenarios against the slow one: two writings of the sampling parameters."""

import math
import random
from typing import Any

import pytest
import torch
from specref.data import SamplingParams
from specref.judge import params_oracle
from specref.judge.params_oracle import Convention
from specref.judge.text.oracle import places_of
from specref.judge.text.scenario import TextRequest

V = 11


def _params(rng: random.Random) -> SamplingParams:
    ways: list[dict[str, Any]] = [
        {"temperature": 0.0},
        {"temperature": rng.choice((0.3, 0.7, 1.0, 2.0))},
        {"top_k": rng.randint(1, 14)},
        {"top_p": rng.uniform(0.05, 1.0)},
        {"min_p": rng.uniform(0.0, 0.9)},
        {"repetition_penalty": 1.4},
        {"presence_penalty": 0.9},
        {"frequency_penalty": -0.6},
        {"logit_bias": {rng.randrange(V): -math.inf, rng.randrange(V): 1.5}},
        {"min_tokens": 3, "stop_ids": (V - 1, 2)},
    ]
    given: dict[str, Any] = {"max_new_tokens": 8}
    for way in rng.sample(ways, rng.randint(1, 5)):
        given |= way
    return SamplingParams(**given)


@pytest.mark.parametrize("counts_prompt", [False, True])
def test_all_places_at_once_are_those_of_the_slow_oracle(counts_prompt: bool) -> None:
    """Where no edge is near and every order of filters agrees, the distributions are the same; a
    token that the slow oracle keeps is possible."""
    rng, generator = random.Random(3), torch.Generator().manual_seed(3)
    compared = 0
    for _ in range(300):
        params = _params(rng)
        request = TextRequest(tuple(rng.randrange(V) for _ in range(4)), params)
        text = [rng.randrange(V) for _ in range(6)]
        scores = 3 * torch.randn(7, V, generator=generator, dtype=torch.float64)
        places = places_of(scores, request, text, counts_prompt)
        for i in range(7):
            way = Convention(counts_prompt)
            slow = params_oracle.row(scores[i].tolist(), params, request.prompt, text[:i], way)
            distribution = torch.tensor(slow.distribution, dtype=torch.float64)
            assert not bool((distribution[~places.possible[i]] > 0).any())
            if not slow.doubtful and not bool(places.doubtful[i]):
                compared += 1
                assert torch.allclose(places.p[i], distribution, atol=1e-12)
                assert bool((places.possible[i] == (distribution > 0)).all())
    assert compared > 1500


@pytest.mark.parametrize(
    "params", [{"temperature": 0.0}, {"top_k": 1}, {"top_p": 1e-6}, {"top_k": 1, "top_p": 0.2}]
)
def test_a_tie_is_doubtful_and_either_token_is_possible(params: dict[str, Any]) -> None:
    """An engine keeps the lowest id, another, or both."""
    request = TextRequest((0,), SamplingParams(**params))
    scores = torch.tensor([[1.0, 1.0, 0.5], [1.0, 0.5, 0.5]], dtype=torch.float64)
    places = places_of(scores, request, [0], False)
    assert places.doubtful.tolist() == [True, False]
    assert places.possible.tolist() == [[True, True, False], [True, False, False]]
