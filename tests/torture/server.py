"""The server: poisoned requests beside good ones, garbage on the socket, streams cut off, requests
made by Schemathesis from the description.
"""

import http.client
import json
import random
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from specref.chance import Chance
from specref.data import Draft, SamplingParams
from specref.decode import generate
from specref.draft.base import Drafter, Text
from specref.model.tokenizer import Bytes
from specref.serve import ServingEngine, ServingSettings
from specref.serve.http_server import CompletionServer
from torch import Tensor

from tests.serve.players import players, rule_of
from tests.serve.test_openapi import schemathesis
from tests.stub import tiny
from tests.torture.tally import Tally

MODEL = tiny(seed=9, vocabulary=256, layers=1, context=300, sharp=0.8)
RULE, DRAFTER = players(MODEL)["model"]
EXTREMES: tuple[Any, ...] = (
    0, 1, -1, 2**31, 2**63, 2**64, -(2**63) - 1, 10**400, 1e-38, 1e38, 1e39, -1e38, 0.5, -0.5,
    float("nan"), float("inf"), -float("inf"), True, "1", "", "\udc80", "\x00", [], {}, [[]],
    [-1], [2**63], ["a" * 5000], {"65": 1e39}, {"-1": 1}, {"65": -float("inf")}, "a" * 5000,
)  # fmt: skip
NAMES = (
    "temperature", "top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty",
    "frequency_penalty", "min_tokens", "max_tokens", "seed", "n", "stream", "stop", "logit_bias",
    "stop_token_ids", "logprobs", "prompt_logprobs", "echo", "prompt", "stream_options", "user",
    "best_of", "suffix", "ignore_eos", "model", "unknown",
)  # fmt: skip


def failing() -> Drafter:
    """A drafter that cannot go on behind the tokens 13, 13, 13."""
    drafter = DRAFTER()
    propose = drafter.propose

    def proposing(text: Text, budget: Tensor, chance: Chance) -> Draft:
        draft = propose(text, budget, chance)
        if any(row[-3:] == [13, 13, 13] for row in text.tokens):
            raise RuntimeError("a bug\nof two lines")
        return draft

    drafter.propose = proposing
    return drafter


