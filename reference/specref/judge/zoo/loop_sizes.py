"""Planted bugs that show only with inputs of some sizes: vocabularies, prompts, stops, batches."""

import secrets
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ...chance import Chance, Stream, Streams
from ...data import Completion, SamplingParams
from ..subjects import Loop
from .loop_parts import OwnDistribution
from .loops import Rewrites

_BLOCK, _STREAMS = 16, 256


class LikeliestThousand(OwnDistribution):
    """Only the 1,024 likeliest tokens are candidates."""

    def distribution_of(self, plain: Tensor, p: Tensor, last: Tensor) -> Tensor:
        best, ids = p.topk(min(1024, p.shape[-1]), -1)
        return torch.zeros_like(p).scatter(-1, ids, best / best.sum(-1, keepdim=True))


class PaddingDrawn(OwnDistribution):
    """Rows are padded with scores of 0 to a multiple of 8, and a drawn id outside the vocabulary
    becomes the last id.
    """

    def distribution_of(self, plain: Tensor, p: Tensor, last: Tensor) -> Tensor:
        more = -p.shape[-1] % 8 / p.shape[-1]
        drawn = p.clone()
        drawn[..., -1] += more
        return torch.where(p.amax(-1, keepdim=True) == 1, p, drawn / (1 + more))


class FirstStopAlone(Rewrites):
    def rewritten(self, params: Sequence[SamplingParams]) -> list[SamplingParams]:
        return [replace(s, stop_sequences=s.stop_sequences[:1]) for s in params]


class ShortStopsAlone(Rewrites):
    """Stop sequences are looked for in a window of four tokens."""

    def rewritten(self, params: Sequence[SamplingParams]) -> list[SamplingParams]:
        found = []
        for s in params:
            short = tuple(stop for stop in s.stop_sequences if len(stop) <= 4)
            found.append(replace(s, stop_sequences=short))
        return found


class Misreads(Loop):
    """A loop that reads another prompt than it was given."""

    def read(self, prompt: Sequence[int]) -> list[int]:
        return list(prompt)

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        params: Sequence[SamplingParams],
        chance: Chance | None = None,
    ) -> list[Completion]:
        return super().generate([self.read(prompt) for prompt in prompts], params, chance)


class FullBlockShort(Misreads):
    """A prompt whose length is a multiple of the block loses its first token."""

    def read(self, prompt: Sequence[int]) -> list[int]:
        return list(prompt[len(prompt) % _BLOCK == 0 :])


class EndsHidden(Misreads):
    """End tokens are removed from a prompt, as if they were padding."""

    def read(self, prompt: Sequence[int]) -> list[int]:
        return [token for token in prompt if token not in self.target.config.eos_token_id]


class StreamOneRowOn(Loop):
    """Rows without a seed read one stream; each begins one number after the row before."""

    def chance(self, params: Sequence[SamplingParams]) -> Chance:
        fresh = secrets.randbits(62)
        streams = [Stream(fresh if s.seed is None else s.seed) for s in params]
        for row, (stream, s) in enumerate(zip(streams, params, strict=True)):
            if s.seed is None:
                stream.take(row)
        return Streams(streams=streams)


class StreamsRunOut(Loop):
    """Rows without a seed share 256 streams, so large batches use some twice."""

    def chance(self, params: Sequence[SamplingParams]) -> Chance:
        fresh = [secrets.randbits(62) for _ in range(_STREAMS)]
        return Streams(
            [fresh[row % _STREAMS] if s.seed is None else s.seed for row, s in enumerate(params)]
        )
