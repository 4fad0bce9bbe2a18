"""Exercise: one step of speculative sampling. Change `attempt` until `grade` says that it is right.

A draft token x is drawn from q. Emit one token whose distribution is p, and emit x as often as you
can. Ask `chance.accept(probability)` for a yes or no, and `chance.draw(weights)` for a token; the
weights need not sum to 1. Both take and return tensors of one row.

`grade` runs your rule over every outcome of its random numbers, on seven pairs p and q. So it says
exactly what your rule emits, and names the mistake if it knows one that emits the same.
(Leviathan et al. 2023, arXiv:2211.17192, Algorithm 1.)
"""

from collections.abc import Callable, Hashable, Mapping, Sequence

import torch
from torch import Tensor

from ..chance import Chance
from ..exact.enumerate import Forking, distribution, total_variation

Rule = Callable[[Tensor, Tensor, Chance], Tensor]  # p, q [1,V] and chance -> the token [1]

# Opposed, overlapping, zeros on both sides, p = q, two likely tokens, and four tokens.
PAIRS = (
    ((0.5, 0.3, 0.2), (0.1, 0.3, 0.6)),
    ((0.7, 0.2, 0.1), (0.2, 0.5, 0.3)),
    ((0.0, 0.375, 0.625), (0.5, 0.5, 0.0)),
    ((0.25, 0.5, 0.25), (0.25, 0.5, 0.25)),
    ((0.625, 0.25, 0.125), (0.25, 0.625, 0.125)),
    ((0.4, 0.3, 0.2, 0.1), (0.2, 0.1, 0.1, 0.6)),
    ((0.15, 0.25, 0.4, 0.2), (0.05, 0.15, 0.6, 0.2)),
)


def attempt(p: Tensor, q: Tensor, chance: Chance) -> Tensor:
    """p, q [1,V] -> the emitted token [1] int64. This one believes the draft: it emits x always."""
    x = chance.draw(q)  # [1]
    return x


def step(accept: Callable[..., Tensor], replace: Callable[..., Tensor]) -> Rule:
    """Accept x with probability accept(p, q, x); else draw from replace(p, q)."""

    def rule(p: Tensor, q: Tensor, chance: Chance) -> Tensor:
        x = chance.draw(q)  # [1]
        if bool(chance.accept(accept(p, q, x).clamp(0, 1)[:, None])):
            return x
        return chance.draw(replace(p, q))

    return rule


def _ratio(p: Tensor, q: Tensor, x: Tensor) -> Tensor:
    return p[0, x] / q[0, x]


def _residual(p: Tensor, q: Tensor) -> Tensor:
    rest = (p - q).clamp(min=0)
    return rest if bool(rest.sum() > 0) else p


def _largest(weights: Tensor) -> Tensor:
    return torch.zeros_like(weights).scatter_(1, weights.argmax(1, keepdim=True), 1.0)


# A mistake, and a rule that makes it. Two rules that emit the same on all pairs have one entry.
MISTAKES: dict[str, Rule] = {
    "you believe the draft": lambda p, q, chance: chance.draw(q),
    "after a rejection you draw from p": step(_ratio, lambda p, q: p),
    "after a rejection you draw from q": step(_ratio, lambda p, q: q),
    "after a rejection you draw from |p - q|": step(_ratio, lambda p, q: (p - q).abs() + 1e-9 * p),
    "after a rejection you take the likeliest token": step(_ratio, lambda p, q: _largest(p)),
    "after a rejection you take the largest p - q": step(
        _ratio, lambda p, q: _largest(_residual(p, q))
    ),
    "you accept with q / p": step(lambda p, q, x: q[0, x] / p[0, x], _residual),
    "you accept with p(x), as if x had been certain": step(lambda p, q, x: p[0, x], _residual),
    "you accept exactly when p(x) >= q(x)": step(
        lambda p, q, x: (p[0, x] >= q[0, x]).double(), _residual
    ),
}


def _row(numbers: Sequence[float]) -> Tensor:
    return torch.tensor([numbers], dtype=torch.float64)  # [1,V]


def emitted(rule: Rule, p: Tensor, q: Tensor) -> Mapping[Hashable, float]:
    """Exactly what a rule emits: token -> probability."""

    def program(chance: Forking) -> int:
        return int(rule(p, q, chance))

    return distribution(program)


def grade(rule: Rule) -> str:
    """Whether the rule is right; if not, how far off, and which known mistake it is."""
    pairs = [(_row(p), _row(q)) for p, q in PAIRS]
    ours = [emitted(rule, p, q) for p, q in pairs]
    wanted = [dict(enumerate(p[0].tolist())) for p, _ in pairs]
    distances = list(map(total_variation, ours, wanted))
    worst = max(range(len(pairs)), key=distances.__getitem__)
    if distances[worst] < 1e-9:
        return "Right: on every pair the emitted token has the distribution p."
    answer = (
        f"Not yet: for p = {PAIRS[worst][0]} and q = {PAIRS[worst][1]} it emits"
        f" {_shown(ours[worst], len(PAIRS[worst][0]))}, a total variation of"
        f" {distances[worst]:.3f} from p."
    )
    for mistake, wrong in MISTAKES.items():
        theirs = [emitted(wrong, p, q) for p, q in pairs]
        if max(map(total_variation, ours, theirs)) < 1e-6:
            return f"{answer} It looks as if {mistake}."
    return answer


def _shown(found: Mapping[Hashable, float], size: int) -> str:
    return "(" + ", ".join(f"{found.get(token, 0.0):.3g}" for token in range(size)) + ")"
