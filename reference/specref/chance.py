"""Chance is an argument. A rule asks two questions, and whoever answers decides what the rule
means: seeded streams make it a sampler, `distribution/enumerate.py` makes it an exact distribution,
recorded coins make it a replay.
"""

import secrets
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from .data import SpecrefError


class Chance(Protocol):
    """Answers for B rows. A row is only asked where `asked` says so; elsewhere the answer is False
    or 0 and no randomness is used, so that a row's stream never depends on the rows beside it."""

    def accept(self, probability: Tensor, asked: Tensor | None = None) -> Tensor:
        """Coins: probability [B,K] in [0,1], asked [B,K] bool -> [B,K] bool, asked from left to
        right.
        """
        ...

    def draw(self, distribution: Tensor, asked: Tensor | None = None) -> Tensor:
        """Tokens: distribution [B,V] non-negative (normalised here), asked [B] bool -> [B]
        int64.
        """
        ...

    def rows(self, index: Sequence[int]) -> "Chance":
        """The chance of these rows alone, still the same streams."""
        ...


class Uniforms:
    """Both questions from uniforms in [0,1): the shared half of every sampler.

    A coin of probability 0 never falls and one of probability 1 always does, since 0 <= u < 1. A
    draw takes the first token whose cumulative weight exceeds u * total; a token of weight 0 never
    exceeds what its predecessor did not.
    """

    def take(self, row: int, count: int) -> Tensor:
        """The next `count` uniforms of a row, [count] float64 on the host."""
        raise SpecrefError(f"{type(self).__name__} has no uniforms: define take(row, count)")

    def _uniforms(
        self, shape: tuple[int, int], asked: Tensor | None, device: torch.device
    ) -> Tensor:
        batch, width = shape
        if asked is None or bool(asked.all()):
            rows = [self.take(row, width) for row in range(batch)]
            return (rows[0][None] if batch == 1 else torch.stack(rows)).to(device)
        result = torch.ones(shape, dtype=torch.float64)
        wanted = asked.cpu()
        for row, count in enumerate(wanted.sum(1).tolist()):
            if count:
                result[row, wanted[row]] = self.take(row, count)
        return result.to(device)

    def accept(self, probability: Tensor, asked: Tensor | None = None) -> Tensor:
        batch, width = probability.shape
        return self._uniforms((batch, width), asked, probability.device) < probability

    def draw(self, distribution: Tensor, asked: Tensor | None = None) -> Tensor:
        u = self._uniforms(
            (len(distribution), 1), None if asked is None else asked[:, None], distribution.device
        )
        cumulative = distribution.double().cumsum(-1)
        token = torch.searchsorted(cumulative, u * cumulative[:, -1:], right=True)[:, 0]
        if distribution.is_cuda:  # a parallel sum need not be monotone: never trust it with a zero
            safe = (
                distribution.gather(1, token.clamp(max=distribution.shape[1] - 1)[:, None])[:, 0]
                > 0
            )
            token = torch.where(safe, token, distribution.argmax(-1))
        return token if asked is None else torch.where(asked, token, 0)


class Stream:
    """One request's own uniforms, [0,1) with 53 bits, drawn ahead in blocks."""

    BLOCK = 256

    def __init__(self, seed: int | None):
        self.seed = secrets.randbits(63) if seed is None else seed
        self.generator = torch.Generator().manual_seed(self.seed)
        self.ahead = torch.empty(0, dtype=torch.float64)
        self.position = 0

    def take(self, count: int) -> Tensor:
        if self.position + count > len(self.ahead):
            fresh = torch.rand(
                max(self.BLOCK, count), dtype=torch.float64, generator=self.generator
            )
            self.ahead = torch.cat((self.ahead[self.position :], fresh))
            self.position = 0
        self.position += count
        return self.ahead[self.position - count : self.position]


class Streams(Uniforms):
    """One seeded stream a row. A seed of None takes fresh entropy, never another row's stream."""

    def __init__(self, seeds: Sequence[int | None] = (), streams: Sequence[Stream] | None = None):
        self.streams = [Stream(seed) for seed in seeds] if streams is None else list(streams)

    def take(self, row: int, count: int) -> Tensor:
        return self.streams[row].take(count)

    def rows(self, index: Sequence[int]) -> "Streams":
        return Streams(streams=[self.streams[row] for row in index])


class Injected(Uniforms):
    """Uniforms chosen by the caller, [B,M] in [0,1): each row reads its own from left to right."""

    def __init__(self, uniforms: Tensor):
        if not bool(((uniforms >= 0) & (uniforms < 1)).all()):  # NaN is none either
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
