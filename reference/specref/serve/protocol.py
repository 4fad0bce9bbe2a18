"""OpenAI's completion requests and answers, as JSON objects."""

import time
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..checks import check_prompts
from ..data import Completion, SamplingParams, SpecrefError
from ..model.config import Config
from ..model.tokenizer import Tokenizer

# name -> (types, what is given where it is absent)
NUMBERS: dict[str, tuple[tuple[type, ...], Any]] = {
    "max_tokens": ((int,), 16),
    "temperature": ((int, float), 1.0),
    "top_k": ((int,), 0),
    "top_p": ((int, float), 1.0),
    "min_p": ((int, float), 0.0),
    "repetition_penalty": ((int, float), 1.0),
    "presence_penalty": ((int, float), 0.0),
    "frequency_penalty": ((int, float), 0.0),
    "min_tokens": ((int,), 0),
    "seed": ((int,), None),
    "logprobs": ((int,), None),
    "prompt_logprobs": ((int,), None),
}
FLAGS = ("stream", "ignore_eos", "return_token_ids", "return_tokens_as_token_ids")
FIXED = {"n": 1, "best_of": 1, "echo": False, "suffix": None}  # known, and only so
REST = {"prompt", "stop", "stop_token_ids", "logit_bias", "model", "user", "stream_options"}


@dataclass
class CompletionRequest:
    """One request, checked."""

    prompt: list[int]
    params: SamplingParams
    stops: list[str] = field(default_factory=list)
    stream: bool = False
    ids: bool = False  # token ids come back
    as_ids: bool = False  # tokens are named by their ids
    logprobs: int | None = None  # alternatives to each token
    prompt_logprobs: int | None = None  # the same of each token of the prompt


def parse_request(body: Any, tokenizer: Tokenizer | None, config: Config) -> CompletionRequest:
    """Read a request's body.

    Args:
        tokenizer: None where the target has none. config: the target's.
    Errors:
        SpecrefError, one line that names the mend.
    """
    if not isinstance(body, dict):
        raise SpecrefError(
            'the body is no JSON object: send one, such as {"prompt": "def ", "max_tokens": 16}'
        )
    unknown = sorted(body.keys() - NUMBERS.keys() - set(FLAGS) - FIXED.keys() - REST)
    if unknown:
        raise SpecrefError(f"{unknown[0]} is not a parameter of this server: remove it")
    for name, only in FIXED.items():
        if body.get(name) not in (None, only) or (
            body.get(name) is not None and type(body[name]) is not type(only)
        ):
            raise SpecrefError(
                f"{name} = {body[name]!r} is not supported, only {only!r}: leave it out"
            )
    value = {
        name: _number(body, name, types, default) for name, (types, default) in NUMBERS.items()
    }
    flag = {name: _flag(body, name) for name in FLAGS}
    logprobs, seed = value.pop("logprobs"), value["seed"]
    if logprobs is not None and not 0 <= logprobs <= 20:
        raise SpecrefError(f"logprobs = {logprobs} is not possible: give 0 to 20")
    scored = value.pop("prompt_logprobs")
    _check_scored(scored, flag["stream"], config.vocab_size)
    if seed is not None and not -(2**63) <= seed < 2**64:
        raise SpecrefError(f"seed = {seed} is not possible: give one of 64 bits")
    stops = body.get("stop") or []
    stops = [stops] if isinstance(stops, str) else stops
    if not isinstance(stops, list) or not all(isinstance(stop, str) and stop for stop in stops):
        raise SpecrefError(
            "stop is no text and no list of texts: give one, or stop_token_ids for ids"
        )
    if stops and tokenizer is None:
        raise SpecrefError("stop is text and this target has no tokenizer: use stop_token_ids")
    ids = _ids(body.get("stop_token_ids") or [], "stop_token_ids")
    params = SamplingParams(
        max_new_tokens=value.pop("max_tokens"),
        top_k=max(0, value.pop("top_k")),
        logit_bias=_bias(body.get("logit_bias") or {}),
        stop_ids=(*ids, *(() if flag["ignore_eos"] else config.eos_token_id)),
        **value,
    )
    prompt = _prompt(body, tokenizer)
    check_prompts([prompt], config.vocab_size, config.max_position_embeddings)
    return CompletionRequest(
        prompt,
        params,
        stops,
        flag["stream"],
        flag["return_token_ids"],
        flag["return_tokens_as_token_ids"] or tokenizer is None,
        logprobs,
        scored,
    )


def _check_scored(count: int | None, stream: bool, vocabulary: int) -> None:
    if count is None:
        return
    if not 0 <= count <= vocabulary:
        raise SpecrefError(f"prompt_logprobs = {count} is not possible: give 0 to {vocabulary}")
    if stream:
        raise SpecrefError("prompt_logprobs does not come in pieces: leave stream out")


def _number(body: dict[str, Any], name: str, types: tuple[type, ...], default: Any) -> Any:
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, types):
        raise SpecrefError(
            f"{name} = {value!r} is not possible: give"
            f" {'a number' if float in types else 'an integer'}"
        )
    return value


def _flag(body: dict[str, Any], name: str) -> bool:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise SpecrefError(f"{name} = {value!r} is not possible: give true or false")
    return bool(value)


