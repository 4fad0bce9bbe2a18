"""Wrong parts for the planted bugs at HTTP level: wrong ways to write a text, and wrong ways to
handle a request.
"""

import json
import time
from itertools import pairwise
from typing import Any

from .toy_server import Service, likeliest_ids
from .toy_text import (
    Speculator,
    ToyAnswer,
    ToyCoins,
    ToyDistribution,
    ToyRequest,
    normal,
    toy_distribution,
)


class HttpFromTarget(Speculator):
    def residual(self, p: ToyDistribution, q: ToyDistribution, wish: ToyRequest) -> ToyDistribution:
        return p


class HttpBonusFromDraft(Speculator):
    def bonus(self, text: tuple[int, ...], wish: ToyRequest) -> ToyDistribution:
        return self.q(text, wish)


class HttpOtherQ(Speculator):
    def propose(
        self, text: tuple[int, ...], wish: ToyRequest, coins: ToyCoins
    ) -> tuple[int, ToyDistribution]:
        q = self.q(text, wish)
        # reported before its own sharpening
        return coins.draw(normal([weight**1.5 for weight in q])), q


class HttpArgmaxDraft(Speculator):
    def propose(
        self, text: tuple[int, ...], wish: ToyRequest, coins: ToyCoins
    ) -> tuple[int, ToyDistribution]:
        q = self.q(text, wish)
        return q.index(max(q)), q


class HttpShortCoin(Speculator):
    def accept(self, token: int, p: ToyDistribution, q: ToyDistribution, coins: ToyCoins) -> bool:
        return coins.accept(min(1.0, p[token] / 0.9 / q[token]))


class HttpRowAtOne(Speculator):
    def row(self, text: tuple[int, ...], wish: ToyRequest) -> ToyDistribution:
        return toy_distribution(
            "target",
            text[-2:],
            1.0 if wish.temperature else 0.0,
            wish.top_k,
            wish.top_p,
            wish.min_p,
            wish.bias,
        )


class HttpRowUnfiltered(Speculator):
    def row(self, text: tuple[int, ...], wish: ToyRequest) -> ToyDistribution:
        return toy_distribution("target", text[-2:], wish.temperature, 0, 1.0, 0.0, wish.bias)


class HttpRowUnbiased(Speculator):
    def row(self, text: tuple[int, ...], wish: ToyRequest) -> ToyDistribution:
        return toy_distribution(
            "target", text[-2:], wish.temperature, wish.top_k, wish.top_p, wish.min_p, ()
        )


class HttpRatioWhenGreedy(Speculator):
    def row(self, text: tuple[int, ...], wish: ToyRequest) -> ToyDistribution:
        return toy_distribution(
            "target",
            text[-2:],
            wish.temperature or 1.0,
            wish.top_k,
            wish.top_p,
            wish.min_p,
            wish.bias,
        )


class HttpRowBefore(Speculator):
    def row(self, text: tuple[int, ...], wish: ToyRequest) -> ToyDistribution:
        return self.p(text[:-1] or text, wish)


class HttpStopAtBlockEnd(Speculator):
    def ends(self, out: ToyAnswer, wish: ToyRequest) -> str:
        return "length" if len(out.tokens) >= wish.max_tokens else ""

    def take(self, out: ToyAnswer, tokens: list[int], wish: ToyRequest) -> None:
        super().take(out, tokens, wish)
        if any(out.text.endswith(stop) for stop in wish.stop):
            out.finish = "stop"


class HttpStopInOneBlock(Speculator):
    def take(self, out: ToyAnswer, tokens: list[int], wish: ToyRequest) -> None:
        block = ToyAnswer()  # an earlier block's letters are not looked at
        super().take(
            block,
            tokens,
            ToyRequest(
                (*wish.prompt, *out.tokens), self.room(wish, len(out.tokens)), stop=wish.stop
            ),
        )
        out.tokens += block.tokens
        out.logprobs += block.logprobs
        out.blocks += block.blocks
        out.accepted += block.accepted
        out.finish = block.finish


