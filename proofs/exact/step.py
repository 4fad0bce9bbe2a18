"""One token: `accept`, `residual`, `judge`, `step`, `recursive_rejection`.

Leviathan et al. 2023 (arXiv:2211.17192), section 2.3.
"""

from collections.abc import Callable
from fractions import Fraction
from typing import TypeAlias

from .program import Context, Dist, Prog, Ret, bind, coin, draw

# law of the next candidate after those rejected; None: no more
Siblings: TypeAlias = Callable[[Context], Dist | None]


def point_mass(x: int, size: int) -> Dist:
    """The law of a token proposed with certainty."""
    return tuple(Fraction(y == x) for y in range(size))


def capped(a: Fraction, b: Fraction) -> Fraction:
    """min(1, a/b) for a, b >= 0. It divides only where b > a >= 0: nothing rests on a/0."""
    return Fraction(1) if b <= a else a / b


def normalised(weights: Dist, otherwise: Dist) -> Dist:
    """weights over their sum; `otherwise` where that sum is zero."""
    mass = sum(weights, Fraction(0))
    return tuple(weight / mass for weight in weights) if mass else otherwise


def positive_part(p: Dist, q: Dist) -> Dist:
    """max(p - q, 0)."""
    return tuple(max(a - b, Fraction(0)) for a, b in zip(p, q, strict=True))


def accept(p: Dist, q: Dist, x: int) -> Fraction:
    """Probability of accepting the drafted x: min(1, p(x)/q(x))."""
    return capped(p[x], q[x])


def residual(p: Dist, q: Dist) -> Dist:
    """The law after a rejection: max(p - q, 0) normalised; p itself where nothing is left, which is
    p = q.
    """
    return normalised(positive_part(p, q), p)


def judge(p: Dist, q: Dist, x: int) -> Prog[int]:
    """The token emitted where x was drafted: x itself, or a draw from the residual."""
    return coin(accept(p, q, x), lambda: Ret(x), lambda: draw(residual(p, q)))


def step(p: Dist, q: Dist) -> Prog[int]:
    """Draft one token and judge it."""
    return bind(draw(q), lambda x: judge(p, q, x))


def coupled_step(p: Dist, q: Dist) -> Prog[tuple[int, int]]:
    """The same with the draft kept: (drafted, emitted)."""
    return bind(draw(q), lambda x: bind(judge(p, q, x), lambda y: Ret((x, y))))


def step_accepts(p: Dist, q: Dist) -> Prog[bool]:
    """Whether the draft was accepted."""
    return bind(draw(q), lambda x: coin(accept(p, q, x), lambda: Ret(True), lambda: Ret(False)))


def alpha(p: Dist, q: Dist) -> Fraction:
    """sum_x min(p(x), q(x))."""
    return sum((min(a, b) for a, b in zip(p, q, strict=True)), Fraction(0))


def total_variation(p: Dist, q: Dist) -> Fraction:
    """Half the L1 distance."""
    return sum((abs(a - b) for a, b in zip(p, q, strict=True)), Fraction(0)) / 2


def recursive_rejection(p: Dist, q: Siblings, k: int, rejected: Context = ()) -> Prog[int]:
    """Try k candidates in turn; each rejection replaces the target by the residual."""
    row = q(rejected) if k else None
    if row is None:
        return draw(p)

    def after(x: int) -> Prog[int]:
        return coin(
            accept(p, row, x),
            lambda: Ret(x),
            lambda: recursive_rejection(residual(p, row), q, k - 1, (*rejected, x)),
        )

    return bind(draw(row), after)


def with_replacement(q: Dist) -> Siblings:
    return lambda earlier: q


def without_replacement(q: Dist) -> Siblings:
    """q restricted to the tokens not drawn yet, normalised; None when q has no other token."""

    def law(earlier: Context) -> Dist | None:
        left = tuple(Fraction(0) if x in earlier else weight for x, weight in enumerate(q))
        return normalised(left, left) if any(left) else None

    return law
