"""Streamed tokens to text: never half a character, and never the beginning of a possible stop."""

from collections.abc import Sequence

from ..model.tokenizer import Tokenizer


class StreamDetokenizer:
    """One request's text.

    Args:
        tokenizer: None where the target has none; the text is then the ids, separated by spaces.
        prompt: decoded before the new tokens, since some tokenizers drop the first space of
            whatever they decode.
        stops: the text ends before the first of these.
        silent: tokens that are no text.
        least: tokens before which no stop counts.
    """

    def __init__(
        self,
        tokenizer: Tokenizer | None,
        prompt: Sequence[int],
        stops: Sequence[str] = (),
        silent: Sequence[int] = (),
        least: int = 0,
    ):
        self.tokenizer, self.prompt = tokenizer, list(prompt)
        self.stops, self.silent, self.least = list(stops), set(silent), least
        self.before = len(tokenizer.decode(self.prompt)) if tokenizer else 0
        self.tokens: list[int] = []
        self.stopped = False
        self.shown = 0  # characters

    def take(self, tokens: Sequence[int], last: bool) -> tuple[int, str]:
        """Append tokens until a stop is complete.

        Args:
            last: no more tokens will follow.
        Returns:
            how many of the tokens belong to the text, and the characters that can be shown now.
        """
        before = len(self.tokens)
        for token in tokens:
            self.tokens.append(token)
            if (
                self.stops
                and len(self.tokens) >= self.least
                and self._end(self._text()) is not None
            ):
                self.stopped = True
                break
        text = self._text()
        end = self._end(text) if self.stopped else None
        if end is not None:
            text = text[:end]
        elif not last:
            text = text.rstrip("\ufffd")
            text = text[: len(text) - self._begun(text)]
        new, self.shown = text[self.shown :], max(self.shown, len(text))
        return len(self.tokens) - before, new

    def _text(self) -> str:
        spoken = [token for token in self.tokens if token not in self.silent]
        if self.tokenizer is None:
            return "".join(f" {token}" for token in spoken)
        return self.tokenizer.decode(self.prompt + spoken)[self.before :]

    def _end(self, text: str) -> int | None:
        """Where the first stop begins."""
        return min((text.index(stop) for stop in self.stops if stop in text), default=None)

    def _begun(self, text: str) -> int:
        """Length of the longest end of the text with which a stop may begin."""
        return max(
            (n for stop in self.stops for n in range(1, len(stop)) if text.endswith(stop[:n])),
            default=0,
        )
