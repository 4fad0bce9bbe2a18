"""What a request's body says is what the engine is asked; what it wrote is what the answer says.

Protects: the defaults of OpenAI's completion requests, the limits of each parameter, the names of
tokens, and counts.
"""

import math

import pytest
import torch
from specref.data import Completion, SpecrefError
from specref.model.tokenizer import Bytes
from specref.serve.protocol import CompletionRequest, Piece, answer, parse_request

from tests.stub import tiny

BYTES = Bytes()
CONFIG = tiny(vocabulary=256, layers=1, context=400).config


def parsed(words=BYTES, **body) -> CompletionRequest:
    return parse_request({"prompt": [97], **body}, words, CONFIG)


def test_what_is_not_said_is_openais_default_and_nothing_else():
    wish = parsed()
    assert (wish.prompt, wish.stops, wish.stream, wish.ids, wish.as_ids) == (
        [97],
        [],
        False,
        False,
        False,
    )
    params = wish.params
    assert wish.logprobs is params.seed is None
    assert (params.max_new_tokens, params.temperature, params.top_k, params.top_p) == (16, 1, 0, 1)
    assert (params.min_p, params.min_tokens, params.repetition_penalty) == (0, 0, 1)
    assert (params.presence_penalty, params.frequency_penalty) == (0, 0)


@pytest.mark.parametrize("count", [0, 1, 20])
def test_as_many_alternatives_as_one_may_ask_for_are_given(count):
    assert parsed(logprobs=count).logprobs == count


@pytest.mark.parametrize("count", [-1, 21])
def test_more_alternatives_or_fewer_than_none_are_refused(count):
    with pytest.raises(SpecrefError, match="give 0 to 20"):
        parsed(logprobs=count)


@pytest.mark.parametrize("seed", [-(2**63), 0, 2**64 - 1])
def test_a_seed_has_64_bits(seed):
    assert parsed(seed=seed).params.seed == seed


@pytest.mark.parametrize("seed", [-(2**63) - 1, 2**64])
def test_a_longer_seed_is_refused(seed):
    with pytest.raises(SpecrefError, match="64 bits"):
        parsed(seed=seed)


def test_tokens_go_by_their_ids_where_that_is_asked_or_they_have_no_text():
    assert parsed(return_tokens_as_token_ids=True).as_ids
    assert not parsed(return_tokens_as_token_ids=False).as_ids
    assert parsed(None).as_ids


def told(wish: CompletionRequest, words=BYTES, reason: str = "stop") -> dict:
    p = torch.zeros(256)
    p[97], p[98], p[0xC3] = 0.5, 0.25, 0.25
    done = Completion([97, 98], reason, 3, 7, 5)
    return answer(wish, Piece("ab", [97, 98], [p, p], done), words, "a name", "a model")


def test_an_answer_says_what_was_written_and_counted():
    said = told(parsed(return_token_ids=True))
    assert said["choices"] == [
        {
            "index": 0,
            "text": "ab",
            "finish_reason": "stop",
            "logprobs": None,
            "token_ids": [97, 98],
        }
    ]
    assert said["usage"] == {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    assert said["metrics"] == {"target_steps": 3, "drafted": 7, "accepted": 5}


def test_a_piece_before_the_end_says_nothing_of_counts():
    said = told(parsed(), reason="")
    assert said["choices"][0]["finish_reason"] is None
    assert not {"usage", "metrics"} & said.keys()


def test_alternatives_are_the_likeliest_possible_ones_by_name():
    """Half a character is no text: it goes by its id. What has probability 0 is no alternative."""
    found = told(parsed(logprobs=4))["choices"][0]["logprobs"]
    assert found["tokens"] == ["a", "b"]
    assert found["token_logprobs"] == pytest.approx([math.log(0.5), math.log(0.25)])
    quarter = pytest.approx(math.log(0.25))
    assert (
        found["top_logprobs"]
        == [{"a": pytest.approx(math.log(0.5)), "b": quarter, "token_id:195": quarter}] * 2
    )
    by_id = told(parsed(logprobs=1, return_tokens_as_token_ids=True))["choices"][0]["logprobs"]
    assert by_id["tokens"] == ["token_id:97", "token_id:98"]
    assert [list(top) for top in by_id["top_logprobs"]] == [["token_id:97"]] * 2