class HttpNoStop(Speculator):
    def ends(self, out: ToyAnswer, wish: ToyRequest) -> str:
        return "length" if len(out.tokens) >= wish.max_tokens else ""


class HttpWholeBlocks(Speculator):
    def room(self, wish: ToyRequest, count: int) -> int:
        return self.gamma + 1

    def ends(self, out: ToyAnswer, wish: ToyRequest) -> str:
        return "stop" if any(out.text.endswith(stop) for stop in wish.stop) else ""

    def take(self, out: ToyAnswer, tokens: list[int], wish: ToyRequest) -> None:
        super().take(out, tokens, wish)
        if not out.finish and len(out.tokens) >= wish.max_tokens:
            out.finish = "length"


class HttpCountsBonus(Speculator):
    def take(self, out: ToyAnswer, tokens: list[int], wish: ToyRequest) -> None:
        super().take(out, tokens, wish)
        out.accepted += 1


class HttpSeedIgnored(Service):
    def coins(self, wish: ToyRequest, number: int) -> ToyCoins:
        return ToyCoins(None)


class HttpOneSeed(Service):
    def coins(self, wish: ToyRequest, number: int) -> ToyCoins:
        return ToyCoins(None if wish.seed is None else 0)


class HttpSeedByPlace(Service):
    pause = 0.002

    def coins(self, wish: ToyRequest, number: int) -> ToyCoins:
        return ToyCoins(None if wish.seed is None else wish.seed + self.flying - 1)


