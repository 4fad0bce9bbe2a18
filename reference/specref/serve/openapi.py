"""The server's OpenAPI 3.1 description, made from the tables that requests are read by."""

from collections.abc import Sequence
from typing import Any

from .. import __version__
from .parameters import CHAT, COMPLETION, FLOAT32, STOP_LENGTH, STOPS, Parameter
from .protocol import ROLES, ServedModel

_JSON = "application/json"
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "code"],
            "properties": {
                "message": {"type": "string", "description": "one line that names the mend"},
                "type": {"enum": ["invalid_request_error", "server_error"]},
                "code": {"type": "integer"},
            },
        }
    },
}
_REFUSALS = {
    "400": "the request is not possible",
    "403": "the client is not of this machine",
    "411": "the body has no length",
    "413": "the body is too long",
    "415": "the body is no JSON",
    "500": "this request failed",
    "503": "too many requests, or the engine has failed",
}
_COUNTS = {
    "usage": ("prompt_tokens", "completion_tokens", "total_tokens"),
    "metrics": ("target_steps", "drafted", "accepted"),
}


def description(model: ServedModel) -> dict[str, Any]:
    """The OpenAPI document of a server of this model."""
    ids = _ids(model)
    prompts = [ids | {"minItems": 1}]
    if model.tokenizer is not None:
        prompts.append({"type": "string", "minLength": 1})
    paths = {
        "/v1/completions": _post(
            "Continue a prompt.",
            _request(COMPLETION, "prompt", {"anyOf": prompts}, model),
            {"text": {"type": "string"}},
        ),
        "/health": _get("Whether requests are served.", {"status": {"const": "ok"}}),
        "/v1/models": _get(
            "The model that is served.", {"object": {"const": "list"}, "data": {"type": "array"}}
        ),
        "/openapi.json": _get("This description.", {"openapi": {"const": "3.1.0"}}),
    }
    if model.chat is not None:
        paths["/v1/chat/completions"] = _post(
            "Answer a message.",
            _request(CHAT, "messages", _messages(), model),
            {"message": {"type": "object", "required": ["role", "content"]}},
        )
    about = {"title": "specref serve", "version": __version__}
    return {"openapi": "3.1.0", "info": about, "paths": paths}


def _ids(model: ServedModel) -> dict[str, Any]:
    token = {"type": "integer", "minimum": 0, "maximum": model.config.vocab_size - 1}
    return {"type": "array", "items": token}


def _messages() -> dict[str, Any]:
    text = {"type": "string"}
    part = {
        "type": "object",
        "required": ["type", "text"],
        "additionalProperties": False,
        "properties": {"type": {"const": "text"}, "text": text},
    }
    message = {
        "type": "object",
        "required": ["role", "content"],
        "additionalProperties": False,
        "properties": {
            "role": {"enum": list(ROLES)},
            "content": {"anyOf": [text, {"type": "array", "items": part}]},
            "name": text,
        },
    }
    return {"type": "array", "minItems": 1, "items": message}


def _request(
    table: Sequence[Parameter], name: str, prompt: dict[str, Any], model: ServedModel
) -> dict[str, Any]:
    """The schema of a body."""
    stop = {"type": "string", "maxLength": STOP_LENGTH}
    stops = {"type": "array", "items": stop | {"minLength": 1}, "maxItems": STOPS}
    bias = {"type": "number", "minimum": -FLOAT32, "maximum": FLOAT32}
    properties: dict[str, Any] = {name: prompt}
    for one in table:
        properties[one.name] = one.schema()
    absent = {"type": "null"}
    properties["stop_token_ids"] = {"anyOf": [_ids(model), absent]}
    properties["stop"] = {"anyOf": [stop, stops, absent]}
    properties["logit_bias"] = {
        "type": ["object", "null"],
        "propertyNames": {"pattern": "^[0-9]{1,18}$"},
        "additionalProperties": bias,
    }
    properties["stream_options"] = {
        "type": ["object", "null"],
        "additionalProperties": False,
        "properties": {"include_usage": {"type": "boolean"}},
    }
    return {
        "type": "object",
        "required": [name],
        "properties": properties,
        "additionalProperties": False,
    }


def _post(
    summary: str, request: dict[str, Any], content: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    choice = {
        "type": "object",
        "required": ["index", "finish_reason", "logprobs", *content],
        "properties": {"finish_reason": {"enum": ["stop", "length"]}} | content,
    }
    properties: dict[str, Any] = {"choices": {"type": "array", "minItems": 1, "items": choice}}
    for name, counts in _COUNTS.items():
        count = {"type": "integer", "minimum": 0}
        properties[name] = {
            "type": "object",
            "required": list(counts),
            "properties": dict.fromkeys(counts, count),
        }
    answer = {"type": "object", "required": list(properties), "properties": properties}
    told: dict[str, Any] = {_JSON: {"schema": answer}, "text/event-stream": {"schema": {}}}
    responses = {"200": {"description": "the answer, whole or in pieces", "content": told}}
    body = {"required": True, "content": {_JSON: {"schema": request}}}
    return {
        "post": {
            "summary": summary,
            "requestBody": body,
            "responses": responses | _refusals(*_REFUSALS),
        }
    }


def _get(summary: str, properties: dict[str, Any]) -> dict[str, dict[str, Any]]:
    answer = {"type": "object", "required": list(properties), "properties": properties}
    told = {_JSON: {"schema": answer}}
    responses = {"200": {"description": summary, "content": told}}
    return {"get": {"summary": summary, "responses": responses | _refusals("403", "503")}}


def _refusals(*codes: str) -> dict[str, Any]:
    error = {_JSON: {"schema": _ERROR}}
    return {code: {"description": _REFUSALS[code], "content": error} for code in codes}
