"""python -m proofs.coq.bridge: write bridge.v, cases of the executable specification as goals for
Coq.

Each goal applies the Coq definition to a case and says that it evaluates to what the Python
definition of that name
gives. build.py compiles it: equal names mean equal definitions, on these cases. Models are written
as tables of the answers that the Python run asked for; a text that only Coq asks for has no law,
and the case fails.
"""

import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from typing import Any

from proofs.coq.coq_terms import Asked, Written, applied, called, frac, outcomes, row, term, weights
from proofs.exact import chain, lossy, several, step, tree
from proofs.exact.cases import (
    HARD,
    SHAPES,
    WIDE,
    siblings_with_certainty,
    siblings_with_replacement,
    siblings_without_replacement,
    table,
)
from proofs.exact.program import Context, Dist, law
from proofs.exact.text import expected_growth, loop, plain_cycle, text_probability

HEAD = """(* Written by bridge.py from proofs/exact: do not edit.  Each goal says that a definition of definitions.v, applied
   to a case, evaluates to what the Python definition of the same name gives. *)
From Coq Require Import ZArith QArith Qcanon.
From mathcomp Require Import all_ssreflect all_algebra.
From specref Require Import definitions statements basics rationals computing.
Local Open Scope nat_scope.
"""
TINY: tuple[Dist, ...] = (
    (Fraction(1, 3), Fraction(2, 3)),
    (Fraction(6, 7), Fraction(1, 7)),
    (Fraction(1), Fraction(0)),
)
THIRD = Fraction(1, 3)
Goal = tuple[str, str]  # the name it is about, the proposition


def has_law(wrap: str, size: int, rule: Callable[..., Any], *arguments: Any) -> Goal:
    """The program has exactly these outcomes with these probabilities; `wrap` turns tokens into
    numbers.
    """
    answer = outcomes(law(called(rule, arguments)))
    return rule.__name__, f"agrees ({wrap} ({applied(rule, arguments, size)})) {answer}"


def has_value(size: int, function: Callable[..., Any], *arguments: Any) -> Goal:
    """The function has this value: a fraction or a text."""
    value = called(function, arguments)
    answer = frac(value) if isinstance(value, Fraction) else term(value, size)
    return function.__name__, f"({applied(function, arguments, size)} == {answer}) = true"


def one_token() -> Iterator[Goal]:
    """accept, residual, step and the wrong rules, on pairs of laws."""
    for p, q in [(p, q) for rows in (HARD, WIDE, TINY) for p in rows for q in rows]:
        n = len(p)
        accepted = tuple(step.accept(p, q, x) for x in range(n))
        yield (
            "accept",
            f"(map (accept {row(p)} {row(q)}) (tok_enum {n}) == {weights(accepted)}) = true",
        )
        left = weights(step.residual(p, q))
        yield "residual", f"(map (residual {row(p)} {row(q)}) (tok_enum {n}) == {left}) = true"
        yield has_value(n, step.alpha, p, q)
        yield has_value(n, step.total_variation, p, q)
        yield has_law("as_id", n, step.step, p, q)
        yield has_law("as_ids", n, step.coupled_step, p, q)
        yield has_law("", n, step.step_accepts, p, q)
        yield has_law("as_id", n, lossy.resample_from_p, p, q)
        yield has_law("as_id", n, lossy.unnormalised_residual, p, q)
        for r in HARD[:3] if n == 3 else ():
            yield has_law("as_id", n, lossy.wrong_q, p, q, r)


def several_candidates() -> Iterator[Goal]:
    """recursive_rejection with, without replacement, and with a law that follows no rule."""
    for p, q in ((p, q) for p in HARD for q in HARD):
        for k in range(4):
            for kind in (step.with_replacement, step.without_replacement):
                siblings = Written(kind(q), f"({kind.__name__} {row(q)})")
                yield has_law("as_id", 3, step.recursive_rejection, p, siblings, k, ())
        yield has_law(
            "as_id",
            3,
            step.recursive_rejection,
            p,
            Asked(table(HARD, len(q)), 3, "candidates"),
            3,
            (),
        )


