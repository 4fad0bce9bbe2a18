"""From the engine's events of one request to what its client is sent."""

import itertools
import queue
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

from torch import Tensor

from ..data import Completion, SamplingParams, SpecrefError
from ..errors import first_line
from .answers import AnswerWriter, Piece
from .detokenizer import StreamDetokenizer
from .engine_thread import EngineThread, PendingRequest
from .protocol import CompletionRequest, ServedModel
from .sequence import Event


class Connection(Protocol):
    """The client's connection."""

    close_connection: bool  # after this answer

    def here(self) -> bool: ...

    def send(self, status: int, body: Any) -> None: ...

    def refuse(self, status: int, message: str) -> None: ...

    def stream(self, body: Any) -> None: ...


class ServerParts(Protocol):
    """What serves all connections."""

    engine_thread: EngineThread
    model: ServedModel
    numbers: "itertools.count[int]"

    def score(self, tokens: Sequence[int]) -> Tensor: ...


class WrittenChoice:
    """One choice: what was written so far."""

    def __init__(
        self, index: int, request: CompletionRequest, params: SamplingParams, model: ServedModel
    ):
        self.index, self.scored = index, request.logprobs is not None
        self.detokenizer = StreamDetokenizer(
            model.tokenizer,
            request.prompt,
            request.stops,
            silent=params.stop_ids,
            least=params.min_tokens,
        )
        self.text = ""
        self.logs: list[Tensor | None] = []  # [V] each
        self.begun = False
        self.done = Completion([], "")

    @property
    def tokens(self) -> list[int]:
        return self.detokenizer.tokens

    def read(self, event: Event) -> Piece:
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
        logs: list[Tensor | None] = []
        if self.scored and event.distributions is not None:
            logs = list(event.distributions[:taken].double().log())
        self.done, self.text = done, self.text + text
        self.logs += logs
        piece = Piece(
            self.index, text, event.tokens[:taken], done.finish_reason, not self.begun, logs
        )
        self.begun = True
        return piece

    def whole(self) -> Piece:
        return Piece(self.index, self.text, self.tokens, self.done.finish_reason, logs=self.logs)


class Answering:
    """Serves one request of one connection."""

    def __init__(self, connection: Connection, service: ServerParts, request: CompletionRequest):
        self.connection, self.service, self.request = connection, service, request
        kind = "chatcmpl" if request.chat else "cmpl"
        name = f"{kind}-{next(self.service.numbers)}"
        self.answer = AnswerWriter(request, self.service.model, name)
        events: queue.SimpleQueue[tuple[PendingRequest, Event | Exception]] = queue.SimpleQueue()
        self.events = events
        self.choices: dict[PendingRequest, WrittenChoice] = {}
        for index, params in enumerate(request.params):
            pending = PendingRequest(request.prompt, params, events)
            self.choices[pending] = WrittenChoice(index, request, params, self.service.model)
        self.began = False  # whether the head of a streamed answer is sent

    def run(self) -> None:
        """Send the answer, or the error of this request alone."""
        try:
            scores = self._scores()
            for pending in self.choices:
                self.service.engine_thread.submit(pending)
            self._serve(scores)
        except OSError:  # the client is gone
            self.connection.close_connection = True
        except SpecrefError as error:
            self._fail(400, str(error))
        except Exception as error:  # a bug of ours
            self._fail(500, f"the server failed ({first_line(error)})")
        finally:
            for pending in self.choices:
                self.service.engine_thread.cancel(pending)

    def _scores(self) -> Tensor | None:
        """[N-1,V]: the log probabilities of the prompt's tokens, where they are asked for."""
        echoed = self.request.echo and self.request.logprobs is not None
        if echoed or self.request.prompt_logprobs is not None:
            return self.service.score(self.request.prompt)
        return None

    def _serve(self, scores: Tensor | None) -> None:
        """Until every choice has ended."""
        going = set(self.choices)
        while going:
            pending, event = self._next()
            if pending not in going:
                continue  # what the engine wrote before it read that a stop had ended the text
            if isinstance(event, Exception):
                raise event
            if event.error:
                return self._fail(500, event.error)
            choice = self.choices[pending]
            piece = choice.read(event)
            if piece.reason:
                going.discard(pending)
                self.service.engine_thread.cancel(pending)
            if self.request.stream:
                self._send_part(self._finished(piece, scores), last=not going)
        done = [choice.done for choice in self.choices.values()]
        if self.request.stream:
            if self.request.usage:
                self._send_piece(self.answer.last(done))
            self.connection.stream("[DONE]")
        else:
            pieces = [self._finished(choice.whole(), scores) for choice in self.choices.values()]
            self.connection.send(200, self.answer.whole(pieces, done))

    def _next(self) -> tuple[PendingRequest, Event | Exception]:
        """The next event, once it comes; OSError when the client is gone."""
        while True:
            try:
                return self.events.get(timeout=0.25)
            except queue.Empty:
                if not self.connection.here():
                    raise ConnectionError from None

    def _finished(self, piece: Piece, scores: Tensor | None) -> Piece:
        """With what the request asks for of its prompt. scores: [N-1,V]."""
        if not piece.first:
            return piece
        request = self.request
        if request.prompt_logprobs is not None:
            piece.prompt = scores
        if request.echo:
            tokenizer = self.service.model.tokenizer
            text = " ".join(map(str, request.prompt))
            if tokenizer is not None:
                text = tokenizer.decode(request.prompt)
            piece.text = text + piece.text
            piece.tokens = request.prompt + piece.tokens
            piece.logs = [None, *(() if scores is None else scores), *piece.logs]
        return piece

    def _send_part(self, piece: Piece, last: bool) -> None:
        """last: no choice goes on."""
        body = self.answer.part(piece)
        if last and not self.request.usage:
            body |= self.answer.counts([choice.done for choice in self.choices.values()])
        self._send_piece(body)

    def _send_piece(self, body: dict[str, Any]) -> None:
        self.began = True
        self.connection.stream(body)

    def _fail(self, status: int, message: str) -> None:
        """Tell the client, in the stream where it has begun."""
        try:
            if self.began:
                kind = "server_error" if status >= 500 else "invalid_request_error"
                error = {"message": message, "type": kind, "code": status}
                self._send_piece({"error": error})
            else:
                self.connection.refuse(status, message)
        except OSError:  # the client is gone
            self.connection.close_connection = True
