"""python -m proofs.coq.mutate [WORD ...]: break definitions.v, one edit at a time, and see which
proof notices.

Each edit is made in a temporary copy, which is then built: the theorems first, and where they still
hold, the cases of the executable specification. Prints where each build broke; exit 1 when an edit
survives. WORDs pick edits by name.
An edit that does not compile by itself is no evidence, and neither is a proof that was stopped:
both survive.
"""

import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from shutil import copy, which

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from proofs.coq.bridge import bridge  # noqa: E402 - this file is also run by its path
from proofs.coq.build import Broken, build, compile_one  # noqa: E402


@dataclass(frozen=True)
class Edit:
    name: str
    old: str
    new: str


VERIFY = "(verify p q (rcons c x) xs') (emit c (residual (p c) (q c)))\n  else emit c (p c)."
LOOP = "repeat_cycle cycle (n - size c) n c"
EDITS = (
    Edit("coin: tails as often as heads", "if b then a else 1 - a", "a"),
    Edit("accept always", "accept p q x : R := capped (p x) (q x)", "accept p q x : R := 1"),
    Edit(
        "accept: p and q swapped",
        "accept p q x : R := capped (p x) (q x)",
        "accept p q x : R := capped (q x) (p x)",
    ),
    Edit("accept: max for min", "if b <= a then 1 else a / b", "if b <= a then a / b else 1"),
    Edit("residual: p itself", "R := normalised (positive_part p q) p", "R := p"),
    Edit(
        "residual: not normalised",
        "R := normalised (positive_part p q) p",
        "R := positive_part p q",
    ),
    Edit("residual: (q - p)+", "Num.max (p x - q x) 0", "Num.max (q x - p x) 0"),
    Edit("residual: min for max", "Num.max (p x - q x) 0", "Num.min (p x - q x) 0"),
    Edit("verify: bonus from q", VERIFY, VERIFY.replace("else emit c (p c)", "else emit c (q c)")),
    Edit("verify: no bonus", VERIFY, VERIFY.replace("else emit c (p c)", "else Ret c")),
    Edit(
        "verify: rejected token stays",
        VERIFY,
        VERIFY.replace("(emit c (res", "(emit (rcons c x) (res"),
    ),
    Edit(
        "verify: residual after the token",
        VERIFY,
        VERIFY.replace("residual (p c)", "residual (p (rcons c x))"),
    ),
    Edit("draft: forgets its own tokens", "draft q gamma' (rcons c x)", "draft q gamma' c"),
    Edit("draft: one token too few", "draft q gamma' (rcons c x)", "draft q gamma'.-1 (rcons c x)"),
    Edit("loop: one cycle too few", LOOP, LOOP.replace("size c)", "size c).-1")),
    Edit(
        "loop: one cycle more than the length",
        "if (n <= size c)%N then Ret (take n c)",
        "if (n < size c)%N then Ret c",
    ),
    Edit("extends: a cycle may emit nothing", "(size c < size c')%N", "(size c <= size c')%N"),
    Edit(
        "argmax: picks what is less likely",
        "if d best < d y then y else best",
        "if d y < d best then y else best",
    ),
    Edit(
        "argmax: ties to the last",
        "if d best < d y then y else best",
        "if d best <= d y then y else best",
    ),
    Edit(
        "greedy: keeps any draft",
        "if x == best then greedy_cycle x0 p xs' (rcons c best)",
        "if true then greedy_cycle x0 p xs' (rcons c x)",
    ),
    Edit(
        "greedy: stops after one token",
        "then greedy_cycle x0 p xs' (rcons c best)",
        "then Ret (rcons c best)",
    ),
    Edit(
        "candidates: residual not updated",
        "recursive_rejection (residual p row) q",
        "recursive_rejection p q",
    ),
    Edit("candidates: forget those rejected", "q k' (rcons rejected x)", "q k' rejected"),
    Edit(
        "without replacement: not renormalised",
        "else Some (normalised left left)",
        "else Some left",
    ),
    Edit("without replacement: with it", "if x \\in earlier then 0 else q x", "q x"),
    Edit("block: ratio of one token", "capped (w * d x) (e x)", "capped ((w - w + 1) * d x) (e x)"),
    Edit("block: product of capped ratios", "capped (w * d x) (e x)", "w * capped (d x) (e x)"),
    Edit(
        "block: residual of one token",
        "positive_part (fun x => w * d x) e",
        "positive_part (fun x => (w - w + 1) * d x) e",
    ),
    Edit(
        "block: stops where it is asked",
        "in capped rest (rest + 1 - w)",
        "in capped 1 (rest + 1 - w)",
    ),
    Edit("block: starts with weight 0", "(block_ask p q 1 c xs)", "(block_ask p q 0 c xs)"),
    Edit(
        "tree: residual not updated",
        "(tree_ask next c (rcons rejected x) (residual left row))",
        "(tree_ask next c (rcons rejected x) left)",
    ),
    Edit(
        "tree: parent's law for the children",
        "(tree_ask below (rcons c x) [::] (p (rcons c x)))",
        "(tree_ask below (rcons c x) [::] left)",
    ),
    Edit(
        "whole tree: residual not updated",
        "(tree_verify next c (residual left row))",
        "(tree_verify next c left)",
    ),
    Edit(
        "whole tree: siblings forget the earlier",
        "tree_draft next c (rcons earlier x)",
        "tree_draft next c earlier",
    ),
    Edit(
        "matching: emits the draft",
        "xs' else Ret (rcons c y) else",
        "xs' else Ret (rcons c x) else",
    ),
    Edit(
        "target only: rejected token again",
        "(emit c (residual (p c) (point_mass x)))",
        "(emit c (p c))",
    ),
    Edit(
        "typical: rejects what passes",
        "if typical (p c) x then typ",
        "if ~~ typical (p c) x then typ",
    ),
    Edit("a wrong rule that is right", "(Ret x) (draw d))", "(Ret x) (draw (residual d e)))"),
)


