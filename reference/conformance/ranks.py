"""The law of tokens one by one, wherever they stand: no joint law has to be enumerated, and one text gives many draws.

Put the vocabulary in an order that only what stands before may decide. The probability of the tokens in front of the one
that came, plus a uniform share of its own, is uniform on [0,1) and independent of everything before, whatever the law,
the parameters and the prefix (Rosenblatt 1952, made continuous). So the ranks of all tokens of all texts are one sample
of one known law, and so are the pairs of ranks that stand side by side. What moves tokens to the front of the order moves
ranks to 0: by the target's own probabilities that is text that is too greedy, by q/p it is text that leans to the draft.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..law.sequential import OneSample
from . import reading
from .asking import Row
from .contract import Completion
from .reading import Laws
from .toys import Toy, scores
from .verdict import Picture

BINS = 16
Order = Callable[[Toy, Sequence[Row], Sequence[list[int]], Sequence[Laws]], list[Tensor]]  # keys [n,V] a text, high first


@dataclass(frozen=True)
class Direction:
    """An order, and what it means when tokens are too far in front, or too far behind."""

    name: str
    keys: Order
    front: str
    behind: str


def _likely(toy: Toy, rows: Sequence[Row], texts: Sequence[list[int]], tables: Sequence[Laws]) -> list[Tensor]:
    return [table.law for table in tables]


def _drafted(toy: Toy, rows: Sequence[Row], texts: Sequence[list[int]], tables: Sequence[Laws]) -> list[Tensor]:
    whole = [[*prompt, *text] for (prompt, _), text in zip(rows, texts, strict=True)]
    drafts = scores(toy.draft, whole, [len(prompt) for prompt, _ in rows])
    return [draft - table.scores for draft, table in zip(drafts, tables, strict=True)]


def _looked_up(toy: Toy, rows: Sequence[Row], texts: Sequence[list[int]], tables: Sequence[Laws]) -> list[Tensor]:
    keys = []
    for (prompt, _), text, table in zip(rows, texts, tables, strict=True):
        key, whole = table.law.clone(), [*prompt, *text]
        following: dict[int, int] = {}
        for i, token in enumerate(whole):
            if i >= len(prompt) - 1 and token in following:
                key[i - len(prompt) + 1, following[token]] += 1
            if i + 1 < len(whole):
                following[token] = whole[i + 1]
        keys.append(key)
    return keys


def _plain(toy: Toy, rows: Sequence[Row], texts: Sequence[list[int]], tables: Sequence[Laws]) -> list[Tensor]:
    return [table.scores.softmax(-1) - table.law for table in tables]


def _before(toy: Toy, rows: Sequence[Row], texts: Sequence[list[int]], tables: Sequence[Laws]) -> list[Tensor]:
    return [torch.cat((table.law[:1], table.scores[:-1] - table.scores[1:])) for table in tables]


LIKELY = Direction("by p", _likely, "likely tokens come out too often, as at a lower temperature or by argmax",
                   "unlikely tokens come out too often, as at a higher temperature or without a filter")
DRAFTED = Direction("by q/p", _drafted, "tokens that the draft likes come out too often: too much is accepted, the q "
                    "reported is not the q drawn from, or the residual is not max(p - q, 0)",
                    "tokens that the draft likes come out too seldom: too much is rejected, or the residual takes off too "
                    "much")
LOOKED_UP = Direction("looked up", _looked_up, "tokens that were looked up come out too often: too much is accepted, or "
                      "their q is not taken for a point mass", "tokens that were looked up come out too seldom")
PLAIN = Direction("by the plain law", _plain, "tokens come out as if the parameter were not there on some rows",
                  "the parameter is applied too strongly, or twice")
NEIGHBOURS = Direction("of neighbours", _likely, "a token depends on the coins of the token before: random numbers are used "
                       "twice", "a token depends on the coins of the token before: random numbers are used twice")
BESIDE = Direction("of rows side by side", _likely, "rows share random numbers", "rows share random numbers")
BEFORE = Direction("by the row before", _before, "tokens come out by the law of the place before: the wrong row is sampled",
                   "tokens shun what the place before liked")


def _next_token(lengths: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Tokens 1 and 2 of a text, 3 and 4, ..: where each first one stands among all tokens, and the second, or -1."""
    begin = 0
    first: list[int] = []
    second: list[int] = []
    for length in lengths:
        first += range(begin, begin + length, 2)
        second += [at if at < begin + length else -1 for at in range(begin + 1, begin + length + 1, 2)]
        begin += length
    return torch.tensor(first, dtype=torch.int64), torch.tensor(second, dtype=torch.int64)


