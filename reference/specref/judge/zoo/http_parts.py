"""The wrong parts of the planted bugs at HTTP level: texts that are written wrongly, and services
that handle them so.
"""

import json
import time
from itertools import pairwise
from typing import Any

from .toy_server import Service, best
from .toy_text import (
    Coins,
    CompletionRequest,
    Distribution,
    Speculator,
    Written,
    distribution,
    normal,
)


class FromTarget(Speculator):
    def residual(self, p: Distribution, q: Distribution, wish: CompletionRequest) -> Distribution:
        return p


class BonusFromDraft(Speculator):
    def bonus(self, text: tuple[int, ...], wish: CompletionRequest) -> Distribution:
        return self.q(text, wish)


class OtherQ(Speculator):
    def propose(
        self, text: tuple[int, ...], wish: CompletionRequest, coins: Coins
    ) -> tuple[int, Distribution]:
        q = self.q(text, wish)
        # reported before its own sharpening
        return coins.draw(normal([weight**1.5 for weight in q])), q


class ArgmaxDraft(Speculator):
    def propose(
        self, text: tuple[int, ...], wish: CompletionRequest, coins: Coins
    ) -> tuple[int, Distribution]:
        q = self.q(text, wish)
        return q.index(max(q)), q


class ShortCoin(Speculator):
    def accept(self, token: int, p: Distribution, q: Distribution, coins: Coins) -> bool:
        return coins.accept(min(1.0, p[token] / 0.9 / q[token]))


class RowAtOne(Speculator):
    def row(self, text: tuple[int, ...], wish: CompletionRequest) -> Distribution:
        return distribution(
            "target",
            text[-2:],
            1.0 if wish.temperature else 0.0,
            wish.top_k,
            wish.top_p,
            wish.min_p,
            wish.bias,
        )


class RowUnfiltered(Speculator):
    def row(self, text: tuple[int, ...], wish: CompletionRequest) -> Distribution:
        return distribution("target", text[-2:], wish.temperature, 0, 1.0, 0.0, wish.bias)


class RowUnbiased(Speculator):
    def row(self, text: tuple[int, ...], wish: CompletionRequest) -> Distribution:
        return distribution(
            "target", text[-2:], wish.temperature, wish.top_k, wish.top_p, wish.min_p, ()
        )


class RatioWhenGreedy(Speculator):
    def row(self, text: tuple[int, ...], wish: CompletionRequest) -> Distribution:
        return distribution(
            "target",
            text[-2:],
            wish.temperature or 1.0,
            wish.top_k,
            wish.top_p,
            wish.min_p,
            wish.bias,
        )


class RowBefore(Speculator):
    def row(self, text: tuple[int, ...], wish: CompletionRequest) -> Distribution:
        return self.p(text[:-1] or text, wish)


class StopAtBlockEnd(Speculator):
    def ends(self, out: Written, wish: CompletionRequest) -> str:
        return "length" if len(out.tokens) >= wish.max_tokens else ""

    def take(self, out: Written, tokens: list[int], wish: CompletionRequest) -> None:
        super().take(out, tokens, wish)
        if any(out.text.endswith(stop) for stop in wish.stop):
            out.finish = "stop"


class StopInOneBlock(Speculator):
    def take(self, out: Written, tokens: list[int], wish: CompletionRequest) -> None:
        block = Written()  # an earlier block's letters are not looked at
        super().take(
            block,
            tokens,
            CompletionRequest(
                (*wish.prompt, *out.tokens), self.room(wish, len(out.tokens)), stop=wish.stop
            ),
        )
        out.tokens += block.tokens
        out.logprobs += block.logprobs
        out.blocks += block.blocks
        out.accepted += block.accepted
        out.finish = block.finish


class NoStop(Speculator):
    def ends(self, out: Written, wish: CompletionRequest) -> str:
        return "length" if len(out.tokens) >= wish.max_tokens else ""


class WholeBlocks(Speculator):
    def room(self, wish: CompletionRequest, count: int) -> int:
        return self.gamma + 1

    def ends(self, out: Written, wish: CompletionRequest) -> str:
        return "stop" if any(out.text.endswith(stop) for stop in wish.stop) else ""

    def take(self, out: Written, tokens: list[int], wish: CompletionRequest) -> None:
        super().take(out, tokens, wish)
        if not out.finish and len(out.tokens) >= wish.max_tokens:
            out.finish = "length"


class CountsBonus(Speculator):
    def take(self, out: Written, tokens: list[int], wish: CompletionRequest) -> None:
        super().take(out, tokens, wish)
        out.accepted += 1


class SeedIgnored(Service):
    def coins(self, wish: CompletionRequest, number: int) -> Coins:
        return Coins(None)


class OneSeed(Service):
    def coins(self, wish: CompletionRequest, number: int) -> Coins:
        return Coins(None if wish.seed is None else 0)


class SeedByPlace(Service):
    pause = 0.002

    def coins(self, wish: CompletionRequest, number: int) -> Coins:
        return Coins(None if wish.seed is None else wish.seed + self.flying - 1)


