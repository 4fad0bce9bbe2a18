"""What a request's body says is what the engine is asked; what it wrote is what the answer says.

Protects: the defaults of OpenAI's completion requests, the limits of each parameter, the names of
tokens, and counts.
"""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from specref.data import Completion, SamplingParams, SpecrefError
from specref.model.tokenizer import Bytes
from specref.serve import answers
from specref.serve.answers import AnswerWriter, Piece
from specref.serve.protocol import CompletionRequest, ServedModel, parse_completion

from tests.stub import tiny

BYTES = Bytes()
CONFIG = tiny(vocabulary=256, layers=1, context=400).config


def parsed(words=BYTES, **body) -> CompletionRequest:
    return parse_completion({"prompt": [97], **body}, ServedModel(CONFIG, words))


def test_what_is_not_said_is_openais_default_and_nothing_else():
    wish = parsed()
    assert (wish.prompt, wish.stops, wish.stream, wish.ids, wish.as_ids) == (
        [97],
        [],
        False,
        False,
        False,
    )
    (params,) = wish.params
    assert wish.logprobs is params.seed is None
    assert (params.max_new_tokens, params.temperature, params.top_k, params.top_p) == (16, 1, 0, 1)
    assert (params.min_p, params.min_tokens, params.repetition_penalty) == (0, 0, 1)
    assert (params.presence_penalty, params.frequency_penalty) == (0, 0)


@pytest.mark.parametrize("count", [0, 1, 20])
def test_as_many_alternatives_as_one_may_ask_for_are_given(count):
    assert parsed(logprobs=count).logprobs == count


@pytest.mark.parametrize("count", [-1, 21])
def test_more_alternatives_or_fewer_than_none_are_refused(count):
    with pytest.raises(SpecrefError, match="give an integer from 0 to 20"):
        parsed(logprobs=count)


@pytest.mark.parametrize("seed", [-(2**63), 0, 2**64 - 1])
def test_a_seed_has_64_bits(seed):
    assert parsed(seed=seed).params[0].seed == seed


@pytest.mark.parametrize("seed", [-(2**63) - 1, 2**64])
def test_a_longer_seed_is_refused(seed):
    with pytest.raises(
        SpecrefError, match="give an integer from -9223372036854775808 to 18446744073709551615"
    ):
        parsed(seed=seed)


def test_tokens_go_by_their_ids_where_that_is_asked_or_they_have_no_text():
    assert parsed(return_tokens_as_token_ids=True).as_ids
    assert not parsed(return_tokens_as_token_ids=False).as_ids
    assert parsed(None).as_ids


def told(wish: CompletionRequest, words=BYTES, reason: str = "stop") -> dict:
    p = torch.zeros(256)
    p[97], p[98], p[0xC3] = 0.5, 0.25, 0.25
    done = Completion([97, 98], reason, 3, 7, 5)
    said = AnswerWriter(wish, ServedModel(CONFIG, words, name="a model"), "a name")
    logs = p.double().log()
    piece = Piece(0, "ab", [97, 98], done.finish_reason, logs=[logs, logs])
    return said.whole([piece], [done])


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


def test_a_part_of_an_answer_says_nothing_of_counts():
    said = AnswerWriter(parsed(), ServedModel(CONFIG, BYTES), "a name").part(
        Piece(0, "ab", [97, 98], "")
    )
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


@pytest.mark.parametrize(
    ("name", "value"),
    [("n", 1), ("best_of", 1), ("echo", False), ("suffix", None), ("n", None), ("echo", None)],
)
def test_what_changes_nothing_may_be_said(name, value):
    assert parsed(**{name: value}) == parsed()


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("n", 0, "an integer from 1 to 16"),
        ("n", True, "an integer from 1 to 16"),
        ("best_of", 2, "an integer from 1 to 1"),
        ("best_of", 0, "an integer from 1 to 1"),
        ("echo", 0, "true or false"),
        ("suffix", "b", "nothing"),
    ],
)
def test_what_cannot_be_done_is_refused(name, value, wanted):
    with pytest.raises(SpecrefError, match=f"{name} = .* is not possible: give {wanted}"):
        parsed(**{name: value})


def test_each_choice_has_a_seed_of_its_own():
    assert [one.seed for one in parsed(n=3, seed=5).params] == [5, 6, 7]
    assert [one.seed for one in parsed(n=2, seed=2**64 - 1).params] == [2**64 - 1, 0]
    assert [one.seed for one in parsed(n=2).params] == [None, None]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", 10**400),
        ("temperature", float("inf")),
        ("presence_penalty", -(10**400)),
        ("frequency_penalty", 1e39),
        ("max_tokens", 10**30),
        ("min_tokens", 10**30),
        ("top_k", 2**63),
        ("stop_token_ids", [-1000]),
        ("stop_token_ids", [2**63]),
        ("stop_token_ids", [256]),
        ("logit_bias", {"256": 1}),
        ("logit_bias", {"65": 1e39}),
        ("logit_bias", {"65": float("nan")}),
        ("logit_bias", {"65": 10**400}),
        ("logit_bias", {"9" * 30: 1}),
        ("logit_bias", {"\u00b2": 1}),
        ("stop", ["a"] * 17),
        ("stop", "a" * 257),
        ("stop", "\ud800"),
        ("prompt", "\ud800"),
        ("prompt", [2**63]),
        ("stream_options", {"include_usage": 1}),
        ("stream_options", {"include_usage": True}),
        ("stream_options", 3),
    ],
)
def test_what_no_number_format_and_no_text_holds_is_refused(name, value):
    with pytest.raises(SpecrefError, match=name) as caught:
        parsed(**{name: value})
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_a_request_is_plain_unless_it_says_otherwise():
    wish = CompletionRequest([1], [SamplingParams()])
    assert (wish.stops, wish.stream, wish.ids, wish.as_ids) == ([], False, False, False)
    assert wish.logprobs is None


