"""What a drafter sees and what it must return. Each file beside this one is one drafter."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..chance import Chance
from ..data import Draft, SamplingParams
from ..probs import history, needs_history, probs

Stretches = dict[tuple[int, ...], Any]  # stretches of tokens -> what is known of them


@dataclass
class Text:
    """B rows that are being decoded, as a drafter sees them."""

    tokens: list[list[int]]  # prompt and output, the pending token last
    prompts: list[int]  # prompt lengths
    params: list[SamplingParams]
    vocabulary: int  # V
    # [B,M,E]: the target's states of the tokens that the last forward committed; for a new text, of
    # all but the pending one
    states: Tensor | None = None
    # [B]: how many of the M exist; the target drew the pending token from the last of them
    fresh: Tensor | None = None

    def rows(self, index: list[int]) -> "Text":
        """The text of these rows."""
        return Text(
            [self.tokens[i] for i in index],
            [self.prompts[i] for i in index],
            [self.params[i] for i in index],
            self.vocabulary,
            None if self.states is None else self.states[index],
            None if self.fresh is None else self.fresh[index],
        )


class Drafter:
    """Proposes; never decides. Whatever it proposes, the output's distribution is the target's."""

    reads_states: ClassVar[bool] = False  # whether it looks at text.states

    def nodes(self, gamma: int) -> int:
        """The most nodes that a draft of depth gamma has; a chain has gamma."""
        return gamma

    def begin(self, text: Text, capacity: int) -> None:
        """New texts. None of them will have more than `capacity` tokens."""

    @abstractmethod
    def propose(self, text: Text, budget: Tensor, chance: Chance) -> Draft:
        """A draft of at most budget[b] levels for row b; fewer or none is always allowed.

        Args:
            budget: [B] int64. chance: answers for the B rows.
        """

    def commit(self, accepted: Tensor) -> None:
        """accepted [B] int64: how many tokens of the last draft were accepted."""

    def rows(self, index: list[int]) -> None:
        """Only these rows go on, in this order; -1 is a new text, unknown to the drafter."""


class TableDrafter(Drafter):
    """Proposes with certainty (q None), from a table of each row's own text that grows with it."""

    def begin(self, text: Text, capacity: int) -> None:
        self.tables: list[Stretches] = [{} for _ in text.tokens]
        self.done = [0] * len(text.tokens)  # tokens of each row that are in its table

    @abstractmethod
    def learn(self, table: Stretches, tokens: list[int], place: int) -> None:
        """Enter what stands before `place`, and which token stands there."""

    @abstractmethod
    def look_up(self, table: Stretches, tokens: list[int], most: int) -> list[int]:
        """What may follow the tokens, at most `most` of it, from 0."""

    def propose(self, text: Text, budget: Tensor, chance: Chance) -> Draft:
        found = []
        for row, most in enumerate(budget.tolist()):
            table, tokens = self.tables[row], text.tokens[row]
            for place in range(self.done[row], len(tokens)):
                self.learn(table, tokens, place)
            self.done[row] = len(tokens)
            found.append(self.look_up(table, tokens, max(0, most)))
        lengths = torch.tensor([len(tokens) for tokens in found])  # [B]
        width = int(lengths.max())  # N
        padded = [tokens + [0] * (width - len(tokens)) for tokens in found]
        return Draft.chain(torch.tensor(padded, dtype=torch.int64), None, lengths)

    def rows(self, index: list[int]) -> None:
        tables, done = self.tables, self.done
        self.tables, self.done = [], []
        for old in index:
            self.tables.append({} if old < 0 else tables[old])
            self.done.append(0 if old < 0 else done[old])


def no_draft(batch: int, device: torch.device | str = "cpu") -> Draft:
    """A draft without a token for each of B rows."""
    return Draft.chain(torch.zeros(batch, 0, dtype=torch.int64, device=device))


def draft_distribution(logits: Tensor, text: Text, drafted: Sequence[Tensor]) -> Tensor:
    """q of the next draft token, [B,V]: probs() with each row's own parameters.

    Args:
        logits: [B,1,V] of the draft. drafted: the tokens drafted so far, [B] each.
    """
    past = None
    if needs_history(text.params):
        tokens = [list(row) for row in text.tokens]
        for token in drafted:
            for row, value in enumerate(token.tolist()):
                tokens[row].append(value)
        past = history(tokens, text.prompts, text.vocabulary, device=logits.device)
    return probs(logits, text.params, past)[:, 0]
