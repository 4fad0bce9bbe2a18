"""Axes crossed pairwise, and scenarios that keep within what an engine can do."""

import random
from itertools import combinations, islice

import pytest
from specref.data import SamplingParams
from specref.judge.contract import CAPABILITIES
from specref.judge.text.axes import TEXT_AXES, choices
from specref.judge.text.build import Builder, circling_prompts
from specref.judge.text.scenario import DEFAULT
from specref.judge.toys import greedy_continuations, toy
from torch import tensor

PERIOD = 140  # scenarios in which the covering design is through at least once


def test_every_pair_of_values_meets() -> None:
    """A question that is asked in one surrounding only misses what breaks in another."""
    met = set()
    for choice in islice(choices(random.Random(1), TEXT_AXES), PERIOD):
        met |= {frozenset(pair) for pair in combinations(choice.items(), 2)}
    pairs = combinations(TEXT_AXES.items(), 2)
    wanted = {
        frozenset(((a, x), (b, y)))
        for (a, some), (b, others) in pairs
        for x in some
        for y in others
    }
    assert wanted <= met


def test_a_seed_brings_the_same_scenarios() -> None:
    """A verdict has to be the same when it is asked again."""

    def some(seed: int) -> list[str]:
        rng = random.Random(seed)
        builder = Builder(CAPABILITIES, rng)
        return [builder.scenario(one).as_text() for one in islice(choices(rng, TEXT_AXES), 12)]

    assert some(3) == some(3)
    assert some(3) != some(4)


@pytest.mark.parametrize("has", [(), ("sampling", "top_k"), tuple(CAPABILITIES)])
def test_an_engine_is_asked_for_what_it_has(has: tuple[str, ...]) -> None:
    """An engine that refuses a parameter that it never named is no bug."""
    rng = random.Random(2)
    builder = Builder(has, rng)
    used = set()
    for choice in islice(choices(rng, TEXT_AXES), PERIOD):
        for one in builder.scenario(choice).requests:
            used |= _used(one.params)
            assert len(one.prompt) > 0
    names = {"presence_penalty": "penalties", "stop_sequences": "stop", "stop_ids": "stop"}
    for name in ("top_k", "top_p", "min_p", "seed", "logit_bias", "min_tokens", *names):
        assert (name in used) == (names.get(name, name) in has)
    assert ("temperature" in used) == ("sampling" in has)


def _used(params: SamplingParams) -> set[str]:
    """Settings that are in use; the checkpoint's own end token is always named."""
    names: tuple[str, ...] = ("top_k", "top_p", "min_p", "seed", "logit_bias", "min_tokens")
    names = (*names, "presence_penalty", "stop_sequences")
    used = {name for name in names if getattr(params, name) != getattr(DEFAULT, name)}
    used |= {"stop_ids"} if len(params.stop_ids) > 1 else set()
    return used | ({"temperature"} if params.temperature else set())


def test_texts_fit_the_context_or_pass_its_end_by_a_little() -> None:
    """What is asked has to be within the target's context but for its end, which is asked too."""
    rng = random.Random(5)
    builder = Builder(CAPABILITIES, rng)
    beyond = 0
    for choice in islice(choices(rng, TEXT_AXES), PERIOD):
        scenario = builder.scenario(choice)
        context = toy(scenario.world).target.config.max_position_embeddings
        for one in scenario.requests:
            assert len(one.prompt) <= context - 2
            beyond += len(one.prompt) + one.params.max_new_tokens > context
    assert beyond > 0


def test_texts_of_an_engine_that_refuses_more_keep_within_the_context() -> None:
    """No engine is blamed for a request that it may refuse."""
    rng = random.Random(5)
    builder = Builder(CAPABILITIES, rng, overruns=False)
    for choice in islice(choices(rng, TEXT_AXES), PERIOD):
        scenario = builder.scenario(choice)
        context = toy(scenario.world).target.config.max_position_embeddings
        for one in scenario.requests:
            assert 0 < one.params.max_new_tokens <= context - len(one.prompt)


def test_prompts_that_circle_do() -> None:
    """Lookup is asked to draft well where the text turns in a circle: it has to."""
    for world in ("long-wide", "long-small"):
        one = toy(world)
        for prompt in circling_prompts(world)[:4]:
            text = greedy_continuations(one.target, tensor([prompt]), 2)[0].tolist()
            tail = text[20:]
            periods = [period for period in range(2, 9) if tail[period:] == tail[:-period]]
            assert periods
