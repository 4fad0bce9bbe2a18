# ruff: noqa: N802, N818 - the claims' own names
"""The claims, one function each: it checks the claim with == on the case that it is given, and
raises Refuted.

Names are those of proofs/written and proofs/coq. Cases to run them on: cases.py, tests/proofs.
"""

from collections.abc import Callable
from fractions import Fraction
from itertools import product

from .chain import (
    Drafter,
    argmax,
    block_cycle,
    block_verify,
    cycle,
    greedy_cycle,
    greedy_text,
    matching_cycle,
    matching_verify,
    target_only_cycle,
    target_only_verify,
    verify,
)
from .couplings import agreement, complement, events, extreme_couplings, measure
from .prefixes import kept_prefixes, prefixes
from .program import Context, Dist, E, Model, Prog, Ret, always, bind, law
from .speed import best_gamma, linear, speedup, tokens_per_cycle
from .step import (
    Siblings,
    alpha,
    coupled_step,
    recursive_rejection,
    step,
    step_accepts,
    total_variation,
    with_replacement,
    without_replacement,
)
from .text import Cycle, expected_growth, loop, lossless, sound
from .tree import (
    NodeLaw,
    Shape,
    Tree,
    certain,
    chain_shape,
    eager_tree_cycle,
    fan_shape,
    tree_cycle,
    tree_verify,
)


class Refuted(AssertionError):
    """A claim is false on the given case."""


def holds(fact: bool, what: str) -> None:
    if not fact:
        raise Refuted(what)


def nonzero(d: Dist) -> dict[int, Fraction]:
    return {x: weight for x, weight in enumerate(d) if weight}


def lossless_cycle(p: Model, one: Cycle, n: int, c: Context) -> None:
    holds(
        sound(p, one, c),
        "the cycle changes the expectation of a harmonic function, or does not emit",
    )
    holds(lossless(p, one, n, c), "the loop's text does not have the target's law")


def T1_lossless_step(p: Dist, q: Dist) -> None:
    """One draft-accept-or-residual step emits y with probability p(y)."""
    holds(law(step(p, q)) == nonzero(p), "the step's law is not p")


def T2_acceptance(p: Dist, q: Dist) -> None:
    """P(accept) = sum min(p, q) = 1 - TV(p, q), and TV is the largest difference over events."""
    holds(E(step_accepts(p, q), Fraction) == alpha(p, q), "P(accept) is not sum min(p, q)")
    holds(alpha(p, q) == 1 - total_variation(p, q), "sum min(p, q) is not 1 - TV")
    largest = max(measure(p, A) - measure(q, A) for A in events(len(p)))
    holds(largest == total_variation(p, q), "TV is not the largest difference over events")


def T3_no_coupling_accepts_more(p: Dist, q: Dist) -> None:
    """No joint law of (drafted ~ q, emitted ~ p) has the two equal more often; the step attains the
    bound.
    """
    pair = coupled_step(p, q)
    holds(
        law(bind(pair, lambda xy: Ret(xy[0]))) == nonzero(q),
        "the drafted token does not have law q",
    )
    holds(
        law(bind(pair, lambda xy: Ret(xy[1]))) == nonzero(p),
        "the emitted token does not have law p",
    )
    kept = E(pair, lambda xy: Fraction(xy[0] == xy[1]))
    holds(kept == max(map(agreement, extreme_couplings(q, p))), "some coupling agrees more often")
    bounds = [measure(p, A) + measure(q, complement(A, len(p))) for A in events(len(p))]
    holds(kept == min(bounds), "P(X = Y) <= p(A) + q(not A) is not attained")


def T4_chain(
    p: Model, q: Callable[[Context], Model], gamma: Callable[[Context], int], n: int, c: Context
) -> None:
    """Draft gamma tokens, verify, repeat: the text has the target's law, at any length. Drafter and
    gamma may be chosen anew from the context of each cycle."""
    lossless_cycle(p, lambda here: cycle(p, q(here), gamma(here), here), n, c)


