"""Suffix decoding: count what followed the end of the text before, and draft while it is likely.

Oliaro et al. 2024 (SuffixDecoding, arXiv:2411.04975). A trie of bounded depth, kept as a table of
stretches of prompt and output, counts the tokens behind each. The draft follows the most frequent
token behind the longest stretch that ends the text. Its length adapts: the estimated probability
that all of it is accepted, a product of shares of counts, must not fall below `sure`, and it has at
most `factor` tokens for each token of the match. The paper has a second trie, of
earlier requests, and drafts a tree; this is a chain from the request's own. Tokens are proposed
with certainty: q = None.
"""

from ..data import SpecrefError
from .base import Stretches, TableDrafter


class SuffixDrafter(TableDrafter):
    """Drafts from stretches of at most `longest` tokens.

    Errors:
        SpecrefError unless longest >= 1, factor > 0 and 0 <= sure <= 1.
    """

    def __init__(self, longest: int = 8, factor: float = 1.0, sure: float = 0.1):
        if not (longest >= 1 and factor > 0 and 0 <= sure <= 1):
            raise SpecrefError(
                f"suffixes up to {longest}, factor {factor} and sure {sure} are not possible: give"
                " longest >= 1, factor > 0 and sure from 0 to 1"
            )
        self.longest, self.factor, self.sure = longest, factor, sure

    def learn(self, table: Stretches, tokens: list[int], place: int) -> None:
        token = tokens[place]
        for n in range(1, min(self.longest, place) + 1):
            stretch = tuple(tokens[place - n : place])
            counts = table.setdefault(stretch, {})
            counts[token] = counts.pop(token, 0) + 1  # the latest stands last

    def look_up(self, table: Stretches, tokens: list[int], most: int) -> list[int]:
        recent = tokens[-self.longest :]
        drafted: list[int] = []
        likely = 1.0
        match = _match(table, recent)
        most = min(most, int(self.factor * len(match)))
        while len(drafted) < most:
            counts = table[match]
            token = max(reversed(counts), key=counts.__getitem__)  # of equals the latest
            likely *= counts[token] / sum(counts.values())
            if likely < self.sure:
                break
            drafted.append(token)
            recent = [*recent, token][-self.longest :]
            match = _match(table, recent)
        return drafted


def _match(table: Stretches, recent: list[int]) -> tuple[int, ...]:
    """The longest of the stretches that end with the last token and are known; () for none."""
    for start in range(len(recent)):
        stretch = tuple(recent[start:])
        if stretch in table:
            return stretch
    return ()
