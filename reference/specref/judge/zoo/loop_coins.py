"""Planted bugs of random numbers in loops: different seeds that give the same stream, streams that
several rows read, uniforms that are used twice.
"""

import secrets
import struct
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ...chance import Chance, Stream, Streams, Uniforms
from ...data import Draft, SamplingParams, SpecrefError, Verdict
from ..subjects import Loop


class SeedThroughFloat(Loop):
    """Seeds are rounded to float32."""

    def chance(self, params: Sequence[SamplingParams]) -> Chance:
        return Streams(
            [
                None if s.seed is None else int(struct.unpack("f", struct.pack("f", s.seed))[0])
                for s in params
            ]
        )


class SeededSeedsAll(Loop):
    """A seeded request seeds torch's global generator, and the seeds of the other requests are
    drawn from it.
    """

    def chance(self, params: Sequence[SamplingParams]) -> Chance:
        for s in params:
            if s.seed is not None:
                torch.manual_seed(s.seed)
        return Streams(
            [int(torch.randint(2**62, ())) if s.seed is None else s.seed for s in params]
        )


class StepStream(Stream):
    """A stream that is seeded again in every cycle, with seed + number of the cycle."""

    cycle = 0

    def step(self) -> None:
        self.cycle += 1
        self.random.seed((self.seed + self.cycle) % 2**63)


class SeedPlusStep(Loop):
    def chance(self, params: Sequence[SamplingParams]) -> Chance:
        return Streams(streams=[StepStream(s.seed) for s in params])

    def judge(self, draft: Draft, p: Tensor, chance: Chance) -> Verdict:
        verdict = super().judge(draft, p, chance)
        assert isinstance(chance, Streams)
        for stream in chance.streams:
            assert isinstance(stream, StepStream)
            stream.step()
        return verdict


class Places(Uniforms):
    """One uniform for each place of a text. All unseeded rows read one sequence of uniforms; each
    begins three places after the row before.
    """

    def __init__(
        self, lines: Sequence[Tensor], drafts: Streams, done: list[int], rows: Sequence[int]
    ):
        self.lines, self.drafts, self.done, self.index = lines, drafts, done, rows

    def rows(self, index: Sequence[int]) -> "Places":
        return Places(self.lines, self.drafts, self.done, [self.index[row] for row in index])

    def draw(self, distribution: Tensor, asked: Tensor | None = None) -> Tensor:
        return self.drafts.rows(self.index).draw(distribution, asked)

    def at(self, row: int, place: int) -> float:
        return float(self.lines[self.index[row]][self.done[self.index[row]] + place])


class StreamThreeOn(Loop):
    """Sampler match in which the unseeded rows share a sequence of uniforms; each begins three
    places after the row before.
    """

    def chance(self, params: Sequence[SamplingParams]) -> Chance:
        shared = torch.rand(
            3 * len(params) + 256,
            dtype=torch.float64,
            generator=torch.Generator().manual_seed(secrets.randbits(62)),
        )
        lines = [
            (
                shared[3 * row :]
                if s.seed is None
                else torch.rand(
                    256, dtype=torch.float64, generator=torch.Generator().manual_seed(s.seed)
                )
            )
            for row, s in enumerate(params)
        ]
        return Places(lines, Streams([None] * len(params)), [0] * len(params), range(len(params)))

    def judge(self, draft: Draft, p: Tensor, chance: Chance) -> Verdict:
        if not isinstance(chance, Places):  # as under an enumerator
            raise SpecrefError("this rule reads its uniforms by place: give it Places")
        accepted, following = (
            torch.zeros(len(p), dtype=torch.int64),
            torch.zeros(len(p), dtype=torch.int64),
        )
        sums = p.double().cumsum(-1)
        for row, length in enumerate(draft.lengths.tolist()):
            for place in range(length + 1):
                total = sums[row, place, -1]
                following[row] = int((sums[row, place] <= chance.at(row, place) * total).sum())
                if place == length or following[row] != draft.tokens[row, place]:
                    break
                accepted[row] += 1
            chance.done[chance.index[row]] += int(accepted[row]) + 1
        return Verdict(
            torch.arange(draft.tokens.shape[1]).expand(draft.tokens.shape), accepted, following
        )


class Mirrored(Stream):
    def take(self, count: int) -> Tensor:
        return 1 - 2**-53 - super().take(count)


class RowsMirrored(Loop):
    """Every second unseeded row uses 1 - u for each u of the row before."""

    def chance(self, params: Sequence[SamplingParams]) -> Chance:
        streams: list[Stream] = []
        for row, s in enumerate(params):
            second = row % 2 and s.seed is None and params[row - 1].seed is None
            streams.append(Mirrored(streams[-1].seed) if second else Stream(s.seed))
        return Streams(streams=streams)


class Again(Stream):
    """A stream that keeps its last uniform. If `again` is set, the next uniform is that one."""

    def __init__(self, seed: int | None):
        super().__init__(seed)
        self.last, self.again = torch.empty(0), False

    def take(self, count: int) -> Tensor:
        taken = (
            torch.cat((self.last, super().take(count - 1))) if self.again else super().take(count)
        )
        self.last, self.again = taken[-1:], False
        return taken


class BonusCoinAgain(Loop):
    """The uniform of a bonus token is used again for the next cycle's first draft token."""

    def chance(self, params: Sequence[SamplingParams]) -> Chance:
        return Streams(streams=[Again(s.seed) for s in params])

    def judge(self, draft: Draft, p: Tensor, chance: Chance) -> Verdict:
        verdict = super().judge(draft, p, chance)
        assert isinstance(chance, Streams)
        for stream, full in zip(
            chance.streams, (verdict.accepted == draft.lengths).tolist(), strict=True
        ):
            assert isinstance(stream, Again)
            stream.again = full
        return verdict


class BonusSeededAnew(Loop):
    """Bonus tokens are drawn from a generator of their own, which every cycle seeds with the
    request's seed + 1.
    """

    def judge(self, draft: Draft, p: Tensor, chance: Chance) -> Verdict:
        verdict = super().judge(draft, p, chance)
        assert isinstance(chance, Streams)
        anew = Streams([stream.seed + 1 for stream in chance.streams]).draw(
            p[torch.arange(len(p)), verdict.accepted]
        )
        return replace(
            verdict,
            next_token=torch.where(verdict.accepted == draft.lengths, anew, verdict.next_token),
        )
