"""OpenAI's requests, read: what the engine is asked, and how the answer is to look."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from ..checks import check_prompts
from ..data import SamplingParams, SpecrefError
from ..model.config import Config
from ..model.tokenizer import Tokenizer
from .parameters import (
    CHAT,
    COMPLETION,
    SAMPLING,
    read_bias,
    read_ids,
    read_parameters,
    read_stops,
    read_text,
)

# not in the tables: they are no single value
LISTS = ("stop", "stop_token_ids", "logit_bias", "stream_options")
ROLES = ("system", "user", "assistant", "developer", "tool")


@dataclass(frozen=True)
class ServedModel:
    """What a request is read for."""

    config: Config
    tokenizer: Tokenizer | None  # None where the target has none
    # messages of role and content -> the prompt as text; None where the target has no chat template
    chat: Callable[[list[dict[str, str]]], str] | None = None
    name: str = "target"  # in answers


@dataclass
class CompletionRequest:
    """One request, checked."""

    prompt: list[int]
    params: list[SamplingParams]  # one a choice
    chat: bool = False  # the answer is a message
    stops: list[str] = field(default_factory=list)
    stream: bool = False
    usage: bool = False  # a streamed answer ends with a piece that holds the usage alone
    ids: bool = False  # token ids come back
    as_ids: bool = False  # tokens are named by their ids
    logprobs: int | None = None  # alternatives to each token
    prompt_logprobs: int | None = None  # the same of each token of the prompt
    echo: bool = False  # the text begins with the prompt


def parse_completion(body: Any, model: ServedModel) -> CompletionRequest:
    """Read the body of `/v1/completions`.

    Errors:
        SpecrefError, one line that names the mend.
    """
    value = read_parameters(COMPLETION, (*LISTS, "prompt"), body)
    if (value["prompt_logprobs"] or 0) > model.config.vocab_size:
        raise SpecrefError(
            f"prompt_logprobs = {value['prompt_logprobs']} is not possible:"
            f" give 0 to {model.config.vocab_size}"
        )
    if value["stream"] and value["prompt_logprobs"] is not None:
        raise SpecrefError("prompt_logprobs does not come in pieces: leave stream out")
    request = _request(body, value, _prompt(body, model), value["max_tokens"], model)
    request.logprobs, request.echo = value["logprobs"], value["echo"]
    request.prompt_logprobs = value["prompt_logprobs"]
    return request


def parse_chat(body: Any, model: ServedModel) -> CompletionRequest:
    """Read the body of `/v1/chat/completions`.

    Errors:
        SpecrefError, one line that names the mend.
    """
    value = read_parameters(CHAT, (*LISTS, "messages"), body)
    if model.chat is None or model.tokenizer is None:
        raise SpecrefError("the target has no chat template: use /v1/completions")
    text = model.chat(_messages(body.get("messages")))
    prompt = model.tokenizer.encode(text, special=False)
    limit = value["max_completion_tokens"]
    if limit is None:
        limit = value["max_tokens"]
    if limit is None:
        limit = model.config.max_position_embeddings  # as much as the context has room for
    request = _request(body, value, prompt, limit, model)
    request.chat = True
    if value["top_logprobs"] and not value["logprobs"]:
        raise SpecrefError("top_logprobs says how many logprobs: set logprobs to true")
    if value["logprobs"]:
        request.logprobs = value["top_logprobs"]
    return request


def _request(
    body: dict[str, Any], value: dict[str, Any], prompt: list[int], limit: int, model: ServedModel
) -> CompletionRequest:
    """What both kinds of request have."""
    check_prompts([prompt], model.config.vocab_size, model.config.max_position_embeddings)
    stops = read_stops(_given(body, "stop", []))
    if stops and model.tokenizer is None:
        raise SpecrefError("stop is text and this target has no tokenizer: use stop_token_ids")
    vocabulary = model.config.vocab_size
    ends = read_ids(_given(body, "stop_token_ids", []), "stop_token_ids")
    bias = read_bias(_given(body, "logit_bias", {}))
    _check_tokens("stop_token_ids", ends, vocabulary)
    _check_tokens("logit_bias", bias, vocabulary)
    if not value["ignore_eos"]:
        ends = [*ends, *model.config.eos_token_id]
    sampling = {one.name: value[one.name] for one in SAMPLING}
    if value["min_tokens"] > limit:
        raise SpecrefError(
            f"min_tokens = {value['min_tokens']} is not possible: give at most max_tokens, {limit}"
        )
    first = SamplingParams(
        **sampling | {"top_k": max(0, value["top_k"])},
        max_new_tokens=limit,
        logit_bias=bias,
        stop_ids=tuple(ends),
    )
    return CompletionRequest(
        prompt,
        _choices(first, value["n"]),
        stops=stops,
        stream=value["stream"],
        usage=_usage(body.get("stream_options"), value["stream"]),
        ids=value["return_token_ids"],
        as_ids=value["return_tokens_as_token_ids"] or model.tokenizer is None,
    )


def _given(body: dict[str, Any], name: str, default: Any) -> Any:
    """A parameter's value; the default where it is absent or null."""
    value = body.get(name)
    return default if value is None else value


