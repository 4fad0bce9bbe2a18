"""How good could a rule be? The most that any lossless rule accepts of one place's candidates.

A rule sees candidates with a known joint distribution and emits a token distributed as p. That it
emits one of its candidates is a transport problem (Sun et al. 2023, SpecTr, arXiv:2310.15141).
Solved as it stands, by linear programming, and as its minimum cut.
"""

from collections.abc import Mapping, Sequence
from itertools import chain, combinations, product

import numpy as np
from scipy.optimize import linprog

from ..data import SpecrefError

# the solver's least tolerances of a constraint
TIGHT = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
Candidates = Mapping[tuple[int, ...], float]  # candidates in order -> probability


def with_replacement(q: Sequence[float], k: int) -> Candidates:
    """k candidates drawn from q with replacement."""
    found: dict[tuple[int, ...], float] = {(): 1.0}
    for _ in range(k):
        longer = product(found.items(), enumerate(q))
        found = {(*drawn, x): weight * mass for (drawn, weight), (x, mass) in longer}
    return found


def without_replacement(q: Sequence[float], k: int) -> Candidates:
    """k different candidates: each drawn from q without those before it, normalised; fewer where q
    has fewer.
    """
    found: dict[tuple[int, ...], float] = {(): 1.0}
    for _ in range(k):
        longer: dict[tuple[int, ...], float] = {}
        for drawn, weight in found.items():
            free = {x: mass for x, mass in enumerate(q) if mass > 0 and x not in drawn}
            total = sum(free.values())
            for x, mass in free.items():
                longer[(*drawn, x)] = weight * mass / total
            if not free:
                longer[drawn] = weight
        found = longer
    return found


def best_acceptance(p: Sequence[float], candidates: Candidates) -> float:
    """The largest probability to emit one of the candidates, over all rules whose output has the
    distribution p, by linear programming.

    A variable is the mass of a set of candidates that is emitted as one of them. A set gives at
    most its probability, a token takes at most p.
    Errors:
        SpecrefError where the solver does not reach an optimum.
    """
    masses: dict[frozenset[int], float] = {}
    for drawn, weight in candidates.items():
        tokens = frozenset(drawn)
        masses[tokens] = masses.get(tokens, 0.0) + weight
    cells = [(row, x) for row, drawn in enumerate(masses) for x in sorted(drawn)]
    if not cells:
        return 0.0
    rows = np.zeros((len(masses) + len(p), len(cells)))
    for column, (row, x) in enumerate(cells):
        rows[row, column] = 1
        rows[len(masses) + x, column] = 1
    limits = [*masses.values(), *p]
    all_cells = np.ones(len(cells))
    solved = linprog(-all_cells, A_ub=rows, b_ub=limits, method="highs", options=TIGHT)
    if not solved.success:
        raise SpecrefError(f"the linear program has no optimum ({solved.message})")
    return float(-solved.fun)


def smallest_cut(p: Sequence[float], candidates: Candidates) -> float:
    """The same number as a minimum cut: min over sets S of p(S) + P(some candidate outside S).

    What is emitted as a candidate is in S, with p(S) at most, or outside, which takes a candidate
    there. The sets number 2^V.
    """
    tokens = range(len(p))
    sets = chain.from_iterable(combinations(tokens, size) for size in range(len(p) + 1))
    return min(_cut(p, candidates, frozenset(inside)) for inside in sets)


def _cut(p: Sequence[float], candidates: Candidates, inside: frozenset[int]) -> float:
    total = sum(p[x] for x in inside)
    for drawn, weight in candidates.items():
        if not inside.issuperset(drawn):
            total += weight
    return total