def T5_recursive_rejection(p: Dist, q: Siblings, k: int) -> None:
    """k candidates, each judged against what the rejections before it have left: the emitted token
    has law p.
    """
    holds(law(recursive_rejection(p, q, k)) == nonzero(p), "the law is not p")


def T5_with_replacement(p: Dist, q: Dist, k: int) -> None:
    T5_recursive_rejection(p, with_replacement(q), k)


def T5_without_replacement(p: Dist, q: Dist, k: int) -> None:
    T5_recursive_rejection(p, without_replacement(q), k)


def T6_greedy(p: Model, drafter: Drafter, n: int, c: Context) -> None:
    """Greedy verification emits the target's greedy text for any drafter, and keeps a draft that
    agrees whole.
    """

    def one(here: Context) -> Prog[Context]:
        return bind(drafter(here), lambda xs: greedy_cycle(p, xs, here))

    text = greedy_text(p, n, c)
    holds(
        always(loop(one, n, c), lambda got: got == text), "the text is not the target's greedy text"
    )
    holds(max(p(c)) == p(c)[argmax(p(c))], "argmax is not a likeliest token")
    holds(
        greedy_cycle(p, text[len(c) :], c) == Ret(greedy_text(p, n + 1, c)),
        "a draft that agrees is cut",
    )


def T7_tokens_per_cycle(p: Model, q: Model, gamma: int, c: Context) -> None:
    """A cycle emits 1 + sum over drafts xs of 1..gamma tokens of prod min(p, q), on average; with
    the same acceptance alpha in every context that is 1 + alpha + ... + alpha^gamma = (1 -
    alpha^(gamma+1)) / (1 - alpha)."""
    got = expected_growth(lambda here: cycle(p, q, gamma, here), c)
    want, alphas = Fraction(0), set()
    for i in range(gamma + 1):
        for xs in product(range(len(p(c))), repeat=i):
            heres = [c + xs[:j] for j in range(i)]
            alphas |= {alpha(p(here), q(here)) for here in heres}
            weight = Fraction(1)
            for here, x in zip(heres, xs, strict=True):
                weight *= min(p(here)[x], q(here)[x])
            want += weight
    holds(got == want, "the expected number of tokens is not the sum over kept prefixes")
    if len(alphas) == 1:
        a = alphas.pop()
        holds(
            got == tokens_per_cycle(a, gamma),
            "the expected number of tokens is not 1 + alpha + ... + alpha^gamma",
        )
        holds(a == 1 or got == (1 - a ** (gamma + 1)) / (1 - a), "the closed form is wrong")


def T8_speed_model(a: Fraction, c: Fraction, b: Fraction, longest: int) -> None:
    """Acceptance a < 1, draft cost c, verification cost 1 + gamma b, b + c > 0: some gamma pays iff
    a > b + c, and then gamma = 1 does; best_gamma is the best."""
    times = [speedup(a, gamma, c, linear(b)) for gamma in range(longest + 1)]
    for gamma, s in enumerate(times):
        gain, cost = tokens_per_cycle(a, gamma) - 1, gamma * c + linear(b)(gamma) - 1
        holds((s > 1) == (gain > cost), "the break-even is not: extra tokens > extra cost")
    holds(
        times[0] == 1 and times[1] == (1 + a) / (1 + b + c),
        "the speedup of gamma = 0 or 1 is wrong",
    )
    holds(
        (max(times) > 1) == (a > b + c) == (times[1] > 1),
        "speculation does not pay exactly when a > b + c",
    )
    best = best_gamma(a, c, b)
    holds(speedup(a, best, c, linear(b)) >= max(times), "best_gamma is not the best")
    holds(best > longest or times.index(max(times)) == best, "best_gamma is not the smallest best")


def T9_block_lossless(
    p: Model, q: Callable[[Context], Model], gamma: Callable[[Context], int], n: int, c: Context
) -> None:
    """T4 with block verification."""
    lossless_cycle(p, lambda here: block_cycle(p, q(here), gamma(here), here), n, c)


