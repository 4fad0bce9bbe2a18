"""An OpenAI-compatible server on loopback: `POST /v1/completions`, `GET /v1/models`, `GET /health`.

A thread for each connection, one for the engine. A client that goes away takes its request with it.
"""

import itertools
import json
import queue
import select
import socket
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from torch import Tensor

from ..data import SpecrefError
from ..model.tokenizer import Tokenizer
from .detokenizer import StreamDetokenizer
from .engine import ServingEngine
from .engine_thread import EngineThread, PendingRequest
from .protocol import CompletionRequest, answer, parse_request
from .sequence import Event

LARGEST = 2**24  # bytes of a request's body


class Server(ThreadingHTTPServer):
    """Serves `engine` on 127.0.0.1. port 0 takes a free one. `words`: None where the target has no
    tokenizer.
    """

    daemon_threads, request_queue_size = True, 1024

    def __init__(
        self, engine: ServingEngine, words: Tokenizer | None, port: int = 0, model: str = "target"
    ):
        try:
            super().__init__(("127.0.0.1", port), Handler)
        except OSError as error:
            raise SpecrefError(
                f"port {port} is not free ({error.strerror}): choose another, or 0 for any"
            ) from None
        self.desk, self.words, self.model = EngineThread(engine), words, model
        self.config = engine.target.config
        self.numbers = itertools.count()

    @property
    def port(self) -> int:
        return self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is no error."""

    def server_close(self) -> None:
        super().server_close()
        self.desk.close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60  # seconds that a client may take to say what it wants
    server: Server

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/health":
            return self.send(200, {"status": "ok"})
        if self.path == "/v1/models":
            return self.send(
                200, {"object": "list", "data": [{"id": self.server.model, "object": "model"}]}
            )
        self.refuse(
            404, f"there is no {self.path}: use POST /v1/completions, GET /v1/models or GET /health"
        )

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > LARGEST:
            self.close_connection = True
            return self.refuse(
                411 if not length.isdigit() else 413,
                f"send a Content-Length of at most {LARGEST} bytes",
            )
        data = self.rfile.read(int(length))
        if self.path != "/v1/completions":
            return self.refuse(404, f"there is no {self.path}: use POST /v1/completions")
        try:
            wish = parse_request(json.loads(data), self.server.words, self.server.config)
        except (ValueError, RecursionError) as error:  # SpecrefError is one
            return self.refuse(
                400,
                str(error) if isinstance(error, SpecrefError) else f"the body is no JSON ({error})",
            )
        Answering(self, wish).run()

    def send(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def refuse(self, status: int, message: str) -> None:
        kind = "server_error" if status >= 500 else "invalid_request_error"
        self.send(status, {"error": {"message": message, "type": kind, "code": status}})

    def here(self) -> bool:
        """Whether the client is still there."""
        ready, _, _ = select.select([self.connection], [], [], 0)
        return not ready or bool(self.connection.recv(1, socket.MSG_PEEK))


class Answering:
    """One request from the engine's events to what the client is sent."""

    def __init__(self, handler: Handler, wish: CompletionRequest):
        self.handler, self.wish, self.server = handler, wish, handler.server
        self.name = f"cmpl-{next(self.server.numbers)}"
        self.scribe = StreamDetokenizer(
            self.server.words, wish.prompt, wish.stops, wish.params.stop_ids, wish.params.min_tokens
        )
        self.text, self.distributions, self.began = "", list[Tensor](), False

    def run(self) -> None:
        ticket = self.server.desk.submit(self.wish.prompt, self.wish.params)
        try:
            while not self._event(self._next(ticket)):
                pass
        except OSError:  # gone
            self.handler.close_connection = True
        finally:
            self.server.desk.cancel(ticket)

    def _next(self, ticket: PendingRequest) -> Event | SpecrefError:
        while True:
            try:
                return ticket.events.get(timeout=0.25)
            except queue.Empty:
                if not self.handler.here():
                    raise ConnectionError from None

    def _event(self, event: Event | SpecrefError) -> bool:
        """Tell the client; whether that was all."""
        if isinstance(event, SpecrefError):
            self.handler.refuse(400, str(event))
            return True
        if event.error:
            self._fail(event.error)
            return True
        taken, text = self.scribe.take(event.tokens, event.ended)
        done = event.so_far
        if self.scribe.stopped:  # tokens behind the stop are neither text nor accepted
            done = replace(
                done,
                tokens=self.scribe.tokens,
                finish_reason="stop",
                accepted=done.accepted - event.kept + min(taken, event.kept),
            )
        distributions = [] if event.distributions is None else list(event.distributions[:taken])
        self.text, self.distributions = self.text + text, self.distributions + distributions
        if self.wish.stream:
            self._piece(
                answer(
                    self.wish,
                    self.server.words,
                    self.name,
                    self.server.model,
                    text,
                    event.tokens[:taken],
                    distributions,
                    done,
                )
            )
        if not done.finish_reason:
            return False
        if self.wish.stream:
            self.handler.wfile.write(b"data: [DONE]\n\n")
        else:
            self.handler.send(
                200,
                answer(
                    self.wish,
                    self.server.words,
                    self.name,
                    self.server.model,
                    self.text,
                    self.scribe.tokens,
                    self.distributions,
                    done,
                ),
            )
        return True

    def _piece(self, told: dict[str, Any]) -> None:
        if not self.began:
            self.began = self.handler.close_connection = True
            self.handler.send_response(200)
            self.handler.send_header("Content-Type", "text/event-stream")
            self.handler.send_header("Connection", "close")
            self.handler.end_headers()
        self.handler.wfile.write(b"data: " + json.dumps(told).encode() + b"\n\n")

    def _fail(self, message: str) -> None:
        if self.began:
            self._piece({"error": {"message": message, "type": "server_error", "code": 500}})
        else:
            self.handler.refuse(500, message)
