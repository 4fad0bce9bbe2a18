"""Sampled text has exactly the target's distribution: every outcome of several tokens over several
cycles, with its probability.

Protects: the whole loop together with each lossless rule and each drafter: rows of p, q, residuals,
bonus tokens, histories,
stops, the cache between cycles. Nothing is sampled here: the loop is run over every outcome of its
own chance, on a small real transformer, and compared with the chain rule over forwards from
scratch.
"""

from typing import Any

import pytest
import torch
from specref.data import SamplingParams
from specref.exact.enumerate import distributions
from specref.probs import history, probs
from specref.verify import RULES

from tests.decode.players import Bushy, drafters
from tests.stub import generate_with, own_logits, tiny

LOSSLESS = ["rejection", "block", "matching"]
MODEL = tiny(seed=3, vocabulary=3, layers=2, sharp=0.9)
PROMPTS = [[2, 0, 0, 1], [1]]
PARAMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "temperature": {"temperature": 0.5},
    "hot": {"temperature": 3.0},
    "greedy": {"temperature": 0},
    "top-k": {"top_k": 2},
    "top-p": {"top_p": 0.75},
    "min-p": {"min_p": 0.4},
    "repetition": {"repetition_penalty": 1.8},
    "presence and frequency": {"presence_penalty": 0.7, "frequency_penalty": 0.5},
    "bias": {"logit_bias": {0: 1.0, 2: -torch.inf}},
    "stop token": {"stop_ids": (1,)},
    "late stop token": {"stop_ids": (1,), "min_tokens": 2},
    "stop sequences": {"stop_sequences": ((0, 1), (2, 2, 2))},
    "late stop sequence": {"stop_sequences": ((2,), (0, 0)), "min_tokens": 2},
    "all together": {
        "temperature": 1.3,
        "top_k": 2,
        "top_p": 0.95,
        "min_p": 0.05,
        "repetition_penalty": 1.4,
        "presence_penalty": 0.3,
        "frequency_penalty": 0.2,
        "logit_bias": {1: 0.4},
        "stop_ids": (2,),
        "stop_sequences": ((1, 1),),
        "min_tokens": 1,
    },
}


def own_distribution(prompt: list[int], params: SamplingParams) -> dict:
    """(tokens, reason) -> probability, by the chain rule over forwards without a cache."""
    result = {}

    def go_on(output: tuple[int, ...], weight: float) -> None:
        late = len(output) >= params.min_tokens
        if (
            output
            and late
            and (
                output[-1] in params.stop_ids
                or any(output[-len(stop) :] == stop for stop in params.stop_sequences)
            )
        ):
            result[output, "stop"] = weight
        elif len(output) == params.max_new_tokens:
            result[output, "length"] = weight
        else:
            text = [*prompt, *output]
            distribution = probs(
                own_logits(MODEL, text)[None, None], [params], history([text], [len(prompt)], 3)
            )[0, 0].tolist()
            for token, p in enumerate(distribution):
                if p > 0:
                    go_on((*output, token), weight * p)

    go_on((), 1.0)
    return result


def loop_distribution(
    rule, drafter, params: list[SamplingParams], gamma: int
) -> tuple[list[dict], int]:
    """The distribution of the loop for both prompts, which run in one batch; and the most cycles
    that one of them took.
    """
    longest = 0

    def program(chance, root):
        nonlocal longest
        done = generate_with(
            MODEL,
            drafter(),
            rule,
            [PROMPTS[i] for i in root],
            [params[i] for i in root],
            gamma=gamma,
            chance=chance,
        )
        longest = max(longest, *(one.target_steps for one in done))
        return [(tuple(one.tokens), one.finish_reason) for one in done]

    return distributions(program, 2), longest


def same_distribution(rule: str, drafter, settings: dict, gamma: int = 2, count: int = 4) -> None:
    params = [
        SamplingParams(max_new_tokens=count, **settings),
        SamplingParams(max_new_tokens=count - 1, **settings),
    ]
    got, cycles = loop_distribution(RULES[rule], drafter, params, gamma)
    assert cycles > 1
    for prompt, one, distribution in zip(PROMPTS, params, got, strict=True):
        wanted = own_distribution(prompt, one)
        for outcome in wanted.keys() | distribution.keys():
            assert abs(wanted.get(outcome, 0.0) - distribution.get(outcome, 0.0)) < 1e-12, outcome


@pytest.mark.parametrize("name", list(drafters(MODEL)))
@pytest.mark.parametrize("rule", LOSSLESS)
def test_with_every_drafter(rule, name):
    same_distribution(rule, drafters(MODEL)[name], {}, count=3 if rule == "matching" else 4)


@pytest.mark.parametrize("name", ["model", "garbage drawn", "n-gram", "suffix"])
@pytest.mark.parametrize("rule", LOSSLESS)
def test_with_every_drafter_and_all_parameters_together(rule, name):
    same_distribution(rule, drafters(MODEL)[name], PARAMS["all together"], gamma=3, count=3)


@pytest.mark.parametrize("settings", PARAMS)
@pytest.mark.parametrize("rule", LOSSLESS)
def test_with_every_parameter(rule, settings):
    same_distribution(rule, drafters(MODEL)["model"], PARAMS[settings], count=3)


@pytest.mark.parametrize("settings", ["plain", "all together"])
@pytest.mark.parametrize("salt", [1, 2])
def test_with_trees(salt, settings):
    same_distribution("tree", lambda: Bushy(MODEL, salt, size=4), PARAMS[settings], gamma=3)


@pytest.mark.parametrize("rule", LOSSLESS)
def test_with_a_long_draft_that_wants_more_than_is_left(rule):
    same_distribution(rule, drafters(MODEL)["garbage drawn"], {}, gamma=5, count=4)