def T9_block_accepts_more(p: Model, q: Model, gamma: int, c: Context) -> None:
    """Block verification keeps each drafted prefix with probability w, at least that of token-wise
    verification; so it emits at least as many tokens on average."""
    blocks = kept_prefixes(lambda xs: block_verify(p, q, c, xs), q, gamma, c)
    tokens = kept_prefixes(lambda xs: verify(p, q, c, xs), q, gamma, c)
    for xs, (drafted, w, product_of_accepts) in prefixes(p, q, gamma, c).items():
        holds(blocks.get(xs, Fraction(0)) == drafted * w, "a prefix is not kept with probability w")
        holds(
            tokens.get(xs, Fraction(0)) == drafted * product_of_accepts,
            "token-wise: not the product of accepts",
        )
        holds(w >= product_of_accepts, "block verification keeps a prefix less often")
    grown = expected_growth(lambda here: block_cycle(p, q, gamma, here), c)
    holds(
        grown >= expected_growth(lambda here: cycle(p, q, gamma, here), c),
        "fewer tokens on average",
    )


def T10_trees(p: Model, q: NodeLaw, s: Shape, n: int, c: Context) -> None:
    """Trees are lossless, whether their nodes are drawn when they are needed or all before."""
    lossless_cycle(p, lambda here: tree_cycle(p, q, s, here), n, c)
    lossless_cycle(p, lambda here: eager_tree_cycle(p, q, s, here), n, c)
    holds(
        law(tree_cycle(p, q, s, c)) == law(eager_tree_cycle(p, q, s, c)),
        "lazy and eager drawing differ",
    )


def T10_chain_is_a_tree(p: Model, q: Model, gamma: int, c: Context) -> None:
    tree = tree_cycle(p, lambda here, siblings: q(here), chain_shape(gamma), c)
    holds(law(tree) == law(cycle(p, q, gamma, c)), "a tree of one child each is not the chain")


def T10_candidates_are_a_tree(p: Model, q: Siblings, k: int, c: Context) -> None:
    """The first token after c; where a candidate is kept, a bonus token follows it."""
    first = bind(
        tree_cycle(p, lambda here, siblings: q(siblings), fan_shape(k), c),
        lambda text: Ret(text[len(c)]),
    )
    holds(
        law(first) == law(recursive_rejection(p(c), q, k)),
        "a tree of depth one is not recursive rejection",
    )


def T11_matching(p: Model, drafter: Drafter, n: int, c: Context) -> None:
    """Sampler match is lossless, however the draft was made."""
    lossless_cycle(
        p, lambda here: bind(drafter(here), lambda xs: matching_verify(p, here, xs)), n, c
    )


def T11_target_only(p: Model, drafter: Drafter, n: int, c: Context) -> None:
    """Target-only verification is lossless, however the draft was made."""
    lossless_cycle(
        p, lambda here: bind(drafter(here), lambda xs: target_only_verify(p, here, xs)), n, c
    )


def T11_target_only_trees(
    p: Model, drafter: Callable[[Context], Prog[Tree]], n: int, c: Context
) -> None:
    """The same for a tree."""

    def judged(here: Context) -> Prog[Context]:
        return bind(
            drafter(here), lambda t: tree_verify(p, certain(t, len(p(here))), here, p(here))
        )

    lossless_cycle(p, judged, n, c)


def T11_price(p: Dist, q: Dist) -> None:
    """Both accept one drafted token with probability sum p q, which is at most sum min(p, q)."""
    both = sum((a * b for a, b in zip(p, q, strict=True)), Fraction(0))
    matched = expected_growth(lambda here: matching_cycle(lambda _: p, lambda _: q, 1, here), ())
    judged = expected_growth(lambda here: target_only_cycle(lambda _: p, lambda _: q, 1, here), ())
    holds(matched == 1 + both == judged, "the acceptance is not sum p q")
    holds(both <= alpha(p, q), "sum p q is above sum min(p, q)")
