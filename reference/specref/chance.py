"""Chance is an argument: a rule asks two questions and does not know where the answers come from.

Seeded streams make a rule a sampler, `exact/enumerate.py` makes it an exact distribution, and
injected uniforms make it a replay.
"""

import secrets
from collections.abc import Sequence
from random import Random
from typing import Protocol

import torch
from torch import Tensor

from .data import SpecrefError


class Chance(Protocol):
    """Answers for B rows.

    A row is asked only where `asked` is true. Elsewhere the answer is False or 0 and no randomness
    is used, so that a row's stream never depends on the rows beside it.
    """

    def accept(self, probability: Tensor, asked: Tensor | None = None) -> Tensor:
        """Coins: true with the given probability, asked from left to right.

        Args:
            probability: [B,K] in [0,1]. asked: [B,K] bool; None: everywhere.
        Returns:
            [B,K] bool.
        """
        ...

    def draw(self, distribution: Tensor, asked: Tensor | None = None) -> Tensor:
        """Tokens drawn from the given distributions.

        Args:
            distribution: [B,V], non-negative; normalised here. asked: [B] bool; None: everywhere.
        Returns:
            [B] int64.
        """
        ...

    def rows(self, index: Sequence[int]) -> "Chance":
        """The chance of these rows alone, which goes on with their streams."""
        ...


class Uniforms:
    """Answers both questions with uniforms u in [0,1): the part that all samplers share.

    A coin is u < probability: never true for probability 0, always for 1. A draw takes the first
    token whose cumulative weight exceeds u * total. A token of weight 0 is never drawn: its
    cumulative weight is that of the token before it.
    """

    def take(self, row: int, count: int) -> Tensor:
        """The next `count` uniforms of a row, [count] float64 on the host."""
        raise SpecrefError(f"{type(self).__name__} has no uniforms: define take(row, count)")

    def _uniforms(
        self, shape: tuple[int, int], asked: Tensor | None, device: torch.device
    ) -> Tensor:
        """Uniforms [B,K] float64 where asked [B,K], 1 elsewhere."""
        uniforms = torch.ones(shape, dtype=torch.float64)  # [B,K]
        wanted = torch.ones(shape, dtype=torch.bool) if asked is None else asked.cpu()  # [B,K]
        for row, count in enumerate(wanted.sum(1).tolist()):
            if count:
                uniforms[row, wanted[row]] = self.take(row, count)
        return uniforms.to(device)

    def accept(self, probability: Tensor, asked: Tensor | None = None) -> Tensor:
        batch, width = probability.shape
        return self._uniforms((batch, width), asked, probability.device) < probability

    def draw(self, distribution: Tensor, asked: Tensor | None = None) -> Tensor:
        if asked is None:
            asked = torch.ones_like(distribution[:, 0], dtype=torch.bool)  # [B]
        u = self._uniforms((len(distribution), 1), asked[:, None], distribution.device)  # [B,1]
        cumulative = distribution.double().cumsum(-1)  # [B,V]
        token = torch.searchsorted(cumulative, u * cumulative[:, -1:], right=True)  # [B,1]
        if distribution.is_cuda:  # a parallel sum may fall, and then a token of weight 0 comes out
            weight = distribution.gather(1, token.clamp(max=distribution.shape[1] - 1))  # [B,1]
            likeliest = distribution.argmax(-1, keepdim=True)  # [B,1]
            token = torch.where(weight > 0, token, likeliest)
        return torch.where(asked, token[:, 0], 0)


class Stream:
    """One request's own uniforms in [0,1), of 53 bits. A seed of None takes fresh entropy.

    Python's generator reads every bit of a seed. torch's on the CPU reads the low 32 alone: seeds
    that differ above them draw the same numbers.
    """

    def __init__(self, seed: int | None):
        self.seed = secrets.randbits(63) if seed is None else seed
        self.random, self.taken = Random(self.seed), 0

    def take(self, count: int) -> Tensor:
        """The next `count` uniforms, [count] float64."""
        self.taken += count
        drawn = [self.random.random() for _ in range(count)]
        return torch.tensor(drawn, dtype=torch.float64)

    def rewind(self, taken: int) -> None:
        """Go back to where `taken` uniforms had been taken."""
        self.random, self.taken = Random(self.seed), 0
        self.take(taken)


class Streams(Uniforms):
    """One seeded stream a row.

    Args:
        seeds: one a row; None takes fresh entropy. streams: these streams instead.
    """

    def __init__(self, seeds: Sequence[int | None] = (), streams: Sequence[Stream] | None = None):
        self.streams = [Stream(seed) for seed in seeds] if streams is None else list(streams)

    def take(self, row: int, count: int) -> Tensor:
        return self.streams[row].take(count)

    def rows(self, index: Sequence[int]) -> "Streams":
        return Streams(streams=[self.streams[row] for row in index])


class Injected(Uniforms):
    """Uniforms chosen by the caller, [B,M] in [0,1); each row reads its own from left to right.

    Errors:
        SpecrefError for numbers outside [0,1), and when a row asks for more than M.
    """

    def __init__(self, uniforms: Tensor):
        if not bool(((uniforms >= 0) & (uniforms < 1)).all()):  # refuses NaN too
            raise SpecrefError("injected uniforms must lie in [0,1): 1 itself is not a uniform")
        self.uniforms = uniforms.double().cpu()
        self.positions = [0] * len(uniforms)

    def take(self, row: int, count: int) -> Tensor:
        begin = self.positions[row]
        if begin + count > self.uniforms.shape[1]:
            raise SpecrefError(
                f"row {row} asks for uniform {begin + count} and has {self.uniforms.shape[1]}: "
                "inject one for every coin and draw"
            )
        self.positions[row] = begin + count
        return self.uniforms[row, begin : begin + count]

    def rows(self, index: Sequence[int]) -> "Injected":
        part = Injected(self.uniforms[list(index)])
        part.positions = [self.positions[row] for row in index]
        return part
