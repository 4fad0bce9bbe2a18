"""Planted bugs that only a whole kernel can have: random numbers, seeds, rows, batches, buffers,
number formats.
"""

import secrets

import torch
from torch import Tensor

from ...adapters.reference import Rejection
from . import Bug
from .rules import OURS


class Coins(Rejection):
    """The right kernel, with its uniforms [B,K+1] made in one place: K for the coins, then one for
    the last draw.
    """

    def uniforms(self, batch: int, width: int, seed: int) -> Tensor:
        return torch.rand(
            batch, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
        )

    def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
        u = self.uniforms(len(p), p.shape[1], seed)
        return self.verify_with(p, q, draft, u[:, :-1], u[:, -1])


def hashed(keys: Tensor, width: int) -> Tensor:
    """Uniforms [B,width] that are a function of keys [B]."""
    x = keys[:, None] * 1_000_003 + torch.arange(width) * 7919 + 12345
    for _ in range(3):
        x = ((x ^ (x >> 15)) * 0x2C1B3C6D) & 0x7FFFFFFF
        x = ((x ^ (x >> 12)) * 0x297A2D39) & 0x7FFFFFFF
    return x.double() / 2**31


class SharedByRows(Coins):
    def uniforms(self, batch: int, width: int, seed: int) -> Tensor:
        return super().uniforms(1, width, seed).expand(batch, width)


