"""speculate.py, the page for slides and the first lesson, is the real algorithm.

Protects: its length, that it needs torch alone, its exact distribution, the ends of the uniforms,
p = q, greedy decoding, and that it writes what `decode.generate` writes, coin for coin. The judge
is put to it in judge/test_own_engines.py.
"""

import ast
import sys
from collections.abc import Hashable
from functools import partial
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import cast

import pytest
import specref.speculate
import torch
from hypothesis import given
from hypothesis import strategies as st
from specref.chance import Stream
from specref.data import SamplingParams
from specref.decode import generate
from specref.draft.model import ModelDrafter
from specref.exact.enumerate import Forking, distribution, total_variation
from specref.probs import probs
from specref.speculate import Model, sampler, speculate
from specref.verify import RULES

from tests.distributions import World, continued, target_distribution, worlds
from tests.stub import own_logits, tiny

PAGE = Path(specref.speculate.__file__)
TARGET, DRAFT = tiny(seed=0), tiny(seed=7, layers=1)
EXACT = 1e-12


def answers(forking: Forking) -> SimpleNamespace:
    """The enumerator's chance of one row, as the page asks it."""
    return SimpleNamespace(
        accept=lambda a: bool(forking.accept(torch.tensor([[a]], dtype=torch.float64))),
        draw=lambda weights: int(forking.draw(weights[None])),
    )


def tables(world: World, root: int) -> tuple[Model, Model]:
    """Target and draft of one case: after each prefix the distribution that its tables give."""

    def look_up(table: torch.Tensor, text: list[int]) -> torch.Tensor:
        node = 0
        for token in text:
            node = world.vocabulary * node + 1 + token
        return table[root, node]

    return (lambda text: look_up(world.p, text)), (lambda text: look_up(world.q, text))


def page_distribution(target: Model, draft: Model, gamma: int) -> dict[tuple[int, ...], float]:
    """What one cycle of the page emits, exactly."""

    def program(forking: Forking) -> Hashable:
        return tuple(speculate(target, draft, [], gamma, answers(forking)))

    return cast(dict[tuple[int, ...], float], distribution(program))


def converted(model: Model, dtype: torch.dtype) -> Model:
    return lambda text: model(text).to(dtype)


def one_uniform(stream: Stream) -> float:
    return stream.take(1).item()


def written(target: Model, draft: Model, prompt: list[int], count: int, gamma: int, chance) -> list:
    """`count` tokens after the prompt; no cycle may write more than are still wanted."""
    text = list(prompt)
    while left := len(prompt) + count - len(text):
        text += speculate(target, draft, text, min(gamma, left - 1), chance)
    return text[len(prompt) :]


def model(transformer, temperature: float) -> Model:
    """A transformer as the page wants it."""
    params = [SamplingParams(temperature=temperature)]
    return lambda text: probs(own_logits(transformer, text)[None, None], params)[0, 0]


def test_it_fits_one_page_and_needs_torch_alone() -> None:
    text = PAGE.read_text()
    assert len(text.splitlines()) <= 40
    places = [
        text.index(phase) for phase in ("# 1. Draft", "# 2. Score", "# 3. Accept", "# 4. Rep")
    ]
    assert places == sorted(places)
    for node in ast.walk(ast.parse(text)):
        assert not isinstance(node, ast.ClassDef)
        if isinstance(node, ast.Import):
            assert {alias.name for alias in node.names} <= {"torch"}
        if isinstance(node, ast.ImportFrom):
            assert not node.level
            assert str(node.module).split(".")[0] in sys.stdlib_module_names


@given(worlds())
def test_the_exact_distribution_is_the_targets(world: World) -> None:
    """All outcomes of all its questions: every run of length + 1 tokens has the target's
    probability.
    """
    for root, length in enumerate(world.lengths):
        target, draft = tables(world, root)
        emitted = page_distribution(target, draft, length)
        found = continued(world, root, emitted, length + 1)
        assert total_variation(found, target_distribution(world, root, length + 1)) < EXACT


@given(
    worlds(),
    st.lists(
        st.sampled_from([0.0, 2.0**-53, 2.0**-24, 0.5, 1 - 2.0**-24, 1 - 2.0**-53]),
        min_size=16,
        max_size=16,
    ),
    st.sampled_from([torch.float32, torch.float64]),
)
def test_no_impossible_token_at_the_ends_of_the_uniforms(
    world: World, uniforms: list[float], dtype: torch.dtype
) -> None:
    for root, length in enumerate(world.lengths):
        target, draft = tables(world, root)
        given = iter(uniforms)
        new = speculate(
            converted(target, dtype),
            converted(draft, dtype),
            [],
            length,
            sampler(given.__next__),
        )
        for i, token in enumerate(new):
            assert target(new[:i])[token] > 0


@pytest.mark.parametrize("u", [0.0, 0.5, 1 - 2.0**-24, 1 - 2.0**-53])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_where_p_is_q_every_guess_is_kept(dtype: torch.dtype, u: float) -> None:
    p = torch.tensor([0.1, 0.0, 0.3, 0.6], dtype=dtype)
    assert len(speculate(lambda _: p, lambda _: p, [], 3, sampler(lambda: u))) == 4


def test_a_rejection_by_rounding_alone_draws_from_p() -> None:
    """q is p but for a last bit, nowhere smaller: a coin may fall and nothing is left of p - q."""
    p = torch.tensor([0.5, 0.5, 0.0], dtype=torch.float64)
    q = torch.tensor([0.5, 0.5 + 2.0**-53, 0.0], dtype=torch.float64)
    given = iter([0.99, 1 - 2.0**-53, 0.99])
    assert speculate(lambda _: p, lambda _: q, [], 1, sampler(lambda: next(given))) == [1]


@pytest.mark.parametrize("gamma", [0, 1, 3, 5])
@pytest.mark.parametrize("temperature", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("drafter", [DRAFT, TARGET], ids=["another model", "the target itself"])
def test_it_writes_what_the_real_loop_writes_coin_for_coin(drafter, temperature, gamma) -> None:
    """The same uniforms, asked in the same order; at temperature 0 the loop has the greedy rule."""
    rules = ["rejection"] if temperature else ["greedy", "rejection"]
    rejected = 0
    for seed in range(6):
        stream = Stream(seed)
        chance = sampler(partial(one_uniform, stream))
        prompt = [seed, 3, 1]
        page = written(
            model(TARGET, temperature), model(drafter, temperature), prompt, 24, gamma, chance
        )
        params = SamplingParams(temperature=temperature, seed=seed, max_new_tokens=24)
        for rule in rules:
            (done,) = generate(
                TARGET, ModelDrafter(drafter), RULES[rule], [prompt], params, gamma=gamma
            )
            assert done.tokens == page
            rejected += done.drafted - done.accepted
    assert bool(rejected) == (gamma > 0 and drafter is DRAFT)


def test_equal_seeds_of_the_loop_are_equal_streams_of_the_page() -> None:
    """Python's `random` one by one gives the stream that the loop draws several at a time from."""
    numbers = Random(5)
    one_by_one = [numbers.random() for _ in range(600)]
    stream = Stream(5)
    assert [stream.take(1).item() for _ in range(600)] == one_by_one
