"""The right step taken apart, so that a bug replaces one part; and chances that answer wrongly."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ...chance import Chance
from ...checks import check_judgeable
from ...data import Draft, Verdict
from ...verify import Rule
from ...verify.residual import residual

_Coin = Callable[[Draft, Tensor], Tensor]
_Rest = Callable[[Tensor, Tensor, Tensor], Tensor]


def token_ratio(draft: Draft, p: Tensor, most: float = 1) -> Tensor:
    """min(most, p(x)/q(x)) for every draft token, [B,N]. The value at padding is never used."""
    x = draft.tokens[..., None]
    below = p[:, :-1].gather(2, x)[..., 0]
    return (below if draft.q is None else below / draft.q.gather(2, x)[..., 0]).clamp(max=most)


def _rest(p: Tensor, q: Tensor, x: Tensor) -> Tensor:
    """The distribution after the rejection of x [B]: max(p - q, 0), from p and q [B,V]."""
    return residual(p, q)


def bonus_row(draft: Draft, p: Tensor) -> Tensor:
    """The distribution after a fully accepted draft, [B,V]."""
    return p[torch.arange(len(p)), draft.lengths]


def assembled(
    coin: _Coin = token_ratio, rest: _Rest = _rest, bonus: _Coin = bonus_row, checked: bool = True
) -> Rule:
    """`rejection` put together from its parts. With the default parts it is right."""

    def rule(draft: Draft, p: Tensor, chance: Chance) -> Verdict:
        if checked:
            check_judgeable(draft, p)
        accepted = chance.accept(coin(draft, p), draft.valid).cumprod(1).sum(1)
        return finish(draft, p, accepted, chance, rest, bonus)

    return rule


def finish(
    draft: Draft,
    p: Tensor,
    accepted: Tensor,
    chance: Chance,
    rest: _Rest = _rest,
    bonus: _Coin = bonus_row,
) -> Verdict:
    """The last draw of a step that accepted the first accepted[b] tokens of row b."""
    if not draft.tokens.shape[1]:
        return Verdict(draft.tokens, accepted, chance.draw(p[:, 0]))
    rows = torch.arange(len(p))
    last = accepted.clamp(max=draft.tokens.shape[1] - 1)
    x = draft.tokens.gather(1, last[:, None])
    q = torch.zeros_like(p[:, 0]).scatter_(1, x, 1) if draft.q is None else draft.q[rows, last]
    distribution = torch.where(
        (accepted < draft.lengths)[:, None], rest(p[rows, accepted], q, x[:, 0]), bonus(draft, p)
    )
    path = torch.arange(draft.tokens.shape[1]).expand(draft.tokens.shape)
    return Verdict(path, accepted, chance.draw(distribution))


def one_hot(distribution: Tensor) -> Tensor:
    """All mass on the largest entry, ties to the lowest id."""
    return torch.zeros_like(distribution).scatter_(-1, distribution.argmax(-1, keepdim=True), 1)


def top(distribution: Tensor, count: int) -> Tensor:
    """The distribution cut to its `count` largest entries and normalised."""
    kept = distribution.masked_fill(distribution < distribution.topk(count, -1).values[..., -1:], 0)
    return kept / kept.sum(-1, keepdim=True)


class Through:
    """A chance that passes every question on. A subclass changes one answer."""

    def __init__(self, inner: Chance):
        self.inner = inner

    def accept(self, probability: Tensor, asked: Tensor | None = None) -> Tensor:
        return self.inner.accept(probability, asked)

    def draw(self, distribution: Tensor, asked: Tensor | None = None) -> Tensor:
        return self.inner.draw(distribution, asked)

    def rows(self, index: Sequence[int]) -> Chance:
        return type(self)(self.inner.rows(index))


class Inclusive(Through):
    """Accepts if u <= probability, not u < probability, for u on the grid of 24-bit generators."""

    def accept(self, probability: Tensor, asked: Tensor | None = None) -> Tensor:
        return self.inner.accept((((probability * 2**24).floor() + 1) / 2**24).clamp(max=1), asked)


class Overrun(Through):
    """The running sum is float32 and ends below 1. A u above its end gives the last id."""

    def draw(self, distribution: Tensor, asked: Tensor | None = None) -> Tensor:
        distribution = distribution / distribution.sum(-1, keepdim=True)
        missing = (1 - distribution.float().cumsum(-1)[:, -1:].double()).clamp(min=0)
        last = torch.arange(distribution.shape[1]) == distribution.shape[1] - 1
        return self.inner.draw(distribution * (1 - missing) + last * missing, asked)


class FirstTail(Through):
    """A coin counts only if all coins before it accepted, as in the token-wise rule."""

    def accept(self, probability: Tensor, asked: Tensor | None = None) -> Tensor:
        return self.inner.accept(probability, asked).cumprod(1).bool()


class Undrawn(Through):
    """Answers every draw with 0, so that the last token can be drawn from another distribution
    afterwards.
    """

    def draw(self, distribution: Tensor, asked: Tensor | None = None) -> Tensor:
        return torch.zeros(len(distribution), dtype=torch.int64)
