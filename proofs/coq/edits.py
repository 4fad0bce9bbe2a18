"""The edits that mutate.py tries on definitions.v, and its controls."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Swap:
    """One piece of text for another, in a file of proofs/exact."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Edit:
    """An edit of definitions.v; the same edit of the specification, and the claim that it makes
    false ("": none, the definition is another and as right). disproof: a lemma, for Coq, that the
    statement is false, where the specification has no claim for it.
    """

    name: str
    old: str
    new: str
    claim: str = ""
    same: tuple[Swap, ...] = ()
    disproof: str = ""


VERIFY = "(verify p q (rcons c x) xs') (emit c (residual (p c) (q c)))\n  else emit c (p c)."
LOOP = "repeat_cycle cycle (n - size c) n c"
HEAD = """From mathcomp Require Import all_ssreflect all_algebra.
From specref Require Import definitions statements.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.
"""
# a cycle that stays where it is keeps every expectation and never writes a text of one token
STAYS = """
Definition p (c : seq bool) : bool -> rat := fun x => (x == true)%:R.
Definition stays (c : seq bool) : prog rat (seq bool) := Ret c.
Lemma refuted : ~ statement_loop_lossless rat_realFieldType bool_finType.
Proof.
have is_laws : laws p.
  by move=> c; split; [case|rewrite big_bool; apply/eqP; vm_compute].
have is_sound : sound p stays.
  by split=> [h _ c|c] //=; rewrite /extends leqnn take_size eqxx.
move=> /(_ p stays is_laws is_sound) [same _].
have := same 1%N [::] (fun c => (size c)%:R).
by move/eqP; vm_compute.
Qed.
"""
# a coin that falls on both sides: everything kept, and a token of the residual too
BOTH = """
Definition half (x : bool) : rat := 1%:Q / 2%:Q.
Lemma refuted : ~ statement_T1_lossless_step rat_realFieldType bool_finType.
Proof.
have is_law_half : is_law half.
  by split; [case; vm_compute|rewrite big_bool; apply/eqP; vm_compute].
move=> /(_ half half is_law_half is_law_half) /(_ (fun _ => 1)).
by rewrite big_bool => /eqP; vm_compute.
Qed.
"""
STEP, CHAIN, TREE, TEXT, LOSSY = "step.py", "chain.py", "tree.py", "text.py", "lossy.py"
CAPPED, LEFT = "return capped(p[x], q[x])", "return normalised(positive_part(p, q), p)"
BONUS = "return emit(c, p(c))\n    return coin(\n        accept(p(c), q(c), xs[0])"

