"""The two dialects that servers of completions speak, as one: a question asked, an answer read.

OpenAI     POST /v1/completions, as vLLM, SGLang and many others serve it; ids come back where
           `return_token_ids` or `return_tokens_as_token_ids` is known
llama.cpp  POST /completion; ids go in and come out
"""

import json
import math
from dataclasses import dataclass, field, replace
from typing import Any

from .client import Client, RefusedError, shown
from .session import MisbehavedError

Prompt = str | tuple[int, ...]
_Key = int | str  # a token by its id where ids come back, else by its text


@dataclass(frozen=True)
class Ask:
    """One request. seed None: none is sent. logprobs: of each token, and of so many alternatives.
    more: other parameters, by their names in OpenAI's dialect and its common extensions (top_k,
    top_p, min_p, logit_bias ..)."""

    prompt: Prompt
    max_tokens: int = 16
    temperature: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    logprobs: int | None = None
    more: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        parts = {
            "temperature": f"{self.temperature:g}",
            "max_tokens": self.max_tokens,
            "seed": self.seed,
            "stop": self.stop or None,
            **self.more,
        }
        return f"prompt {self.prompt}" + "".join(
            f", {name} {value}" for name, value in parts.items() if value is not None
        )

    def but(self, **changes: Any) -> "Ask":
        return replace(self, **changes)


@dataclass(frozen=True)
class Answer:
    """What came back. finish: "stop", "length", or the server's own word."""

    text: str
    tokens: tuple[int, ...] | None
    finish: str
    count: int | None = None  # completion tokens, as the server counts them
    drafted: int | None = None
    accepted: int | None = None
    logprobs: tuple[float, ...] | None = None
    tops: tuple[dict[_Key, float], ...] | None = None  # the alternatives' at each token
    prompt: tuple[int, ...] | None = None  # what the server made of a message, where it says so


class OpenAI:
    """`/v1/completions`. ids: how token ids come back, "" where they don't."""

    name, path = "OpenAI /v1/completions", "/v1/completions"
    ids: str = ""

    def __init__(self, model: str = ""):
        self.model = model

    def body(self, ask: Ask) -> dict[str, Any]:
        body: dict[str, Any] = {
            "prompt": list(ask.prompt) if isinstance(ask.prompt, tuple) else ask.prompt,
            "max_tokens": ask.max_tokens,
            "temperature": ask.temperature,
            **ask.more,
        }
        if self.model:
            body["model"] = self.model
        if ask.seed is not None:
            body["seed"] = ask.seed
        if ask.stop:
            body["stop"] = list(ask.stop)
        if ask.logprobs is not None:
            body["logprobs"] = ask.logprobs
        if self.ids == "return_token_ids":
            body["return_token_ids"] = True
        elif self.ids:
            body.setdefault("logprobs", 1)
        if self.ids and "logprobs" in body:
            body["return_tokens_as_token_ids"] = True
        return body

    def read(self, data: Any) -> Answer:
        choice = _field(data, "choices", list)[0]
        text = _field(choice, "text", str)
        usage = data.get("usage") or {}
        detail = usage.get("completion_tokens_details") or {}
        timings = data.get("timings") or choice.get("metrics") or data.get("metrics") or {}
        accepted = _count(timings, "draft_n_accepted", "accepted") or _count(
            detail, "accepted_prediction_tokens"
        )
        drafted = _count(timings, "draft_n", "drafted")
        if drafted is None and (missed := _count(detail, "rejected_prediction_tokens")) is not None:
            drafted = missed + (accepted or 0)
        logprobs = choice.get("logprobs") or {}
        named = [_key(token) for token in logprobs.get("tokens") or ()]
        tokens = choice.get("token_ids")
        if (
            tokens is None
            and self.ids
            and "tokens" in logprobs
            and all(isinstance(key, int) for key in named)
        ):
            tokens = named
        values = logprobs.get("token_logprobs")
        tops = logprobs.get("top_logprobs")
        return Answer(
            text,
            _ids(tokens),
            str(choice.get("finish_reason")),
            _count(usage, "completion_tokens"),
            drafted,
            accepted,
            None if values is None else tuple(map(_number, values)),
            None if tops is None else tuple(map(_by_key, tops)),
        )

    def joined(self, events: list[Any]) -> Answer:
        """A streamed answer as one."""
        parts = [self.read(event) for event in events if event.get("choices")]
        if not parts:
            raise MisbehavedError("the stream ends without a piece of text")
        return _joined(parts)


