"""python -m proofs.exact.mutate: break the specification, one edit at a time, and see which claim
notices.

Each edit is made in a temporary copy, where all claims then run on their grids. Exit 1 when an edit
survives, or when the copy without an edit does not pass. About three minutes on two cores.
"""

import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree, ignore_patterns

PACKAGE = Path(__file__).resolve().parent
LIMIT = 600  # seconds for one run


@dataclass(frozen=True)
class Edit:
    name: str
    file: str
    old: str
    new: str


EDITS = (
    Edit("a coin shows False too often", "program.py", "False: 1 - a", "False: a"),
    Edit("accept always", "step.py", "return capped(p[x], q[x])", "return Fraction(1)"),
    Edit(
        "accept: max for min",
        "step.py",
        "Fraction(1) if b <= a else a / b",
        "a / b if b <= a and b else Fraction(1)",
    ),
    Edit("accept with p(x), not p(x)/q(x)", "step.py", "return capped(p[x], q[x])", "return p[x]"),
    Edit(
        "accept with q(x)/p(x)", "step.py", "return capped(p[x], q[x])", "return capped(q[x], p[x])"
    ),
    Edit("the residual is p", "step.py", "return normalised(positive_part(p, q), p)", "return p"),
    Edit(
        "the residual is max(q - p, 0)",
        "step.py",
        "max(a - b, Fraction(0))",
        "max(b - a, Fraction(0))",
    ),
    Edit(
        "the residual is not normalised",
        "step.py",
        "return normalised(positive_part(p, q), p)",
        "return positive_part(p, q)",
    ),
    Edit(
        "candidates: residual not updated",
        "step.py",
        "recursive_rejection(residual(p, row), q, k - 1",
        "recursive_rejection(p, q, k - 1",
    ),
    Edit(
        "without replacement, not renormalised", "step.py", "normalised(left, left) if", "left if"
    ),
    Edit(
        "bonus from q",
        "chain.py",
        "return emit(c, p(c))\n    return coin(\n        accept(p(c), q(c), xs[0])",
        "return emit(c, q(c))\n    return coin(\n        accept(p(c), q(c), xs[0])",
    ),
    Edit(
        "residual from the row after the rejected token",
        "chain.py",
        "emit(c, residual(p(c), q(c)))",
        "emit(c, residual(p((*c, xs[0])), q(c)))",
    ),
    Edit(
        "the rejected token stays",
        "chain.py",
        "emit(c, residual(p(c), q(c)))",
        "emit((*c, xs[0]), residual(p(c), q(c)))",
    ),
    Edit("one draft token too few", "chain.py", "if not gamma:", "if gamma <= 1:"),
    Edit(
        "the draft forgets its own tokens",
        "chain.py",
        "draft(q, gamma - 1, (*c, x))",
        "draft(q, gamma - 1, c)",
    ),
    Edit(
        "greedy keeps any draft",
        "chain.py",
        "xs[1:], (*c, best)) if xs and xs[0] == best",
        "xs[1:], (*c, xs[0])) if xs",
    ),
    Edit("argmin for argmax", "chain.py", "p.index(max(p))", "p.index(min(p))"),
    Edit("block: no running product", "chain.py", "capped(w * p[x], q[x])", "capped(p[x], q[x])"),
    Edit(
        "block: product of capped ratios",
        "chain.py",
        "capped(w * p[x], q[x])",
        "w * capped(p[x], q[x])",
    ),
    Edit(
        "block: token-wise residual",
        "chain.py",
        "positive_part(tuple(w * a for a in p), q)",
        "positive_part(p, q)",
    ),
    Edit(
        "block: stop with R, not R/(R + 1 - w)",
        "chain.py",
        "return capped(rest, rest + 1 - w)",
        "return rest",
    ),
    Edit(
        "block: whole draft always kept",
        "chain.py",
        "coin(w, stop(p(c))",
        "coin(Fraction(1), stop(p(c))",
    ),
    Edit(
        "matching emits the draft",
        "chain.py",
        "(*c, y), xs[1:]) if xs and xs[0] == y",
        "(*c, xs[0]), xs[1:]) if xs",
    ),
    Edit(
        "tree: all siblings judged by the first one's law",
        "tree.py",
        "Ret(Node(x, row, below",
        "Ret(Node(x, q(c, ()) or row, below",
    ),
    Edit(
        "tree: residual anew from p",
        "tree.py",
        "tree_verify(p, t.next, c, residual(left, t.row))",
        "tree_verify(p, t.next, c, residual(p(c), t.row))",
    ),
    Edit(
        "tree: after all rejections redraw from p",
        "tree.py",
        "if t is None:\n        return emit(c, left)",
        "if t is None:\n        return emit(c, p(c))",
    ),
    Edit(
        "tree: the parent's row for the children",
        "tree.py",
        "t.below, inside, p(inside))",
        "t.below, inside, p(c))",
    ),
    Edit(
        "lazy tree: siblings forget those rejected",
        "tree.py",
        "s.next, c, (*rejected, x), residual(left, row)",
        "s.next, c, (), residual(p(c), row)",
    ),
    Edit(
        "bound: all candidates outside, not some",
        "several.py",
        "if not set(xs) <= set(inside)",
        "if not set(xs) & set(inside)",
    ),
    Edit(
        "best plan: what is left is p",
        "several.py",
        "left = normalised(positive_part(p, kept), p)",
        "left = p",
    ),
    Edit(
        "k-sequential: one threshold for the coins, another for the rest",
        "several.py",
        "heads = capped(p[x], rho * q[x])",
        "heads = capped(p[x], q[x])",
    ),
    Edit("k-sequential: residual of one candidate", "several.py", "each * a for a", "a for a"),
    Edit(
        "canonical: the picked one judged against q",
        "several.py",
        "judge(p, picked_law(q, weights), x)",
        "judge(p, q, x)",
    ),
    Edit("race: sum for max", "several.py", "max(b, t * a)", "b + t * a"),
    Edit(
        "race: the integral ends at the last ratio",
        "several.py",
        "return total if p[x] else total + 1 / race_mass(p, q, before)",
        "return total",
    ),
    Edit(
        "traversal: the weight does not fall",
        "several.py",
        "traversal_ask(p, stop, t.next, c, rest)",
        "traversal_ask(p, w, t.next, c, rest)",
    ),
    Edit(
        "traversal: residual anew from p",
        "several.py",
        "stop, rest = block_stop(w, left, t.row), block_residual(w, left, t.row)",
        "stop, rest = block_stop(w, left, t.row), block_residual(w, p(c), t.row)",
    ),
    Edit(
        "target-only: the rejected token may come again",
        "chain.py",
        "emit(c, residual(p(c), sure))",
        "emit(c, p(c))",
    ),
    Edit(
        "the loop cuts one token too many", "text.py", "return Ret(c[:n])", "return Ret(c[:n - 1])"
    ),
    Edit(
        "the loop runs one cycle too few",
        "text.py",
        "max(0, n - len(c)), n, c)",
        "max(0, n - len(c) - 1), n, c)",
    ),
    Edit("tokens per cycle without the bonus", "speed.py", "range(gamma + 1)", "range(gamma)"),
    Edit("verification is free", "speed.py", "1 + gamma * b", "Fraction(1)"),
    Edit(
        "the wrong rule is right after all",
        "lossy.py",
        "lambda: draw(p)))",
        "lambda: judge(p, q, x)))",
    ),
    Edit("typical: above tau, not at it", "lossy.py", "p[x] >= tau", "p[x] > tau"),
    Edit(
        "betting: a table's payment is not made whole",
        "betting.py",
        "tuple(r / mean(p(c), raised) for r in raised)",
        "tuple(raised)",
    ),
    Edit(
        "betting: the score is not centred",
        "betting.py",
        "tuple(value - mean(p(c), g) for value in g)",
        "tuple(g)",
    ),
    Edit(
        "betting: a lag's stake is the later token's",
        "betting.py",
        "1 + w * earlier * s for s",
        "1 + w * s * s for s",
    ),
    Edit("betting: no slack for rounding", "betting.py", "value / (1 + slack)", "value"),
    Edit(
        "random target: prefixes never recur",
        "betting.py",
        "return len(set(prefixes)) < len(prefixes)",
        "return False",
    ),
)