def _choices(params: SamplingParams, count: int) -> list[SamplingParams]:
    """Parameters of every choice. A seed gives each choice one of its own."""
    if params.seed is None:
        return [params] * count
    choices = []
    for number in range(count):
        seed = params.seed + number
        choices.append(replace(params, seed=seed if seed < 2**64 else seed - 2**64))
    return choices


def _check_tokens(name: str, tokens: Iterable[int], vocabulary: int) -> None:
    for token in tokens:
        if token >= vocabulary:
            raise SpecrefError(
                f"{name} names token {token}, outside 0..{vocabulary - 1}: remove it"
            )


def _usage(value: Any, stream: bool) -> bool:
    """Whether `stream_options` asks for the usage."""
    if value is None:
        return False
    if not isinstance(value, dict) or value.keys() - {"include_usage"}:
        raise SpecrefError('stream_options is not possible: give {"include_usage": true}')
    wanted = value.get("include_usage", False)
    if not isinstance(wanted, bool):
        raise SpecrefError('stream_options is not possible: give {"include_usage": true}')
    if wanted and not stream:
        raise SpecrefError(
            "stream_options is for streamed answers: an answer in one piece has its usage"
        )
    return wanted


def _prompt(body: dict[str, Any], model: ServedModel) -> list[int]:
    prompt = body.get("prompt")
    if isinstance(prompt, str):
        if model.tokenizer is None:
            raise SpecrefError(
                "this target has no tokenizer: give the prompt as a list of token ids"
            )
        return model.tokenizer.encode(read_text(prompt, "prompt"))
    if isinstance(prompt, list) and prompt and isinstance(prompt[0], (str, list)):
        raise SpecrefError(
            "several prompts in one request are not supported: send a request for each"
        )
    return read_ids(prompt, "prompt")


def _messages(value: Any) -> list[dict[str, str]]:
    """A chat's messages, each a role and a text."""
    if not isinstance(value, list) or not value:
        raise SpecrefError(
            'messages is no list of messages: give such as [{"role": "user", "content": "Hi"}]'
        )
    messages = []
    for number, one in enumerate(value):
        if not isinstance(one, dict) or one.keys() - {"role", "content", "name"}:
            raise SpecrefError(f"message {number} is not possible: give a role and a content")
        if one.get("role") not in ROLES:
            raise SpecrefError(f"the role of message {number} is not one of {', '.join(ROLES)}")
        if not isinstance(one.get("name", ""), str):
            raise SpecrefError(f"the name of message {number} is no text: leave it out")
        content = _content(one.get("content"), number)
        messages.append({"role": one["role"], "content": content})
    return messages


def _content(value: Any, number: int) -> str:
    """A message's text: one, or the texts of its parts."""
    parts = [{"type": "text", "text": value}] if isinstance(value, str) else value
    if not isinstance(parts, list):
        raise SpecrefError(f"the content of message {number} is no text: give one")
    texts = []
    for part in parts:
        known = isinstance(part, dict) and part.keys() == {"type", "text"}
        if not known or part["type"] != "text" or not isinstance(part["text"], str):
            raise SpecrefError(f"the content of message {number} is no text: give texts alone")
        texts.append(read_text(part["text"], f"message {number}"))
    return "".join(texts)
