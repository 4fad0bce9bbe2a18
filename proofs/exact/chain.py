"""Cycles over a drafted chain: `cycle`, `greedy_cycle`, `block_cycle`, `matching_cycle`,
`target_only_cycle`.

q is a function of the whole context, so "any drafter" is meant: a model, a look-up table or a bad
joke.
Block verification: Sun et al. 2024 (arXiv:2403.10444), Algorithm 2; why it must look like this
stands in proofs/written/T9_block_lossless.md.
"""

from collections.abc import Callable
from fractions import Fraction
from typing import TypeAlias

from .program import Context, Dist, Model, Prog, Ret, bind, coin, draw
from .step import accept, capped, normalised, point_mass, positive_part, residual
from .text import emit

Drafter: TypeAlias = Callable[[Context], Prog[Context]]


def draft(q: Model, gamma: int, c: Context) -> Prog[Context]:
    """gamma tokens, each from q after those before it."""
    if not gamma:
        return Ret(())
    return bind(draw(q(c)), lambda x: bind(draft(q, gamma - 1, (*c, x)), lambda xs: Ret((x, *xs))))


def verify(p: Model, q: Model, c: Context, xs: Context) -> Prog[Context]:
    """Judge the drafted xs from left to right: the text after the cycle.

    The first rejected token is replaced by a draw from the residual, and the rest is dropped. After
    the last accepted
    token one more comes from the target: the bonus.
    """
    if not xs:
        return emit(c, p(c))
    return coin(
        accept(p(c), q(c), xs[0]),
        lambda: verify(p, q, (*c, xs[0]), xs[1:]),
        lambda: emit(c, residual(p(c), q(c))),
    )


def cycle(p: Model, q: Model, gamma: int, c: Context) -> Prog[Context]:
    """Speculative sampling: draft gamma tokens, then verify. Leviathan et al. 2023, Algorithm 1."""
    return bind(draft(q, gamma, c), lambda xs: verify(p, q, c, xs))


def argmax(p: Dist) -> int:
    """The likeliest token, ties to the lowest id."""
    return p.index(max(p))


def greedy_cycle(p: Model, xs: Context, c: Context) -> Prog[Context]:
    """Keep xs while it says what the target's argmax says, then add that argmax."""
    best = argmax(p(c))
    return greedy_cycle(p, xs[1:], (*c, best)) if xs and xs[0] == best else Ret((*c, best))


def greedy_more(p: Model, k: int, c: Context) -> Context:
    """The target's own greedy text, k tokens on."""
    return greedy_more(p, k - 1, (*c, argmax(p(c)))) if k else c


def greedy_text(p: Model, n: int, c: Context) -> Context:
    """The same with n tokens in all."""
    return greedy_more(p, max(0, n - len(c)), c)


def matching_verify(p: Model, c: Context, xs: Context) -> Prog[Context]:
    """Sampler match: draw y from the target, emit it, and go on while y equals the draft."""

    def after(y: int) -> Prog[Context]:
        return matching_verify(p, (*c, y), xs[1:]) if xs and xs[0] == y else Ret((*c, y))

    return bind(draw(p(c)), after)


def matching_cycle(p: Model, q: Model, gamma: int, c: Context) -> Prog[Context]:
    return bind(draft(q, gamma, c), lambda xs: matching_verify(p, c, xs))


def target_only_verify(p: Model, c: Context, xs: Context) -> Prog[Context]:
    """Verify as if each drafted token had been proposed with certainty, whatever law it was drawn
    from: accept x with probability p(x), else draw from p without x."""
    if not xs:
        return emit(c, p(c))
    sure = point_mass(xs[0], len(p(c)))
    return coin(
        accept(p(c), sure, xs[0]),
        lambda: target_only_verify(p, (*c, xs[0]), xs[1:]),
        lambda: emit(c, residual(p(c), sure)),
    )


def target_only_cycle(p: Model, q: Model, gamma: int, c: Context) -> Prog[Context]:
    return bind(draft(q, gamma, c), lambda xs: target_only_verify(p, c, xs))


def block_weight(w: Fraction, p: Dist, q: Dist, x: int) -> Fraction:
    """The next running product min(1, w p(x)/q(x)): p_i of the paper from p_{i-1}."""
    return capped(w * p[x], q[x])


def block_rest(w: Fraction, p: Dist, q: Dist) -> Dist:
    """max(w p - q, 0): what the tokens after a kept prefix of weight w still lack."""
    return positive_part(tuple(w * a for a in p), q)


def block_residual(w: Fraction, p: Dist, q: Dist) -> Dist:
    """The law of the token after that prefix."""
    return normalised(block_rest(w, p, q), p)


def block_stop(w: Fraction, p: Dist, q: Dist) -> Fraction:
    """h = R/(R + 1 - w) with R the sum of the rest: the probability of stopping here when no longer
    prefix was kept. 1 where that is 0/0, and never asked there."""
    rest = sum(block_rest(w, p, q), Fraction(0))
    return capped(rest, rest + 1 - w)


def block_ask(p: Model, q: Model, w: Fraction, c: Context, xs: Context) -> Prog[Context | None]:
    """The longest kept prefix wins, so it is asked from the longest down. w is the running product
    at c; None: neither this prefix nor a longer one is kept."""

    def stop(d: Dist) -> Callable[[], Prog[Context | None]]:
        return lambda: bind(emit(c, d), lambda longer: Ret(longer))

    if not xs:
        return coin(w, stop(p(c)), lambda: Ret(None))

    def after(found: Context | None) -> Prog[Context | None]:
        if found is not None:
            return Ret(found)
        return coin(
            block_stop(w, p(c), q(c)), stop(block_residual(w, p(c), q(c))), lambda: Ret(None)
        )

    return bind(block_ask(p, q, block_weight(w, p(c), q(c), xs[0]), (*c, xs[0]), xs[1:]), after)


def block_verify(p: Model, q: Model, c: Context, xs: Context) -> Prog[Context]:
    """Judge xs by its longest kept prefix. With w = 1 at the start, None has probability 0."""
    return bind(
        block_ask(p, q, Fraction(1), c, xs), lambda found: Ret(c if found is None else found)
    )


def block_cycle(p: Model, q: Model, gamma: int, c: Context) -> Prog[Context]:
    return bind(draft(q, gamma, c), lambda xs: block_verify(p, q, c, xs))