class SharedStream(Service):
    def coins(self, wish: CompletionRequest, number: int) -> Coins:
        return Coins(number // 4 if wish.seed is None else wish.seed)


class SameCoins(Service):
    def coins(self, wish: CompletionRequest, number: int) -> Coins:
        return Coins(wish.seed or 0)


class MixUp(Service):
    def write(self, wish: CompletionRequest, number: int) -> Written:
        self.slot = super().write(wish, number)
        if self.flying > 1:
            time.sleep(0.002)
        return self.slot


class FirstRowForAll(Service):
    """One temperature for all that are in flight together."""

    pause, temperature = 0.002, 0.0

    def write(self, wish: CompletionRequest, number: int) -> Written:
        if self.flying == 1:
            self.temperature = wish.temperature
        fields = {**vars(wish), "temperature": self.temperature}
        return super().write(CompletionRequest(**fields), number)


class BansForAll(Service):
    """A ban holds for all that are in flight together."""

    pause = 0.002
    bias: tuple[tuple[int, float], ...] = ()

    def write(self, wish: CompletionRequest, number: int) -> Written:
        self.bias = wish.bias or (self.bias if self.flying > 1 else ())
        return super().write(CompletionRequest(**{**vars(wish), "bias": self.bias}), number)


class HotCompany(Service):
    """An unseeded sampled request takes the temperature of the one that came before it, while both
    are worked on.
    """

    pause, temperature = 0.002, 1.0

    def write(self, wish: CompletionRequest, number: int) -> Written:
        mine, before = wish.temperature, self.temperature
        if mine and wish.seed is None:
            self.temperature = mine
            if self.flying > 1:
                wish = CompletionRequest(**{**vars(wish), "temperature": before})
        return super().write(wish, number)


class Overloaded(Service):
    pause = 0.02

    def write(self, wish: CompletionRequest, number: int) -> Written:
        if self.flying > 8:
            raise RuntimeError("no free slot")
        return super().write(wish, number)


class KeepsSlots(Service):
    """The slot of a client that went away is never free again."""

    between, held = 0.003, 0

    def lost(self) -> None:
        self.held += 1

    def write(self, wish: CompletionRequest, number: int) -> Written:
        if self.held > 3:
            raise RuntimeError("no free slot")
        return super().write(wish, number)


class CutJson(Service):
    def raw(self, data: bytes) -> tuple[bytes, int]:
        cut = data[:-9] if self.asked % 20 == 19 else data
        return cut, len(cut)


class HangsUp(Service):
    def raw(self, data: bytes) -> tuple[bytes, int]:
        return (data[:-9] if self.asked % 20 == 19 else data), len(data)


class Sleeps(Service):
    patience = 1.0

    def write(self, wish: CompletionRequest, number: int) -> Written:
        if number % 60 == 59:
            time.sleep(2 * self.patience)
        return super().write(wish, number)


class ServerError(Service):
    def wish(self, body: Any, dialect: str) -> CompletionRequest:
        try:
            return super().wish(body, dialect)
        except Exception as error:
            raise RuntimeError(f"internal error: {error}") from None


class SaysLength(Service):
    def told(
        self, out: Written, wish: CompletionRequest, body: Any, dialect: str
    ) -> dict[str, Any]:
        made = super().told(out, wish, body, dialect)
        made["choices"][0]["finish_reason"] = "length"
        return made


class CountsBlocks(Service):
    def counted(self, out: Written) -> int:
        return len(out.blocks)


class NoLogprob(Service):
    def told(
        self, out: Written, wish: CompletionRequest, body: Any, dialect: str
    ) -> dict[str, Any]:
        made = super().told(out, wish, body, dialect)
        logprobs = made["choices"][0].get("logprobs")
        if logprobs:
            logprobs["token_logprobs"] = [0.0 for _ in out.tokens]
        return made


class LogprobBefore(Service):
    def told(
        self, out: Written, wish: CompletionRequest, body: Any, dialect: str
    ) -> dict[str, Any]:
        out.logprobs = out.logprobs[:1] + out.logprobs[:-1]
        return super().told(out, wish, body, dialect)


class OneAnEvent(Service):
    def pieces(self, told: dict[str, Any]) -> list[dict[str, Any]]:
        parts = super().pieces(told)
        for part in parts:
            part["choices"][0]["text"] = part["choices"][0]["text"][:1]
        return parts


class Matching(Speculator):
    """Draws from p, and accepts the draft if it is that."""

    def step(
        self, text: tuple[int, ...], wish: CompletionRequest, room: int, coins: Coins
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


class Lookup(Speculator):
    """Proposes with certainty what followed the last letter before."""

    def propose(
        self, text: tuple[int, ...], wish: CompletionRequest, coins: Coins
    ) -> tuple[int, Distribution]:
        before = [after for letter, after in pairwise(text) if letter == text[-1]]
        token = before[-1] if before else best(self.q(text, wish), 1)[0]
        return token, [float(i == token) for i in range(len(self.q(text, wish)))]


class Rounded(Speculator):
    """Judges by other roundings than it would draw by: errors of 1e-6."""

    def row(self, text: tuple[int, ...], wish: CompletionRequest) -> Distribution:
        return normal(
            [weight * (1 + 1e-6 * (-1) ** i) for i, weight in enumerate(self.p(text, wish))]
        )


class Metered(Service):
    """Its answers say nothing of drafts; /metrics does."""

    def told(
        self, out: Written, wish: CompletionRequest, body: Any, dialect: str
    ) -> dict[str, Any]:
        made = super().told(out, wish, body, dialect)
        del made["metrics"]
        return made


class OldIds(Service):
    """Ids come back among the logprobs alone."""

    def told(
        self, out: Written, wish: CompletionRequest, body: Any, dialect: str
    ) -> dict[str, Any]:
        made = super().told(out, wish, body, dialect)
        made["choices"][0].pop("token_ids", None)
        return json.loads(json.dumps(made))
