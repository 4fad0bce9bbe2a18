"""Each dialect in which a server scores a text, against payloads written by hand after the
projects' own documentation and source.

Protects: that the tokens named at a place do not depend on the token that came there.
"""

import json
import math
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest
import torch
from specref.judge.contract import Server
from specref.judge.dialect import Ask
from specref.judge.scoring import (
    ChatTexts,
    EchoLogprobs,
    GenerateTexts,
    InputLogprobs,
    NextLogprobs,
    PromptLogprobs,
    TextScorer,
    TextScores,
    draft_table,
    find_chat,
    find_scorer,
    find_texts,
    name_table,
    without_own,
)
from specref.judge.server_pair import Endpoint
from specref.judge.session import Session
from specref.judge.suite.http_scored import _ids_before

PROMPT, TEXT = (5, 6), (7, 8)
# log probabilities of the two likeliest tokens at each place; the text's second is not among them
FIRST, SECOND, OWN = {7: -0.5, 1: -1.5}, {2: -0.25, 3: -2.0}, -4.0
MEANT = TextScores((FIRST, SECOND), (-0.5, OWN))


def vllm() -> Any:
    def entry(table: dict[int, float]) -> dict[str, Any]:
        return {
            str(token): {"logprob": value, "rank": rank, "decoded_token": "x"}
            for rank, (token, value) in enumerate(table.items(), 1)
        }

    told = [None, entry({6: -1.0, 9: -2.0}), entry(FIRST), entry({8: OWN, **SECOND})]
    return {"choices": [{"text": "y", "prompt_logprobs": told}]}


def echo() -> Any:
    def named(table: dict[int, float]) -> dict[str, float]:
        return {f"token_id:{token}": value for token, value in table.items()}

    logprobs = {
        "tokens": [f"token_id:{token}" for token in (*PROMPT, *TEXT, 4)],
        "token_logprobs": [None, -1.0, -0.5, OWN, -0.1],
        "top_logprobs": [
            None,
            named({6: -1.0, 9: -2.0}),
            named(FIRST),
            named({**SECOND, 8: OWN}),
            {},
        ],
    }
    return {"choices": [{"text": "y", "logprobs": logprobs}]}


def sglang() -> Any:
    def top(table: dict[int, float]) -> list[list[Any]]:
        return [[value, token, None] for token, value in table.items()]

    meta = {
        "input_token_logprobs": [[None, 6, None], [-0.5, 7, None], [OWN, 8, None]],
        "input_top_logprobs": [None, top(FIRST), top(SECOND)],
    }
    return {"text": "y", "meta_info": meta}


@pytest.mark.parametrize(
    ("reporter", "payload"),
    [(PromptLogprobs(), vllm()), (EchoLogprobs(1), echo()), (InputLogprobs(), sglang())],
)
def test_a_payload_is_read_without_the_token_that_is_not_among_the_likeliest(
    reporter: Any, payload: Any
) -> None:
    assert reporter.read(payload, PROMPT, TEXT, 2) == MEANT


def test_what_is_asked_for() -> None:
    body = PromptLogprobs().body("m", PROMPT, TEXT, 20)
    assert (body["prompt"], body["prompt_logprobs"], body["model"]) == ([5, 6, 7, 8], 20, "m")
    body = EchoLogprobs(0).body("", PROMPT, TEXT, 5)
    assert (body["echo"], body["logprobs"], body["max_tokens"]) == (True, 5, 0)
    assert "model" not in body
    body = InputLogprobs().body("m", PROMPT, TEXT, 5)
    assert (body["input_ids"], body["logprob_start_len"]) == ([5, 6, 7, 8], 1)
    assert (body["return_logprob"], body["top_logprobs_num"]) == (True, 5)


@pytest.mark.parametrize("change", ["other tokens", "texts for ids", "too likely", "too few"])
def test_a_payload_that_does_not_fit_is_refused(change: str) -> None:
    told = echo()
    logprobs = told["choices"][0]["logprobs"]
    if change == "other tokens":
        logprobs["tokens"][2] = "token_id:99"
    elif change == "texts for ids":
        logprobs["tokens"][2] = "a"
    elif change == "too likely":
        logprobs["top_logprobs"][2] = {"token_id:7": 0.0, "token_id:1": -1.0}
    else:
        logprobs["top_logprobs"] = logprobs["top_logprobs"][:3]
    with pytest.raises(ValueError, match=r"come back|add up|places"):
        EchoLogprobs(1).read(told, PROMPT, TEXT, 2)