class HttpSharedStream(Service):
    def coins(self, wish: ToyRequest, number: int) -> ToyCoins:
        return ToyCoins(number // 4 if wish.seed is None else wish.seed)


class HttpSameCoins(Service):
    def coins(self, wish: ToyRequest, number: int) -> ToyCoins:
        return ToyCoins(wish.seed or 0)


class HttpMixUp(Service):
    def write(self, wish: ToyRequest, number: int) -> ToyAnswer:
        self.slot = super().write(wish, number)
        if self.flying > 1:
            time.sleep(0.002)
        return self.slot


class HttpFirstRowForAll(Service):
    """All requests in flight together get the temperature of one of them."""

    pause, temperature = 0.002, 0.0

    def write(self, wish: ToyRequest, number: int) -> ToyAnswer:
        if self.flying == 1:
            self.temperature = wish.temperature
        fields = {**vars(wish), "temperature": self.temperature}
        return super().write(ToyRequest(**fields), number)


class HttpBansForAll(Service):
    """A token that one request bans is banned for all requests in flight."""

    pause = 0.002
    bias: tuple[tuple[int, float], ...] = ()

    def write(self, wish: ToyRequest, number: int) -> ToyAnswer:
        self.bias = wish.bias or (self.bias if self.flying > 1 else ())
        return super().write(ToyRequest(**{**vars(wish), "bias": self.bias}), number)


class HttpHotCompany(Service):
    """An unseeded sampled request takes the temperature of the request before it while both are in
    flight.
    """

    pause, temperature = 0.002, 1.0

    def write(self, wish: ToyRequest, number: int) -> ToyAnswer:
        mine, before = wish.temperature, self.temperature
        if mine and wish.seed is None:
            self.temperature = mine
            if self.flying > 1:
                wish = ToyRequest(**{**vars(wish), "temperature": before})
        return super().write(wish, number)


class HttpOverloaded(Service):
    pause = 0.02

    def write(self, wish: ToyRequest, number: int) -> ToyAnswer:
        if self.flying > 8:
            raise RuntimeError("no free slot")
        return super().write(wish, number)


class HttpKeepsSlots(Service):
    """When a client disconnects, its slot is never freed."""

    between, held = 0.003, 0

    def lost(self) -> None:
        self.held += 1

    def write(self, wish: ToyRequest, number: int) -> ToyAnswer:
        if self.held > 3:
            raise RuntimeError("no free slot")
        return super().write(wish, number)


class HttpCutJson(Service):
    def raw(self, data: bytes) -> tuple[bytes, int]:
        cut = data[:-9] if self.asked % 20 == 19 else data
        return cut, len(cut)


class HttpHangsUp(Service):
    def raw(self, data: bytes) -> tuple[bytes, int]:
        return (data[:-9] if self.asked % 20 == 19 else data), len(data)


class HttpSleeps(Service):
    patience = 1.0

    def write(self, wish: ToyRequest, number: int) -> ToyAnswer:
        if number % 60 == 59:
            time.sleep(2 * self.patience)
        return super().write(wish, number)


class HttpServerError(Service):
    def wish(self, body: Any, dialect: str) -> ToyRequest:
        try:
            return super().wish(body, dialect)
        except Exception as error:
            raise RuntimeError(f"internal error: {error}") from None


class HttpSaysLength(Service):
    def told(self, out: ToyAnswer, wish: ToyRequest, body: Any, dialect: str) -> dict[str, Any]:
        made = super().told(out, wish, body, dialect)
        made["choices"][0]["finish_reason"] = "length"
        return made


class HttpCountsBlocks(Service):
    def counted(self, out: ToyAnswer) -> int:
        return len(out.blocks)


class HttpNoLogprob(Service):
    def told(self, out: ToyAnswer, wish: ToyRequest, body: Any, dialect: str) -> dict[str, Any]:
        made = super().told(out, wish, body, dialect)
        logprobs = made["choices"][0].get("logprobs")
        if logprobs:
            logprobs["token_logprobs"] = [0.0 for _ in out.tokens]
        return made


class HttpLogprobBefore(Service):
    def told(self, out: ToyAnswer, wish: ToyRequest, body: Any, dialect: str) -> dict[str, Any]:
        out.logprobs = out.logprobs[:1] + out.logprobs[:-1]
        return super().told(out, wish, body, dialect)


class HttpOneAnEvent(Service):
    def pieces(self, told: dict[str, Any]) -> list[dict[str, Any]]:
        parts = super().pieces(told)
        for part in parts:
            part["choices"][0]["text"] = part["choices"][0]["text"][:1]
        return parts


class HttpMatching(Speculator):
    """Right: draws each token from p and accepts the draft token if it is the same."""

    def step(
        self, text: tuple[int, ...], wish: ToyRequest, room: int, coins: ToyCoins
    ) -> tuple[list[int], int]:
        drafted: list[int] = []
        for _ in range(min(self.gamma, room - 1)):
            drafted.append(self.propose((*text, *drafted), wish, coins)[0])
        given: list[int] = []
        for token in [*drafted, -1]:
            given.append(coins.draw(self.p((*text, *given), wish)))
            if given[-1] != token:
                break
        return given, len(drafted)


class HttpLookup(Speculator):
    """Right: proposes with certainty the token that last followed the current letter."""

    def propose(
        self, text: tuple[int, ...], wish: ToyRequest, coins: ToyCoins
    ) -> tuple[int, ToyDistribution]:
        before = [after for letter, after in pairwise(text) if letter == text[-1]]
        token = before[-1] if before else likeliest_ids(self.q(text, wish), 1)[0]
        return token, [float(i == token) for i in range(len(self.q(text, wish)))]


class HttpRounded(Speculator):
    """Right: verifies with probabilities that differ from those it draws from by 1e-6, as rounding
    does.
    """

    def row(self, text: tuple[int, ...], wish: ToyRequest) -> ToyDistribution:
        return normal(
            [weight * (1 + 1e-6 * (-1) ** i) for i, weight in enumerate(self.p(text, wish))]
        )


class HttpMetered(Service):
    """Right: its answers have no draft counts; /metrics has them."""

    def told(self, out: ToyAnswer, wish: ToyRequest, body: Any, dialect: str) -> dict[str, Any]:
        made = super().told(out, wish, body, dialect)
        del made["metrics"]
        return made


class HttpOldIds(Service):
    """Right: token ids are returned only among the log probabilities."""

    def told(self, out: ToyAnswer, wish: ToyRequest, body: Any, dialect: str) -> dict[str, Any]:
        made = super().told(out, wish, body, dialect)
        made["choices"][0].pop("token_ids", None)
        return json.loads(json.dumps(made))
