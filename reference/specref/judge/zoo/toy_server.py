"""The toy speculator as a server on loopback, in both dialects. Each part is a method that a wrong
variant may replace.
"""

import json
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ..contract import Server
from .toy_text import LETTERS, Plain, Speculator, ToyAnswer, ToyCoins, ToyRequest


class BadRequestError(Exception):
    """The request is wrong: answered with status 400."""


class Service:
    """What a server does with a request. `text` is the class that writes the tokens; the methods
    read the request and build the answer.
    """

    level = "http"
    text: type[Speculator] = Speculator
    dialects = ("openai",)
    ids = True
    keeps = True  # connections
    pause = 0.0  # seconds that a request is worked on at least, so that several are in flight
    between = 0.0  # seconds between the events of a stream
    patience = 10.0  # seconds that the judge waits for an answer

    def __init__(self) -> None:
        self.writer = self.text()
        self.lock = threading.Lock()
        self.asked = 0
        self.flying = 0
        self.drafted = 0

    def answer(self, body: Any, dialect: str) -> dict[str, Any]:
        wish = self.wish(body, dialect)
        with self.lock:
            self.asked += 1
            self.flying += 1
            number = self.asked
        try:
            out = self.write(wish, number)
            time.sleep(self.pause)
        finally:
            with self.lock:
                self.flying -= 1
        self.drafted += out.drafted
        return self.told(out, wish, body, dialect)

    def write(self, wish: ToyRequest, number: int) -> ToyAnswer:
        return self.writer.write(wish, self.coins(wish, number))

    def coins(self, wish: ToyRequest, number: int) -> ToyCoins:
        return ToyCoins(wish.seed)

    def wish(self, body: Any, dialect: str) -> ToyRequest:
        """Read a request; raise BadRequestError if it is not valid."""
        try:
            prompt = body["prompt"]
            ids = (
                tuple(LETTERS.index(c) for c in prompt)
                if isinstance(prompt, str)
                else tuple(map(int, prompt))
            )
            readable = self.ids or isinstance(prompt, str)
            if not ids or not all(0 <= token < len(LETTERS) for token in ids) or not readable:
                raise BadRequestError(
                    f"the prompt is text over {LETTERS!r} or ids below {len(LETTERS)}"
                )
            bias = body.get("logit_bias") or {}
            stop = body.get("stop") or ()
            wish = ToyRequest(
                ids,
                body.get("max_tokens" if dialect == "openai" else "n_predict", 16),
                float(body.get("temperature", 1.0)),
                int(body.get("top_k", 0)),
                float(body.get("top_p", 1.0)),
                float(body.get("min_p", 0.0)),
                tuple(
                    (int(token), float(value))
                    for token, value in (bias.items() if isinstance(bias, dict) else bias)
                ),
                body.get("seed"),
                (stop,) if isinstance(stop, str) else tuple(stop),
            )
            if not isinstance(wish.max_tokens, int) or wish.max_tokens < 1 or wish.temperature < 0:
                raise BadRequestError("max_tokens is 1 or more, temperature 0 or more")
            return wish
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadRequestError(f"{type(error).__name__}: {error}") from None

    def told(self, out: ToyAnswer, wish: ToyRequest, body: Any, dialect: str) -> dict[str, Any]:
        """The answer's JSON."""
        text = out.text
        if out.finish == "stop":
            text = text[: min(text.find(stop) for stop in wish.stop if stop in text)]
        if dialect == "llama":
            return self.llama_answer(out, text, body.get("n_probs"))
        choice: dict[str, Any] = {"index": 0, "text": text, "finish_reason": out.finish}
        if self.ids and body.get("return_token_ids"):
            choice["token_ids"] = out.tokens
        if body.get("logprobs") is not None:
            as_ids = self.ids and body.get("return_tokens_as_token_ids")
            name = "token_id:{}".format if as_ids else LETTERS.__getitem__
            choice["logprobs"] = {
                "tokens": [name(t) for t in out.tokens],
                "token_logprobs": [row[t] for t, row in zip(out.tokens, out.logprobs)],
                "top_logprobs": [top_logprobs(row, body["logprobs"], name) for row in out.logprobs],
            }
        return {
            "object": "text_completion",
            "choices": [choice],
            "usage": {"completion_tokens": self.counted(out), "prompt_tokens": len(wish.prompt)},
            "metrics": {
                "drafted": out.drafted,
                "accepted": out.accepted,
                "target_steps": len(out.blocks),
            },
        }

    def llama_answer(self, out: ToyAnswer, text: str, count: int | None) -> dict[str, Any]:
        """The answer's JSON in llama.cpp's dialect, with `count` log probabilities a token."""
        made: dict[str, Any] = {
            "content": text,
            "tokens": out.tokens,
            "stop_type": "word" if out.finish == "stop" else "limit",
            "tokens_predicted": len(out.tokens),
            "timings": {"draft_n": out.drafted, "draft_n_accepted": out.accepted},
        }
        if not count:
            return made
        rows = []
        for token, row in zip(out.tokens, out.logprobs):
            likeliest = [{"id": i, "logprob": row[i]} for i in likeliest_ids(row, count)]
            rows.append({"id": token, "logprob": row[token], "top_logprobs": likeliest})
        return made | {"completion_probabilities": rows}

    def lost(self) -> None:
        """Called when a client disconnected during a stream."""

    def raw(self, data: bytes) -> tuple[bytes, int]:
        """The bytes of an answer, and the length to declare."""
        return data, len(data)

    def counted(self, out: ToyAnswer) -> int:
        return len(out.tokens)

    def pieces(self, told: dict[str, Any]) -> list[dict[str, Any]]:
        """The events of a streamed answer: two tokens an event, the rest in the last."""
        choice = told["choices"][0] if "choices" in told else told
        text, ids, end = (
            ("text", "token_ids", "finish_reason")
            if choice is not told
            else ("content", "tokens", "stop_type")
        )
        parts = []
        for at in range(0, max(len(choice[text]), 1), 2):
            last = at + 2 >= len(choice[text])
            part = {
                text: choice[text][at : None if last else at + 2],
                end: choice[end] if last else None,
            }
            if ids in choice:
                part[ids] = choice[ids][at : None if last else at + 2]
            parts.append(part if choice is told else {"choices": [part]})
        return parts


