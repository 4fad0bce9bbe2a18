"""An OpenAI-compatible server on loopback: `POST /v1/completions`, `GET /v1/models`, `GET /health`.

Each connection has a thread, and the engine has one. When a client closes its connection, its
request is cancelled.
"""

import itertools
import json
import queue
import select
import socket
import threading
from collections.abc import Sequence
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import torch
from torch import Tensor

from ..data import SpecrefError
from ..model.tokenizer import Tokenizer
from .detokenizer import StreamDetokenizer
from .engine import ServingEngine
from .engine_thread import EngineThread, PendingRequest
from .protocol import CompletionRequest, Piece, answer, parse_request
from .sequence import Event

LARGEST = 2**24  # bytes of a request's body


class CompletionServer(ThreadingHTTPServer):
    """Serves `engine` on 127.0.0.1.

    Args:
        tokenizer: None where the target has none. port: 0 takes a free one. model: the target's
            name in answers.
    Errors:
        SpecrefError when the port is in use.
    """

    daemon_threads, request_queue_size = True, 1024

    def __init__(
        self,
        engine: ServingEngine,
        tokenizer: Tokenizer | None,
        port: int = 0,
        model: str = "target",
    ):
        # before the port is bound: where that fails, server_close ends the thread
        self.engine_thread, self.tokenizer, self.model = EngineThread(engine), tokenizer, model
        try:
            super().__init__(("127.0.0.1", port), Handler)
        except OSError as error:
            raise SpecrefError(
                f"port {port} is not free ({error.strerror}): choose another, or 0 for any"
            ) from None
        self.config = engine.target.config
        self.numbers = itertools.count()
        self.scoring = threading.Lock()  # one forward of `score` at a time

    @property
    def port(self) -> int:
        return self.server_address[1]

    @torch.inference_mode()
    def score(self, tokens: Sequence[int]) -> Tensor:
        """The target's log probabilities [N-1,V] after each of N tokens but the last, at
        temperature 1 and without filters. The engine and its cache take no part.
        """
        target = self.engine_thread.engine.target
        with self.scoring:
            states = target.states(torch.tensor([tokens], device=target.device))  # [1,N,E]
            return target.logits(states)[0, :-1].double().log_softmax(-1).cpu()  # [N-1,V]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: a closed connection is no error."""

    def server_close(self) -> None:
        super().server_close()
        self.engine_thread.close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60  # seconds that a client may take to send its request
    server: CompletionServer

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
            request = parse_request(json.loads(data), self.server.tokenizer, self.server.config)
        except (ValueError, RecursionError) as error:  # SpecrefError is one
            return self.refuse(
                400,
                str(error) if isinstance(error, SpecrefError) else f"the body is no JSON ({error})",
            )
        Answering(self, request).run()

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
    """Turns the engine's events of one request into what the client is sent."""

    def __init__(self, handler: Handler, request: CompletionRequest):
        self.handler, self.request, self.server = handler, request, handler.server
        self.name = f"cmpl-{next(self.server.numbers)}"
        self.detokenizer = StreamDetokenizer(
            self.server.tokenizer,
            request.prompt,
            request.stops,
            silent=request.params.stop_ids,
            least=request.params.min_tokens,
        )
        self.text = ""
        self.distributions: list[Tensor] = []  # [V] each
        self.began = False  # whether the head of a streamed answer is sent

    def run(self) -> None:
        pending = self.server.engine_thread.submit(self.request.prompt, self.request.params)
        try:
            while not self._event(self._next(pending)):
                pass
        except OSError:  # the client is gone
            self.handler.close_connection = True
        finally:
            self.server.engine_thread.cancel(pending)

    def _next(self, pending: PendingRequest) -> Event | SpecrefError:
        """The next event, once it comes; OSError when the client is gone."""
        while True:
            try:
                return pending.events.get(timeout=0.25)
            except queue.Empty:
                if not self.handler.here():
                    raise ConnectionError from None

    def _event(self, event: Event | SpecrefError) -> bool:
        """Send what an event brought; returns whether it was the last one."""
        if isinstance(event, SpecrefError):
            self.handler.refuse(400, str(event))
            return True
        if event.error:
            self._fail(event.error)
            return True
        piece = self._read(event)
        if self.request.stream:
            self._send_piece(self._answer(piece))
        if not piece.so_far.finish_reason:
            return False
        if self.request.stream:
            self.handler.wfile.write(b"data: [DONE]\n\n")
        else:
            tokens = self.detokenizer.tokens
            scores = None
            if self.request.prompt_logprobs is not None:
                scores = self.server.score(self.request.prompt)
            whole = Piece(self.text, tokens, self.distributions, piece.so_far, scores)
            self.handler.send(200, self._answer(whole))
        return True

    def _read(self, event: Event) -> Piece:
        """The text and tokens of an event, up to the stop."""
        taken, text = self.detokenizer.take(event.tokens, event.ended)
        done = event.so_far
        if self.detokenizer.stopped:  # tokens behind the stop are neither text nor accepted
            done = replace(
                done,
                tokens=self.detokenizer.tokens,
                finish_reason="stop",
                accepted=done.accepted - event.kept + min(taken, event.kept),
            )
        distributions: list[Tensor] = []
        if event.distributions is not None:
            distributions = list(event.distributions[:taken])
        self.text += text
        self.distributions += distributions
        return Piece(text, event.tokens[:taken], distributions, done)

    def _answer(self, piece: Piece) -> dict[str, Any]:
        return answer(self.request, piece, self.server.tokenizer, self.name, self.server.model)

    def _send_piece(self, body: dict[str, Any]) -> None:
        if not self.began:
            self.began = self.handler.close_connection = True
            self.handler.send_response(200)
            self.handler.send_header("Content-Type", "text/event-stream")
            self.handler.send_header("Connection", "close")
            self.handler.end_headers()
        self.handler.wfile.write(b"data: " + json.dumps(body).encode() + b"\n\n")

    def _fail(self, message: str) -> None:
        if self.began:
            error = {"message": message, "type": "server_error", "code": 500}
            self._send_piece({"error": error})
        else:
            self.handler.refuse(500, message)
