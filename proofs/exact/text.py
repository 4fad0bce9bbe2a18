"""Texts: `harmonic`, `sound`, `loop`, and what a loop must equal: `text_probability`,
`plain_cycle`.

The one idea of the proofs: a cycle takes the text c to a longer text, and it is lossless when it
keeps the expectation of every harmonic function. A harmonic function is a fair bet on the target's
text.
"""

from collections.abc import Callable, Iterable
from fractions import Fraction
from itertools import product
from typing import TypeAlias

from .program import Context, Dist, E, Model, Prog, Ret, always, bind, draw, law

Cycle: TypeAlias = Callable[[Context], Prog[Context]]
Bet: TypeAlias = Callable[[Context], Fraction]


def text_probability(p: Model, c: Context, xs: Context) -> Fraction:
    """The target's chain rule: the probability that xs follows c."""
    return p(c)[xs[0]] * text_probability(p, (*c, xs[0]), xs[1:]) if xs else Fraction(1)


def harmonic(p: Model, h: Bet, contexts: Iterable[Context]) -> bool:
    """sum_x p(c)(x) h(c x) = h(c): what h promises at c is what it pays on average one token
    later.
    """

    def fair(c: Context) -> bool:
        return sum(weight * h((*c, x)) for x, weight in enumerate(p(c))) == h(c)

    return all(map(fair, contexts))


def begins_with(p: Model, s: Context) -> Bet:
    """The harmonic function "the text begins with s": its probability, seen from c.

    Up to a depth n, every harmonic function is a sum of these over the texts s of length n, with
    the weights h(s). So a cycle that keeps these keeps all.
    """

    def bet(c: Context) -> Fraction:
        m = min(len(c), len(s))
        return text_probability(p, c, s[m:]) if c[:m] == s[:m] else Fraction(0)

    return bet


def extends(c: Context, longer: Context) -> bool:
    return len(c) < len(longer) and longer[: len(c)] == c


def sound(p: Model, cycle: Cycle, c: Context) -> bool:
    """From c, the cycle keeps the expectation of every harmonic function, and always takes c to a
    longer text.
    """
    if not always(cycle(c), lambda longer: extends(c, longer)):
        return False
    after = law(cycle(c))
    depth = max(len(longer) for longer in after)
    for xs in product(range(len(p(c))), repeat=depth - len(c)):
        h = begins_with(p, c + xs)
        if sum(weight * h(longer) for longer, weight in after.items()) != h(c):
            return False
    return True


def repeat_cycle(cycle: Cycle, fuel: int, n: int, c: Context) -> Prog[Context]:
    """Repeat the cycle, `fuel` times at most, until the text has n tokens; keep the first n."""
    if len(c) >= n or not fuel:
        return Ret(c[:n])
    return bind(cycle(c), lambda longer: repeat_cycle(cycle, fuel - 1, n, longer))


def loop(cycle: Cycle, n: int, c: Context) -> Prog[Context]:
    """Repeat the cycle until the text has n tokens, and keep the first n. Each cycle emits: n -
    len(c) are enough.
    """
    return repeat_cycle(cycle, max(0, n - len(c)), n, c)


def emit(c: Context, d: Dist) -> Prog[Context]:
    """One token from d after c."""
    return bind(draw(d), lambda y: Ret((*c, y)))


def plain_cycle(p: Model, c: Context) -> Prog[Context]:
    """Decoding without a draft."""
    return emit(c, p(c))


def lossless(p: Model, cycle: Cycle, n: int, c: Context) -> bool:
    """Texts of n tokens made by repeating the cycle have the target's law: the chain rule's, and
    plain decoding's.
    """
    got = law(loop(cycle, n, c))
    tails = product(range(len(p(c))), repeat=n - len(c))
    rule = {c + xs: weight for xs in tails if (weight := text_probability(p, c, xs))}
    return got == rule == law(loop(lambda here: plain_cycle(p, here), n, c))


def expected_growth(cycle: Cycle, c: Context) -> Fraction:
    """Expected number of tokens that one cycle adds."""
    return E(cycle(c), lambda longer: Fraction(len(longer) - len(c)))
