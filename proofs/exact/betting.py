# ruff: noqa: N802 - the claims' own names
"""Bets on a text: `fair`, `wealth`, and the payments that the judge's experts are made of; and the
texts of a target that was drawn at random, which no test can tell from the target's.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import product
from typing import TypeAlias

from .claims import holds
from .program import Context, Dist, Draw, E, Model, Prog, Ret, is_law, law
from .step import point_mass, total_variation

# f(c)[x] is what a bettor receives after the text c when the token x comes
Payment: TypeAlias = Callable[[Context], tuple[Fraction, ...]]
# the laws that a target may have after a text, each with its probability
RandomModel: TypeAlias = Callable[[Context], Sequence[tuple[Fraction, Dist]]]


def mean(d: Dist, values: Sequence[Fraction]) -> Fraction:
    return sum((a * b for a, b in zip(d, values, strict=True)), Fraction(0))


def contexts(size: int, n: int) -> Iterator[Context]:
    """All texts of fewer than n tokens."""
    for length in range(n):
        yield from product(range(size), repeat=length)


def fair(p: Model, f: Payment, n: int) -> bool:
    """No payment is negative, and its mean under the target is at most 1, after every text."""
    return all(min(f(c)) >= 0 and mean(p(c), f(c)) <= 1 for c in contexts(len(p(())), n))


def wealth(f: Payment, c: Context) -> Fraction:
    """The product of what the tokens of c paid."""
    won = Fraction(1)
    for i, x in enumerate(c):
        won *= f(c[:i])[x]
    return won


def mixture(shares: Sequence[Fraction], fs: Sequence[Payment], c: Context) -> Fraction:
    """The wealth of several bettors who divide the first unit among them."""
    return sum((a * wealth(f, c) for a, f in zip(shares, fs, strict=True)), Fraction(0))


def expected_count(p: Model, c: Context, x: int) -> Fraction:
    """How often the token x is expected in the text c, from the laws before its tokens."""
    return sum((p(c[:i])[x] for i in range(len(c))), Fraction(0))


def table_bet(p: Model, a: Fraction) -> Payment:
    """(a + observed)/(a + expected) of each token, counted in the text so far, made whole."""

    def f(c: Context) -> tuple[Fraction, ...]:
        tokens = range(len(p(c)))
        raised = [(a + c.count(x)) / (a + expected_count(p, c, x)) for x in tokens]
        return tuple(r / mean(p(c), raised) for r in raised)

    return f


def centred(p: Model, g: Sequence[Fraction], c: Context) -> tuple[Fraction, ...]:
    """The score g of each token, less its mean: in [-1,1] where g is in [0,1]."""
    return tuple(value - mean(p(c), g) for value in g)


def score_bet(p: Model, g: Sequence[Fraction], w: Fraction) -> Payment:
    """1 + w s, s the centred score."""
    return lambda c: tuple(1 + w * s for s in centred(p, g, c))


def lag_bet(p: Model, g: Sequence[Fraction], w: Fraction, distance: int) -> Payment:
    """1 + w s s', s' the centred score of the token that stands `distance` before."""

    def f(c: Context) -> tuple[Fraction, ...]:
        if len(c) < distance:
            return (Fraction(1),) * len(p(c))
        then = len(c) - distance
        earlier = centred(p, g, c[:then])[c[then]]
        return tuple(1 + w * earlier * s for s in centred(p, g, c))

    return f


def rounded_bet(f: Sequence[Fraction], tol: Sequence[Fraction]) -> tuple[Fraction, ...]:
    """f / (1 + sum tol |f - 1|): for a law that is known up to tol."""
    slack = sum((t * abs(value - 1) for t, value in zip(tol, f, strict=True)), Fraction(0))
    return tuple(value / (1 + slack) for value in f)


def stopped(p: Model, stop: Callable[[Context], bool], n: int, c: Context = ()) -> Prog[Context]:
    """The target's text, until one stops or it has n tokens."""
    if len(c) == n or stop(c):
        return Ret(c)
    return Draw(dict(enumerate(p(c))), lambda x: stopped(p, stop, n, (*c, x)))


def S1_betting_is_valid(
    p: Model, shares: Sequence[Fraction], fs: Sequence[Payment], n: int
) -> None:
    """Fair bets on the target's text have a mean wealth of at most 1 whenever one stops, and reach
    1/alpha with probability at most alpha, for every alpha. The shares add up to 1."""
    holds(all(fair(p, f, n) for f in fs) and sum(shares) <= 1, "a bet is not fair")

    def won(c: Context) -> Fraction:
        return mixture(shares, fs, c)

    def reaches(level: Fraction) -> None:
        text = stopped(p, lambda c: won(c) >= level, n)
        holds(E(text, won) <= 1, "the mean wealth is above 1 when one stops")
        reached = E(text, lambda c: Fraction(won(c) >= level))
        holds(reached * level <= 1, "the wealth reaches 1/alpha with more than alpha")

    for level in sorted({won(c) for c in contexts(len(p(())), n + 1)}):
        if level:
            reaches(level)