EDITS = (
    Edit(
        "coin: tails as often as heads",
        "if b then a else 1 - a",
        "a",
        "T1_lossless_step",
        (Swap("program.py", "False: 1 - a", "False: a"),),
        HEAD + BOTH,
    ),
    Edit(
        "accept always",
        "accept p q x : R := capped (p x) (q x)",
        "accept p q x : R := 1",
        "T1_lossless_step",
        (Swap(STEP, CAPPED, "return Fraction(1)"),),
    ),
    Edit(
        "accept: p and q swapped",
        "accept p q x : R := capped (p x) (q x)",
        "accept p q x : R := capped (q x) (p x)",
        "T1_lossless_step",
        (Swap(STEP, CAPPED, "return capped(q[x], p[x])"),),
    ),
    Edit(
        "accept: max for min",
        "if b <= a then 1 else a / b",
        "if b <= a then a / b else 1",
        "T1_lossless_step",
        (
            Swap(
                STEP,
                "Fraction(1) if b <= a else a / b",
                "(a / b if b else Fraction(0)) if b <= a else Fraction(1)",
            ),
        ),
    ),
    Edit(
        "residual: p itself",
        "R := normalised (positive_part p q) p",
        "R := p",
        "T1_lossless_step",
        (Swap(STEP, LEFT, "return p"),),
    ),
    Edit(
        "residual: not normalised",
        "R := normalised (positive_part p q) p",
        "R := positive_part p q",
        "T1_lossless_step",
        (Swap(STEP, LEFT, "return positive_part(p, q)"),),
    ),
    Edit(
        "residual: (q - p)+",
        "Num.max (p x - q x) 0",
        "Num.max (q x - p x) 0",
        "T1_lossless_step",
        (Swap(STEP, "max(a - b, Fraction(0))", "max(b - a, Fraction(0))"),),
    ),
    Edit(
        "residual: min for max",
        "Num.max (p x - q x) 0",
        "Num.min (p x - q x) 0",
        "T1_lossless_step",
        (Swap(STEP, "max(a - b, Fraction(0))", "min(a - b, Fraction(0))"),),
    ),
    Edit(
        "verify: bonus from q",
        VERIFY,
        VERIFY.replace("else emit c (p c)", "else emit c (q c)"),
        "T4_chain",
        (Swap(CHAIN, BONUS, BONUS.replace("emit(c, p(c))", "emit(c, q(c))")),),
    ),
    Edit(
        "verify: no bonus",
        VERIFY,
        VERIFY.replace("else emit c (p c)", "else Ret c"),
        "T4_chain",
        (Swap(CHAIN, BONUS, BONUS.replace("emit(c, p(c))", "Ret(c)")),),
    ),
    Edit(
        "verify: rejected token stays",
        VERIFY,
        VERIFY.replace("(emit c (res", "(emit (rcons c x) (res"),
        "T4_chain",
        (Swap(CHAIN, "emit(c, residual(p(c), q(c)))", "emit((*c, xs[0]), residual(p(c), q(c)))"),),
    ),
    Edit(
        "verify: residual after the token",
        VERIFY,
        VERIFY.replace("residual (p c)", "residual (p (rcons c x))"),
        "T4_chain",
        (Swap(CHAIN, "emit(c, residual(p(c), q(c)))", "emit(c, residual(p((*c, xs[0])), q(c)))"),),
    ),
    Edit(
        "draft: forgets its own tokens",
        "draft q gamma' (rcons c x)",
        "draft q gamma' c",
        "T4_chain",
        (Swap(CHAIN, "draft(q, gamma - 1, (*c, x))", "draft(q, gamma - 1, c)"),),
    ),
    Edit(
        "draft: one token too few",
        "draft q gamma' (rcons c x)",
        "draft q gamma'.-1 (rcons c x)",
        "T7_tokens_per_cycle",
        (Swap(CHAIN, "draft(q, gamma - 1, (*c, x))", "draft(q, max(0, gamma - 2), (*c, x))"),),
    ),
    Edit(
        "loop: one cycle too few",
        LOOP,
        LOOP.replace("size c)", "size c).-1"),
        "T4_chain",
        (Swap(TEXT, "max(0, n - len(c)), n, c)", "max(0, n - len(c) - 1), n, c)"),),
    ),
    Edit(
        "loop: one cycle more than the length",
        "if (n <= size c)%N then Ret (take n c)",
        "if (n < size c)%N then Ret c",
        "T4_chain",
        (
            Swap(
                TEXT,
                "    if len(c) >= n or not fuel:\n        return Ret(c[:n])",
                "    if len(c) > n or not fuel:\n        return Ret(c if fuel else c[:n])",
            ),
        ),
    ),
    Edit(
        "extends: a cycle may emit nothing",
        "(size c < size c')%N",
        "(size c <= size c')%N",
        "loop_lossless",
        (Swap(TEXT, "len(c) < len(longer)", "len(c) <= len(longer)"),),
        HEAD + STAYS,
    ),
    Edit(
        "argmax: picks what is less likely",
        "if d best < d y then y else best",
        "if d y < d best then y else best",
        "T6_greedy",
        (Swap(CHAIN, "p.index(max(p))", "p.index(min(p))"),),
    ),
    Edit(
        "argmax: ties to the last",
        "if d best < d y then y else best",
        "if d best <= d y then y else best",
        same=(Swap(CHAIN, "p.index(max(p))", "len(p) - 1 - p[::-1].index(max(p))"),),
    ),
    Edit(
        "greedy: keeps any draft",
        "if x == best then greedy_cycle x0 p xs' (rcons c best)",
        "if true then greedy_cycle x0 p xs' (rcons c x)",
        "T6_greedy",
        (Swap(CHAIN, "xs[1:], (*c, best)) if xs and xs[0] == best", "xs[1:], (*c, xs[0])) if xs"),),
    ),
    Edit(
        "greedy: stops after one token",
        "then greedy_cycle x0 p xs' (rcons c best)",
        "then Ret (rcons c best)",
        "T6_greedy",
        (Swap(CHAIN, "greedy_cycle(p, xs[1:], (*c, best)) if", "Ret((*c, best)) if"),),
    ),
    Edit(
        "candidates: residual not updated",
        "recursive_rejection (residual p row) q",
        "recursive_rejection p q",
        "T5_recursive_rejection",
        (
            Swap(
                STEP,
                "recursive_rejection(residual(p, row), q, k - 1",
                "recursive_rejection(p, q, k - 1",
            ),
        ),
    ),
    Edit(
        "candidates: forget those rejected",
        "q k' (rcons rejected x)",
        "q k' rejected",
        "T10_candidates_are_a_tree",
        (Swap(STEP, "q, k - 1, (*rejected, x))", "q, k - 1, rejected)"),),
    ),
    Edit(
        "without replacement: not renormalised",
        "else Some (normalised left left)",
        "else Some left",
        "T5_without_replacement",
        (Swap(STEP, "normalised(left, left) if", "left if"),),
    ),
    Edit(
        "without replacement: with it",
        "if x \\in earlier then 0 else q x",
        "q x",
        same=(Swap(STEP, "Fraction(0) if x in earlier else weight", "weight"),),
    ),
    Edit(
        "block: ratio of one token",
        "capped (w * d x) (e x)",
        "capped ((w - w + 1) * d x) (e x)",
        "T9_block_lossless",
        (Swap(CHAIN, "capped(w * p[x], q[x])", "capped(p[x], q[x])"),),
    ),
    Edit(
        "block: product of capped ratios",
        "capped (w * d x) (e x)",
        "w * capped (d x) (e x)",
        "T9_block_lossless",
        (Swap(CHAIN, "capped(w * p[x], q[x])", "w * capped(p[x], q[x])"),),
    ),
    Edit(
        "block: residual of one token",
        "positive_part (fun x => w * d x) e",
        "positive_part (fun x => (w - w + 1) * d x) e",
        "T9_block_lossless",
        (Swap(CHAIN, "positive_part(tuple(w * a for a in p), q)", "positive_part(p, q)"),),
    ),
    Edit(
        "block: stops where it is asked",
        "in capped rest (rest + 1 - w)",
        "in capped 1 (rest + 1 - w)",
        "T9_block_lossless",
        (Swap(CHAIN, "capped(rest, rest + 1 - w)", "capped(Fraction(1), rest + 1 - w)"),),
    ),
    Edit(
        "traversal: the weight does not fall",
        "traversal_ask p (block_stop w left row) next c",
        "traversal_ask p w next c",
        "T16_traversal",
        (Swap("several.py", "traversal_ask(p, stop, t.next", "traversal_ask(p, w, t.next"),),
    ),
    Edit(
        "traversal: later siblings judged by p",
        "next c (block_residual w left row)",
        "next c (block_residual w (p c) row)",
        "T16_traversal",
        (Swap("several.py", "block_residual(w, left, t.row)", "block_residual(w, p(c), t.row)"),),
    ),
    Edit(
        "traversal: children judged by the weight of the context",
        "traversal_ask p (block_weight w left row x) below",
        "traversal_ask p w below",
        "T16_traversal",
        (
            Swap(
                "several.py",
                "traversal_ask(p, block_weight(w, left, t.row, t.x), t.below",
                "traversal_ask(p, w, t.below",
            ),
        ),
    ),
    Edit(
        "block: starts with weight 0",
        "(block_ask p q 1 c xs)",
        "(block_ask p q 0 c xs)",
        "T9_block_lossless",
        (
            Swap(
                CHAIN, "block_ask(p, q, Fraction(1), c, xs)", "block_ask(p, q, Fraction(0), c, xs)"
            ),
        ),
    ),
    Edit(
        "tree: residual not updated",
        "(tree_ask next c (rcons rejected x) (residual left row))",
        "(tree_ask next c (rcons rejected x) left)",
        "T10_trees",
        (Swap(TREE, "(*rejected, x), residual(left, row))", "(*rejected, x), left)"),),
    ),
    Edit(
        "tree: parent's law for the children",
        "(tree_ask below (rcons c x) [::] (p (rcons c x)))",
        "(tree_ask below (rcons c x) [::] left)",
        "T10_trees",
        (Swap(TREE, "s.below, inside, (), p(inside))", "s.below, inside, (), left)"),),
    ),
    Edit(
        "whole tree: residual not updated",
        "(tree_verify next c (residual left row))",
        "(tree_verify next c left)",
        "T10_trees",
        (Swap(TREE, "t.next, c, residual(left, t.row))", "t.next, c, left)"),),
    ),
    Edit(
        "whole tree: siblings forget the earlier",
        "tree_draft next c (rcons earlier x)",
        "tree_draft next c earlier",
        "T10_trees",
        (Swap(TREE, "s.next, c, (*earlier, x))", "s.next, c, earlier)"),),
    ),
    Edit(
        "matching: emits the draft",
        "xs' else Ret (rcons c y) else",
        "xs' else Ret (rcons c x) else",
        "T11_matching",
        (
            Swap(
                CHAIN,
                "xs[0] == y else Ret((*c, y))",
                "xs[0] == y else Ret((*c, xs[0] if xs else y))",
            ),
        ),
    ),
    Edit(
        "target only: rejected token again",
        "(emit c (residual (p c) (point_mass x)))",
        "(emit c (p c))",
        "T11_target_only",
        (Swap(CHAIN, "emit(c, residual(p(c), sure))", "emit(c, p(c))"),),
    ),
    Edit(
        "typical: rejects what passes",
        "if typical (p c) x then typ",
        "if ~~ typical (p c) x then typ",
        "C4_typical",
        (Swap(LOSSY, "if xs and typical(", "if xs and not typical("),),
    ),
    Edit(
        "a wrong rule that is right",
        "(Ret x) (draw d))",
        "(Ret x) (draw (residual d e)))",
        "C1_resample_from_p",
        (
            Swap(LOSSY, "lambda: draw(p)))", "lambda: draw(residual(p, q))))"),
            Swap(LOSSY, "judge, positive_part", "judge, positive_part, residual"),
        ),
    ),
)
SAME = (  # must build
    Edit("a comment", "(* The law of a token", "(* Law of a token"),
    Edit("point_mass: y is z", "fun y => (y == x)%:R", "fun z => (z == x)%:R"),
    Edit("E: w is v", "total (fun w => d w * E (k w) h)", "total (fun v => d v * E (k v) h)"),
    Edit("draft: xs is ys", "(fun xs => Ret (x :: xs))", "(fun ys => Ret (x :: ys))"),
    Edit("alpha: x is y", "\\sum_x Num.min (p x) (q x)", "\\sum_y Num.min (p y) (q y)"),
    Edit("normalised: x is y", "else fun x => weights x / mass", "else fun y => weights y / mass"),
)
EQUAL = (  # the same functions in other words: scripts may break, nothing may be refuted
    Edit("positive part: max(0, .)", "Num.max (p x - q x) 0", "Num.max 0 (p x - q x)"),
    Edit(
        "capped: asked the other way", "if b <= a then 1 else a / b", "if a < b then a / b else 1"
    ),
    Edit("total: s + f w", "f w + s", "s + f w"),
    Edit("E: the factors turned", "d w * E (k w) h", "E (k w) h * d w"),
    Edit("coin: branches turned", "if b then a else 1 - a", "if ~~ b then 1 - a else a"),
)
