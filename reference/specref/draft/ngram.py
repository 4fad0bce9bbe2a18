"""Prompt lookup: find the last n tokens earlier in the text and propose what followed them.

Saxena 2023 (prompt lookup decoding). He takes the first earlier occurrence, this file the most
recent one, which is right more often. The most recent one lies near the end where a text repeats
itself. So the copy goes on through the tokens that it has just proposed, and a loop of any period
fills the whole draft. There is no model, so a draft costs almost nothing. Tokens are proposed with
certainty: q is a point mass, reported as q = None.
"""

from ..data import SpecrefError
from .base import Stretches, TableDrafter


class NGramDrafter(TableDrafter):
    """Tries n-grams from `longest` down to `shortest`; takes the most recent earlier occurrence.

    Errors:
        SpecrefError unless 1 <= shortest <= longest.
    """

    def __init__(self, longest: int = 4, shortest: int = 2):
        if not 1 <= shortest <= longest:
            raise SpecrefError(
                f"n-grams from {shortest} to {longest} are not possible: give 1 <= shortest <="
                " longest"
            )
        self.sizes = range(longest, shortest - 1, -1)

    def learn(self, table: Stretches, tokens: list[int], place: int) -> None:
        for n in self.sizes:
            if n <= place:
                gram = tuple(tokens[place - n : place])
                table[gram] = place

    def look_up(self, table: Stretches, tokens: list[int], most: int) -> list[int]:
        for n in self.sizes:
            start = table.get(tuple(tokens[-n:]))
            if start is not None:  # never for an n-gram longer than the text
                return copied(tokens, start, most)
        return []


def copied(tokens: list[int], start: int, most: int) -> list[int]:
    """`most` tokens from `start` on; behind the text's end the copy reads what it has written."""
    period = len(tokens) - start
    return [tokens[start + i % period] for i in range(most)]
