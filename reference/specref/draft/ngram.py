"""Prompt lookup: find the last n tokens earlier in the text and propose what followed them.

Saxena 2023 (prompt lookup decoding). There is no model, so a draft costs almost nothing. Tokens are
proposed with certainty: q is a point mass, reported as q = None.
"""

import torch
from torch import Tensor

from ..chance import Chance
from ..data import Draft, SpecrefError
from .base import Drafter, Text


class NGramDrafter(Drafter):
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

    def begin(self, text: Text, capacity: int) -> None:
        # for each row: n-gram -> where the tokens after it begin; and how many tokens are indexed
        self.index: list[dict[tuple[int, ...], int]] = [{} for _ in text.tokens]
        self.done = [0] * len(text.tokens)

    def propose(self, text: Text, budget: Tensor, chance: Chance) -> Draft:
        found = []
        for row, most in enumerate(budget.tolist()):
            following = self._lookup(row, text.tokens[row])
            found.append(following[: max(0, most)])
        lengths = torch.tensor([len(tokens) for tokens in found])  # [B]
        width = int(lengths.max())  # N
        padded = [tokens + [0] * (width - len(tokens)) for tokens in found]
        tokens = torch.tensor(padded, dtype=torch.int64)  # [B,N]
        return Draft.chain(tokens, None, lengths)

    def _lookup(self, row: int, tokens: list[int]) -> list[int]:
        """What followed the last n tokens where they occurred before; [] where they did not."""
        index = self.index[row]
        for end in range(self.done[row] + 1, len(tokens)):  # n-grams that a token follows
            for n in self.sizes:
                if n <= end:
                    gram = tuple(tokens[end - n : end])
                    index[gram] = end
        self.done[row] = len(tokens) - 1
        for n in self.sizes:
            start = index.get(tuple(tokens[-n:]))
            if start is not None:  # never for an n-gram longer than the text
                return tokens[start:]
        return []

    def rows(self, index: list[int]) -> None:
        tables, done = self.index, self.done
        self.index, self.done = [], []
        for old in index:
            self.index.append({} if old < 0 else tables[old])
            self.done.append(0 if old < 0 else done[old])
