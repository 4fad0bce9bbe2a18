"""What the server sends is what the engine wrote for that request, and nobody can break it for the
others.

Protects: clients of `specref serve`, and the judge's HTTP level, whose reference it is.
"""

import http.client
import json
import math
import socket
import threading
import time

import pytest
from specref.data import SamplingParams, SpecrefError
from specref.decode import generate
from specref.draft.none import NoDrafter
from specref.model.tokenizer import Bytes
from specref.serve import ServingEngine, ServingSettings, http_server
from specref.serve.depth_policy import DepthPolicy
from specref.serve.detokenizer import StreamDetokenizer
from specref.serve.http_server import CompletionServer, Handler

from tests.serve.players import players, rule_of
from tests.stub import own_logits, tiny

MODEL = tiny(seed=9, vocabulary=256, layers=1, context=400, sharp=0.8)
RULE, DRAFTER = players(MODEL)["model"]


class Fails(NoDrafter):
    """Cannot go on from the tenth token of a text."""

    def propose(self, text, budget, chance):
        if any(len(tokens) >= 10 for tokens in text.tokens):
            raise SpecrefError("the drafter cannot go on: use another")
        return super().propose(text, budget, chance)


@pytest.fixture(scope="module")
def server():
    settings = ServingSettings(gamma=3, rows=8, blocks=400, block_size=4)
    yield from serving(ServingEngine(MODEL, DRAFTER(), rule_of(RULE, 1), settings))


@pytest.fixture(scope="module")
def small():
    """Four blocks of four tokens, and a drafter that fails at the tenth."""
    settings = ServingSettings(gamma=3, rows=8, blocks=4, block_size=4)
    yield from serving(ServingEngine(MODEL, Fails(), rule_of(RULE, 1), settings))


def chat(messages) -> str:
    return "".join(f"{one['role'][0]}:{one['content']}\n" for one in messages)