class RepeatedEvery32(Coins):
    def uniforms(self, batch: int, width: int, seed: int) -> Tensor:
        return super().uniforms(32, width, seed).repeat(batch // 32 + 1, 1)[:batch]


class SeedPlusRow(Coins):
    def uniforms(self, batch: int, width: int, seed: int) -> Tensor:
        return hashed(seed % 2**31 + torch.arange(batch), width)


class KernelSeedIgnored(Coins):
    def uniforms(self, batch: int, width: int, seed: int) -> Tensor:
        return super().uniforms(batch, width, 0)


class Unseeded(Coins):
    def uniforms(self, batch: int, width: int, seed: int) -> Tensor:
        return super().uniforms(batch, width, secrets.randbits(63))


class GlobalGenerator(Coins):
    def uniforms(self, batch: int, width: int, seed: int) -> Tensor:
        return torch.rand(batch, width, dtype=torch.float64)


class StreamGoesOn(Coins):
    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(0)

    def uniforms(self, batch: int, width: int, seed: int) -> Tensor:
        return torch.rand(batch, width, dtype=torch.float64, generator=self.generator)


class KernelSeedCut(Coins):
    """The seed is cut to 16 bits."""

    def uniforms(self, batch: int, width: int, seed: int) -> Tensor:
        return super().uniforms(batch, width, seed & 0xFFFF)


class EightBits(Coins):
    def uniforms(self, batch: int, width: int, seed: int) -> Tensor:
        return torch.rand(
            batch, width, dtype=torch.bfloat16, generator=torch.Generator().manual_seed(seed)
        )


class OneCoinARow(Coins):
    def verify_with(
        self, p: Tensor, q: Tensor | None, draft: Tensor, accept_u: Tensor, final_u: Tensor
    ) -> Tensor:
        return super().verify_with(p, q, draft, accept_u[:, :1].expand_as(accept_u), final_u)


class CoinDrawsLast(Coins):
    def verify_with(
        self, p: Tensor, q: Tensor | None, draft: Tensor, accept_u: Tensor, final_u: Tensor
    ) -> Tensor:
        return super().verify_with(
            p, q, draft, accept_u, accept_u[:, 0] if accept_u.shape[1] else final_u
        )


class HalfPrecision(Coins):
    def verify_with(
        self, p: Tensor, q: Tensor | None, draft: Tensor, accept_u: Tensor, final_u: Tensor
    ) -> Tensor:
        q = None if q is None else q.half().float()
        return super().verify_with(
            p, None if q is None else q / q.sum(-1, keepdim=True), draft, accept_u, final_u
        )


class InclusiveCoin(Coins):
    def verify_with(
        self, p: Tensor, q: Tensor | None, draft: Tensor, accept_u: Tensor, final_u: Tensor
    ) -> Tensor:
        # u = 0 is below every ratio, 0 too
        return super().verify_with(p, q, draft, accept_u - 2**-25, final_u)


class RunningSum(Coins):
    """The residual's running sum is float32 and never normalised. A u above its end gives the last
    id.
    """

    normalised = False

    def last(self, distribution: Tensor, u: Tensor) -> Tensor:
        distribution = (
            distribution / distribution.sum(-1, keepdim=True) if self.normalised else distribution
        )
        return torch.searchsorted(distribution.float().cumsum(-1), u.float()[:, None], right=True)[
            :, 0
        ].clamp(max=distribution.shape[1] - 1)

    def verify_with(
        self, p: Tensor, q: Tensor | None, draft: Tensor, accept_u: Tensor, final_u: Tensor
    ) -> Tensor:
        out = super().verify_with(p, q, draft, accept_u, final_u)
        count = (out >= 0).sum(1) - 1
        distribution = p[torch.arange(len(p)), count]
        if draft.shape[1]:
            at = count.clamp(max=draft.shape[1] - 1)
            drafted = (
                torch.zeros_like(distribution).scatter_(1, draft.gather(1, at[:, None]), 1)
                if q is None
                else q[torch.arange(len(p)), at]
            )
            distribution = torch.where(
                (count < draft.shape[1])[:, None],
                (distribution - drafted).clamp(min=0),
                distribution,
            )
        return out.scatter(1, count[:, None], self.last(distribution, final_u)[:, None])


class RunningSumShort(RunningSum):
    normalised = True


class PaddedTile(RunningSum):
    """The last distribution is copied into tiles of 1024 entries; their padding is not cleared."""

    def last(self, distribution: Tensor, u: Tensor) -> Tensor:
        distribution = torch.nn.functional.pad(
            distribution, (0, -distribution.shape[1] % 1024), value=1e-5
        )
        distribution = distribution.double().cumsum(-1)
        return torch.searchsorted(distribution, u[:, None] * distribution[:, -1:], right=True)[:, 0]


class TileDropped(RunningSum):
    """Tokens behind the last whole tile of 1024 are never drawn."""

    def last(self, distribution: Tensor, u: Tensor) -> Tensor:
        whole = distribution.shape[1] // 1024 * 1024 or distribution.shape[1]
        distribution = distribution[:, :whole].double().cumsum(-1)
        return torch.searchsorted(distribution, u[:, None] * distribution[:, -1:], right=True)[
            :, 0
        ].clamp(max=whole - 1)


class KernelLikeliestThousand(RunningSum):
    """The last token is drawn only from the 1,024 likeliest tokens."""

    def last(self, distribution: Tensor, u: Tensor) -> Tensor:
        best, ids = distribution.topk(min(1024, distribution.shape[1]), -1)
        best = best.double().cumsum(-1)
        at = torch.searchsorted(best, u[:, None] * best[:, -1:], right=True).clamp(
            max=best.shape[1] - 1
        )
        return ids.gather(1, at)[:, 0]


class StaleDraftDistribution(Coins):
    """The residual reads q from a buffer before this step's q is written to it."""

    kept = torch.zeros(0)

    def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
        u = self.uniforms(len(p), p.shape[1], seed)
        out = self.verify_with(p, q, draft, u[:, :-1], u[:, -1])
        if q is None or not draft.shape[1]:
            return out
        stale, self.kept = self.kept, q.clone()
        if stale.shape[1:] != q.shape[1:] or len(stale) < len(q):
            return out
        count = (out >= 0).sum(1) - 1
        rows, at = torch.arange(len(p)), count.clamp(max=draft.shape[1] - 1)
        distribution = (p[rows, at] - stale[rows, at]).clamp(min=0).double().cumsum(-1)
        token = torch.searchsorted(distribution, u[:, -1:] * distribution[:, -1:], right=True)
        swap = (count < draft.shape[1])[:, None] & (distribution[:, -1:] > 0)
        return torch.where(
            swap, out.scatter(1, count[:, None], token.clamp(max=p.shape[2] - 1)), out
        )


class FirstRowsTarget(Coins):
    def verify_with(
        self, p: Tensor, q: Tensor | None, draft: Tensor, accept_u: Tensor, final_u: Tensor
    ) -> Tensor:
        return super().verify_with(p[:1].expand_as(p), q, draft, accept_u, final_u)


class NeighboursTokens(Coins):
    def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
        out = super().verify(p, q, draft, seed)
        accepted = torch.arange(draft.shape[1]) < (out >= 0).sum(1, keepdim=True) - 1
        out[:, :-1] = torch.where(accepted, draft.roll(1, 0), out[:, :-1])
        return out


class LastRowsUnjudged(Coins):
    """The grid covers whole blocks of 256 rows only. The rows behind them are accepted without
    verification.
    """

    def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
        out = super().verify(p, q, draft, seed)
        whole = len(p) // 256 * 256
        if whole:
            out[whole:, :-1] = draft[whole:]
            out[whole:, -1] = p[whole:, -1].argmax(-1)
        return out


class OneRowGreedy(Coins):
    def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
        out = super().verify(p, q, draft, seed)
        if len(p) == 1:
            count = int((out >= 0).sum()) - 1
            out[0, count] = p[0, count].argmax()
        return out


class OneTooMany(Coins):
    """After a rejected token is replaced, the next draft token is emitted too."""

    def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
        out = super().verify(p, q, draft, seed)
        count = (out >= 0).sum(1, keepdim=True)
        padded = torch.nn.functional.pad(draft, (0, 1), value=-1)
        return torch.where(torch.arange(out.shape[1]) == count, padded, out)


class PaddedWithZero(Coins):
    def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
        return super().verify(p, q, draft, seed).clamp(min=0)


class HoleInTheMiddle(Coins):
    """The last token is always written to the last column, whatever was accepted."""

    def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
        out = super().verify(p, q, draft, seed)
        count = (out >= 0).sum(1, keepdim=True) - 1
        last = out.gather(1, count)
        out.scatter_(1, count, -1)
        out[:, -1:] = last
        return out


class WritesIntoQ(Coins):
    def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
        out = super().verify(p, q, draft, seed)
        if q is not None and q.shape[1]:
            q.sub_(p[:, :-1]).clamp_(min=0)
        return out


class FloatTokens(Coins):
    def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
        return super().verify(p, q, draft, seed).float()


def _bug(
    name: str,
    number: int,
    source: str,
    kind: str,
    symptom: str,
    caught_by: str,
    kernel: type[Coins],
) -> Bug:
    return Bug(name, number, source, kind, symptom, caught_by, kernel)


RANDOM = "random numbers"
KERNEL_BUGS = (
    _bug(
        "coins-shared-by-rows",
        22,
        "TensorRT-LLM #19487",
        RANDOM,
        "the same prompt twice in a batch gives the same text",
        "kernel.independence",
        SharedByRows,
    ),
    _bug(
        "coins-repeat-every-32-rows",
        22,
        OURS,
        RANDOM,
        "rows that stand 32 apart get the same coins",
        "kernel.independence",
        RepeatedEvery32,
    ),
    _bug(
        "coins-of-seed-plus-row",
        23,
        "SGLang #30822",
        RANDOM,
        "the next step's coins are this step's, one row on",
        "kernel.seeds",
        SeedPlusRow,
    ),
    _bug(
        "kernel-seed-ignored",
        23,
        "vLLM #6038",
        RANDOM,
        "every step throws the same coins",
        "kernel.seeds",
        KernelSeedIgnored,
    ),
    _bug(
        "kernel-unseeded",
        23,
        "vLLM #6038",
        RANDOM,
        "a seed does not bring a text back",
        "kernel.determinism",
        Unseeded,
    ),
    _bug(
        "global-generator",
        23,
        OURS,
        RANDOM,
        "text depends on what else was drawn in the process",
        "kernel.determinism",
        GlobalGenerator,
    ),
    _bug(
        "stream-goes-on",
        23,
        OURS,
        RANDOM,
        "text depends on the requests before it",
        "kernel.determinism",
        StreamGoesOn,
    ),
    _bug(
        "seed-of-16-bits",
        23,
        OURS,
        RANDOM,
        "some steps throw the coins of others",
        "kernel.determinism",
        KernelSeedCut,
    ),
    _bug(
        "coins-of-8-bits",
        63,
        OURS,
        "numerics",
        "unlikely tokens come out too often or never",
        "kernel.first-token",
        EightBits,
    ),
    _bug(
        "one-coin-a-row",
        21,
        OURS,
        RANDOM,
        "drafts are kept wholly or not at all",
        "kernel.joint",
        OneCoinARow,
    ),
    _bug(
        "coin-draws-last-token",
        21,
        "vLLM #54282",
        RANDOM,
        "what follows a rejection depends on how close it was",
        "kernel.first-token",
        CoinDrawsLast,
    ),
    _bug(
        "draft-law-in-half-precision",
        63,
        OURS,
        "numerics",
        "text shifts by a hair",
        "kernel.exact-law",
        HalfPrecision,
    ),
    _bug(
        "kernel-inclusive-coin",
        15,
        "SGLang #35771",
        "numerics",
        "once in some ten million coins an impossible token",
        "kernel.edges",
        InclusiveCoin,
    ),
    _bug(
        "residual-not-normalised",
        1,
        OURS,
        "residual",
        "the last id of the vocabulary comes out far too often",
        "kernel.first-token",
        RunningSum,
    ),
    _bug(
        "kernel-running-sum-overrun",
        16,
        "SGLang #22643",
        "numerics",
        "once in some ten million draws the last id of the vocabulary",
        "kernel.edges",
        RunningSumShort,
    ),
    _bug(
        "tile-padding-drawn",
        16,
        "SGLang #22643",
        "numerics",
        "now and then an id outside the vocabulary",
        "kernel.shape",
        PaddedTile,
    ),
    _bug(
        "last-tile-dropped",
        16,
        OURS,
        "numerics",
        "the vocabulary's last tokens never come out",
        "kernel.mixed-rows",
        TileDropped,
    ),
    _bug(
        "likeliest-thousand",
        16,
        OURS,
        "numerics",
        "in a large vocabulary text is too likely",
        "kernel.token-bets",
        KernelLikeliestThousand,
    ),
    _bug(
        "stale-draft-law",
        44,
        "vLLM #49620",
        "batching",
        "replacements answer to an earlier step's draft",
        "kernel.first-token",
        StaleDraftDistribution,
    ),
    _bug(
        "first-rows-target",
        64,
        OURS,
        "batching",
        "a request gets its neighbour's text",
        "kernel.first-token",
        FirstRowsTarget,
    ),
    _bug(
        "neighbours-tokens",
        64,
        OURS,
        "batching",
        "a request gets its neighbour's draft",
        "kernel.prefix",
        NeighboursTokens,
    ),
    _bug(
        "last-rows-unjudged",
        64,
        OURS,
        "batching",
        "in some batch sizes the last rows are the draft's",
        "kernel.first-token",
        LastRowsUnjudged,
    ),
    _bug(
        "one-row-greedy",
        64,
        OURS,
        "batching",
        "a request alone is answered as if at temperature 0",
        "kernel.token-bets",
        OneRowGreedy,
    ),
    _bug(
        "one-too-many",
        62,
        OURS,
        "verify",
        "after a rejection an unjudged token follows",
        "kernel.prefix",
        OneTooMany,
    ),
    _bug(
        "padded-with-0",
        65,
        OURS,
        "interface",
        "token 0 follows every rejection",
        "kernel.shape",
        PaddedWithZero,
    ),
    _bug(
        "hole-in-the-middle",
        65,
        OURS,
        "interface",
        "a sentinel comes out as a token",
        "kernel.shape",
        HoleInTheMiddle,
    ),
    _bug(
        "writes-into-q",
        65,
        "SGLang",
        "interface",
        "the draft's distribution is gone after the step",
        "kernel.shape",
        WritesIntoQ,
    ),
    _bug(
        "float-tokens",
        65,
        OURS,
        "interface",
        "large token ids are rounded",
        "kernel.shape",
        FloatTokens,
    ),
)
