"""Every request gets the tokens that it would get alone: greedy, or sampled with its seed.

Protects: users of a busy server from everybody else on it. Whatever joins, leaves or is preempted,
however the prompt
is read and the memory cut, with every drafter and rule. In float64: the products of a batch of
another shape may differ in their last bits, which in float32 may turn a coin once in many thousand
tokens.
"""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from specref.data import SamplingParams
from specref.decode import generate
from specref.model.flex import FlexCache
from specref.model.paged import PagedCache
from specref.probs import history, probs
from specref.serve import ServingEngine, ServingSettings

from tests.serve.players import MODEL, players, rule_of
from tests.stub import own_logits

PLAYERS = players(MODEL)


def alone(player, rule, prompt, params, gamma):
    return generate(MODEL, player(), rule, [prompt], params, gamma=gamma)[0]


def same(done, wanted) -> None:
    assert (done.tokens, done.finish_reason) == (wanted.tokens, wanted.finish_reason)
    assert (done.target_steps, done.drafted, done.accepted) == (
        wanted.target_steps,
        wanted.drafted,
        wanted.accepted,
    )


def served(engine, arrivals) -> dict:
    """name -> completion; arrivals: (step, prompt, params), in order of their steps."""
    done, left, step = {}, list(enumerate(arrivals)), 0
    while left or engine.busy:
        while left and left[0][1][0] <= step:
            number, (_, prompt, params) = left.pop(0)
            engine.add(prompt, params, str(number))
        for event in engine.step():
            assert event.error is None, event.error
            if event.ended:
                done[int(event.name)] = event.so_far
        step += 1
    return done


@st.composite
def traffic(draw):
    """Up to six requests: when they come, what they ask for."""
    requests = []
    start = draw(st.lists(st.integers(0, 6), min_size=8, max_size=8))  # many prompts begin alike
    for number in range(draw(st.integers(1, 6))):
        prompt = start[: draw(st.integers(0, 8))] + draw(
            st.lists(st.integers(0, 6), min_size=1, max_size=5)
        )
        params = SamplingParams(seed=number, max_new_tokens=draw(st.integers(1, 10)), stop_ids=(6,))
        if draw(st.booleans()):
            params = replace(
                params, repetition_penalty=1.3, top_p=0.9, min_tokens=1, stop_sequences=((1, 2),)
            )
        requests.append((draw(st.integers(0, 8)), prompt, params))
    return sorted(requests, key=lambda request: request[0])


@pytest.mark.parametrize("name", PLAYERS)
@settings(max_examples=6)  # for each of twenty drafters
@given(
    arrivals=traffic(),
    greedy=st.booleans(),
    gamma=st.integers(0, 3),
    rows=st.integers(1, 4),
    size=st.integers(1, 5),
    room=st.integers(0, 20),
    chunk=st.integers(1, 9),
    share=st.booleans(),
    pages=st.sampled_from([PagedCache, FlexCache]),
)
def test_with_every_drafter(name, arrivals, greedy, gamma, rows, size, room, chunk, share, pages):
    rule_name, player = PLAYERS[name]
    rule = rule_of(rule_name, 0 if greedy else 1)
    if greedy:
        arrivals = [
            (step, prompt, replace(params, temperature=0)) for step, prompt, params in arrivals
        ]
    drafter = player()
    blocks = max(
        -(-(len(prompt) + params.max_new_tokens + drafter.nodes(gamma)) // size)
        for _, prompt, params in arrivals
    )
    engine = ServingEngine(
        MODEL,
        drafter,
        rule,
        ServingSettings(
            gamma=gamma,
            rows=rows,
            blocks=blocks + room // size,
            block_size=size,
            chunk=chunk,
            share=share,
            pages=pages,
        ),
    )
    done = served(engine, arrivals)
    for number, (_, prompt, params) in enumerate(arrivals):
        same(done[number], alone(player, rule, prompt, params, gamma))
    assert engine.pool.free == engine.pool.blocks, "nothing is held when nobody is served"


@pytest.mark.parametrize("name", ["model", "medusa drawn", "mtp"])
def test_a_row_that_is_preempted_writes_what_it_would_have_written(name):
    rule_name, player = PLAYERS[name]
    rule = rule_of(rule_name, 1)
    prompts = [[1, 2, 3], [4, 5], [2, 2, 2, 2]]
    params = [SamplingParams(seed=seed, max_new_tokens=20) for seed in range(3)]
    engine = ServingEngine(MODEL, player(), rule, ServingSettings(gamma=2, blocks=14, block_size=2))
    for done, prompt, one in zip(engine.generate(prompts, params), prompts, params, strict=True):
        same(done, alone(player, rule, prompt, one, 2))
    assert engine.preemptions > 0


def test_one_block_a_sequence_is_contiguous_memory_and_changes_nothing():
    _, player = PLAYERS["model"]
    rule = rule_of("rejection", 1)
    prompts, params = (
        [[1, 2], [3], [4, 5, 6]],
        [SamplingParams(seed=seed, max_new_tokens=12) for seed in range(3)],
    )
    paged = ServingEngine(
        MODEL, player(), rule, ServingSettings(gamma=3, blocks=40, block_size=2)
    ).generate(prompts, params)
    contiguous = ServingEngine(
        MODEL, player(), rule, ServingSettings(gamma=3, blocks=3, block_size=48)
    ).generate(prompts, params)
    for one, other in zip(paged, contiguous, strict=True):
        same(one, other)


def test_prompts_that_begin_alike_are_read_once():
    engine = ServingEngine(
        MODEL,
        PLAYERS["mtp"][1](),
        rule_of("rejection", 1),
        ServingSettings(gamma=2, blocks=40, block_size=4),
    )
    prompt, params = [1, 2, 3, 4, 5, 6, 7 % 7, 1, 2, 3], SamplingParams(seed=3, max_new_tokens=6)
    first = engine.generate([prompt], params)[0]
    assert engine.hits == 0
    same(engine.generate([prompt], params)[0], first)
    assert engine.hits == 8, "two full blocks of the nine tokens behind the pending one"


def test_logprobs_are_those_of_the_distribution_that_the_tokens_were_drawn_from():
    _, player = PLAYERS["model"]
    params = SamplingParams(
        seed=4, max_new_tokens=10, temperature=0.7, top_k=4, repetition_penalty=1.2
    )
    done = ServingEngine(MODEL, player(), rule_of("block", 1), ServingSettings(gamma=3)).generate(
        [[1, 2, 3]], params
    )[0]
    text = [1, 2, 3]
    assert done.logprobs is not None
    for token, logprob in zip(done.tokens, done.logprobs, strict=True):
        distribution = probs(
            own_logits(MODEL, text)[None, None], [params], history([text], [3], 7)
        )[0, 0]
        assert logprob == pytest.approx(float(distribution[token].log()), abs=1e-9)
        text.append(token)