def serving(engine):
    made = CompletionServer(engine, Bytes(), chat=chat)
    thread = threading.Thread(target=made.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


def post(server, body, raw: bool = False, path: str = "/v1/completions"):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request("POST", path, body if raw else json.dumps(body))
    response = connection.getresponse()
    data = response.read()
    connection.close()
    return response.status, data


def asked(server, **body):
    status, data = post(server, {"return_token_ids": True, **body})
    assert status == 200, data
    return json.loads(data)


def alone(prompt, **params):
    return generate(
        MODEL, DRAFTER(), rule_of(RULE, 1), [prompt], SamplingParams(**params), gamma=3
    )[0]


def test_an_answer_is_the_engines_with_its_counts(server):
    told = asked(server, prompt=[1, 2, 3], max_tokens=12, seed=5, top_k=40, logprobs=2)
    done = alone([1, 2, 3], max_new_tokens=12, seed=5, top_k=40)
    choice = told["choices"][0]
    assert choice["token_ids"] == done.tokens
    assert choice["text"] == bytes(done.tokens).decode(errors="replace")
    assert choice["finish_reason"] == "length"
    assert told["usage"] == {"prompt_tokens": 3, "completion_tokens": 12, "total_tokens": 15}
    assert told["metrics"] == {
        "target_steps": done.target_steps,
        "drafted": done.drafted,
        "accepted": done.accepted,
    }
    assert len(choice["logprobs"]["token_logprobs"]) == 12
    assert all(len(top) == 2 for top in choice["logprobs"]["top_logprobs"])


def test_thirty_clients_at_once_get_what_each_would_get_alone(server):
    wanted = [alone([seed, 7], max_new_tokens=10, seed=seed).tokens for seed in range(30)]
    got = [None] * 30

    def ask(seed):
        got[seed] = asked(server, prompt=[seed, 7], max_tokens=10, seed=seed)["choices"][0][
            "token_ids"
        ]

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == wanted


def ids(parts: list[dict]) -> list[int]:
    return [token for part in parts for token in part["choices"][0]["token_ids"]]


def pieces(server, **body) -> list[dict]:
    status, data = post(server, {"stream": True, "return_token_ids": True, **body})
    assert status == 200
    lines = [line.removeprefix("data: ") for line in data.decode().split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def test_a_streamed_answer_is_the_same_in_pieces(server):
    whole = asked(server, prompt="ab", max_tokens=20, seed=3)
    parts = pieces(server, prompt="ab", max_tokens=20, seed=3)
    assert len(parts) > 1
    assert "".join(part["choices"][0]["text"] for part in parts) == whole["choices"][0]["text"]
    assert ids(parts) == whole["choices"][0]["token_ids"]
    assert [part["choices"][0]["finish_reason"] for part in parts] == [None] * (len(parts) - 1) + [
        "length"
    ]
    assert parts[-1]["metrics"] == whole["metrics"]


@pytest.mark.parametrize("place", [0, 1, 4, 7])
def test_a_text_ends_before_a_stop_wherever_it_stands(server, place):
    bias = {str(token): -100 for token in range(256) if not 97 <= token < 123}  # letters alone
    free = asked(server, prompt="ab", max_tokens=12, seed=4, logit_bias=bias)["choices"][0]
    stop = free["text"][place : place + 2]
    end = free["text"].index(stop)
    for parts in (
        [asked(server, prompt="ab", max_tokens=12, seed=4, logit_bias=bias, stop=stop)],
        pieces(server, prompt="ab", max_tokens=12, seed=4, logit_bias=bias, stop=[stop, "~"]),
    ):
        assert "".join(part["choices"][0]["text"] for part in parts) == free["text"][:end]
        assert ids(parts) == free["token_ids"][: end + 2]
        assert parts[-1]["choices"][0]["finish_reason"] == "stop"
        assert parts[-1]["usage"]["completion_tokens"] == end + 2


def test_stop_tokens_and_min_tokens_by_id(server):
    """Under this seed the first token is the same with and without the stop that min_tokens
    forbids there."""
    free = alone([1], max_new_tokens=12, seed=4).tokens
    told = asked(server, prompt=[1], max_tokens=12, seed=4, stop_token_ids=[free[3]], min_tokens=1)
    assert told["choices"][0]["token_ids"] == free[: free.index(free[3]) + 1]
    assert told["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"prompt": "a", "n": 17}, "n = 17 is not possible: give an integer from 1 to 16"),
        ({"prompt": "a", "echo": 1}, "echo = 1 is not possible: give true or false"),
        ({"prompt": ""}, "empty"),
        ({}, "prompt is no list of token ids"),
        ({"prompt": ["a", "b"]}, "several prompts"),
        ({"prompt": [256]}, r"token 256, outside 0..255"),
        ({"prompt": [1] * 400}, "shorten it to 399"),
        ({"prompt": "a", "max_tokens": -1}, "max_tokens = -1 is not possible"),
        ({"prompt": "a", "max_tokens": "x"}, "max_tokens = 'x' is not possible"),
        ({"prompt": "a", "max_tokens": True}, "max_tokens = True is not possible"),
        ({"prompt": "a", "temperature": float("nan")}, "temperature = nan is not possible"),
        ({"prompt": "a", "logit_bias": {"300": 1}}, "token 300, outside"),
        ({"prompt": "a", "logit_bias": [1]}, "logit_bias is no object"),
        ({"prompt": "a", "stop": [1]}, "stop is no text"),
        ({"prompt": "a", "stream": 1}, "stream = 1 is not possible"),
        ({"prompt": "a", "seed": 2**70}, "seed = .* give an integer from -9223372036854775808"),
        ({"prompt": "a", "tempreature": 1}, "'tempreature' is not a parameter of this request"),
        ([1], "the body is no JSON object"),
    ],
)
def test_what_cannot_be_served_is_refused_in_one_line(server, body, message):
    import re

    status, data = post(server, body)
    told = json.loads(data)["error"]["message"]
    assert status == 400
    assert re.search(message, told)
    assert "\n" not in told


def error(data: bytes, code: int) -> str:
    """The message of an error that says its status and whose it is."""
    told = json.loads(data)["error"]
    kind = "server_error" if code >= 500 else "invalid_request_error"
    assert (told["code"], told["type"]) == (code, kind)
    return told["message"]


def test_one_connection_serves_many_requests_whatever_they_ask_for(server):
    """What is refused leaves the connection as it was."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    models = {"object": "list", "data": [{"id": "target", "object": "model"}]}
    for _ in range(2):
        for method, path, body, status, answer in (
            ("GET", "/health", None, 200, {"status": "ok"}),
            ("GET", "/v1/models", None, 200, models),
            ("GET", "/nothing", None, 404, "there is no '/nothing'"),
            ("POST", "/v1/models", "{}", 405, "use GET for /v1/models"),
            ("POST", "/v1/completions", "{", 400, "the body is no JSON"),
            ("POST", "/v1/completions", "{}", 400, "prompt is no list"),
        ):
            connection.request(method, path, body)
            response = connection.getresponse()
            data = response.read()
            assert response.status == status, data
            assert response.headers["Content-Type"] == "application/json"
            if status == 200:
                assert json.loads(data) == answer
            else:
                assert str(answer) in error(data, status)
    connection.request("POST", "/v1/completions", json.dumps({"prompt": "a", "max_tokens": 1}))
    assert connection.getresponse().status == 200
    connection.close()


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("", 411),
        ("Content-Length: x", 411),
        ("Content-Length: \u00b2", 411),
        ("Content-Length: -1", 411),
        ("Transfer-Encoding: chunked", 411),
        (f"Content-Length: {2**24 + 1}", 413),
        (f"Content-Length: {'9' * 5000}", 411),
    ],
)
def test_a_body_of_unknown_or_too_great_length_is_refused_and_not_read(server, header, status):
    """The server hangs up: it cannot tell where the next request begins."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(
            f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n{header}\r\n\r\n".encode()
        )
        head, data = received(client)
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert error(data, status) == "send a Content-Length of at most 16777216 bytes"


