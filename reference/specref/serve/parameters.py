"""The parameters of a request, as one table: what a request is read by and what the OpenAPI
description says.

The names are OpenAI's; those that it lacks are vLLM's. A parameter that is null is absent.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import SpecrefError, shortened

FLOAT32 = 3.4028234663852886e38  # the largest
STOPS, STOP_LENGTH = 16, 256  # stops of a request; characters of one

_NAMES = {
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "string": "a text",
    "null": "nothing",
}
_TYPES: dict[str, Any] = {
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "string": (str,),
    "null": (),
}


@dataclass(frozen=True)
class Parameter:
    """A parameter that is one number, text or truth value.

    kind: its JSON type. default: what it is where it is absent. limits: JSON Schema's words
    `minimum`, `maximum` and `exclusiveMinimum`.
    """

    name: str
    kind: str
    default: Any
    meaning: str
    limits: dict[str, float] = field(default_factory=dict)

    def read(self, body: dict[str, Any]) -> Any:
        """Its value in a request's body.

        Errors:
            SpecrefError for another type, or a value outside the limits.
        """
        value = body.get(self.name)
        if value is None:
            return self.default
        if isinstance(value, float) and self.kind == "integer" and value.is_integer():
            value = int(value)  # as in JSON Schema
        if not self._holds(value):
            raise SpecrefError(
                f"{self.name} = {shortened(value)} is not possible: give {self.wanted}"
            )
        return value

    def _holds(self, value: Any) -> bool:
        """Whether it has the type and lies within the limits. NaN lies within none."""
        if not isinstance(value, _TYPES[self.kind]):
            return False
        if isinstance(value, bool):
            return self.kind == "boolean"
        if isinstance(value, str):
            return True
        least = self.limits.get("minimum", -FLOAT32)
        most = self.limits.get("maximum", FLOAT32)
        return least <= value <= most and value > self.limits.get("exclusiveMinimum", -math.inf)

    @property
    def wanted(self) -> str:
        """The values that are possible, in words."""
        said = [_NAMES[self.kind]]
        if "exclusiveMinimum" in self.limits:
            said.append(f"above {self.limits['exclusiveMinimum']}")
        if "minimum" in self.limits:
            said.append(f"from {self.limits['minimum']}")
        if "maximum" in self.limits:
            said.append(f"to {self.limits['maximum']}")
        return " ".join(said)

    def schema(self) -> dict[str, Any]:
        """It as JSON Schema."""
        limits: dict[str, Any] = dict(self.limits)
        if self.kind == "number":
            limits.setdefault("minimum", -FLOAT32)
            limits.setdefault("maximum", FLOAT32)
            if "exclusiveMinimum" in limits:
                del limits["minimum"]
        kinds = sorted({self.kind, "null"})
        return {"type": kinds, "default": self.default, "description": self.meaning} | limits


def _from(least: float, most: float | None = None) -> dict[str, float]:
    return {"minimum": least} if most is None else {"minimum": least, "maximum": most}


INT64 = 2**63 - 1
SAMPLING = (
    Parameter("temperature", "number", 1.0, "0: greedy", _from(0)),
    Parameter("top_p", "number", 1.0, "1: off", {"exclusiveMinimum": 0, "maximum": 1}),
    Parameter("top_k", "integer", 0, "0 or -1: off", _from(-1, INT64)),
    Parameter("min_p", "number", 0.0, "0: off", _from(0, 1)),
    Parameter("repetition_penalty", "number", 1.0, "1: off", {"exclusiveMinimum": 0}),
    Parameter("presence_penalty", "number", 0.0, "0: off"),
    Parameter("frequency_penalty", "number", 0.0, "0: off"),
    Parameter("min_tokens", "integer", 0, "tokens before which no stop counts", _from(0, INT64)),
    Parameter("seed", "integer", None, "absent: a fresh one", _from(-(2**63), 2**64 - 1)),
)
COMMON = (
    *SAMPLING,
    Parameter("n", "integer", 1, "choices; choice i has the seed `seed + i`", _from(1, 16)),
    Parameter("stream", "boolean", False, "send the answer in pieces"),
    Parameter("ignore_eos", "boolean", False, "the model's own end tokens end no text"),
    Parameter("return_token_ids", "boolean", False, "each choice says its `token_ids`"),
    Parameter(
        "return_tokens_as_token_ids", "boolean", False, "log probabilities name tokens by ids"
    ),
    Parameter("model", "string", None, "not looked at: one model is served"),
    Parameter("user", "string", None, "not looked at"),
)
COMPLETION = (
    *COMMON,
    Parameter("max_tokens", "integer", 16, "tokens of a choice at most", _from(0, INT64)),
    Parameter("logprobs", "integer", None, "alternatives to each token", _from(0, 20)),
    Parameter(
        "prompt_logprobs", "integer", None, "alternatives to each token of the prompt", _from(0)
    ),
    Parameter("echo", "boolean", False, "the text begins with the prompt"),
    Parameter("best_of", "integer", 1, "1 only", _from(1, 1)),
    Parameter("suffix", "null", None, "not supported"),
)
CHAT = (
    *COMMON,
    Parameter("max_tokens", "integer", None, "tokens of a choice at most", _from(0, INT64)),
    Parameter("max_completion_tokens", "integer", None, "the same", _from(0, INT64)),
    Parameter("logprobs", "boolean", False, "log probabilities of the tokens"),
    Parameter("top_logprobs", "integer", 0, "alternatives to each token", _from(0, 20)),
)


def read_parameters(table: Sequence[Parameter], others: Sequence[str], body: Any) -> dict[str, Any]:
    """The values of all parameters of a table.

    Args:
        others: parameters that are not in the table and may stand in the body. body: the request.
    Errors:
        SpecrefError: no JSON object, an unknown parameter, a value that is not possible.
    """
    if not isinstance(body, dict):
        raise SpecrefError(
            'the body is no JSON object: send one, such as {"prompt": "def ", "max_tokens": 16}'
        )
    unknown = sorted(body.keys() - {one.name for one in table} - set(others))
    if unknown:
        raise SpecrefError(f"{shortened(unknown[0])} is not a parameter of this request: remove it")
    return {one.name: one.read(body) for one in table}


def read_ids(value: Any, name: str) -> list[int]:
    """Token ids.

    Errors:
        SpecrefError where it is no list of integers that int64 holds.
    """
    whole = isinstance(value, list) and all(type(token) is int for token in value)
    if not whole or not all(0 <= token <= INT64 for token in value):
        raise SpecrefError(f"{name} is no list of token ids: give integers, 0 or more")
    return value


def read_stops(value: Any) -> list[str]:
    """Texts that end a text."""
    stops = value
    if isinstance(value, str):
        stops = [value] if value else []
    if not isinstance(stops, list) or not all(isinstance(stop, str) and stop for stop in stops):
        raise SpecrefError(
            "stop is no text and no list of texts: give one, or stop_token_ids for ids"
        )
    if len(stops) > STOPS or any(len(stop) > STOP_LENGTH for stop in stops):
        raise SpecrefError(
            f"stop is too long: give at most {STOPS} texts of at most {STOP_LENGTH} characters"
        )
    return [read_text(stop, "stop") for stop in stops]


def read_bias(value: Any) -> dict[int, float]:
    """Token id -> what is added to its logit."""
    pairs: Iterable[tuple[str, Any]] = [("", None)]  # refused
    if isinstance(value, dict):
        pairs = value.items()
    bias = {}
    for token, added in pairs:
        known = re.fullmatch("[0-9]{1,18}", token) and type(added) in (int, float)
        if not known or not (-FLOAT32 <= added <= FLOAT32 or added == -float("inf")):
            raise SpecrefError(
                'logit_bias is no object of token ids and numbers: give such as {"12": -100}'
            )
        bias[int(token)] = float(added)
    return bias


def read_text(value: str, name: str) -> str:
    """The same text.

    Errors:
        SpecrefError where it holds half of a surrogate pair, which no encoding has.
    """
    try:
        value.encode()
    except UnicodeEncodeError:
        raise SpecrefError(f"{name} is no Unicode text: it holds half a surrogate pair") from None
    return value
