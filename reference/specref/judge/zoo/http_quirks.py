"""More services of the zoo: seeds that are cut, and what a right server may refuse or leave out."""

from typing import Any

from .toy_server import BadRequestError, Service
from .toy_text import LETTERS, ToyAnswer, ToyCoins, ToyRequest


class HttpSeedCut(Service):
    def coins(self, wish: ToyRequest, number: int) -> ToyCoins:
        return ToyCoins(None if wish.seed is None else wish.seed & 255)


class HttpSeedZero(Service):
    def coins(self, wish: ToyRequest, number: int) -> ToyCoins:
        return ToyCoins(wish.seed or None)


class HttpWithoutLogprobs(Service):
    """Right: the target's server reports log probabilities, the speculating server reports none."""

    def told(self, out: ToyAnswer, wish: ToyRequest, body: Any, dialect: str) -> dict[str, Any]:
        made = super().told(out, wish, body, dialect)
        made["choices"][0]["logprobs"] = None
        return made


class HttpOwnLettersOnly(Service):
    """Right: a stop with letters outside the vocabulary is refused as a bad request."""

    def wish(self, body: Any, dialect: str) -> ToyRequest:
        wish = super().wish(body, dialect)
        if any(letter not in LETTERS for stop in wish.stop for letter in stop):
            raise BadRequestError("a stop is text of the vocabulary")
        return wish
