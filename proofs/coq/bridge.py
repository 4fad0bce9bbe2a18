"""python -m proofs.coq.bridge: write bridge.v, cases of the executable specification as goals for Coq.

Each goal applies the Coq definition to a case's tables and says that it evaluates to what the Python definition of that
name gives. build.py compiles it, so equal names mean equal definitions, on these cases. A table holds the answers that
the Python run asked for; a text that only Coq asks for has no law, and the case fails.
"""

import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

from proofs.coq.coq_terms import Asked, candidates, frac, ids, model, node_law, outcomes, row, shape, text, weights
from proofs.exact import chain, lossy, step, tree
from proofs.exact.cases import (
    HARD,
    SHAPES,
    WIDE,
    siblings_with_certainty,
    siblings_with_replacement,
    siblings_without_replacement,
    table,
)
from proofs.exact.program import Context, Dist, Model, Prog, Ret, law
from proofs.exact.text import expected_growth, loop, plain_cycle, text_probability

HEAD = """(* Written by bridge.py from proofs/exact: do not edit.  Each goal says that a definition of definitions.v, applied
   to a case, evaluates to what the Python definition of the same name gives. *)
From Coq Require Import ZArith QArith Qcanon.
From mathcomp Require Import all_ssreflect all_algebra.
From specdec Require Import definitions statements basics rationals computing.
Local Open Scope nat_scope.
"""
TINY: tuple[Dist, ...] = ((Fraction(1, 3), Fraction(2, 3)), (Fraction(6, 7), Fraction(1, 7)), (Fraction(1), Fraction(0)))
Goal = tuple[str, str]  # the name it is about, the proposition


def agrees(term: str, m: Prog[Any]) -> str:
    return f"agrees ({term}) {outcomes(law(m))}"


def equal(term: str, value: Fraction) -> str:
    return f"({term} == {frac(value)}) = true"


def one_token() -> Iterator[Goal]:
    """accept, residual, step and the wrong rules, on pairs of laws."""
    pairs = [(p, q) for rows in (HARD, WIDE, TINY) for p in rows for q in rows]
    for p, q in pairs:
        a, b, n = row(p), row(q), len(p)
        accepted = tuple(step.accept(p, q, x) for x in range(n))
        yield "accept", f"(map (accept {a} {b}) (tok_enum {n}) == {weights(accepted)}) = true"
        yield "residual", f"(map (residual {a} {b}) (tok_enum {n}) == {weights(step.residual(p, q))}) = true"
        yield "alpha", equal(f"alpha {a} {b}", step.alpha(p, q))
        yield "total_variation", equal(f"total_variation {a} {b}", step.total_variation(p, q))
        yield "step", agrees(f"as_id (step {a} {b})", step.step(p, q))
        yield "coupled_step", agrees(f"as_ids (coupled_step {a} {b})", step.coupled_step(p, q))
        yield "step_accepts", agrees(f"step_accepts {a} {b}", step.step_accepts(p, q))
        yield "resample_from_p", agrees(f"as_id (resample_from_p {a} {b})", lossy.resample_from_p(p, q))
        wrong = lossy.unnormalised_residual(p, q)
        yield "unnormalised_residual", agrees(f"as_id (unnormalised_residual {a} {b})", wrong)
        for r in (row for row in HARD if len(row) == n):
            yield "wrong_q", agrees(f"as_id (wrong_q {a} {b} {row(r)})", lossy.wrong_q(p, q, r))


def several_candidates() -> Iterator[Goal]:
    """recursive_rejection with, without replacement, and with a law that follows no rule."""
    for p, q in ((p, q) for p in HARD for q in HARD):
        for k in range(4):
            for name, siblings in (("with_replacement", step.with_replacement(q)),
                                   ("without_replacement", step.without_replacement(q))):
                term = f"as_id (recursive_rejection {row(p)} ({name} {row(q)}) {k} [::])"
                yield name, agrees(term, step.recursive_rejection(p, siblings, k))
        asked = Asked(table(HARD, HARD.index(q)))
        m = step.recursive_rejection(p, asked, 3)
        answer = outcomes(law(m))
        yield "recursive_rejection", (f"agrees (as_id (recursive_rejection {row(p)} {candidates(len(p), asked)} 3 [::])) "
                                      f"{answer}")


def run(name: str, size: int, p: Model, q: Model, term: str, program: Callable[[Model, Model], Prog[Any]]) -> Goal:
    """A goal about a program over models: `term` has {p} and {q} where their tables go."""
    asked_p, asked_q = Asked(p), Asked(q)
    answer = outcomes(law(program(asked_p, asked_q)))
    return name, f"agrees ({term.format(p=model(size, asked_p), q=model(size, asked_q))}) {answer}"