@pytest.mark.parametrize("name", ["max_tokens", "top_k", "min_tokens", "seed", "logprobs"])
@pytest.mark.parametrize("value", [1.5, "1", True, [1]])
def test_what_is_counted_is_an_integer(name, value):
    with pytest.raises(SpecrefError, match=f"{name} = .* is not possible: give an integer"):
        parsed(**{name: value})


NUMBERS = ["temperature", "top_p", "min_p", "repetition_penalty", "presence_penalty"]


@pytest.mark.parametrize("name", [*NUMBERS, "frequency_penalty"])
def test_what_is_measured_is_a_number(name):
    for value in (1, 1.0):
        assert getattr(parsed(**{name: value}).params[0], name) == 1
    for wrong in ("1", False, [1.0]):
        with pytest.raises(SpecrefError, match=f"{name} = .* is not possible: give a number"):
            parsed(**{name: wrong})


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("stream", "stream"),
        ("return_token_ids", "ids"),
        ("return_tokens_as_token_ids", "as_ids"),
    ],
)
def test_a_flag_is_true_or_false(name, field):
    for value in (True, False):
        assert getattr(parsed(**{name: value}), field) is value
    assert getattr(parsed(**{name: None}), field) is False
    for wrong in (1, 0, "true"):
        with pytest.raises(SpecrefError, match=f"{name} = .* is not possible: give true or false"):
            parsed(**{name: wrong})


def test_a_text_ends_at_the_targets_own_end_unless_that_is_ignored():
    config = replace(CONFIG, eos_token_id=(0, 1))
    for body, stops in (
        ({}, (0, 1)),
        ({"stop_token_ids": [7]}, (7, 0, 1)),
        ({"stop_token_ids": [7], "ignore_eos": True}, (7,)),
        ({"ignore_eos": True}, ()),
        ({"ignore_eos": False}, (0, 1)),
    ):
        wish = parse_completion({"prompt": [97], **body}, ServedModel(config, BYTES))
        assert wish.params[0].stop_ids == stops


@pytest.mark.parametrize(
    ("stop", "stops"), [("ab", ["ab"]), (["a", "b"], ["a", "b"]), ([], []), ("", []), (None, [])]
)
def test_stops_are_a_text_or_a_list_of_texts(stop, stops):
    assert parsed(stop=stop).stops == stops


@pytest.mark.parametrize("stop", [1, {"a": 1}, ["a", 1], ["a", ""], [""], ("a", "b")])
def test_other_stops_are_refused(stop):
    with pytest.raises(SpecrefError, match="stop is no text and no list of texts"):
        parsed(stop=stop)


def test_a_target_without_a_tokenizer_takes_ids_alone():
    with pytest.raises(SpecrefError, match="stop is text and this target has no tokenizer"):
        parsed(None, stop="a")
    with pytest.raises(SpecrefError, match="give the prompt as a list of token ids"):
        parsed(None, prompt="a")
    assert parsed(None, stop_token_ids=[3]).params[0].stop_ids[:1] == (3,)
    assert parsed(prompt="abc").prompt == [97, 98, 99]


@pytest.mark.parametrize("name", ["prompt", "stop_token_ids"])
@pytest.mark.parametrize("ids", [[1, True], [1, "a"], [1, 2.0], {"a": 1}, 5, [-1], [1.0]])
def test_what_is_no_list_of_ids_is_refused(name, ids):
    with pytest.raises(SpecrefError, match=f"{name} is no list of token ids: give integers"):
        parsed(**{name: ids})


@pytest.mark.parametrize("prompt", [["a", "b"], [[1], [2]]])
def test_several_prompts_are_refused(prompt):
    with pytest.raises(SpecrefError, match="send a request for each"):
        parsed(prompt=prompt)


def test_a_bias_is_by_token():
    assert parsed(logit_bias={"12": -100, "3": 0.5}).params[0].logit_bias == {12: -100.0, 3: 0.5}
    for bias in ([1], {"a": 1}, {"1": "x"}, {"1": None}, 3):
        with pytest.raises(SpecrefError, match="logit_bias is no object"):
            parsed(logit_bias=bias)


@pytest.mark.parametrize(("asked", "used"), [(-1, 0), (0, 0), (5, 5)])
def test_a_negative_top_k_is_off(asked, used):
    assert parsed(top_k=asked).params[0].top_k == used