def check(edit: Edit | None) -> tuple[list[str], str]:
    """(claims that fail, end of the output) for a copy with the edit."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "proofs" / "exact"
        copytree(PACKAGE, copy, ignore=ignore_patterns("__pycache__"))
        if edit is not None:
            text = (copy / edit.file).read_text()
            if text.count(edit.old) != 1:
                raise SystemExit(
                    f"the edit {edit.name!r} fits {text.count(edit.old)} places in {edit.file}:"
                    " write it so that it fits one"
                )
            (copy / edit.file).write_text(text.replace(edit.old, edit.new))
        try:
            done = subprocess.run(
                [sys.executable, "-m", "proofs.exact"],
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=LIMIT,
                env={**os.environ, "PYTHONPATH": folder},
            )
        except subprocess.TimeoutExpired:
            return [], f"not done after {LIMIT} s"
    failing = [line.split()[0] for line in done.stdout.splitlines() if "REFUTED" in line]
    return failing, "" if failing or not done.returncode else done.stderr[-300:]


def main() -> int:
    failing, trouble = check(None)
    if failing or trouble:
        print(f"the specification fails without any edit: {', '.join(failing)} {trouble}")
        return 1
    survivors = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for edit, (failing, trouble) in zip(EDITS, pool.map(check, EDITS), strict=True):
            survivors += not failing
            more = f" and {len(failing) - 3} more" if len(failing) > 3 else ""
            print(
                f"{edit.name:52} {', '.join(failing[:3]) + more or f'SURVIVED {trouble}'}",
                flush=True,
            )
    print(f"{len(EDITS) - survivors} of {len(EDITS)} edits caught by a named claim")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
