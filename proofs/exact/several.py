"""Several candidates for one place: `candidates`, `best_plan`, `plan_step`, `k_sequential`,
`picked_step`; the race of `race_step`; and trees judged from the leaves up, `traversal_verify`.

SpecTr (Sun et al. 2023, arXiv:2310.15141), Khisti et al. 2025 (arXiv:2410.18234), Daliri et al.
2024 (arXiv:2408.07978), Weng et al. 2025 (arXiv:2505.12398).
"""

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import TypeAlias

from .chain import block_residual, block_stop, block_weight
from .couplings import events, measure
from .program import Context, Dist, Model, Prog, Ret, bind, coin, draw, law
from .step import Siblings, accept, capped, judge, normalised, positive_part
from .text import emit
from .tree import NodeLaw, Shape, Tree, tree_draft

Joint: TypeAlias = Mapping[Context, Fraction]  # law of the candidates, in order
Plan: TypeAlias = Mapping[tuple[Context, int], Fraction]  # (candidates, the one emitted) -> mass
Judged: TypeAlias = tuple[int, bool]  # the emitted token, and whether a candidate was accepted


def candidates(q: Siblings, k: int, earlier: Context = ()) -> Prog[Context]:
    """k candidates, or fewer where q has no more, drawn before anything is judged."""
    row = q(earlier) if k else None
    if row is None:
        return Ret(earlier)
    return bind(draw(row), lambda x: candidates(q, k - 1, (*earlier, x)))


def cut(p: Dist, drawn: Joint, inside: Context) -> Fraction:
    """p(S) + P(some candidate outside S)."""
    outside = [weight for xs, weight in drawn.items() if not set(xs) <= set(inside)]
    return measure(p, inside) + sum(outside, Fraction(0))


def smallest_cut(p: Dist, drawn: Joint) -> Fraction:
    """The least of all sets S."""
    return min(cut(p, drawn, inside) for inside in events(len(p)))


def best_plan(p: Dist, drawn: Joint) -> Plan:
    """A largest flow from draws to their own candidates: a draw gives at most its probability, a
    token takes at most p. By paths that raise it, one by one.
    """
    plan: dict[tuple[Context, int], Fraction] = {}
    while True:
        path = _rising_path(p, drawn, plan)
        if path is None:
            return plan
        cells, room = path
        for cell, sign in cells:
            plan[cell] = plan.get(cell, Fraction(0)) + sign * room


Step: TypeAlias = tuple[tuple[Context, int], int]  # a cell of the plan, and +1 or -1


def _rising_path(p: Dist, drawn: Joint, plan: Plan) -> tuple[list[Step], Fraction] | None:
    """Cells to raise and to lower in turn, from a draw with mass left to a token with room left,
    and how much the path can carry.
    """
    given = {xs: weight - _sum(plan, 0, xs) for xs, weight in drawn.items()}
    room = [weight - _sum(plan, 1, x) for x, weight in enumerate(p)]
    pending: list[tuple[Context, list[Step], Fraction]] = [
        (xs, [], mass) for xs, mass in given.items() if mass
    ]
    seen: set[int] = set()
    while pending:
        xs, steps, mass = pending.pop(0)
        for x in sorted(set(xs) - seen):
            seen.add(x)
            up = [*steps, ((xs, x), 1)]
            if room[x]:
                return up, min(mass, room[x])
            for (other, y), flow in plan.items():
                if y == x and flow:
                    pending.append((other, [*up, ((other, x), -1)], min(mass, flow)))
    return None


def _sum(plan: Plan, place: int, value: Context | int) -> Fraction:
    return sum((flow for cell, flow in plan.items() if cell[place] == value), Fraction(0))


def plan_step(p: Dist, drawn: Joint, plan: Plan) -> Prog[Judged]:
    """Draw the candidates, emit the one that the plan says, or what the plan leaves of p."""
    kept = tuple(_sum(plan, 1, x) for x in range(len(p)))
    left = normalised(positive_part(p, kept), p)

    def after(xs: Context) -> Prog[Judged]:
        weight = drawn[xs]
        shares = tuple(plan.get((xs, x), Fraction(0)) / weight for x in range(len(p)))
        accepted = sum(shares, Fraction(0))
        return coin(
            accepted,
            lambda: bind(draw(normalised(shares, p)), lambda x: Ret((x, True))),
            lambda: bind(draw(left), lambda y: Ret((y, False))),
        )

    every = list(drawn)
    return bind(draw(tuple(drawn.values())), lambda number: after(every[number]))


def recursive_step(p: Dist, q: Siblings, k: int, rejected: Context = ()) -> Prog[Judged]:
    """Recursive rejection (T5), with whether a candidate was accepted."""
    row = q(rejected) if k else None
    if row is None:
        return bind(draw(p), lambda y: Ret((y, False)))

    def after(x: int) -> Prog[Judged]:
        left = normalised(positive_part(p, row), p)
        return coin(
            accept(p, row, x),
            lambda: Ret((x, True)),
            lambda: recursive_step(left, q, k - 1, (*rejected, x)),
        )

    return bind(draw(row), after)


def naive_step(p: Dist, drawn: Joint) -> Prog[Judged]:
    """Draw from p and look whether it is a candidate."""
    every = list(drawn)
    found = bind(draw(tuple(drawn.values())), lambda number: Ret(every[number]))
    return bind(found, lambda xs: bind(draw(p), lambda y: Ret((y, y in xs))))