def received(client) -> list[bytes]:
    """Head and body of an answer after which the server hangs up."""
    parts = []
    while part := client.recv(4096):
        parts.append(part)
    return b"".join(parts).split(b"\r\n\r\n", 1)


LINE = "POST /v1/completions HTTP/1.1"
JSON = "Content-Length: 2\r\nConnection: close"


@pytest.mark.parametrize(
    ("line", "headers", "status", "message"),
    [
        (LINE, f"Host: evil.example\r\n{JSON}", 403, "Host is 'evil.example'"),
        (LINE, JSON, 403, "Host is ''"),
        (LINE, f"Host: localhost.evil.example\r\n{JSON}", 403, "ask for localhost"),
        (LINE, f"Host: localhost\r\nOrigin: https://evil.example\r\n{JSON}", 403, "Origin is"),
        (LINE, f"Host: localhost\r\nOrigin: null\r\n{JSON}", 403, "Origin is 'null'"),
        (LINE, f"Host: localhost\r\nContent-Type: text/plain\r\n{JSON}", 415, "send application"),
        ("GET /v1/completions HTTP/1.1", "Host: localhost\r\nConnection: close", 405, "use POST"),
        ("DELETE /health HTTP/1.1", "Host: localhost", 405, "use GET for /health"),
        ("PUT /nothing HTTP/1.1", "Host: localhost", 404, "there is no '/nothing'"),
        ("no HTTP at all", "", 400, "Bad request version"),
        ("GET /health HTTP/1.1", "x: y\r\n" * 200, 431, "headers"),
        (f"GET /{'a' * 70000} HTTP/1.1", "", 414, "URI Too Long"),
    ],
)
def test_what_is_no_request_of_this_machine_is_told_as_json(server, line, headers, status, message):
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(f"{line}\r\n{headers}\r\n\r\n".encode() + b"{}")
        head, data = received(client)
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"Content-Type: application/json" in head
    assert message in error(data, status)
    assert (b"Allow: " in head) == (status == 405)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8000", "[::1]:9"])
def test_this_machine_goes_by_several_names(server, host):
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        asked = f"GET /health HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\n"
        client.sendall(f"{asked}Connection: close\r\n\r\n".encode())
        head, data = received(client)
    assert head.startswith(b"HTTP/1.1 200 ")
    assert json.loads(data) == {"status": "ok"}