def _ids(value: Any, name: str) -> list[int]:
    if not isinstance(value, list) or not all(
        isinstance(token, int) and not isinstance(token, bool) for token in value
    ):
        raise SpecrefError(f"{name} is no list of token ids: give integers")
    return value


def _bias(value: Any) -> dict[int, float]:
    try:
        return {int(token): float(bias) for token, bias in value.items()}
    except (AttributeError, TypeError, ValueError):
        raise SpecrefError(
            'logit_bias is no object of token ids and numbers: give such as {"12": -100}'
        ) from None


def _prompt(body: dict[str, Any], tokenizer: Tokenizer | None) -> list[int]:
    prompt = body.get("prompt")
    if isinstance(prompt, str):
        if tokenizer is None:
            raise SpecrefError(
                "this target has no tokenizer: give the prompt as a list of token ids"
            )
        return tokenizer.encode(prompt)
    if isinstance(prompt, list) and prompt and not isinstance(prompt[0], int):
        raise SpecrefError(
            "several prompts in one request are not supported: send a request for each"
        )
    return _ids(prompt, "prompt")


@dataclass
class Piece:
    """What an answer holds, or one part of a streamed answer."""

    text: str
    tokens: list[int]
    distributions: list[Tensor]  # [V] each: that of every token
    so_far: Completion  # counts and finish reason of the request
    # [N-1,V] log probabilities of the prompt's tokens but the first, where they are asked for
    prompt: Tensor | None = None


def answer(
    request: CompletionRequest, piece: Piece, tokenizer: Tokenizer | None, name: str, model: str
) -> dict[str, Any]:
    """The JSON object of an answer, or of one part of a streamed one.

    Args:
        tokenizer: None where the target has none. name: the answer's id. model: the target's name.
    """
    done = piece.so_far
    choice: dict[str, Any] = {
        "index": 0,
        "text": piece.text,
        "finish_reason": done.finish_reason or None,
        "logprobs": None,
    }
    if request.ids:
        choice["token_ids"] = piece.tokens
    if request.logprobs is not None:
        choice["logprobs"] = _logprobs(request, piece, tokenizer)
    if piece.prompt is not None:
        choice["prompt_logprobs"] = _prompt_logprobs(request, piece.prompt, tokenizer)
    result = {
        "id": name,
        "object": "text_completion",
        "created": int(time.time()),
        "model": model,
        "choices": [choice],
    }
    if done.finish_reason:
        count = len(done.tokens)
        result["usage"] = {
            "prompt_tokens": len(request.prompt),
            "completion_tokens": count,
            "total_tokens": len(request.prompt) + count,
        }
        result["metrics"] = {
            "target_steps": done.target_steps,
            "drafted": done.drafted,
            "accepted": done.accepted,
        }
    return result


def _logprobs(
    request: CompletionRequest, piece: Piece, tokenizer: Tokenizer | None
) -> dict[str, list[Any]]:
    """The logprobs of a piece's tokens, and of as many alternatives as the request asks for."""

    def name(token: int) -> str:
        """Its text; its id where that is asked for, or where it is no text on its own."""
        text = "\ufffd"
        if tokenizer is not None and not request.as_ids:
            text = tokenizer.decode([token])
        return f"token_id:{token}" if "\ufffd" in text else text

    token_logprobs, top_logprobs = [], []
    for token, distribution in zip(piece.tokens, piece.distributions, strict=True):
        token_logprobs.append(_log(distribution, token))
        alternatives = {}
        for other in distribution.topk(request.logprobs or 0).indices.tolist():
            if distribution[other] > 0:
                alternatives[name(other)] = _log(distribution, other)
        top_logprobs.append(alternatives)
    return {
        "tokens": [name(token) for token in piece.tokens],
        "token_logprobs": token_logprobs,
        "top_logprobs": top_logprobs,
    }


def _prompt_logprobs(
    request: CompletionRequest, logs: Tensor, tokenizer: Tokenizer | None
) -> list[dict[str, dict[str, Any]] | None]:
    """vLLM's form: nothing for the first token, then a table by id of the likeliest tokens and of
    the token itself. logs: [N-1,V].
    """
    tokens = torch.tensor(request.prompt[1:])  # [N-1]
    own = logs.gather(1, tokens[:, None])  # [N-1,1]
    ranks = (logs > own).sum(1) + 1  # [N-1]
    best = logs.topk(request.prompt_logprobs or 0)  # [N-1,k]
    given: list[dict[str, dict[str, Any]] | None] = [None]
    for place, token in enumerate(tokens.tolist()):
        pairs = zip(best.indices[place].tolist(), best.values[place].tolist(), strict=True)
        table = {}
        for rank, (other, value) in enumerate(pairs, 1):
            table[str(other)] = _scored(other, value, rank, tokenizer)
        if str(token) not in table:
            table[str(token)] = _scored(token, float(own[place]), int(ranks[place]), tokenizer)
        given.append(table)
    return given


def _scored(token: int, value: float, rank: int, tokenizer: Tokenizer | None) -> dict[str, Any]:
    text = None if tokenizer is None else tokenizer.decode([token])
    return {"logprob": value, "rank": rank, "decoded_token": text}


def _log(distribution: Tensor, token: int) -> float:
    return float(distribution[token].double().log())
