"""An OpenAI-compatible server on loopback: `/v1/completions`, `/v1/chat/completions`, `/v1/models`,
`/health`, and its own description, `/openapi.json`.

Each connection has a thread, and the engine has one. When a client closes its connection, its
request is cancelled. Only programs of this machine are served: a browser's page of another origin
is refused, and so is a name that does not mean this machine.
"""

import itertools
import json
import re
import select
import socket
import threading
import time
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import torch
from torch import Tensor

from ..data import SpecrefError
from ..errors import first_line, shortened
from ..model.tokenizer import Tokenizer
from .answering import Answering
from .engine import ServingEngine
from .engine_thread import EngineThread
from .openapi import description
from .protocol import CompletionRequest, ServedModel, parse_chat, parse_completion

LARGEST_BODY = 2**24  # bytes of a request's body
AT_ONCE = 1024  # requests that are served or wait
WORD = 5.0  # seconds that clients have to read the last word when the server ends
_LOCAL = r"(127\.0\.0\.1|localhost|\[::1\])(:[0-9]+)?"
_POSTS: dict[str, Callable[[Any, ServedModel], CompletionRequest]] = {
    "/v1/completions": parse_completion,
    "/v1/chat/completions": parse_chat,
}
_METHODS = {
    **dict.fromkeys(_POSTS, "POST"),
    **dict.fromkeys(("/v1/models", "/health", "/openapi.json"), "GET"),
}


class CompletionServer(ThreadingHTTPServer):
    """Serves `engine` on 127.0.0.1.

    Args:
        tokenizer: None where the target has none. port: 0 takes a free one. model: the target's
            name in answers. chat: messages -> the prompt as text, where the target has a template.
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
        chat: Callable[[list[dict[str, str]]], str] | None = None,
    ):
        # before the port is bound: where that fails, server_close ends the thread
        self.engine_thread = EngineThread(engine, self.stop)
        self.model = ServedModel(engine.target.config, tokenizer, chat, model)
        self.answering: set[Answering] = set()
        try:
            super().__init__(("127.0.0.1", port), Handler)
        except OSError as error:
            raise SpecrefError(
                f"port {port} is not free ({error.strerror}): choose another, or 0 for any"
            ) from None
        self.description = description(self.model)
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

    def stop(self) -> None:
        """End `serve_forever`; from any thread, and from a signal's handler."""
        threading.Thread(target=self.shutdown, daemon=True).start()

    def server_close(self) -> None:
        """Take no more requests, and tell those that wait that nothing more will come."""
        super().server_close()
        self.engine_thread.close()
        end = time.monotonic() + WORD
        while self.answering and time.monotonic() < end:
            time.sleep(0.01)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60  # seconds that a client may take to send its request
    server: CompletionServer
    streams = False  # whether the head of a streamed answer is sent

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        if self._body("0") is None or not self._admitted("GET"):
            return
        failure = self.server.engine_thread.failure
        if self.path == "/v1/models":
            models = [{"id": self.server.model.name, "object": "model"}]
            self.send(200, {"object": "list", "data": models})
        elif self.path == "/openapi.json":
            self.send(200, self.server.description)
        elif failure:
            self.send(503, {"status": "failed", "error": failure})
        else:
            self.send(200, {"status": "ok"})

    def do_POST(self) -> None:
        data = self._body()
        if data is None or not self._admitted("POST"):
            return
        kind = self.headers.get("Content-Type", "application/json").split(";")[0].strip().lower()
        if kind != "application/json":
            return self.refuse(415, f"Content-Type is {shortened(kind)}: send application/json")
        try:
            request = _POSTS[self.path](_json(data), self.server.model)
        except SpecrefError as error:
            return self.refuse(400, str(error))
        except Exception as error:  # a bug of ours
            return self.refuse(500, f"the server failed ({first_line(error)})")
        answering = Answering(self, self.server, request)
        if len(self.server.answering) >= AT_ONCE:
            return self.refuse(
                503, f"{AT_ONCE} requests are being served: try again later", ("Retry-After", "1")
            )
        self.server.answering.add(answering)
        try:
            answering.run()
        finally:
            self.server.answering.discard(answering)

    def _body(self, absent: str = "") -> bytes | None:
        """The body; None where its length is not known or too great, which is told. It is read
        whatever is asked: the next request begins behind it.

        Args:
            absent: the length of a body that says none.
        """
        length = self.headers.get("Content-Length", absent)
        known = re.fullmatch("[0-9]{1,18}", length) is not None
        known = known and "Transfer-Encoding" not in self.headers
        if known and int(length) <= LARGEST_BODY:
            return self.rfile.read(int(length))
        self.close_connection = True  # where the next request begins is not known
        self.refuse(413 if known else 411, f"send a Content-Length of at most {LARGEST_BODY} bytes")
        return None

    def _admitted(self, method: str) -> bool:
        """Whether this path has the method, and the client may ask; else it is told."""
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        if not re.fullmatch(_LOCAL, host):
            self.refuse(403, f"Host is {shortened(host)}: ask for localhost or 127.0.0.1")
        elif origin is not None and not re.fullmatch(f"https?://{_LOCAL}", origin):
            self.refuse(403, f"Origin is {shortened(origin)}: only this machine is served")
        elif self.path not in _METHODS:
            paths = ", ".join(f"{verb} {path}" for path, verb in _METHODS.items())
            self.refuse(404, f"there is no {shortened(self.path)}: use {paths}")
        elif _METHODS[self.path] != method:
            allowed = _METHODS[self.path]
            self.refuse(405, f"use {allowed} for {self.path}", ("Allow", allowed))
        else:
            return True
        return False

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What is no HTTP request, or has another method, is told as JSON too."""
        self.close_connection = True
        if code == 501:
            self._admitted("")  # tells which method the path has
        else:
            self.request_version = self.protocol_version  # else there would be no head
            self.refuse(code, message or self.responses[code][0])

    def send(self, status: int, body: Any, *headers: tuple[str, str]) -> None:
        data = json.dumps(body, allow_nan=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers:
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def stream(self, body: Any) -> None:
        """Send one event of a stream; the first one sends the head too."""
        if not self.streams:
            self.streams = self.close_connection = True
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
        data = body if isinstance(body, str) else json.dumps(body, allow_nan=False)
        self.wfile.write(f"data: {data}\n\n".encode())

    def refuse(self, status: int, message: str, *headers: tuple[str, str]) -> None:
        kind = "server_error" if status >= 500 else "invalid_request_error"
        error = {"message": message, "type": kind, "code": status}
        self.send(status, {"error": error}, *headers)

    def here(self) -> bool:
        """Whether the client is still there."""
        ready, _, _ = select.select([self.connection], [], [], 0)
        return not ready or bool(self.connection.recv(1, socket.MSG_PEEK))


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise SpecrefError(f"the body is no JSON ({first_line(error)})") from None