CYCLES: dict[str, Callable[..., Prog[Context]]] = {
    "cycle": chain.cycle, "block_cycle": chain.block_cycle, "matching_cycle": chain.matching_cycle,
    "target_only_cycle": chain.target_only_cycle,
}
VERIFIERS: dict[str, Callable[[Model, Model, Context, Context], Prog[Context]]] = {
    "verify {p} {q}": chain.verify, "block_verify {p} {q}": chain.block_verify,
    "matching_verify {p}": lambda p, q, c, xs: chain.matching_verify(p, c, xs),
    "target_only_verify {p}": lambda p, q, c, xs: chain.target_only_verify(p, c, xs),
}


def chains() -> Iterator[Goal]:
    """Verification of given drafts, whole cycles, loops, the target's text, greedy and typical decoding."""
    for rows, salt in ((HARD, 0), (HARD, 2), (WIDE, 0), (TINY, 1)):
        p, q, n = table(rows, salt), table(rows[::-1], 2 * salt + 1), len(rows[0])
        c: Context = (1,) if salt else ()
        at = text(n, c)
        for xs in ((), (0,), (1, 0), (1, 1, 0), (0, 1, n - 1)):
            for term, verifier in VERIFIERS.items():
                yield run(term.split()[0], n, p, q, f"as_text ({term} {at} {text(n, xs)})",
                          lambda p, q, v=verifier, xs=xs: v(p, q, c, xs))
            yield run("greedy_cycle", n, p, q, f"as_text (greedy_cycle (zero {n - 1}) {{p}} {text(n, xs)} {at})",
                      lambda p, q, xs=xs: chain.greedy_cycle(p, xs, c))
            asked = Asked(p)
            value = text_probability(asked, c, xs)
            yield "text_probability", equal(f"text_probability {model(n, asked)} {at} {text(n, xs)}", value)
        for gamma in range(4 if n < 4 else 3):
            yield run("draft", n, p, q, f"as_text (draft {{q}} {gamma} {at})", lambda p, q, g=gamma: chain.draft(q, g, c))
            for name, cycle in CYCLES.items():
                yield run(name, n, p, q, f"as_text ({name} {{p}} {{q}} {gamma} {at})",
                          lambda p, q, f=cycle, g=gamma: f(p, q, g, c))
                yield run("loop", n, p, q, f"as_text (loop ({name} {{p}} {{q}} {gamma}) {len(c) + 2} {at})",
                          lambda p, q, f=cycle, g=gamma: loop(lambda here: f(p, q, g, here), len(c) + 2, c))
                asked_p, asked_q = Asked(p), Asked(q)
                growth = expected_growth(lambda here, f=cycle, g=gamma: f(asked_p, asked_q, g, here), c)
                term = f"expected_growth ({name} {model(n, asked_p)} {model(n, asked_q)} {gamma}) {at}"
                yield "expected_growth", equal(term, growth)
            yield run("typical_cycle", n, p, q, "as_text (typical_cycle (fun d x => Order.le (frac 1 3) (d x)) "
                      f"{{p}} {{q}} {gamma} {at})",
                      lambda p, q, g=gamma: lossy.typical_cycle(lossy.at_least(Fraction(1, 3)), p, q, g, c))
            yield run("greedy_text", n, p, q, f"as_text (Ret (greedy_text (zero {n - 1}) {{p}} {gamma} {at}))",
                      lambda p, q, g=gamma: Ret(chain.greedy_text(p, g, c)))
        yield run("plain_cycle", n, p, q, f"as_text (loop (plain_cycle {{p}}) {len(c) + 3} {at})",
                  lambda p, q: loop(lambda here: plain_cycle(p, here), len(c) + 3, c))


def trees() -> Iterator[Goal]:
    """Trees drawn as needed and drawn whole, with three ways to draw siblings."""
    for kind in (siblings_without_replacement, siblings_with_replacement, siblings_with_certainty):
        for rows, salt, s in ((rows, salt, s) for rows, salt in ((HARD, 0), (HARD, 1), (TINY, 1)) for s in SHAPES):
            p, q, n = table(rows, salt), kind(table(rows[::-1], salt)), len(rows[0])
            for name, cycle in (("tree_cycle", tree.tree_cycle), ("eager_tree_cycle", tree.eager_tree_cycle)):
                asked_p, asked_q = Asked(p), Asked(q)
                answer = outcomes(law(cycle(asked_p, asked_q, s, (0,))))
                term = f"as_text ({name} {model(n, asked_p)} {node_law(n, asked_q)} {shape(s)} {text(n, (0,))})"
                yield name, f"agrees ({term}) {answer}"


SUMS = {"alpha": "rewrite /alpha -totalE; ", "total_variation": "rewrite /total_variation -totalE; "}


def bridge() -> str:
    """The text of bridge.v."""
    parts = [HEAD]
    for i, (name, goal) in enumerate(goal for family in (one_token, several_candidates, chains, trees) for goal in family()):
        parts.append(f"Lemma {name}_case_{i} : {goal}.\nProof. by {SUMS.get(name, '')}vm_compute. Qed.\n")
    return "\n".join(parts)


if __name__ == "__main__":
    sys.stdout.write(bridge())
