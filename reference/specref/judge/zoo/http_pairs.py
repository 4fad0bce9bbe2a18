"""Services that go wrong where two things meet: a stream and a stop, a count and a stop, two
parameters.
"""

import math
from dataclasses import replace
from typing import Any

from .toy_server import Service
from .toy_text import ToyAnswer, ToyRequest, toy_distribution


class HttpStreamKeepsStop(Service):
    """Streamed, the letters of a stop that were sent before it was whole stay."""

    def told(self, out: ToyAnswer, wish: ToyRequest, body: Any, dialect: str) -> dict[str, Any]:
        made = super().told(out, wish, body, dialect)
        if body.get("stream") and out.finish == "stop":
            made["choices"][0]["text"] = out.text[:-1]
        return made


class HttpFirstOfStops(Service):
    """Of several stops the first is looked for."""

    def wish(self, body: Any, dialect: str) -> ToyRequest:
        wish = super().wish(body, dialect)
        return replace(wish, stop=wish.stop[:1])


class HttpCountsPastStop(Service):
    """Usage counts the whole block in which a stop fell."""

    def counted(self, out: ToyAnswer) -> int:
        return len(out.tokens) + 2 * (out.finish == "stop")


class HttpOneIdAnEvent(Service):
    """An event has the text of all its tokens and the id of one."""

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
    """What is reported of sampled texts is the draft's."""

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
    """Beside top_p, top_k is dropped."""

    def wish(self, body: Any, dialect: str) -> ToyRequest:
        wish = super().wish(body, dialect)
        return replace(wish, top_k=0) if wish.top_p < 1 else wish


class HttpSeedThroughFloat(Service):
    """Seeds pass through float32."""

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
