"""Small cases to run every claim on: grids of laws with zeros, ties, equal, disjoint and one-hot
ones among them.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from functools import cache
from itertools import product
from typing import Any

from . import betting, claims, counterexamples, several_claims
from .chain import Drafter, draft
from .lossy import medusa
from .program import Context, Dist, Model, Prog, Ret
from .step import point_mass, with_replacement, without_replacement
from .tree import Fork, NodeLaw, Shape, Tip, Tree, tree_draft

Case = tuple[Any, ...]


@cache
def grid(size: int, n: int) -> tuple[Dist, ...]:
    """All laws on `size` tokens whose probabilities are multiples of 1/n."""

    def parts(left: int, places: int) -> Iterator[tuple[int, ...]]:
        if places == 1:
            yield (left,)
            return
        for first in range(left + 1):
            yield from ((first, *rest) for rest in parts(left - first, places - 1))

    def as_law(counts: tuple[int, ...]) -> Dist:
        return tuple(Fraction(count, n) for count in counts)

    return tuple(map(as_law, parts(n, size)))


def table(rows: Sequence[Dist], salt: int = 0) -> Model:
    """A model whose law depends on the whole context: one of `rows`, by a checksum of it."""
    return lambda c: rows[
        (salt + len(c) + sum((i + 1) * (x + 1) for i, x in enumerate(c))) % len(rows)
    ]


def first_rows(rows: Sequence[Dist]) -> Model:
    """A model over two tokens with a row of its own for (), (0,) and (1,); later the last token
    alone counts.
    """
    return lambda c: rows[0] if not c else rows[1 + c[-1]]


def rotated(d: Dist) -> Model:
    """d, turned round by the context: rotating p and q alike keeps sum min(p, q) the same
    everywhere.
    """
    return lambda c: d[(turn := (len(c) + sum(c)) % len(d)) :] + d[:turn]


def siblings_without_replacement(q: Model) -> NodeLaw:
    """Each node's children drawn without replacement from the model's law."""
    return lambda c, siblings: without_replacement(q(c))(siblings)


def siblings_with_replacement(q: Model) -> NodeLaw:
    return lambda c, siblings: q(c)


def siblings_with_certainty(p: Model) -> NodeLaw:
    """The siblings are fixed tokens, the next one each time; p only says how many tokens there
    are.
    """
    return lambda c, siblings: point_mass((len(c) + len(siblings)) % len(p(c)), len(p(c)))


def pairs() -> Iterator[Case]:
    for size, n in ((2, 4), (3, 3), (4, 2)):
        yield from product(grid(size, n), repeat=2)


def triples() -> Iterator[Case]:
    yield from product(grid(2, 3), repeat=3)
    yield from product(grid(3, 2), repeat=3)


def with_k() -> Iterator[Case]:
    """Up to three candidates; without replacement that is more than some q can give."""
    yield from ((p, q, k) for p, q in pairs() for k in range(4))


def joint_k() -> Iterator[Case]:
    """Up to three candidates of two or three tokens, with replacement, without, and of any law."""
    for p, q in pairs():
        for k in range(1, 4 if len(p) == 2 else 3):
            if len(p) < 4:
                yield p, with_replacement(q), k
                yield p, without_replacement(q), k
    for p in grid(3, 2):
        for salt in range(3):
            yield p, table(grid(3, 2), salt), 2


def thresholds_k() -> Iterator[Case]:
    """Thresholds below, at and above what is needed."""
    for p, q in pairs():
        for k, rho in ((1, Fraction(1)), (2, Fraction(3, 2)), (2, Fraction(2)), (3, Fraction(2))):
            yield p, q, k, rho


def pair_weights() -> Iterator[Case]:
    """Weights of a pair that depend on both tokens, the sides being different or the same."""
    for p, q in pairs():
        yield p, q, lambda x, y: Fraction(x + 1, x + y + 2)
        yield p, q, lambda x, y: Fraction(x < y)
        yield p, q, lambda x, y: Fraction((2 * x + y) % 3, 2)


def dependent_k() -> Iterator[Case]:
    """Candidates whose law depends on those rejected, with no rule behind it."""
    for p in grid(3, 2):
        for salt, k in product(range(6), range(4)):
            yield p, table(grid(3, 2), salt), k


def weights(*parts: int) -> Dist:
    return tuple(Fraction(part, sum(parts)) for part in parts)


HARD = (weights(1, 0, 1), weights(0, 1, 0), weights(1, 1, 1), weights(1, 3, 2))
WIDE = (weights(1, 1, 2, 0), weights(0, 0, 0, 1), weights(1, 3, 2, 2))


def models() -> Iterator[tuple[Model, Model]]:
    """Pairs (p, q) of models over 2, 3 and 4 tokens; over 2 tokens, all of a grid at three
    contexts.
    """
    for rows in product(grid(2, 2), repeat=4):
        yield first_rows(rows[:3]), first_rows((rows[3], rows[1], rows[0]))
    for salt in range(3):
        yield table(HARD, salt), table(HARD[::-1], 2 * salt + 1)
    yield table(WIDE), table(WIDE[::-1], 1)
    yield table(WIDE), table(WIDE)


def gammas(p: Model) -> Iterable[int]:
    return range(4) if len(p(())) < 4 else range(3)


def chains() -> Iterator[Case]:
    for p, q in models():
        for gamma in gammas(p):
            yield p, q, gamma, (1,) if gamma == 2 else ()


def cycles() -> Iterator[Case]:
    """A drafter and a gamma that the context of each cycle chooses, and texts of 3 or 4 tokens in
    all.
    """
    for p, q, gamma, c in chains():
        yield (
            p,
            (lambda root, q=q: q),
            (lambda root, n=gamma: n),
            len(c) + (3 if len(p(())) < 4 else 2),
            c,
        )
    for salt in range(2):
        yield (
            table(HARD, salt),
            lambda root: table(HARD[::-1], sum(root)),
            lambda root: (len(root) + 1) % 3,
            4,
            (0,),
        )


def fixed(xs: Context) -> Drafter:
    """A drafter that proposes xs with certainty after any context, but shorter where the context is
    longer.
    """
    return lambda c: Ret(xs[: max(0, len(xs) - len(c) // 2)])


def drafters() -> Iterator[Case]:
    for p, q in models():
        for gamma in range(3):
            yield (
                p,
                (lambda c, q=q, gamma=gamma: draft(q, gamma, c)),
                3 if len(p(())) * gamma < 6 else 2,
                (),
            )
    for p, xs in product((table(HARD), table(HARD, 2)), product(range(3), repeat=2)):
        yield p, fixed(xs), 4, (2,)


ONE: Shape = Fork(Tip, Tip)
# two children: the first has two, the second has one
BUSHY: Shape = Fork(Fork(Tip, ONE), Fork(ONE, Tip))
SHAPES: tuple[Shape, ...] = (Tip, ONE, Fork(Tip, ONE), Fork(ONE, ONE), BUSHY)


def trees() -> Iterator[Case]:
    wide = [(table(HARD, salt), table(HARD[2:], salt)) for salt in range(4)] + [
        (table(WIDE), table(WIDE[::2]))
    ]
    for (p, q), s in product(wide, SHAPES[:4]):
        yield p, siblings_without_replacement(q), s, 2, ()
        yield p, siblings_with_replacement(q), s, 2, ()
        yield p, siblings_with_certainty(p), s, 3, (1,)
    yield table(HARD), siblings_without_replacement(table(HARD[2:])), BUSHY, 2, ()


def tree_drafters() -> Iterator[Case]:
    for p, q, s, n, c in trees():

        def drafter(here: Context, q: NodeLaw = q, s: Shape = s) -> Prog[Tree]:
            return tree_draft(q, s, here)

        yield p, drafter, len(c) + 1 if s is BUSHY else n, c


def same_alpha() -> Iterator[Case]:
    yield from chains()
    for (p, q), gamma in product(product(grid(3, 3), repeat=2), range(4)):
        yield rotated(p), rotated(q), gamma, ()


def speeds() -> Iterator[Case]:
    eighths = [Fraction(i, 8) for i in range(8)]
    yield from ((a, c, b, 12) for a, c, b in product(eighths, eighths[:5], eighths[:5]) if b + c)


def fans() -> Iterator[Case]:
    for p, q, k in product((table(HARD), table(HARD, 1)), HARD, range(4)):
        yield p, with_replacement(q), k, ()
        yield p, without_replacement(q), k, (0,)


def thresholds() -> Iterator[Case]:
    taus = (Fraction(0), Fraction(1, 4), Fraction(1, 3), Fraction(3, 4))
    yield from ((p, q, tau) for p, q in pairs() for tau in taus)


def criteria() -> Iterator[Case]:
    for p, q in pairs():
        yield p, q, medusa(Fraction(9, 100), Fraction(3, 10))
        yield p, q, medusa(Fraction(1, 3), Fraction(9, 10))


def bets() -> Iterator[Case]:
    """Tables, scores and lags on texts of 4 tokens, alone and mixed."""
    g = {2: (Fraction(0), Fraction(1)), 3: (Fraction(0), Fraction(1, 2), Fraction(1))}
    rows2, rows3 = grid(2, 4), HARD
    models = [table(rows2, salt) for salt in range(4)] + [table(rows3, salt) for salt in range(2)]
    for p in models:
        g_of_p = g[len(p(()))]
        fs = [
            betting.table_bet(p, Fraction(1)),
            betting.table_bet(p, Fraction(1, 4)),
            betting.score_bet(p, g_of_p, Fraction(9, 10)),
            betting.score_bet(p, g_of_p, Fraction(-1, 2)),
            betting.lag_bet(p, g_of_p, Fraction(9, 10), 1),
            betting.lag_bet(p, g_of_p, Fraction(-9, 10), 2),
        ]
        n = 4 if len(p(())) == 2 else 3
        for f in fs:
            yield p, (Fraction(1),), (f,), n
        yield p, (Fraction(1, 6),) * 6, fs, n
        for f in fs[::2]:
            yield p, (Fraction(1, 3), Fraction(2, 3)), (f, fs[1]), n


def reports() -> Iterator[Case]:
    """Payments of mean 1 under a reported law, and slacks of each cell."""
    for size, n in ((2, 4), (3, 3)):
        for p, raw in product(grid(size, n), grid(size, 2)):
            average = betting.mean(p, raw)
            if average:
                f = tuple(value / average for value in raw)
                yield p, (Fraction(1, 10),) * size, f
                yield p, tuple(Fraction(i, 8) for i in range(size)), f


def random_targets() -> Iterator[Case]:
    """Prompts whose texts never, sometimes and always meet the same prefix again."""
    prompts: tuple[tuple[Context, ...], ...] = (
        ((),),
        ((0,), (1,)),
        ((), (0,)),
        ((), (1,)),
        ((), ()),
    )
    for salt, some in product(range(4), prompts):
        p = table(grid(2, 4), salt)
        n = 3 if len(some) == 1 else 2
        yield p, betting.signed(p, Fraction(1)), some, n
        yield p, betting.signed(p, Fraction(1, 3)), some, n
        yield p, betting.always_the_same(p), some, n
    p = table(HARD, 1)
    yield p, betting.signed(p, Fraction(1, 2)), ((), (2,)), 2
    yield p, betting.always_the_same(p), ((), (2,)), 2


CASES: dict[Callable[..., None], Callable[[], Iterable[Case]]] = {
    claims.T1_lossless_step: pairs,
    claims.T2_acceptance: pairs,
    claims.T3_no_coupling_accepts_more: pairs,
    claims.T4_chain: cycles,
    claims.T5_recursive_rejection: dependent_k,
    claims.T5_with_replacement: with_k,
    claims.T5_without_replacement: with_k,
    claims.T6_greedy: drafters,
    claims.T7_tokens_per_cycle: same_alpha,
    claims.T8_speed_model: speeds,
    claims.T9_block_lossless: cycles,
    claims.T9_block_accepts_more: chains,
    claims.T10_trees: trees,
    claims.T10_chain_is_a_tree: chains,
    claims.T10_candidates_are_a_tree: fans,
    claims.T11_matching: drafters,
    claims.T11_target_only: drafters,
    claims.T11_target_only_trees: tree_drafters,
    claims.T11_price: pairs,
    several_claims.T12_candidates_bound: joint_k,
    several_claims.T12_one_candidate: pairs,
    several_claims.T13_k_sequential: thresholds_k,
    several_claims.T14_canonical: pair_weights,
    several_claims.T14_canonical_best: pairs,
    several_claims.T15_gumbel: pairs,
    several_claims.T16_traversal: trees,
    several_claims.T16_chain_is_block: chains,
    betting.S1_betting_is_valid: bets,
    betting.S1_rounding: reports,
    betting.S2_mde_needs_a_class: random_targets,
    counterexamples.C1_resample_from_p: pairs,
    counterexamples.C2_unnormalised_residual: pairs,
    counterexamples.C3_wrong_q: triples,
    counterexamples.C4_typical: thresholds,
    counterexamples.C4_typical_cycle: criteria,
}
