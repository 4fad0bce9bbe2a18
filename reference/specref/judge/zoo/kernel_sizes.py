"""Planted bugs that show only at some sizes of a batch, a draft or a vocabulary, and random numbers
that are used again far away.
"""

import torch
from torch import Tensor

from . import Bug
from .kernels import RANDOM, Coins, hashed
from .rules import OURS


class EveryThousandRows(Coins):
    def uniforms(self, batch: int, width: int, seed: int) -> Tensor:
        return super().uniforms(1000, width, seed).repeat(batch // 1000 + 1, 1)[:batch]


class FourSeedsOn(Coins):
    """A row's stream is seed + 4 x row."""

    def uniforms(self, batch: int, width: int, seed: int) -> Tensor:
        return hashed(seed % 2**31 + 4 * torch.arange(batch), width)


class FiveSeedsOn(Coins):
    """A row's stream is seed + 5 x row."""

    def uniforms(self, batch: int, width: int, seed: int) -> Tensor:
        return hashed(seed % 2**31 + 5 * torch.arange(batch), width)


class ThousandSeedsOn(Coins):
    """A row's stream is seed + 1,000 x row."""

    def uniforms(self, batch: int, width: int, seed: int) -> Tensor:
        return hashed(seed % 2**31 + 1000 * torch.arange(batch), width)


class OneCoinOn(Coins):
    """Row r decides its draft token i by coin r + i of one stream. The last token has a coin of its
    own.
    """

    def uniforms(self, batch: int, width: int, seed: int) -> Tensor:
        stream = super().uniforms(batch + width, 2, seed)
        return torch.cat(
            (stream[torch.arange(batch)[:, None] + torch.arange(width - 1), 0], stream[:batch, 1:]),
            1,
        )


class SeedPlusPlace(Coins):
    """The coin of draft token i comes from a generator seeded with seed + i."""

    def uniforms(self, batch: int, width: int, seed: int) -> Tensor:
        places = [super(SeedPlusPlace, self).uniforms(batch, 1, seed + i) for i in range(width - 1)]
        return torch.cat((*places, super().uniforms(batch, 2, seed + 2**40)[:, 1:]), 1)


class IdsOf16Bits(Coins):
    """Token ids are stored in 16 bits."""

    def verify_with(
        self, p: Tensor, q: Tensor | None, draft: Tensor, accept_u: Tensor, final_u: Tensor
    ) -> Tensor:
        out = super().verify_with(p, q, draft, accept_u, final_u)
        return torch.where(out >= 0, out % 2**16, out)


class MiddleStray(Coins):
    """In vocabularies of 65 to 1,023 tokens, one row in a hundred ends with the token of smallest
    probability.
    """

    def verify_with(
        self, p: Tensor, q: Tensor | None, draft: Tensor, accept_u: Tensor, final_u: Tensor
    ) -> Tensor:
        out = super().verify_with(p, q, draft, accept_u, final_u)
        if not 64 < p.shape[2] < 1024:
            return out
        last = (out >= 0).sum(1, keepdim=True) - 1
        token = torch.where(
            final_u[:, None] * 100 % 1 < 0.01, p[:, 0].argmin(-1, keepdim=True), out.gather(1, last)
        )
        return out.scatter(1, last, token)


class SixCoins(Coins):
    """A row has six coins; the seventh draft token uses the first coin again."""

    def uniforms(self, batch: int, width: int, seed: int) -> Tensor:
        own = super().uniforms(batch, width, seed)
        return torch.cat((own[:, torch.arange(width - 1) % 6], own[:, -1:]), 1)


class SeventhStride(Coins):
    """In drafts of seven tokens, each token but the first is verified with the q of the token
    before it.
    """

    def verify_with(
        self, p: Tensor, q: Tensor | None, draft: Tensor, accept_u: Tensor, final_u: Tensor
    ) -> Tensor:
        if q is not None and draft.shape[1] == 7:
            q = q[:, [0, 0, 1, 2, 3, 4, 5]]
        return super().verify_with(p, q, draft, accept_u, final_u)


class TensOfRows(Coins):
    """Batches of 16 to 63 rows take a code path of their own, on which the last token is the
    argmax.
    """

    def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
        out = super().verify(p, q, draft, seed)
        if not 16 <= len(p) < 64:
            return out
        count = (out >= 0).sum(1) - 1
        return out.scatter(
            1, count[:, None], p[torch.arange(len(p)), count].argmax(-1, keepdim=True)
        )


class MiddleVocabulary(Coins):
    """Vocabularies of 65 to 1,023 tokens take a code path of their own, on which the token after a
    rejection is drawn from p.
    """

    def verify_with(
        self, p: Tensor, q: Tensor | None, draft: Tensor, accept_u: Tensor, final_u: Tensor
    ) -> Tensor:
        out = super().verify_with(p, q, draft, accept_u, final_u)
        if not 64 < p.shape[2] < 1024:
            return out
        count = (out >= 0).sum(1) - 1
        distribution = p[torch.arange(len(p)), count].double().cumsum(-1)
        token = torch.searchsorted(
            distribution, final_u[:, None] * distribution[:, -1:], right=True
        )
        return out.scatter(1, count[:, None], token.clamp(max=p.shape[2] - 1))


KERNEL_SIZE_BUGS = (
    Bug(
        "coins-repeat-every-1000-rows",
        22,
        OURS,
        RANDOM,
        "in a large batch some requests get the same text",
        "kernel.independence",
        EveryThousandRows,
    ),
    Bug(
        "coins-of-four-seeds-on",
        23,
        OURS,
        RANDOM,
        "a request gets the coins that another had four steps before",
        "kernel.seeds",
        FourSeedsOn,
    ),
    Bug(
        "coins-of-five-seeds-on",
        23,
        OURS,
        RANDOM,
        "a request gets the coins that another had five steps before",
        "kernel.seeds",
        FiveSeedsOn,
    ),
    Bug(
        "coins-of-a-thousand-seeds-on",
        23,
        OURS,
        RANDOM,
        "a request gets the coins that another had 1,000 steps before",
        "kernel.seeds",
        ThousandSeedsOn,
    ),
    Bug(
        "coins-one-row-on",
        22,
        OURS,
        RANDOM,
        "a request's later tokens depend on what the one beside it got",
        "kernel.independence",
        OneCoinOn,
    ),
    Bug(
        "coins-by-seed-and-place",
        23,
        OURS,
        RANDOM,
        "a token depends on the one before it in the step before",
        "kernel.seeds",
        SeedPlusPlace,
    ),
    Bug(
        "ids-of-16-bits",
        16,
        OURS,
        "verify",
        "in a vocabulary of more than 65,536 tokens others come out",
        "kernel.mixed-rows",
        IdsOf16Bits,
    ),
    Bug(
        "middle-vocabulary-stray",
        16,
        OURS,
        "verify",
        "in some vocabularies a token of no probability comes out",
        "kernel.mixed-rows",
        MiddleStray,
    ),
    Bug(
        "six-coins-a-row",
        21,
        OURS,
        RANDOM,
        "in long drafts late tokens are kept because early ones were",
        "kernel.independence",
        SixCoins,
    ),
    Bug(
        "stride-of-seven",
        10,
        OURS,
        "verify",
        "with seven draft tokens each is judged by another's distribution",
        "kernel.token-bets",
        SeventhStride,
    ),
    Bug(
        "middle-vocabulary",
        2,
        OURS,
        "residual",
        "in some vocabularies what the draft likes comes out too often",
        "kernel.token-bets",
        MiddleVocabulary,
    ),
    Bug(
        "tens-of-rows-greedy",
        64,
        OURS,
        "batching",
        "in batches of some tens the last token is the likeliest",
        "kernel.token-bets",
        TensOfRows,
    ),
)