def _next_row(lengths: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The tokens at the same place of texts 1 and 2, 3 and 4, .., as above."""
    begin = 0
    first: list[int] = []
    second: list[int] = []
    for one, other in zip(lengths[::2], lengths[1::2], strict=False):
        first += range(begin, begin + one)
        second += [begin + one + place if place < other else -1 for place in range(one)]
        begin += one + other
    return torch.tensor(first, dtype=torch.int64), torch.tensor(second, dtype=torch.int64)


class Ranks:
    """The test: one e-process for each order."""

    def __init__(self, directions: Sequence[Direction], alpha: float, generator: torch.Generator):
        ramp = torch.arange(2 * BINS - 1, 0, -2, dtype=torch.float64) / BINS**2
        self.generator = generator
        self.tests = {way: OneSample(torch.full((BINS,), 1 / BINS), alpha / len(directions), (ramp, ramp.flip(0)))
                      for way in directions}

    def read(self, toy: Toy, rows: Sequence[Row], answers: Sequence[Completion],
             counts_prompt: bool = False) -> reading.Fault | None:
        """Take in answers, unless one of them is wrong by itself: that fault is returned."""
        texts = reading.restored(toy, rows, answers)
        tables = list(reading.laws(toy, rows, texts, counts_prompt))
        read = reading.check(rows, answers, texts, tables)
        if read.faults:
            return read.faults[0]
        if any(texts):
            self.add(toy, rows, texts, tables)
        return None

    def add(self, toy: Toy, rows: Sequence[Row], texts: Sequence[list[int]], tables: Sequence[Laws]) -> None:
        """Take in texts and their laws; rows that are doubtful are left out, and what is impossible is not for here."""
        clear = [~table.doubtful[: len(text)] for text, table in zip(texts, tables, strict=True)]
        tokens = torch.cat([torch.tensor(text, dtype=torch.int64) for text in texts])[:, None]
        law = torch.cat([table.law[: len(text)] for text, table in zip(texts, tables, strict=True)])
        keep = torch.cat(clear)
        own = law.gather(1, tokens)[:, 0]
        for way, test in self.tests.items():
            keys = torch.cat([key[: len(text)] for text, key in zip(texts, way.keys(toy, rows, texts, tables), strict=True)])
            mine = keys.gather(1, tokens)
            ahead = (law * ((keys > mine) | ((keys == mine) & (torch.arange(law.shape[1]) < tokens)))).sum(-1)
            ranks = ahead + own * self._uniforms(len(own))
            if way in (NEIGHBOURS, BESIDE):
                first, second = (_next_token if way is NEIGHBOURS else _next_row)([len(text) for text in texts])
                # Whether there is a second one depends on the first: where there is none a uniform of our own stands for it.
                paired = torch.where((second >= 0) & keep[second], ranks[second], self._uniforms(len(first)))
                quarter = (torch.stack((ranks[first], paired)) * 4).long().clamp(max=3)
                bins = (4 * quarter[0] + quarter[1])[keep[first]]
            else:
                bins = (ranks[keep] * BINS).long().clamp(max=BINS - 1)
            test.update(torch.bincount(bins, minlength=BINS))

    def _uniforms(self, count: int) -> Tensor:
        return torch.rand(count, dtype=torch.float64, generator=self.generator)

    def worst(self) -> tuple[Direction, OneSample]:
        """The first order that is rejected, else the one that has the most evidence against it."""
        rejected = [item for item in self.tests.items() if item[1].rejected]
        return rejected[0] if rejected else max(self.tests.items(), key=lambda item: item[1].largest)

    def picture(self, way: Direction) -> Picture:
        counts = self.tests[way].counts[0]
        return Picture(f"ranks of tokens, {way.name}", tuple(f"{i}/{BINS}" for i in range(BINS)), (1 / BINS,) * BINS,
                       tuple((counts / counts.sum().clamp(min=1)).tolist()))

    def cause(self, way: Direction) -> str:
        counts = self.tests[way].counts[0]
        front = float((counts * torch.arange(BINS - 1, -BINS, -2)).sum()) > 0
        return way.front if front else way.behind
