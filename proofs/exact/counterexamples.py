# ruff: noqa: N802 - the claims' own names
"""What is not lossless, and by how much: one function a rule, like claims.py. Each says when the
rule is wrong.
"""

from fractions import Fraction

from .claims import holds
from .lossy import (
    Criterion,
    at_least,
    resample_from_p,
    typical_cycle,
    unnormalised_residual,
    wrong_q,
)
from .program import Dist, Prog, law
from .step import alpha, point_mass, positive_part, total_variation


def _dist(m: Prog[int], size: int) -> Dist:
    got = law(m)
    return tuple(got.get(x, Fraction(0)) for x in range(size))


def C1_resample_from_p(p: Dist, q: Dist) -> None:
    """The law is min(p, q) + (1 - alpha) p. It is p only when nothing is ever kept (alpha = 0), or
    q = alpha p wherever p is positive (q = p, for one): else what q prefers comes too often."""
    a = alpha(p, q)
    got = _dist(resample_from_p(p, q), len(p))
    holds(
        got == tuple(min(b, c) + (1 - a) * b for b, c in zip(p, q, strict=True)),
        "the law has another form",
    )
    harmless = a == 0 or all(c == a * b for b, c in zip(p, q, strict=True) if b)
    holds(
        (got == p) == harmless, "the rule is right elsewhere too, or wrong where it should be right"
    )


def C2_unnormalised_residual(p: Dist, q: Dist) -> None:
    """The law is min(p, q) + (1 - alpha) max(p - q, 0), and its mass alpha + (1 - alpha)^2: short
    of 1 unless p = q or p and q are disjoint. What an engine does with the rest is accident."""
    a = alpha(p, q)
    got = _dist(unnormalised_residual(p, q), len(p))
    want = tuple(min(b, c) + (1 - a) * e for b, c, e in zip(p, q, positive_part(p, q), strict=True))
    holds(got == want and sum(got) == a + (1 - a) ** 2, "the law has another form")
    holds((sum(got) == 1) == (a in (0, 1)), "the mass is 1 elsewhere too")


def C3_wrong_q(p: Dist, q: Dist, r: Dist) -> None:
    """Judging by q what came from another law moves the output by at most TV(r, q): the step is
    right for q, and no step makes two laws differ more than they did. With r = q that is 0, and
    T1."""
    got = _dist(wrong_q(p, q, r), len(p))
    holds(sum(got) == 1, "the law does not sum to 1")
    holds(total_variation(got, p) <= total_variation(r, q), "the distance is above TV(r, q)")


def C4_typical_cycle(p: Dist, q: Dist, typical: Criterion) -> None:
    """The first token of a cycle, under any criterion: with A the tokens that pass it,
    TV(law, p) = q(A) TV(q given A, p), which is at least q(A) p(not A)."""
    passing = tuple(weight if typical(p, x) else Fraction(0) for x, weight in enumerate(q))
    share = sum(passing, Fraction(0))
    distance = _first_token_distance(p, q, typical)
    if share:
        given = tuple(weight / share for weight in passing)
        holds(
            distance == share * total_variation(given, p),
            "the distance is not q(A) TV(q given A, p)",
        )
    outside = sum((weight for x, weight in enumerate(p) if not typical(p, x)), Fraction(0))
    holds(
        share * outside <= distance <= share, "the distance is not between q(A) p(not A) and q(A)"
    )


def C4_typical(p: Dist, q: Dist, tau: Fraction) -> None:
    """With the criterion p(x) >= tau, TV(law, p) <= q(A) (1 - tau); a drafter that is certain of
    one x with p(x) = tau reaches the bound."""
    share = sum((weight for x, weight in enumerate(q) if p[x] >= tau), Fraction(0))
    holds(
        _first_token_distance(p, q, at_least(tau)) <= share * (1 - tau),
        "the distance is above q(A) (1 - tau)",
    )
    for x in range(len(p)):
        sure = _first_token_distance(p, point_mass(x, len(p)), at_least(p[x]))
        holds(sure == 1 - p[x], "the bound is not reached")


def _first_token_distance(p: Dist, q: Dist, typical: Criterion) -> Fraction:
    got = [Fraction(0)] * len(p)
    for text, weight in law(typical_cycle(typical, lambda c: p, lambda c: q, 1, ())).items():
        got[text[0]] += weight
    return total_variation(tuple(got), p)
