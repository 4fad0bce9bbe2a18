"""The JSON of answers: OpenAI's text completions and chat completions, whole and in pieces.

Beyond OpenAI's fields, a choice has `token_ids` and vLLM's `prompt_logprobs` where the request asks
for them, and the end of an answer has `metrics`: target steps, drafted and accepted tokens.
"""

import time
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..data import Completion
from ..model.tokenizer import Tokenizer
from .protocol import CompletionRequest, ServedModel

LEAST_LOG = (
    -9999.0
)  # stands for the log probability of what is impossible, which JSON has not; as vLLM


@dataclass
class Piece:
    """What one choice holds, or one part of it in a streamed answer."""

    index: int  # of the choice
    text: str
    tokens: list[int]
    reason: str  # why it ended; empty while it goes on
    first: bool = True  # nothing of this choice came before
    # [V] each: the log probabilities after the tokens before, of each token; None of a prompt's
    # first token
    logs: list[Tensor | None] = field(default_factory=list)
    # [N-1,V]: of the prompt's tokens but the first, where `prompt_logprobs` asks for them
    prompt: Tensor | None = None


class AnswerWriter:
    """Writes the JSON of one request's answer.

    Args:
        name: the answer's id.
    """

    def __init__(self, request: CompletionRequest, model: ServedModel, name: str):
        self.request, self.model, self.name = request, model, name
        self.created = int(time.time())

    def whole(self, pieces: list[Piece], done: list[Completion]) -> dict[str, Any]:
        """The answer that is not streamed. pieces, done: one a choice."""
        choices = [self._choice(piece, "message") for piece in pieces]
        return self._object("chat.completion", choices) | self.counts(done)

    def part(self, piece: Piece) -> dict[str, Any]:
        """One part of a streamed answer."""
        return self._object("chat.completion.chunk", [self._choice(piece, "delta")])

    def last(self, done: list[Completion]) -> dict[str, Any]:
        """The part that holds the usage alone."""
        return self._object("chat.completion.chunk", []) | self.counts(done)

    def counts(self, done: list[Completion]) -> dict[str, Any]:
        """Usage and metrics. The prompt counts once, whatever the number of choices."""
        prompt, written = len(self.request.prompt), sum(len(one.tokens) for one in done)
        return {
            "usage": {
                "prompt_tokens": prompt,
                "completion_tokens": written,
                "total_tokens": prompt + written,
            },
            "metrics": {
                "target_steps": sum(one.target_steps for one in done),
                "drafted": sum(one.drafted for one in done),
                "accepted": sum(one.accepted for one in done),
            },
        }

    def _object(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self.name,
            "object": kind if self.request.chat else "text_completion",
            "created": self.created,
            "model": self.model.name,
            "choices": choices,
        }

    def _choice(self, piece: Piece, place: str) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": piece.index}
        if self.request.chat:
            said = {"content": piece.text}
            choice[place] = {"role": "assistant"} | said if piece.first else said
        else:
            choice["text"] = piece.text
        choice["finish_reason"] = piece.reason or None
        choice["logprobs"] = None
        if self.request.ids:
            choice["token_ids"] = piece.tokens
        if self.request.logprobs is not None:
            table = self._chat_logprobs if self.request.chat else self._logprobs
            choice["logprobs"] = table(piece)
        if piece.prompt is not None:
            choice["prompt_logprobs"] = self._prompt_logprobs(piece.prompt)
        return choice

    def _name(self, token: int) -> str:
        """Its text; its id where that is asked for, or where it is no text on its own."""
        text = "\ufffd"
        if self.model.tokenizer is not None and not self.request.as_ids:
            text = self.model.tokenizer.decode([token])
        return f"token_id:{token}" if "\ufffd" in text else text

    def _alternatives(self, logs: Tensor) -> list[tuple[int, float]]:
        """The likeliest possible tokens with their log probabilities, as many as are asked for.
        logs: [V].
        """
        count = min(self.request.logprobs or 0, len(logs))
        best = logs.topk(count)
        tokens, values = best.indices.tolist(), best.values.tolist()
        pairs = zip(tokens, values, strict=True)
        return [(token, value) for token, value in pairs if value > -torch.inf]

    def _logprobs(self, piece: Piece) -> dict[str, list[Any]]:
        own: list[float | None] = []
        top: list[dict[str, float] | None] = []
        for token, logs in zip(piece.tokens, piece.logs, strict=True):
            if logs is None:
                own.append(None)
                top.append(None)
                continue
            own.append(_finite(logs[token]))
            alternatives = {}
            for other, value in self._alternatives(logs):
                alternatives[self._name(other)] = value
            top.append(alternatives)
        names = [self._name(token) for token in piece.tokens]
        return {
            "tokens": names,
            "token_logprobs": own,
            "top_logprobs": top,
        }

    def _chat_logprobs(self, piece: Piece) -> dict[str, list[Any]]:
        content = []
        for token, logs in zip(piece.tokens, piece.logs, strict=True):
            assert logs is not None  # a chat's answer does not begin with the prompt
            said = self._named(token, _finite(logs[token]))
            said["top_logprobs"] = []
            for other, value in self._alternatives(logs):
                said["top_logprobs"].append(self._named(other, value))
            content.append(said)
        return {"content": content}

    def _named(self, token: int, value: float) -> dict[str, Any]:
        """A token as chat completions name it."""
        text = "" if self.model.tokenizer is None else self.model.tokenizer.decode([token])
        known = None if "\ufffd" in text else list(text.encode())
        return {
            "token": self._name(token),
            "logprob": value,
            "bytes": known,
        }

    def _prompt_logprobs(self, logs: Tensor) -> list[dict[str, dict[str, Any]] | None]:
        """vLLM's form: nothing for the first token, then a table by id of the likeliest tokens and
        of the token itself. logs: [N-1,V].
        """
        tokens = torch.tensor(self.request.prompt[1:])  # [N-1]
        own = logs.gather(1, tokens[:, None])  # [N-1,1]
        ranks = (logs > own).sum(1) + 1  # [N-1]
        best = logs.topk(self.request.prompt_logprobs or 0)  # [N-1,k]
        tokenizer = self.model.tokenizer
        given: list[dict[str, dict[str, Any]] | None] = [None]
        for place, token in enumerate(tokens.tolist()):
            table = {}
            others, values = best.indices[place].tolist(), best.values[place].tolist()
            for rank, other in enumerate(others, 1):
                value = max(values[rank - 1], LEAST_LOG)
                table[str(other)] = _scored(other, value, rank, tokenizer)
            if str(token) not in table:
                value, rank = _finite(own[place]), int(ranks[place])
                table[str(token)] = _scored(token, value, rank, tokenizer)
            given.append(table)
        return given


def _finite(value: Tensor) -> float:
    return max(float(value), LEAST_LOG)


def _scored(token: int, value: float, rank: int, tokenizer: Tokenizer | None) -> dict[str, Any]:
    text = None if tokenizer is None else tokenizer.decode([token])
    return {
        "logprob": value,
        "rank": rank,
        "decoded_token": text,
    }