def likeliest_ids(row: list[float], count: int) -> list[int]:
    return sorted(range(len(row)), key=lambda i: -row[i])[:count]


def top_logprobs(row: list[float], count: int, name: Callable[[int], str]) -> dict[str, float]:
    """Name -> log probability, of the `count` likeliest tokens."""
    return {name(i): row[i] for i in likeliest_ids(row, count)}


class ToyHandler(BaseHTTPRequestHandler):
    """HTTP around a service."""

    protocol_version = "HTTP/1.1"
    server: "Loopback"

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/v1/models":
            self.send(200, {"data": [{"id": "toy"}]})
        elif self.path == "/metrics":
            self.send(
                200, f"spec_decode_draft_tokens_total {self.server.service.drafted}\n".encode()
            )
        else:
            self.send(404, {"error": f"no {self.path}"})

    def do_POST(self) -> None:
        service = self.server.service
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        dialect = {"/v1/completions": "openai", "/completion": "llama"}.get(self.path, "")
        if dialect not in service.dialects:
            return self.send(404, {"error": f"no {self.path}"})
        try:
            body = json.loads(data)
            if not isinstance(body, dict):
                raise BadRequestError("the body is no object")
            told = service.answer(body, dialect)
        except (BadRequestError, ValueError) as error:
            return self.send(400, {"error": str(error)})
        except Exception as error:
            return self.send(500, {"error": str(error)})
        if body.get("stream"):
            try:
                return self.stream(service.pieces(told))
            except OSError:
                return service.lost()
        self.send(200, told)

    def send(self, status: int, body: Any) -> None:
        """Send header and body in one write: two writes would wait for each other's
        acknowledgement.
        """
        service = self.server.service
        data, declared = service.raw(body if isinstance(body, bytes) else json.dumps(body).encode())
        keep = service.keeps and declared == len(data)
        self.close_connection = not keep
        self.wfile.write(
            f"HTTP/1.1 {status} .\r\nContent-Length: {declared}\r\nContent-Type:"
            f" application/json\r\nConnection: {'keep-alive' if keep else 'close'}\r\n\r\n".encode()
            + data
        )

    def stream(self, pieces: list[dict[str, Any]]) -> None:
        self.close_connection = True
        self.wfile.write(
            b"HTTP/1.1 200 .\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
        )
        for piece in pieces:
            self.wfile.write(b"data: " + json.dumps(piece).encode() + b"\n\n")
            time.sleep(self.server.service.between)
        self.wfile.write(b"data: [DONE]\n\n")


class Loopback(ThreadingHTTPServer):
    """A server on a free port of 127.0.0.1. It serves until `close`."""

    daemon_threads, request_queue_size = True, 128

    def __init__(self, service: Service, handler: type[ToyHandler] = ToyHandler):
        super().__init__(("127.0.0.1", 0), handler)
        self.service = service
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: clients may disconnect."""

    def close(self) -> None:
        self.shutdown()
        self.server_close()
        self.thread.join()


class Target(Service):
    """The plain target without speculation: the baseline."""

    text = Plain


class ToyServer(Server):
    """A service to be judged, with the plain target beside it."""

    lossless = True

    def __init__(self, service: type[Service] = Service, baseline: type[Service] | None = Target):
        self.service, self.plain, self.timeout = service, baseline, service.patience
        self.name = service.__name__
        self.up: list[Loopback] = []

    def start(self) -> None:
        self.up = [Loopback(kind()) for kind in (self.service, self.plain) if kind is not None]
        self.url, self.baseline = self.up[0].url, self.up[1].url if self.plain else ""

    def close(self) -> None:
        for server in self.up:
            server.close()
        self.up = []