def common(p: Dist, q: Dist, rho: Fraction) -> Dist:
    """min(q, p / rho)."""
    return tuple(min(b, a / rho) for a, b in zip(p, q, strict=True))


def some_accepted(p: Dist, q: Dist, k: int, rho: Fraction) -> Fraction:
    """1 - (1 - beta)^k with beta the sum of `common`."""
    return 1 - (1 - sum(common(p, q, rho), Fraction(0))) ** k


def k_sequential_valid(p: Dist, q: Dist, k: int, rho: Fraction) -> bool:
    """What rho must be: the accepted never exceed p."""
    return some_accepted(p, q, k, rho) <= rho * sum(common(p, q, rho), Fraction(0))


def k_sequential(p: Dist, q: Dist, k: int, rho: Fraction) -> Prog[Judged]:
    """k draws from q, each accepted with probability min(1, p / (rho q)); then the rest of p."""
    beta = sum(common(p, q, rho), Fraction(0))
    each = some_accepted(p, q, k, rho) / beta if beta else Fraction(0)
    left = normalised(positive_part(p, tuple(each * a for a in common(p, q, rho))), p)

    def ask(more: int) -> Prog[Judged]:
        if not more:
            return bind(draw(left), lambda y: Ret((y, False)))
        return bind(draw(q), lambda x: judged(x, more))

    def judged(x: int, more: int) -> Prog[Judged]:
        heads = capped(p[x], rho * q[x])
        return coin(heads, lambda: Ret((x, True)), lambda: ask(more - 1))

    return ask(k)


Weights: TypeAlias = Callable[[int, int], Fraction]  # P(pick the first of two candidates)


def picked(q: Dist, weights: Weights) -> Prog[int]:
    """One of two draws from q."""

    def pick(x: int, y: int) -> Prog[int]:
        return coin(weights(x, y), lambda: Ret(x), lambda: Ret(y))

    return bind(draw(q), lambda x: bind(draw(q), lambda y: pick(x, y)))


def picked_law(q: Dist, weights: Weights) -> Dist:
    """p_I: the law of the picked one."""
    found = law(picked(q, weights))
    return tuple(found.get(x, Fraction(0)) for x in range(len(q)))


def picked_step(p: Dist, q: Dist, weights: Weights) -> Prog[int]:
    """Pick one of two candidates, then judge it against p_I."""
    return bind(picked(q, weights), lambda x: judge(p, picked_law(q, weights), x))


def race_mass(p: Dist, q: Dist, t: Fraction) -> Fraction:
    """M(t) = sum max(q, t p)."""
    return sum((max(b, t * a) for a, b in zip(p, q, strict=True)), Fraction(0))


def race_integral(p: Dist, q: Dist, x: int) -> Fraction:
    """F(q(x) / p(x)) with F(t) the integral of 1 / M^2 from 0 to t; up to infinity where p(x) = 0.

    M is linear between two neighbouring ratios, where the integral from s to t is
    (t - s) / (M(s) M(t)); behind the last one M rises like t.
    """
    ratios = sorted({b / a for a, b in zip(p, q, strict=True) if a})
    ends = [t for t in ratios if not p[x] or t <= q[x] / p[x]]
    total, before = Fraction(0), Fraction(0)
    for t in ends:
        total += (t - before) / (race_mass(p, q, before) * race_mass(p, q, t))
        before = t
    return total if p[x] else total + 1 / race_mass(p, q, before)


def race_accept(p: Dist, q: Dist, x: int) -> Fraction:
    """P(Y = x | X = x) = 1 / M(q(x) / p(x))."""
    return 1 / race_mass(p, q, q[x] / p[x]) if p[x] else Fraction(0)


def race_step(p: Dist, q: Dist) -> Prog[tuple[int, int]]:
    """(drafted, emitted) of the Gumbel coupling, with the noise integrated out."""

    def after(x: int) -> Prog[tuple[int, int]]:
        here = race_integral(p, q, x)
        gain = [here - race_integral(p, q, y) for y in range(len(p))]
        other = tuple(a * max(g, Fraction(0)) for a, g in zip(p, gain, strict=True))
        return coin(
            race_accept(p, q, x),
            lambda: Ret((x, x)),
            lambda: bind(draw(normalised(other, p)), lambda y: Ret((x, y))),
        )

    return bind(draw(q), after)


def traversal_ask(p: Model, w: Fraction, t: Tree, c: Context, left: Dist) -> Prog[Context | None]:
    """Judge the siblings t at c, which is reached with weight w; left is what the siblings before
    them have left of p(c). None: nothing here is kept.
    """
    if t is None:
        return coin(w, lambda: bind(emit(c, left), lambda longer: Ret(longer)), lambda: Ret(None))
    inside = (*c, t.x)

    def after(found: Context | None) -> Prog[Context | None]:
        if found is not None:
            return Ret(found)
        stop, rest = block_stop(w, left, t.row), block_residual(w, left, t.row)
        return traversal_ask(p, stop, t.next, c, rest)

    below = traversal_ask(p, block_weight(w, left, t.row, t.x), t.below, inside, p(inside))
    return bind(below, after)


def traversal_verify(p: Model, t: Tree, c: Context) -> Prog[Context]:
    """Judge a tree from the leaves up. With w = 1 at the start, None has probability 0."""
    found = traversal_ask(p, Fraction(1), t, c, p(c))
    return bind(found, lambda text: Ret(c if text is None else text))


def traversal_cycle(p: Model, q: NodeLaw, s: Shape, c: Context) -> Prog[Context]:
    return bind(tree_draft(q, s, c), lambda t: traversal_verify(p, t, c))
