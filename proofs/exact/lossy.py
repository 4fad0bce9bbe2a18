"""Rules that are not lossless: three mistakes that real engines have made, and one choice (typical
acceptance).
"""

from collections.abc import Callable
from fractions import Fraction
from math import lcm, prod
from typing import TypeAlias

from .chain import draft
from .program import Context, Dist, Model, Prog, Ret, bind, coin, draw
from .step import accept, judge, positive_part
from .text import emit

Criterion: TypeAlias = Callable[[Dist, int], bool]


def resample_from_p(p: Dist, q: Dist) -> Prog[int]:
    """After a rejection, draw from p itself instead of the residual."""
    return bind(draw(q), lambda x: coin(accept(p, q, x), lambda: Ret(x), lambda: draw(p)))


def unnormalised_residual(p: Dist, q: Dist) -> Prog[int]:
    """After a rejection, use max(p - q, 0) as it stands. Its mass falls short of 1, and so does the
    law's.
    """
    return bind(
        draw(q), lambda x: coin(accept(p, q, x), lambda: Ret(x), lambda: draw(positive_part(p, q)))
    )


def wrong_q(p: Dist, q: Dist, r: Dist) -> Prog[int]:
    """Draw the draft from r, but judge it as if it came from q."""
    return bind(draw(r), lambda x: judge(p, q, x))


def typical_verify(typical: Criterion, p: Model, c: Context, xs: Context) -> Prog[Context]:
    """Keep xs while each token is typical of the target (any criterion), then draw from the
    target.
    """
    if xs and typical(p(c), xs[0]):
        return typical_verify(typical, p, (*c, xs[0]), xs[1:])
    return emit(c, p(c))


def typical_cycle(typical: Criterion, p: Model, q: Model, gamma: int, c: Context) -> Prog[Context]:
    return bind(draft(q, gamma, c), lambda xs: typical_verify(typical, p, c, xs))


def at_least(tau: Fraction) -> Criterion:
    """The simplest criterion: p(x) >= tau."""
    return lambda p, x: p[x] >= tau


def medusa(epsilon: Fraction, delta: Fraction) -> Criterion:
    """Medusa's criterion (Cai et al. 2024, arXiv:2401.10774, section 2.3.1): p(x) > min(epsilon,
    delta exp(-H(p))).

    exp(-H(p)) = prod_y p(y)^p(y) is in general no fraction, but with n the common denominator of p
    its n-th power is one, and comparing n-th powers compares the numbers.
    """

    def typical(p: Dist, x: int) -> bool:
        n = lcm(*(weight.denominator for weight in p))
        power = prod((weight ** int(weight * n) for weight in p if weight), start=Fraction(1))
        return p[x] > epsilon or p[x] ** n > delta**n * power

    return typical