def test_a_head_request_gets_no_body(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(b"HEAD /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        head, data = received(client)
    assert head.startswith(b"HTTP/1.1 405 ")
    assert data == b""


def test_a_body_of_the_greatest_length_is_read(server):
    body = json.dumps({"prompt": "a", "max_tokens": 1}).encode()
    assert post(server, body.ljust(2**24), raw=True)[0] == 200


def engine_threads() -> int:
    return sum(thread.name == "engine" for thread in threading.enumerate())


def test_a_free_port_is_taken_unless_one_is_named(server):
    assert server.port > 1023
    threads = engine_threads()
    with pytest.raises(SpecrefError, match=f"port {server.port} is not free"):
        CompletionServer(server.engine_thread.engine, Bytes(), server.port)
    assert engine_threads() == threads, "the thread that was begun for it has ended"


def test_threads_of_clients_do_not_keep_a_process_alive():
    assert CompletionServer.daemon_threads


def test_what_the_engine_refuses_is_the_clients_error(small):
    """Forty tokens do not fit in its blocks."""
    for stream in (False, True):
        status, data = post(small, {"prompt": "abc", "max_tokens": 40, "stream": stream})
        assert status == 400
        assert "the cache has 4" in error(data, 400)


def test_a_step_that_fails_is_the_servers_error(small):
    status, data = post(small, {"prompt": "abcdefghij", "max_tokens": 2})
    assert status == 500
    assert error(data, 500) == "the drafter cannot go on: use another"
    assert post(small, {"prompt": "abc", "max_tokens": 2})[0] == 200, "it serves the next"


def test_what_the_engine_cannot_serve_leaves_the_connection_as_it_was(small):
    connection = http.client.HTTPConnection("127.0.0.1", small.port, timeout=10)
    for prompt, count, status in (("abc", 40, 400), ("abcdefghij", 2, 500), ("abc", 2, 200)):
        body = json.dumps({"prompt": prompt, "max_tokens": count})
        connection.request("POST", "/v1/completions", body)
        response = connection.getresponse()
        response.read()
        assert response.status == status
    connection.close()


def test_a_step_that_fails_in_a_stream_is_told_in_the_stream(small):
    """Its head says 200 already. Seven tokens came before."""
    status, data = post(
        small, {"prompt": "abc", "max_tokens": 10, "stream": True, "return_token_ids": True}
    )
    assert status == 200
    lines = [line.removeprefix(b"data: ") for line in data.split(b"\n\n") if line]
    assert len(ids([json.loads(line) for line in lines[:-1]])) == 7
    assert error(lines[-1], 500) == "the drafter cannot go on: use another"


def test_counts_of_a_text_that_a_stop_ends_are_those_of_what_is_shown(server):
    """Accepted tokens behind the stop are not counted. Without a stop the text is the same, and
    what a stop at its end shows is all of it."""
    bias = {str(token): -100 for token in range(256) if not 97 <= token < 123}
    body = {"prompt": "ab", "max_tokens": 12, "seed": 4, "logit_bias": bias, "temperature": 0.3}
    free = asked(server, **body)
    text, cycles = free["choices"][0]["text"], pieces(server, **body)
    begun = 0
    for part in cycles:
        count = len(part["choices"][0]["token_ids"])
        for shown in range(1, count + 1):
            stop = text[: begun + shown]
            told = asked(server, **body, stop=stop)
            assert told["usage"]["completion_tokens"] == begun + shown
            accepted, steps = told["metrics"]["accepted"], told["metrics"]["target_steps"]
            # each cycle's last token is the target's own, unless the text ends before it
            assert accepted == begun + shown - steps + (shown < count)
        begun += count
    assert begun == len(text) == 12


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_goes_away_takes_its_request_with_it(server, stream):
    engine = server.engine_thread.engine
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    body = {"prompt": "a", "max_tokens": 390, "stream": stream, "seed": 1}
    connection.request("POST", "/v1/completions", json.dumps(body))
    if stream:
        connection.getresponse().read(40)
    else:
        until(lambda: engine.busy)
    connection.close()
    # another thread forgets, then frees
    until(lambda: not engine.busy and engine.pool.free == engine.pool.blocks)
    assert asked(server, prompt="a", max_tokens=3)["usage"]["completion_tokens"] == 3


def until(condition, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


def test_half_a_character_waits_for_its_other_half():
    detokenizer = StreamDetokenizer(Bytes(), [65])
    assert detokenizer.take(list("é".encode())[:1], False) == (1, "")
    assert detokenizer.take(list("é".encode())[1:], False) == (1, "é")
    assert detokenizer.take([0xC3], True) == (
        1,
        "\ufffd",
    ), "a text that ends in half a character says so"


def test_what_may_become_a_stop_waits():
    detokenizer = StreamDetokenizer(Bytes(), [65], ["end"])
    assert detokenizer.take(list(b"the e"), False) == (5, "the ")
    assert detokenizer.take(list(b"nough"), False) == (5, "enough")
    assert detokenizer.take(list(b" end, and more"), False) == (4, " ")
    assert detokenizer.stopped


def test_a_prompt_is_scored_by_the_target_and_not_by_the_engine(server):
    """vLLM's form: nothing for the first token, then the likeliest and the token itself."""
    prompt = [5, 77, 200, 31]
    table = asked(server, prompt=prompt, max_tokens=1, prompt_logprobs=2, temperature=0.5)
    first, *scored = table["choices"][0]["prompt_logprobs"]
    assert first is None
    assert len(scored) == 3
    for place, entry in enumerate(scored, 1):
        logs = own_logits(MODEL, prompt[:place]).log_softmax(-1)
        best = logs.topk(2).indices.tolist()
        assert list(map(int, entry)) == list(dict.fromkeys([*best, prompt[place]]))
        for token, said in entry.items():
            assert said["logprob"] == pytest.approx(float(logs[int(token)]))
            assert said["rank"] == int((logs > logs[int(token)]).sum()) + 1


def test_a_prompt_is_scored_over_the_whole_vocabulary_where_that_is_asked(server):
    scored = asked(server, prompt=[5, 77], prompt_logprobs=256)["choices"][0]["prompt_logprobs"][1]
    assert len(scored) == 256
    assert sum(math.exp(said["logprob"]) for said in scored.values()) == pytest.approx(1)
    assert "prompt_logprobs" not in asked(server, prompt=[5, 77])["choices"][0]


def test_scores_that_cannot_be_given_are_refused(server):
    status, data = post(server, {"prompt": [5, 77], "prompt_logprobs": 257})
    assert status == 400
    assert b"give 0 to 256" in data


def test_scores_are_not_streamed(server):
    status, data = post(server, {"prompt": [5, 77], "prompt_logprobs": 1, "stream": True})
    assert status == 400
    assert b"leave stream out" in data


class Waits(NoDrafter):
    """Its first proposal waits for a sign."""

    def __init__(self):
        self.asked, self.go, self.count = threading.Event(), threading.Event(), 0

    def propose(self, text, budget, chance):
        self.count += 1
        self.asked.set()
        self.go.wait(10)
        return super().propose(text, budget, chance)


@pytest.fixture
def waiting():
    drafter = Waits()
    settings = ServingSettings(gamma=1, rows=8, blocks=40, block_size=4)
    for made in serving(ServingEngine(MODEL, drafter, rule_of(RULE, 1), settings)):
        yield made, drafter
        drafter.go.set()


def test_a_client_that_waits_is_looked_for_and_gets_its_answer(waiting, monkeypatch):
    """Nothing comes from the engine until the server has looked whether the client is there."""
    server, drafter = waiting
    here = Handler.here

    def looked(handler) -> bool:
        there = here(handler)
        drafter.go.set()
        return there

    monkeypatch.setattr(Handler, "here", looked)
    status, data = post(server, {"prompt": "a", "max_tokens": 2})
    assert status == 200
    assert json.loads(data)["usage"]["completion_tokens"] == 2


def test_a_client_that_goes_away_while_nothing_comes_is_forgotten(waiting):
    """Its cancellation waits for the engine's step to end; then no other step is made for it."""
    server, drafter = waiting
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("POST", "/v1/completions", json.dumps({"prompt": "a", "max_tokens": 9}))
    assert drafter.asked.wait(10)
    connection.close()
    until(lambda: not server.engine_thread.inbox.empty())
    drafter.go.set()
    until(lambda: not server.engine_thread.engine.busy)
    assert drafter.count == 1


def test_choices_have_seeds_of_their_own_and_the_prompt_counts_once(server):
    told = asked(server, prompt=[1, 2, 3], max_tokens=6, seed=5, n=3)
    wanted = [alone([1, 2, 3], max_new_tokens=6, seed=5 + i).tokens for i in range(3)]
    assert [one["index"] for one in told["choices"]] == [0, 1, 2]
    assert [one["token_ids"] for one in told["choices"]] == wanted
    assert told["usage"] == {"prompt_tokens": 3, "completion_tokens": 18, "total_tokens": 21}
    parts = pieces(server, prompt=[1, 2, 3], max_tokens=6, seed=5, n=3)
    for index in range(3):
        mine = [part for part in parts if part["choices"][0]["index"] == index]
        assert ids(mine) == wanted[index]
    assert [("usage" in part) for part in parts] == [False] * (len(parts) - 1) + [True]
    assert parts[-1]["usage"] == told["usage"]


def test_a_stop_ends_one_choice_and_not_the_others(server):
    body = {"prompt": "ab", "max_tokens": 12, "seed": 4, "n": 2}
    body["logit_bias"] = {str(token): -100 for token in range(256) if not 97 <= token < 123}
    free = [one["text"] for one in asked(server, **body)["choices"]]
    stop = free[0][3]
    assert stop not in free[1][:2]
    for told in (asked(server, **body, stop=stop)["choices"],):
        assert [one["text"] for one in told] == [text.split(stop)[0] for text in free]


def test_the_usage_comes_by_itself_where_that_is_asked_for(server):
    parts = pieces(server, prompt=[1], max_tokens=4, seed=1, stream_options={"include_usage": True})
    assert parts[-1]["choices"] == []
    assert parts[-1]["usage"] == {"prompt_tokens": 1, "completion_tokens": 4, "total_tokens": 5}
    assert not any("usage" in part for part in parts[:-1])


@pytest.mark.parametrize("count", [0, 3])
def test_an_echoed_prompt_is_scored_by_the_target(server, count):
    prompt = [104, 105, 106]
    body = {"prompt": prompt, "max_tokens": count, "echo": True, "logprobs": 2, "seed": 3}
    choice = asked(server, **body, temperature=0.5)["choices"][0]
    done = alone(prompt, max_new_tokens=count, seed=3, temperature=0.5).tokens
    assert choice["token_ids"] == prompt + done
    assert choice["text"] == bytes(prompt + done).decode(errors="replace")
    logs, best = choice["logprobs"]["token_logprobs"], choice["logprobs"]["top_logprobs"]
    assert logs[0] is best[0] is None
    assert len(logs) == len(best) == len(choice["logprobs"]["tokens"]) == 3 + count
    for place in (1, 2):
        scored = own_logits(MODEL, prompt[:place]).log_softmax(-1)
        assert logs[place] == pytest.approx(float(scored[prompt[place]]))
        assert max(best[place].values()) == pytest.approx(float(scored.max()))
    streamed = pieces(server, **body, temperature=0.5)
    assert ids(streamed) == prompt + done
    assert asked(server, prompt="hi", echo=True, max_tokens=1)["choices"][0]["text"][:2] == "hi"


def test_a_chat_is_the_completion_of_its_template(server):
    messages = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}]
    body = {"max_tokens": 6, "seed": 2, "return_token_ids": True}
    status, data = post(
        server,
        {"messages": messages, "logprobs": True, "top_logprobs": 2, **body},
        path="/v1/chat/completions",
    )
    assert status == 200, data
    told = json.loads(data)
    plain = asked(server, prompt="s:be brief\nu:hi\n", logprobs=2, **body)
    choice, same = told["choices"][0], plain["choices"][0]
    assert (told["object"], told["usage"]) == ("chat.completion", plain["usage"])
    assert choice["message"] == {"role": "assistant", "content": same["text"]}
    assert choice["token_ids"] == same["token_ids"]
    content = choice["logprobs"]["content"]
    assert [one["logprob"] for one in content] == same["logprobs"]["token_logprobs"]
    assert all(len(one["top_logprobs"]) == 2 for one in content)
    status, data = post(
        server, {"messages": messages, "stream": True, **body}, path="/v1/chat/completions"
    )
    lines = [line.removeprefix(b"data: ") for line in data.split(b"\n\n") if line]
    parts = [json.loads(line) for line in lines[:-1]]
    deltas = [part["choices"][0]["delta"] for part in parts]
    assert [("role" in delta) for delta in deltas] == [True] + [False] * (len(deltas) - 1)
    assert "".join(delta["content"] for delta in deltas) == same["text"]
    assert {part["object"] for part in parts} == {"chat.completion.chunk"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "messages is no list of messages"),
        ({"messages": []}, "messages is no list of messages"),
        ({"messages": ["hi"]}, "message 0 is not possible"),
        ({"messages": [{"role": "user"}]}, "content of message 0 is no text"),
        ({"messages": [{"role": "robot", "content": ""}]}, "role of message 0"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "texts alone"),
        ({"messages": [{"role": "user", "content": "a"}], "top_logprobs": 2}, "set logprobs"),
        ({"messages": [{"role": "user", "content": "a"}], "echo": True}, "'echo' is not a param"),
    ],
)
def test_a_chat_that_is_none_is_refused(server, body, message):
    status, data = post(server, body, path="/v1/chat/completions")
    assert status == 400
    assert message in error(data, 400)


