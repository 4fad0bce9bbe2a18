# ruff: noqa: N802 - the claims' own names
"""The claims about several candidates, one function each, as those of claims.py."""

from fractions import Fraction

from .chain import block_cycle
from .claims import holds, lossless_cycle, nonzero
from .program import Context, Dist, E, Model, Prog, Ret, bind, law
from .several import (
    Judged,
    Weights,
    best_plan,
    candidates,
    k_sequential,
    k_sequential_valid,
    naive_step,
    picked_law,
    picked_step,
    plan_step,
    race_accept,
    race_step,
    recursive_step,
    smallest_cut,
    some_accepted,
    traversal_cycle,
)
from .step import Siblings, alpha, total_variation, with_replacement
from .tree import NodeLaw, Shape, chain_shape


def emitted(step: Prog[Judged]) -> dict[int, Fraction]:
    return law(bind(step, lambda judged: Ret(judged[0])))


def acceptance(step: Prog[Judged]) -> Fraction:
    return E(step, lambda judged: Fraction(judged[1]))


def T12_candidates_bound(p: Dist, q: Siblings, k: int) -> None:
    """No rule for k candidates accepts more than min over S of p(S) + P(some candidate outside S),
    and one accepts as much.
    """
    drawn = law(candidates(q, k))
    least = smallest_cut(p, drawn)
    best = plan_step(p, drawn, best_plan(p, drawn))
    holds(emitted(best) == nonzero(p), "the best plan does not emit law p")
    holds(acceptance(best) == least, "the best plan does not accept the smallest cut")
    for step in (recursive_step(p, q, k), naive_step(p, drawn)):
        holds(emitted(step) == nonzero(p), "a rule does not emit law p")
        holds(acceptance(step) <= least, "a rule accepts more than the bound")


def T12_one_candidate(p: Dist, q: Dist) -> None:
    """For one candidate the bound is sum min(p, q)."""
    drawn = law(candidates(with_replacement(q), 1))
    holds(smallest_cut(p, drawn) == alpha(p, q), "the bound is not sum min(p, q)")


def T13_k_sequential(p: Dist, q: Dist, k: int, rho: Fraction) -> None:
    """K-sequential selection with a valid rho is lossless and accepts 1 - (1 - beta)^k; k is always
    valid.
    """
    holds(k_sequential_valid(p, q, k, Fraction(k)), "rho = k is not valid")
    if not k_sequential_valid(p, q, k, rho):
        rho = Fraction(k)
    step = k_sequential(p, q, k, rho)
    holds(emitted(step) == nonzero(p), "the law is not p")
    holds(acceptance(step) == some_accepted(p, q, k, rho), "the acceptance is another")
    drawn = law(candidates(with_replacement(q), k))
    holds(acceptance(step) <= smallest_cut(p, drawn), "it accepts more than the bound")


def T14_canonical(p: Dist, q: Dist, weights: Weights) -> None:
    """To pick one of two candidates by any weights, and to judge it against the law of the picked
    one, is lossless, and accepts sum min(p, p_I).
    """
    holds(law(picked_step(p, q, weights)) == nonzero(p), "the law is not p")
    drawn = law(candidates(with_replacement(q), 2))
    kept = alpha(p, picked_law(q, weights))
    holds(kept <= smallest_cut(p, drawn), "it accepts more than the bound")


def T14_canonical_best(p: Dist, q: Dist) -> None:
    """Some weights reach the bound: those of the best plan, with the mass that it does not emit
    given to either.
    """
    drawn = law(candidates(with_replacement(q), 2))
    plan = best_plan(p, drawn)

    def weights(x: int, y: int) -> Fraction:
        mass = drawn.get((x, y), Fraction(0))
        first, second = (plan.get(((x, y), z), Fraction(0)) for z in (x, y))
        if x == y or not mass:
            return Fraction(1, 2)
        return first / mass + (mass - first - second) / mass / 2

    holds(all(0 <= weights(x, y) <= 1 for x, y in drawn), "no weights")
    reached = alpha(p, picked_law(q, weights))
    holds(reached == smallest_cut(p, drawn), "the bound is not reached")


def T15_gumbel(p: Dist, q: Dist) -> None:
    """The race couples q and p, the same from either side; the two agree with probability
    sum 1 / sum max(q / q(x), p / p(x)), between (1 - TV) / (1 + TV) and 1 - TV.
    """
    joint = law(race_step(p, q))
    holds(law(bind(race_step(p, q), lambda xy: Ret(xy[0]))) == nonzero(q), "X does not have law q")
    holds(law(bind(race_step(p, q), lambda xy: Ret(xy[1]))) == nonzero(p), "Y does not have law p")
    other = {(x, y): weight for (y, x), weight in law(race_step(q, p)).items()}
    holds(joint == other, "the race depends on who runs it")
    agree = sum((weight for (x, y), weight in joint.items() if x == y), Fraction(0))
    race = sum((q[x] * race_accept(p, q, x) for x in range(len(p))), Fraction(0))
    tv = total_variation(p, q)
    holds(agree == race, "another acceptance")
    holds((1 - tv) / (1 + tv) <= agree <= 1 - tv, "the acceptance is out of its bounds")


def T16_traversal(p: Model, q: NodeLaw, s: Shape, n: int, c: Context) -> None:
    """Traversal verification is lossless for any tree."""
    lossless_cycle(p, lambda here: traversal_cycle(p, q, s, here), n, c)


def T16_chain_is_block(p: Model, q: Model, gamma: int, c: Context) -> None:
    """On a chain it is block verification."""
    tree = traversal_cycle(p, lambda here, siblings: q(here), chain_shape(gamma), c)
    holds(law(tree) == law(block_cycle(p, q, gamma, c)), "on a chain it is not block verification")