def test_each_parameter_reaches_the_sampling_parameters():
    body = {
        "max_tokens": 9,
        "temperature": 0.5,
        "top_k": 4,
        "top_p": 0.75,
        "min_p": 0.125,
        "repetition_penalty": 1.5,
        "presence_penalty": 0.25,
        "frequency_penalty": -0.25,
        "min_tokens": 2,
        "seed": 11,
        "ignore_eos": True,
    }
    wish = parsed(**body, model="a", user="b", stream_options={})
    assert wish.params[0] == SamplingParams(
        temperature=0.5,
        top_k=4,
        top_p=0.75,
        min_p=0.125,
        repetition_penalty=1.5,
        presence_penalty=0.25,
        frequency_penalty=-0.25,
        seed=11,
        max_new_tokens=9,
        min_tokens=2,
    )


@pytest.mark.parametrize("body", [None, [], "a", 3])
def test_a_body_is_an_object(body):
    with pytest.raises(SpecrefError, match="the body is no JSON object"):
        parse_completion(body, ServedModel(CONFIG, BYTES))


def test_an_unknown_parameter_is_named():
    with pytest.raises(SpecrefError, match="'tempreature' is not a parameter of this request"):
        parsed(tempreature=1, user="b")


def test_no_alternatives_are_given_where_none_are_asked_for():
    """Without `logprobs` there is nothing; with 0 each token's own alone."""
    assert told(parsed())["choices"][0]["logprobs"] is None
    found = told(parsed(logprobs=0))["choices"][0]["logprobs"]
    assert found["token_logprobs"] == pytest.approx([math.log(0.5), math.log(0.25)])
    assert found["top_logprobs"] == [{}, {}]
    assert "token_ids" not in told(parsed())["choices"][0]


def test_what_an_answer_is_called(monkeypatch):
    """And when it was made, in whole seconds."""
    monkeypatch.setattr(answers, "time", SimpleNamespace(time=lambda: 1234.9))
    said = told(parsed())
    assert (said["id"], said["object"], said["model"]) == ("a name", "text_completion", "a model")
    assert said["created"] == 1234


@pytest.mark.parametrize("count", [0, 1, 256])
def test_a_prompt_is_scored_with_as_many_alternatives_as_there_are_tokens(count):
    assert parsed(prompt_logprobs=count).prompt_logprobs == count
    assert parsed().prompt_logprobs is None


def test_a_prompt_that_cannot_be_scored_is_refused():
    with pytest.raises(SpecrefError, match="give an integer from 0"):
        parsed(prompt_logprobs=-1)
    with pytest.raises(SpecrefError, match="give 0 to 256"):
        parsed(prompt_logprobs=257)
    with pytest.raises(SpecrefError, match="leave stream out"):
        parsed(prompt_logprobs=1, stream=True)
    assert parsed(stream=True).stream


def scored(count: int, words=BYTES) -> list:
    """The prompt "abc": b was the second of four likely tokens, c had probability 1/8 and three
    tokens above it."""
    p = torch.zeros(2, 256, dtype=torch.float64)
    p[0, 120], p[0, 98], p[0, 121], p[0, 122] = 0.5, 0.25, 0.15, 0.1
    p[1, 120], p[1, 121], p[1, 122], p[1, 99] = 0.4, 0.26, 0.215, 0.125
    wish = parsed(words, prompt=[97, 98, 99], prompt_logprobs=count)
    done = Completion([97], "stop", 1, 0, 0)
    piece = Piece(0, "a", [97], "stop", prompt=p.log())
    said = AnswerWriter(wish, ServedModel(CONFIG, words), "a name").whole([piece], [done])
    return said["choices"][0]["prompt_logprobs"]


def entry(p: float, rank: int, text: str | None) -> dict:
    return {"logprob": pytest.approx(math.log(p)), "rank": rank, "decoded_token": text}


def test_each_token_of_a_prompt_but_the_first_is_scored():
    """With the likeliest ones beside it where they are asked for; it stands in the table once."""
    assert scored(0) == [None, {"98": entry(0.25, 2, "b")}, {"99": entry(0.125, 4, "c")}]
    x = [entry(0.5, 1, "x"), entry(0.4, 1, "x")]
    assert scored(1) == [
        None,
        {"120": x[0], "98": entry(0.25, 2, "b")},
        {"120": x[1], "99": entry(0.125, 4, "c")},
    ]
    assert scored(2) == [
        None,
        {"120": x[0], "98": entry(0.25, 2, "b")},
        {"120": x[1], "121": entry(0.26, 2, "y"), "99": entry(0.125, 4, "c")},
    ]


def test_a_prompt_is_scored_by_ids_where_there_is_no_tokenizer():
    assert scored(0, None)[1:] == [{"98": entry(0.25, 2, None)}, {"99": entry(0.125, 4, None)}]


def test_a_prompt_is_not_scored_where_that_is_not_asked_for():
    assert "prompt_logprobs" not in told(parsed())["choices"][0]
