"""Drafts by looking up the last n tokens in the text so far and proposing what followed them.

Prompt lookup decoding (Saxena 2023); no model, so a draft costs almost nothing. Tokens are proposed
with certainty: q is a point mass, q = None.
"""

import torch
from torch import Tensor

from ..chance import Chance
from ..data import Draft, SpecrefError
from .base import Drafter, Text


class NGramDrafter(Drafter):
    """Tries n-grams from `longest` down to `shortest`; the most recent earlier occurrence
    counts.
    """

    def __init__(self, longest: int = 4, shortest: int = 2):
        if not 1 <= shortest <= longest:
            raise SpecrefError(
                f"n-grams from {shortest} to {longest} are not possible: give 1 <= shortest <="
                " longest"
            )
        self.sizes = range(longest, shortest - 1, -1)

    def begin(self, text: Text, capacity: int) -> None:
        # For every row: n-gram -> where what follows it begins; and how many tokens are indexed.
        self.index: list[dict[tuple[int, ...], int]] = [{} for _ in text.tokens]
        self.done = [0] * len(text.tokens)

    def propose(self, text: Text, budget: Tensor, chance: Chance) -> Draft:
        found = [
            self._lookup(row, tokens)[: max(0, most)]
            for row, (tokens, most) in enumerate(zip(text.tokens, budget.tolist(), strict=True))
        ]
        width = max(len(tokens) for tokens in found)
        padded = torch.tensor(
            [tokens + [0] * (width - len(tokens)) for tokens in found], dtype=torch.int64
        )
        return Draft.chain(padded, None, torch.tensor([len(tokens) for tokens in found]))

    def _lookup(self, row: int, tokens: list[int]) -> list[int]:
        index = self.index[row]
        # every n-gram that something already follows
        for end in range(self.done[row] + 1, len(tokens)):
            for n in self.sizes:
                if n <= end:
                    index[tuple(tokens[end - n : end])] = end
        self.done[row] = len(tokens) - 1
        for n in self.sizes:
            if n <= len(tokens) and (start := index.get(tuple(tokens[-n:]))) is not None:
                return tokens[start:]
        return []

    def rows(self, index: list[int]) -> None:
        self.index = [{} if i < 0 else self.index[i] for i in index]
        self.done = [0 if i < 0 else self.done[i] for i in index]