def given_drafts(rows: tuple[Dist, ...], salt: int, c: Context) -> Iterator[Goal]:
    """Verification of a given draft."""
    n = len(rows[0])
    for xs in ((), (0,), (1, 0), (1, 1, 0), (0, 1, n - 1)):

        def p() -> Asked:
            return Asked(table(rows, salt), n)

        def q() -> Asked:
            return Asked(table(rows[::-1], 2 * salt + 1), n)

        yield has_law("as_text", n, chain.verify, p(), q(), c, xs)
        yield has_law("as_text", n, chain.block_verify, p(), q(), c, xs)
        yield has_law("as_text", n, chain.matching_verify, p(), c, xs)
        yield has_law("as_text", n, chain.target_only_verify, p(), c, xs)
        yield has_law("as_text", n, chain.greedy_cycle, p(), xs, c)
        yield has_value(n, text_probability, p(), c, xs)


def whole_cycles(rows: tuple[Dist, ...], salt: int, c: Context) -> Iterator[Goal]:
    """Drafts, whole cycles, loops of them, and greedy and typical decoding."""
    n = len(rows[0])

    def p() -> Asked:
        return Asked(table(rows, salt), n)

    def q() -> Asked:
        return Asked(table(rows[::-1], 2 * salt + 1), n)

    typical = Written(lossy.at_least(THIRD), f"(fun d x => Order.le ({frac(THIRD)}) (d x))")
    for gamma in range(4 if n < 4 else 3):
        yield has_law("as_text", n, chain.draft, q(), gamma, c)
        for cycle in (
            chain.cycle,
            chain.block_cycle,
            chain.matching_cycle,
            chain.target_only_cycle,
        ):
            yield has_law("as_text", n, cycle, p(), q(), gamma, c)
            yield has_law("as_text", n, loop, partial(cycle, p(), q(), gamma), len(c) + 2, c)
            yield has_value(n, expected_growth, partial(cycle, p(), q(), gamma), c)
        yield has_law("as_text", n, lossy.typical_cycle, typical, p(), q(), gamma, c)
        yield has_value(n, chain.greedy_text, p(), gamma + 1, c)
    yield has_law("as_text", n, loop, partial(plain_cycle, p()), len(c) + 3, c)


def chains() -> Iterator[Goal]:
    for rows, salt, c in ((HARD, 0, ()), (HARD, 2, (1,)), (WIDE, 0, ()), (TINY, 1, (1,))):
        yield from given_drafts(rows, salt, c)
        yield from whole_cycles(rows, salt, c)


def trees() -> Iterator[Goal]:
    """Trees drawn as needed and drawn whole, with three ways to draw siblings."""
    for kind in (siblings_without_replacement, siblings_with_replacement, siblings_with_certainty):
        for rows, salt, s in (
            (rows, salt, s) for rows, salt in ((HARD, 0), (HARD, 1), (TINY, 1)) for s in SHAPES
        ):
            n = len(rows[0])
            cycles = [tree.tree_cycle, tree.eager_tree_cycle]
            if s is not SHAPES[-1]:
                cycles.append(several.traversal_cycle)
            for cycle in cycles:
                p, q = (
                    Asked(table(rows, salt), n),
                    Asked(kind(table(rows[::-1], salt)), n, "node_law"),
                )
                yield has_law("as_text", n, cycle, p, q, s, (0,))


SUMS = {
    "alpha": "rewrite /alpha -totalE; ",
    "total_variation": "rewrite /total_variation -totalE; ",
}


def bridge() -> str:
    """The text of bridge.v."""
    parts = [HEAD]
    goals = (goal for family in (one_token, several_candidates, chains, trees) for goal in family())
    for i, (name, goal) in enumerate(goals):
        parts.append(
            f"Lemma {name}_case_{i} : {goal}.\nProof. by {SUMS.get(name, '')}vm_compute. Qed.\n"
        )
    return "\n".join(parts)


if __name__ == "__main__":
    sys.stdout.write(bridge())
