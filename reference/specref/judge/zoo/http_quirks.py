"""More services of the zoo: seeds that are cut, and what a right server may refuse or leave out."""

from typing import Any

from .toy_server import BadRequestError, Service
from .toy_text import LETTERS, Coins, CompletionRequest, Written


class SeedCut(Service):
    def coins(self, wish: CompletionRequest, number: int) -> Coins:
        return Coins(None if wish.seed is None else wish.seed & 255)


class SeedZero(Service):
    def coins(self, wish: CompletionRequest, number: int) -> Coins:
        return Coins(wish.seed or None)


class WithoutLogprobs(Service):
    """The target reports log probabilities; beside a draft there are none."""

    def told(
        self, out: Written, wish: CompletionRequest, body: Any, dialect: str
    ) -> dict[str, Any]:
        made = super().told(out, wish, body, dialect)
        made["choices"][0]["logprobs"] = None
        return made


class OwnLettersOnly(Service):
    """A stop that its vocabulary cannot write is a bad request."""

    def wish(self, body: Any, dialect: str) -> CompletionRequest:
        wish = super().wish(body, dialect)
        if any(letter not in LETTERS for stop in wish.stop for letter in stop):
            raise BadRequestError("a stop is text of the vocabulary")
        return wish
