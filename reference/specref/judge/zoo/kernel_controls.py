"""Kernels that are right and look wrong: they use other random numbers, orders, rules or number
formats.
"""

import torch
from torch import Tensor

from ...adapters.reference import Rejection, RuleKernel
from ...verify.residual import residual
from ...verify.typical import LossyTypical
from . import Control
from .kernels import Coins


def _fixed(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Complement(Coins):
    """Accepts where 1 - u, not u, is below the probability."""

    def verify_with(
        self, p: Tensor, q: Tensor | None, draft: Tensor, accept_u: Tensor, final_u: Tensor
    ) -> Tensor:
        top = 1 - torch.finfo(accept_u.dtype).eps / 2
        return super().verify_with(
            p, q, draft, (1 - accept_u).clamp(max=top), (1 - final_u).clamp(max=top)
        )


class CoinsFromTheEnd(Coins):
    def verify_with(
        self, p: Tensor, q: Tensor | None, draft: Tensor, accept_u: Tensor, final_u: Tensor
    ) -> Tensor:
        return super().verify_with(p, q, draft, accept_u.flip(1), final_u)


class VocabularyTurned(Coins):
    """The last draw sums over the vocabulary from its end."""

    def verify_with(
        self, p: Tensor, q: Tensor | None, draft: Tensor, accept_u: Tensor, final_u: Tensor
    ) -> Tensor:
        last = p.shape[2] - 1
        out = super().verify_with(
            p.flip(2), None if q is None else q.flip(2), last - draft, accept_u, final_u
        )
        return torch.where(out < 0, out, last - out)


class RowsTurned(Coins):
    def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
        return (
            super().verify(p.flip(0), None if q is None else q.flip(0), draft.flip(0), seed).flip(0)
        )


class NoisyKernel(Coins):
    """Probabilities with errors of 1e-6, as the float32 softmax of another machine gives them."""

    def verify_with(
        self, p: Tensor, q: Tensor | None, draft: Tensor, accept_u: Tensor, final_u: Tensor
    ) -> Tensor:
        noise = 1 + 1e-6 * (2 * torch.rand(p.shape, generator=_fixed(0)) - 1)
        return super().verify_with(p * noise, q, draft, accept_u, final_u)


class Race(RuleKernel):
    """Rejection sampling whose last draw is an exponential race (Gumbel-max), not the inverse of a
    running sum.
    """

    def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
        generator, count = _fixed(seed), draft.shape[1]
        drafted = (
            torch.zeros_like(p[:, :count]).scatter_(2, draft[..., None], 1) if q is None else q
        )
        at = draft[..., None]
        ratio = (p[:, :count].gather(2, at) / drafted.gather(2, at))[..., 0]
        kept = (torch.rand(draft.shape, generator=generator) < ratio).cumprod(1).sum(1)
        distribution = p[torch.arange(len(p)), kept]
        if count:
            rest = residual(distribution, drafted[torch.arange(len(p)), kept.clamp(max=count - 1)])
            distribution = torch.where((kept < count)[:, None], rest, distribution)
        last = (
            distribution / torch.empty_like(distribution).exponential_(generator=generator)
        ).argmax(-1)
        out = torch.where(torch.arange(count) < kept[:, None], draft, -1)
        return torch.cat(
            (out, torch.full_like(out[:, :1], -1) if count else out.new_full((len(p), 1), -1)), 1
        ).scatter(1, kept[:, None], last[:, None])


class GlobalSeeded(Race):
    """Uses torch's global generator and seeds it in every call."""

    def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
        torch.manual_seed(seed)
        return super().verify(p, q, draft, int(torch.randint(2**62, ())))


class Int32(Rejection):
    def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
        return super().verify(p, q, draft, seed).int()


class Float64(Rejection):
    def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
        return super().verify(p.double(), None if q is None else q.double(), draft, seed)


class QForgotten(Rejection):
    """Target-only verification of drafts that were drawn: accept with probability p(x), else draw
    from p without x.
    """

    def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
        return super().verify(p, None, draft, seed)

    def verify_with(
        self, p: Tensor, q: Tensor | None, draft: Tensor, accept_u: Tensor, final_u: Tensor
    ) -> Tensor:
        return super().verify_with(p, None, draft, accept_u, final_u)


class HalvesApart(Rejection):
    """Each half of a batch has a generator of its own."""

    def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
        half = (len(p) + 1) // 2
        seeds = torch.randint(2**62, (2,), generator=_fixed(seed)).tolist()
        parts = [
            super(HalvesApart, self).verify(p[at], None if q is None else q[at], draft[at], own)
            for at, own in ((slice(half), seeds[0]), (slice(half, None), seeds[1]))
            if len(p[at])
        ]
        return torch.cat(parts)


class Typical(RuleKernel):
    name, lossless = "typical", False

    def judge(self, draft, p, chance):  # type: ignore[no-untyped-def]
        return LossyTypical()(draft, p, chance)


KERNEL_CONTROLS = (
    Control("1 - u", "a coin has two sides", Complement),
    Control("accept_u from the end", "independent coins have no order", CoinsFromTheEnd),
    Control("vocabulary turned round", "a sum may run either way", VocabularyTurned),
    Control("kernel rows turned round", "a batch has no order", RowsTurned),
    Control("noise of 1e-6", "float32 on another machine", NoisyKernel),
    Control("exponential race", "the smallest of exponential times is a draw", Race),
    Control("global generator, seeded", "the seed decides", GlobalSeeded),
    Control("int32", "tokens are integers", Int32),
    Control("float64", "more digits do no harm", Float64),
    Control("q forgotten", "target-only verification is lossless however x was drawn", QForgotten),
    Control(
        "halves with seeds of their own", "coins may come from several generators", HalvesApart
    ),
    Control("typical, declared lossy", "lossy by design, and says so", Typical),
)