@pytest.mark.parametrize("token", [1, 2, 3])
def test_the_names_at_a_place_are_the_same_whatever_came_there(token: int) -> None:
    """Token 3 ties with token 2, the second of two: the server's choice stands."""
    likeliest = {1: -0.5, 2: -2.0}
    reported = likeliest if token in likeliest else {**likeliest, token: -2.0}
    assert without_own(reported, token, 2) == likeliest


def test_tables_are_padded_and_sorted_and_what_the_draft_leaves_out_shares_its_rest() -> None:
    scores = TextScores(({4: math.log(0.2), 9: math.log(0.6)}, {1: -2000.0}), (0.0, 0.0))
    names, p = name_table([scores], 3, 2)
    assert names[0].tolist() == [[9, 4, -1], [1, -1, -1]]
    assert p[0].tolist() == [pytest.approx([0.6, 0.2, 0]), [0, 0, 0]]
    draft = TextScores(({9: math.log(0.8)}, {}), (0.0, 0.0))
    q = draft_table(names, p, [draft])
    # .2 is left to the draft, and .4 to p outside token 9: of which token 4 has .2
    assert q[0, 0].tolist() == pytest.approx([0.8, 0.1, 0])


class Answers(BaseHTTPRequestHandler):
    """A server of one kind: path -> a function from the request's body to the answer."""

    paths: ClassVar[dict[str, Callable[[Any], Any]]] = {}

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.send(404, {"error": "no such path"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = self.paths.get(self.path)
        told = answer(body) if answer else None
        self.send(200 if told else 400, told or {"error": "no"})

    def send(self, status: int, told: Any) -> None:
        data = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def serving() -> Iterator[Callable[[dict[str, Callable[[Any], Any]]], Endpoint]]:
    up: list[ThreadingHTTPServer] = []

    def begin(paths: dict[str, Callable[[Any], Any]]) -> Endpoint:
        kind = type("Kind", (Answers,), {"paths": paths})
        up.append(ThreadingHTTPServer(("127.0.0.1", 0), kind))
        threading.Thread(target=up[-1].serve_forever, args=(0.02,), daemon=True).start()
        url = f"http://127.0.0.1:{up[-1].server_address[1]}"
        return Endpoint("the server", url, Server(), Session(url, "http"))

    yield begin
    for server in up:
        server.shutdown()
        server.server_close()


def scores_of(ids: list[int], count: int) -> tuple[dict[int, float], float]:
    """What is likeliest after a text, and a token's own: by the number of tokens before it."""
    table = {100 + (len(ids) + i) % 30: -1.0 - i for i in range(count)}
    return table, table.get(ids[-1] if ids else -1, -9.0)


def completion(body: Any) -> Any:
    return {
        "choices": [{"text": "a", "token_ids": [1] * body["max_tokens"], "finish_reason": "length"}]
    }


def sglang_server(body: Any) -> Any:
    ids = body.get("input_ids") or [3]
    count = body["sampling_params"]["max_new_tokens"]
    told: dict[str, Any] = {
        "text": "a",
        "output_ids": [1] * count,
        "meta_info": {"finish_reason": {"type": "length"}, "completion_tokens": count},
    }
    if body.get("top_logprobs_num"):
        places = range(body["logprob_start_len"] + 1, len(ids))
        top: list[Any] = [None]
        own: list[Any] = [[None, ids[body["logprob_start_len"]], None]]
        for place in places:
            table, _ = scores_of(ids[:place], body["top_logprobs_num"])
            top.append([[value, token, None] for token, value in table.items()])
            own.append([table.get(ids[place], -9.0), ids[place], None])
        told["meta_info"] |= {"input_token_logprobs": own, "input_top_logprobs": top}
    return told


def text_only(body: Any) -> Any:
    return {"choices": [{"text": "a", "finish_reason": "length"}]}


def llama(body: Any) -> Any:
    ids = body["prompt"] if isinstance(body["prompt"], list) else [3]
    told: dict[str, Any] = {
        "content": "a",
        "tokens": [1] * body["n_predict"],
        "stop_type": "limit",
    }
    if body.get("n_probs"):
        table, _ = scores_of(ids, body["n_probs"])
        step = {
            "id": 1,
            "logprob": -9.0,
            "top_logprobs": [{"id": t, "logprob": v} for t, v in table.items()],
        }
        told["completion_probabilities"] = [step] * body["n_predict"]
    return told


def test_sglang_writes_ids_and_scores_them_over_its_own_path(serving: Any) -> None:
    side = serving({"/v1/completions": text_only, "/generate": sglang_server})
    assert side.dialect.ids == ""
    texts = find_texts(side, "a")
    assert isinstance(texts, GenerateTexts)
    (answer,) = texts.write([Ask((4, 5), 3)])
    assert (answer.tokens, answer.finish, answer.count) == ((1, 1, 1), "length", 3)
    scorer, _ = find_scorer(side, (4, 5), (105, 2, 106))
    assert isinstance(scorer, TextScorer)
    assert scorer.name == "return_logprob"
    scores = scorer.score((4, 5), (105, 2, 106))
    assert [len(table) for table in scores.likeliest] == [20] * 3
    assert scores.likeliest[1] == scores_of([4, 5, 105], 20)[0]


def chat(body: Any) -> Any:
    message = {"role": "assistant", "content": "a"}
    choice = {"message": message, "token_ids": [1] * body["max_tokens"], "finish_reason": "length"}
    if body.get("logprobs"):
        choice["logprobs"] = {"content": [{"token": "a", "logprob": -0.5}] * body["max_tokens"]}
    count = len(body["messages"][0]["content"])
    return {"choices": [choice], "prompt_token_ids": [9, 8, count], "usage": {}}


def test_a_chat_gives_the_ids_of_its_prompt_and_of_its_answer(serving: Any) -> None:
    side = serving({"/v1/completions": completion, "/v1/chat/completions": chat})
    texts = find_chat(side, "hello")
    assert isinstance(texts, ChatTexts)
    (answer,) = texts.write([Ask("hello", 3, logprobs=1)])
    assert answer.prompt == (9, 8, 5)
    assert answer.tokens == (1, 1, 1)
    assert answer.logprobs == (-0.5, -0.5, -0.5)
    assert _ids_before(Ask("hello"), answer) == (9, 8, 5)
    assert _ids_before(Ask((3, 4)), answer) == (3, 4)
    assert find_chat(serving({"/v1/completions": completion}), "hello") is None


def test_a_chat_without_ids_is_none(serving: Any) -> None:
    def mute(body: Any) -> Any:
        told = chat(body)
        del told["prompt_token_ids"]
        return told

    side = serving({"/v1/completions": completion, "/v1/chat/completions": mute})
    assert find_chat(side, "hello") is None


def test_llama_server_is_asked_place_by_place(serving: Any) -> None:
    side = serving({"/completion": llama, "/v1/completions": text_only})
    texts = find_texts(side, "a")
    assert texts is not None
    scorer, why = find_scorer(side, (4, 5), (105, 2, 106))
    assert isinstance(scorer, NextLogprobs)
    assert len(why) == 4  # every other way was tried
    (scores,) = scorer.score_all([((4, 5), (105, 2, 106))])
    for place in range(3):
        assert scores.likeliest[place] == scores_of([4, 5, 105, 2][: 2 + place], 20)[0]
    assert math.isnan(scores.own[1])


def test_a_server_that_names_fewer_tokens_than_asked_gets_one_name_less(serving: Any) -> None:
    """It caps the count at 5 in silence; a sixth entry is then the text's own token."""

    def capped(body: Any) -> Any:
        if "prompt_logprobs" not in body:
            return completion(body)
        ids, told = body["prompt"], [None]
        for place in range(1, len(ids)):
            table, _ = scores_of(ids[:place], 5)
            table.setdefault(ids[place], -9.0)
            told.append({str(t): {"logprob": v, "rank": 1} for t, v in table.items()})  # type: ignore[arg-type]
        return {"choices": [{"text": "a", "prompt_logprobs": told}]}

    side = serving({"/v1/completions": capped})
    scorer, _ = find_scorer(side, (4, 5), (103, 2, 106))
    assert isinstance(scorer, TextScorer)
    assert scorer.named == 4
    for token in (104, 2):  # the likeliest, and one that is not named
        (table,) = scorer.score((4, 5), (token,)).likeliest
        assert list(table) == [102, 103, 104, 105]


def test_a_server_that_reports_nothing_is_said_to(serving: Any) -> None:
    side = serving({"/v1/completions": completion})
    scorer, why = find_scorer(side, (4, 5), (105, 2))
    assert scorer is None
    assert [reason.partition(":")[0] for reason in why] == [
        "prompt_logprobs",
        "return_logprob",
        "echo with logprobs, max_tokens 0",
        "echo with logprobs, max_tokens 1",
        "one request a token",
    ]


def test_probabilities_that_are_minus_infinity_are_zero() -> None:
    _, p = name_table([TextScores(({1: -9999.0, 2: 0.0},), (0.0,))], 2, 1)
    assert torch.equal(p[0, 0], torch.tensor([1.0, 0.0], dtype=torch.float64))