def S1_rounding(p: Dist, tol: Sequence[Fraction], f: Sequence[Fraction]) -> None:
    """A payment whose mean is 1 under the reported law p, made smaller by its slack, is fair for
    every law within tol."""
    holds(mean(p, f) == 1, "the payment is not fair for the reported law")
    smaller = rounded_bet(f, tol)
    moves = [(x, y) for x, y in product(range(len(p)), repeat=2) if x != y]
    for x, y in moves:
        size = min(tol[x], tol[y], p[y], 1 - p[x])
        true = list(p)
        true[x], true[y] = p[x] + size, p[y] - size
        holds(is_law(tuple(true)), "not a law")
        holds(mean(tuple(true), smaller) <= 1, "the payment gains under a law within tol")


def texts(p: Model, prompts: Sequence[Context], n: int) -> Prog[tuple[Context, ...]]:
    """n tokens after each prompt, one text after the other."""
    return random_texts(lambda c: ((Fraction(1), p(c)),), prompts, n, {}, ())


def random_texts(
    laws: RandomModel,
    prompts: Sequence[Context],
    n: int,
    known: Mapping[Context, Dist],
    done: tuple[Context, ...],
) -> Prog[tuple[Context, ...]]:
    """The same from a target that is drawn at random: the law after a prefix is drawn when the
    prefix comes for the first time, and stays."""
    if len(done) == len(prompts):
        return Ret(done)

    def write(c: Context, known: Mapping[Context, Dist]) -> Prog[tuple[Context, ...]]:
        if len(c) == len(prompts[len(done)]) + n:
            return random_texts(laws, prompts, n, known, (*done, c))
        if c not in known:
            weights = {d: weight for weight, d in laws(c)}
            return Draw(weights, lambda d: write(c, {**known, c: d}))
        return Draw(dict(enumerate(known[c])), lambda x: write((*c, x), known))

    return write(prompts[len(done)], known)


def recurs(prompts: Sequence[Context], written: Sequence[Context]) -> bool:
    """Whether two tokens were drawn after the same prefix."""
    prefixes = [
        text[:i]
        for prompt, text in zip(prompts, written, strict=True)
        for i in range(len(prompt), len(text))
    ]
    return len(set(prefixes)) < len(prefixes)


def mean_probability(laws: Sequence[tuple[Fraction, Dist]], x: int) -> Fraction:
    """The probability of x under a law drawn at random from weighted `laws`."""
    return sum((weight * d[x] for weight, d in laws), Fraction(0))


def S2_mde_needs_a_class(p: Model, laws: RandomModel, prompts: Sequence[Context], n: int) -> None:
    """Draw the law after each prefix at random, with mean p. On average the texts in which no
    prefix recurs have exactly the target's probability, so no set of texts is more likely than
    under p by more than P(a prefix recurs)."""
    for c in contexts(len(p(())), n + max(map(len, prompts)) + 1):
        average = tuple(mean_probability(laws(c), x) for x in range(len(p(c))))
        holds(average == p(c), "the random law has another mean than the target's")
    mixed = law(random_texts(laws, prompts, n, {}, ()))
    plain = law(texts(p, prompts, n))
    once = {t for t in mixed.keys() | plain.keys() if not recurs(prompts, t)}
    holds(
        all(mixed.get(t, 0) == plain.get(t, 0) for t in once),
        "a text whose prefixes do not recur has another probability",
    )
    again = 1 - sum((plain.get(t, Fraction(0)) for t in once), Fraction(0))
    every = sorted(mixed.keys() | plain.keys())
    far = total_variation(
        tuple(mixed.get(t, Fraction(0)) for t in every),
        tuple(plain.get(t, Fraction(0)) for t in every),
    )
    holds(far <= again, "some set of texts is told apart more often than prefixes recur")


def signed(p: Model, size: Fraction) -> RandomModel:
    """A tilt of a fair sign: mass moves from the first likely token to the others, or back."""

    def laws(c: Context) -> Sequence[tuple[Fraction, Dist]]:
        d = p(c)
        x = d.index(max(d))
        moved = size * min(d[x], 1 - d[x])
        if not moved:
            return ((Fraction(1), d),)
        rest = 1 - d[x]
        up = tuple(a + moved if i == x else a - moved * a / rest for i, a in enumerate(d))
        down = tuple(a - moved if i == x else a + moved * a / rest for i, a in enumerate(d))
        return ((Fraction(1, 2), up), (Fraction(1, 2), down))

    return laws


def always_the_same(p: Model) -> RandomModel:
    """After each prefix one token for ever, drawn from p once: as far from p as can be."""

    def laws(c: Context) -> Sequence[tuple[Fraction, Dist]]:
        d = p(c)
        return tuple((d[x], point_mass(x, len(d))) for x in range(len(d)) if d[x])

    return laws