def test_a_bug_while_a_request_is_scored_is_that_requests_own_error(server, monkeypatch):
    def broken(tokens):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(server, "score", broken)
    status, data = post(server, {"prompt": "ab", "prompt_logprobs": 1})
    assert (status, error(data, 500)) == (500, "the server failed (ZeroDivisionError: a bug)")
    assert post(server, {"prompt": "ab"})[0] == 200


class NoDepths(DepthPolicy):
    def depths(self, histories, gamma):
        raise ZeroDivisionError("a bug")


def test_an_engine_that_fails_shows_in_health_and_ends_the_server():
    settings = ServingSettings(depth_policy=NoDepths(lambda rows, depth: 1.0))
    made = CompletionServer(ServingEngine(MODEL, NoDrafter(), rule_of(RULE, 1), settings), Bytes())
    thread = threading.Thread(target=made.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    health = http.client.HTTPConnection("127.0.0.1", made.port, timeout=10)
    health.request("GET", "/health")
    assert health.getresponse().read() == b'{"status": "ok"}'
    status, data = post(made, {"prompt": "a"})
    assert (status, error(data, 500)) == (500, "the server failed (ZeroDivisionError: a bug)")
    health.request("GET", "/health")
    response = health.getresponse()
    assert (response.status, json.loads(response.read())["status"]) == (503, "failed")
    thread.join(10)
    assert not thread.is_alive()
    made.server_close()


def test_more_requests_than_may_wait_are_sent_away(waiting, monkeypatch):
    server, drafter = waiting
    monkeypatch.setattr(http_server, "AT_ONCE", 1)
    first = threading.Thread(target=post, args=(server, {"prompt": "a", "max_tokens": 1}))
    first.start()
    assert drafter.asked.wait(10)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("POST", "/v1/completions", json.dumps({"prompt": "a"}))
    response = connection.getresponse()
    assert (response.status, response.headers["Retry-After"]) == (503, "1")
    assert "try again later" in error(response.read(), 503)
    drafter.go.set()
    first.join(10)
    until(lambda: not server.answering)
    assert post(server, {"prompt": "a", "max_tokens": 1})[0] == 200


def test_streams_that_run_when_the_server_closes_get_a_last_word():
    engine = ServingEngine(MODEL, Slow(), rule_of(RULE, 1), ServingSettings(gamma=0, block_size=4))
    made = CompletionServer(engine, Bytes())
    thread = threading.Thread(target=made.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    connection = http.client.HTTPConnection("127.0.0.1", made.port, timeout=10)
    body = {"prompt": "a", "max_tokens": 390, "stream": True}
    connection.request("POST", "/v1/completions", json.dumps(body))
    response = connection.getresponse()
    response.read(10)
    made.shutdown()
    made.server_close()
    last = response.read().split(b"data: ")[-1]
    assert error(last, 500) == "the server is shutting down"


class Slow(NoDrafter):
    def propose(self, text, budget, chance):
        time.sleep(0.02)
        return super().propose(text, budget, chance)