@contextmanager
def serving() -> Iterator[CompletionServer]:
    settings = ServingSettings(gamma=3, rows=16, blocks=600, block_size=4)
    engine = ServingEngine(MODEL, failing(), rule_of(RULE, 1), settings)
    made = CompletionServer(engine, Bytes(), chat=lambda messages: messages[0]["content"])
    thread = threading.Thread(target=made.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.shutdown()
        made.server_close()


def post(port: int, body: Any) -> tuple[int, Any]:
    """Status and answer; status 0 where none came."""
    try:
        return _post(port, body)
    except OSError as error:
        return 0, str(error)


def _post(port: int, body: Any) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/v1/completions", json.dumps(body))
    response = connection.getresponse()
    data = response.read()
    connection.close()
    if response.headers["Content-Type"] == "text/event-stream":
        parts = data.split(b"data: ")
        return response.status, json.loads(parts[1])
    return response.status, json.loads(data)


def poisoned(draw: random.Random) -> dict[str, Any]:
    """A body with one to three absurd values, or one that the drafter fails for."""
    if draw.random() < 0.2:
        return {"prompt": [1, 13, 13, 13], "max_tokens": 8}
    body: dict[str, Any] = {"prompt": [1, 2], "max_tokens": 8}
    for name in draw.sample(NAMES, draw.randint(1, 3)):
        body[name] = draw.choice(EXTREMES)
    return body


def beside_good_ones(draw: random.Random, count: int) -> Tally:
    tally = Tally(
        "requests beside poisoned ones",
        "a good request gets its exact tokens; a poisoned one an answer, or an error in one line",
    )
    good = []
    for number in range(count):
        prompt = [draw.randrange(14, 256) for _ in range(draw.randint(1, 9))]
        good.append((prompt, {"max_tokens": draw.randint(1, 30), "seed": number}))
    wanted = []
    for prompt, params in good:
        one = SamplingParams(max_new_tokens=params["max_tokens"], seed=params["seed"])
        alone = generate(MODEL, DRAFTER(), rule_of(RULE, 1), [prompt], one, gamma=3)
        wanted.append(alone[0].tokens)
    with serving() as server, ThreadPoolExecutor(16) as pool:
        asked = []
        for place, (prompt, params) in enumerate(good):
            body = {"prompt": prompt, "return_token_ids": True} | params
            asked.append((place, body, pool.submit(post, server.port, body)))
            wrong = poisoned(draw)
            asked.append((-1, wrong, pool.submit(post, server.port, wrong)))
        for place, body, answer in asked:
            status, told = answer.result()
            if place >= 0:
                same = status == 200 and told["choices"][0]["token_ids"] == wanted[place]
                tally.check(same, f"another text for {body}: {status} {told}")
            else:
                tally.check(_answered(status, told), f"{body}: {status} {told}")
        tally.check(not server.engine_thread.failure, server.engine_thread.failure)
        tally.check(_idle(server), "blocks are not given back")
    return tally


def _answered(status: int, told: Any) -> bool:
    if status == 200:
        return True
    if status not in (400, 500):
        return False
    message = told["error"]["message"]
    return "\n" not in message and len(message) < 400


def _idle(server: CompletionServer) -> bool:
    engine = server.engine_thread.engine
    return _soon(lambda: not engine.busy and engine.pool.free == engine.pool.blocks)


def _soon(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def garbage(draw: random.Random, count: int) -> Tally:
    tally = Tally("garbage on the socket", "JSON, or a closed connection; then it serves the next")
    starts = (
        b"", b"GET /health HTTP/1.1\r\n", b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n",
        b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 30\r\n\r\n",
        b"\x16\x03\x01", b"PRI * HTTP/2.0\r\n\r\n",
    )  # fmt: skip
    with serving() as server:
        for _ in range(count):
            sent = draw.choice(starts) + draw.randbytes(draw.randrange(200))
            sent += draw.choice((b"", b"\r\n\r\n"))
            with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
                client.sendall(sent)
                client.shutdown(socket.SHUT_WR)
                answer = b""
                while part := client.recv(4096):
                    answer += part
            told = answer.startswith(b"HTTP/1.1 ") and b"application/json" in answer
            tally.check(not answer or told, f"{sent!r}: {answer!r}")
        status, _ = post(server.port, {"prompt": "a", "max_tokens": 1})
        tally.check(status == 200, f"the next got {status}")
    return tally


def cut_off(draw: random.Random, count: int) -> Tally:
    tally = Tally(
        "streams cut off by clients", "nothing is held afterwards, and it serves the next"
    )
    with serving() as server:
        open_ones = []
        for number in range(count):
            body = {"prompt": [20, number % 256], "max_tokens": 280, "stream": number % 3 > 0}
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
            connection.request("POST", "/v1/completions", json.dumps(body))
            open_ones.append((connection, number % 3 == 1))
            if draw.random() < 0.5:
                _close(*open_ones.pop(draw.randrange(len(open_ones))))
        for connection, read in open_ones:
            _close(connection, read)
        tally.all_of(count, _idle(server), "blocks are not given back")
        tally.check(post(server.port, {"prompt": "a"})[0] == 200, "the next is not served")
    return tally


def _close(connection: http.client.HTTPConnection, read: bool) -> None:
    if read:
        connection.getresponse().read(20)
    connection.close()


def described(draw: random.Random, seconds: int) -> Tally:
    tally = Tally("requests that Schemathesis makes", "the server is as its description says")
    with serving() as server, tempfile.TemporaryDirectory() as folder:
        done = schemathesis(server.port, seconds, draw.randrange(2**31), Path(folder))
    made = [line.split()[0] for line in done.stdout.splitlines() if " generated, " in line]
    tally.tried = int(made[0]) if made else 1
    if done.returncode:
        tally.bad.append(done.stdout[done.stdout.find("FAILURES") :][:2000])
    return tally