def noticed(edit: Edit, cases: str) -> list[Broken]:
    """Where the build breaks after the edit."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for file in HERE.glob("*.v"):
            if file.name != "bridge.v":
                copy(file, folder)
        text = (folder / "definitions.v").read_text(encoding="utf-8")
        if text.count(edit.old) != 1:
            raise SystemExit(
                f"the edit {edit.name!r} fits {text.count(edit.old)} places in definitions.v: write"
                " it so that it fits one"
            )
        (folder / "definitions.v").write_text(text.replace(edit.old, edit.new), encoding="utf-8")
        broken, _ = build(folder)
        if not broken:
            (folder / "bridge.v").write_text(cases, encoding="utf-8")
            failure = compile_one(folder, "bridge")[1]
            broken = [failure] if failure else []
    return broken


def main(words: list[str]) -> int:
    if which("coqc") is None:
        print(
            "Coq is not installed: run apt-get install --no-install-recommends coq"
            " libcoq-mathcomp-ssreflect libcoq-mathcomp-algebra"
        )
        return 2
    edits = [edit for edit in EDITS if not words or any(word in edit.name for word in words)]
    if not edits:
        print(
            f"no edit has any of {', '.join(words)} in its name: run without words to see them all"
        )
        return 2
    cases, begin, survivors = bridge(), time.perf_counter(), 0
    print(f"{'mutation':40} | broke in | ok")
    for edit in edits:
        broken = noticed(edit, cases)
        meant = [
            failure
            for failure in broken
            if failure.file != "definitions.v" and "not done" not in failure.message
        ]
        survivors += not meant
        where = (
            f"{meant[0].file}, {meant[0].lemma}"
            if meant
            else "; ".join(map(str, broken)) or "nothing"
        )
        print(f"{edit.name:40} | {where} | {'ok' if meant else 'SURVIVED'}", flush=True)
    print(
        f"{len(edits) - survivors} of {len(edits)} edits noticed,"
        f" {time.perf_counter() - begin:.0f} s"
    )
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
