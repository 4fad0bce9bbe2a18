"""Services with bugs that show only where two features meet: a stream and a stop, a count and a
stop, two parameters.
"""

import math
from dataclasses import replace
from typing import Any

from .toy_server import Service
from .toy_text import ToyAnswer, ToyRequest, toy_distribution


class HttpStreamKeepsStop(Service):
    """In a stream, the first letters of a stop are sent before the stop is complete, and they stay
    in the text.
    """

    def told(self, out: ToyAnswer, wish: ToyRequest, body: Any, dialect: str) -> dict[str, Any]:
        made = super().told(out, wish, body, dialect)
        if body.get("stream") and out.finish == "stop":
            made["choices"][0]["text"] = out.text[:-1]
        return made


class HttpFirstOfStops(Service):
    """Only the first of several stops is looked for."""

    def wish(self, body: Any, dialect: str) -> ToyRequest:
        wish = super().wish(body, dialect)
        return replace(wish, stop=wish.stop[:1])


class HttpCountsPastStop(Service):
    """Usage counts the whole block in which a stop fell."""

    def counted(self, out: ToyAnswer) -> int:
        return len(out.tokens) + 2 * (out.finish == "stop")


class HttpOneIdAnEvent(Service):
    """An event of a stream has the text of all its tokens but the id of only one."""

    def pieces(self, told: dict[str, Any]) -> list[dict[str, Any]]:
        parts = super().pieces(told)
        for part in parts:
            part["choices"][0]["token_ids"] = part["choices"][0]["token_ids"][:1]
        return parts


class HttpStreamWithoutReason(Service):
    """The last event of a stream does not say why the text ends."""

    def pieces(self, told: dict[str, Any]) -> list[dict[str, Any]]:
        parts = super().pieces(told)
        parts[-1]["choices"][0]["finish_reason"] = None
        return parts


class HttpLogprobsOfDraft(Service):
    """The log probabilities reported for sampled texts are the draft's."""

    def write(self, wish: ToyRequest, number: int) -> ToyAnswer:
        out = super().write(wish, number)
        if wish.temperature and wish.max_tokens > 1:
            texts = [(*wish.prompt, *out.tokens[:i]) for i in range(len(out.tokens))]
            out.logprobs = [self.drafts_logprobs(text) for text in texts]
        return out

    def drafts_logprobs(self, text: tuple[int, ...]) -> list[float]:
        """The draft's log probabilities of the token after `text`, [V]."""
        distribution = toy_distribution("draft", text[-2:], 1.0, 0, 1.0, 0.0, ())
        return [math.log(weight) for weight in distribution]


class HttpTopKBesideTopP(Service):
    """If top_p is given, top_k is ignored."""

    def wish(self, body: Any, dialect: str) -> ToyRequest:
        wish = super().wish(body, dialect)
        return replace(wish, top_k=0) if wish.top_p < 1 else wish


class HttpSeedThroughFloat(Service):
    """Seeds are rounded as by float32."""

    def wish(self, body: Any, dialect: str) -> ToyRequest:
        wish = super().wish(body, dialect)
        return replace(
            wish,
            seed=(
                wish.seed and wish.seed - wish.seed % 128
                if (wish.seed or 0) >= 2**30
                else wish.seed
            ),
        )