class LlamaCpp:
    """`/completion`. Temperature comes last, as in the usual order; llama.cpp has other samplers on
    by itself.
    """

    name, path, ids = "llama.cpp /completion", "/completion", "tokens"

    def body(self, ask: Ask) -> dict[str, Any]:
        more = dict(ask.more)
        if "repetition_penalty" in more:
            more["repeat_penalty"] = more.pop("repetition_penalty")
        if "logit_bias" in more:
            more["logit_bias"] = [[int(token), bias] for token, bias in more["logit_bias"].items()]
        penalised = "penalties" in more or any("penalty" in key for key in more)
        samplers = ["penalties"] if penalised else []
        samplers += [name for name in ("top_k", "top_p", "min_p") if name in more]
        return {
            "prompt": list(ask.prompt) if isinstance(ask.prompt, tuple) else ask.prompt,
            "n_predict": ask.max_tokens,
            "temperature": ask.temperature,
            "return_tokens": True,
            "samplers": [*samplers, "temperature"],
            "top_k": 0,
            "top_p": 1.0,
            "min_p": 0.0,
            **more,
            **({} if ask.seed is None else {"seed": ask.seed}),
            **({"stop": list(ask.stop)} if ask.stop else {}),
            **({} if ask.logprobs is None else {"n_probs": max(ask.logprobs, 1)}),
        }

    def read(self, data: Any) -> Answer:
        text = _field(data, "content", str)
        ended = data.get("stop_type")
        stopped = ended in ("eos", "word") or data.get("stopped_eos") or data.get("stopped_word")
        timings = data.get("timings") or {}
        steps = data.get("completion_probabilities")
        return Answer(
            text,
            _ids(data.get("tokens")),
            "stop" if stopped else "length",
            _count(data, "tokens_predicted"),
            _count(timings, "draft_n"),
            _count(timings, "draft_n_accepted"),
            None if steps is None else tuple(_number(step.get("logprob")) for step in steps),
            None if steps is None else tuple(map(_by_id, steps)),
        )

    def joined(self, events: list[Any]) -> Answer:
        if not events:
            raise MisbehavedError("the stream ends without a piece of text")
        return _joined([self.read(event) for event in events])


Dialect = OpenAI | LlamaCpp


def detect(client: Client, model: str = "") -> Dialect:
    """Which dialect a server speaks, and how ids come back.

    Errors:
        MisbehavedError where it speaks neither.
    """
    llama = LlamaCpp()
    refused: list[str] = []
    if not client.prefix.endswith("/v1"):
        for prompt in ("a", (1,)):
            try:
                data = client.post(llama.path, llama.body(Ask(prompt, 1)))
                if isinstance(data, dict) and isinstance(data.get("content"), str):
                    return llama
            except RefusedError as error:
                refused.append(str(error))
                if error.status in (404, 405):
                    break
    else:
        client.prefix = client.prefix.removesuffix("/v1")
    dialect = OpenAI(model or _first_model(client))
    for ids in ("return_token_ids", "return_tokens_as_token_ids", ""):
        dialect.ids = ids
        for prompt in ("a", (1,)):
            try:
                answer = dialect.read(client.post(dialect.path, dialect.body(Ask(prompt, 1, 0.0))))
                if answer.tokens is not None or not ids:
                    return dialect
            except RefusedError as error:
                refused.append(str(error))
    raise MisbehavedError(
        f"{client.url} takes neither of the dialects' requests:"
        f" {refused[-1] if refused else 'no answer'}"
    )


def _first_model(client: Client) -> str:
    try:
        return str(json.loads(client.get("/v1/models"))["data"][0]["id"])
    except (MisbehavedError, ValueError, KeyError, IndexError, TypeError):
        return ""  # many servers want no name


def _joined(parts: list[Answer]) -> Answer:
    last = parts[-1]
    tokens = (
        None
        if any(p.tokens is None for p in parts)
        else tuple(t for p in parts for t in p.tokens or ())
    )
    finish = next((p.finish for p in reversed(parts) if p.finish != "None"), last.finish)
    return replace(last, text="".join(p.text for p in parts), tokens=tokens, finish=finish)


def _field(data: Any, name: str, kind: type) -> Any:
    value = data.get(name) if isinstance(data, dict) else None
    if not isinstance(value, kind) or (kind is list and not value):
        raise MisbehavedError(f"the answer has no {name}: {shown(json.dumps(data))}")
    return value


def _count(data: Any, *names: str) -> int | None:
    """The first of these that is there; counts below 0 or in fractions are not counts."""
    for name in names:
        if isinstance(data, dict) and data.get(name) is not None:
            value = data[name]
            if (
                isinstance(value, bool)
                or not isinstance(value, int | float)
                or value < 0
                or value != int(value)
            ):
                raise MisbehavedError(f"the answer's {name} is {value!r}: give a count")
            return int(value)
    return None


def _ids(tokens: Any) -> tuple[int, ...] | None:
    if tokens is None:
        return None
    if not isinstance(tokens, list) or not all(
        isinstance(t, int) and not isinstance(t, bool) and t >= 0 for t in tokens
    ):
        raise MisbehavedError(
            f"the answer's token ids are {shown(tokens)}: give integers of 0 or more"
        )
    return tuple(tokens)


def _key(token: Any) -> _Key:
    text = str(token)
    return int(text[9:]) if text.startswith("token_id:") and text[9:].isdigit() else text


def _by_key(top: dict[str, Any] | None) -> dict[_Key, float]:
    """The likeliest tokens' log probabilities, as /v1/completions writes them."""
    return {_key(token): _number(value) for token, value in (top or {}).items()}


def _by_id(step: dict[str, Any]) -> dict[_Key, float]:
    """The likeliest tokens' log probabilities, as llama.cpp writes them."""
    return {top["id"]: _number(top.get("logprob")) for top in step.get("top_logprobs") or ()}


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
