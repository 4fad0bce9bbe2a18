"""python -m proofs.coq.mutate [WORD ...]: break definitions.v, one edit at a time, and see whether
a theorem becomes false. The edits stand in edits.py.

That a proof script breaks says little: it breaks after edits that change nothing, too. An edit is
counted as refuted only where all of this is so:

1. definitions.v compiles with the edit;
2. the proof of a theorem breaks;
3. the executable specification with the same edit refutes the claim of that name on a case
   (two are refuted by a lemma in Coq instead);
4. "the same edit" is checked: the cases of bridge.v, written by the edited specification, evaluate
   to their laws under the edited definitions.

Some edits leave every theorem true, since the definition that they make is as right as ours. They
are told apart: where 1 and 4 hold and the cases differ from those of the specification as it
stands, a stated example is false, and no more is claimed. An edit that only breaks a script counts
as a survivor.

Controls change nothing: renamed variables must build. Reordered sums and products are the same
function in other words: their scripts may break, but nothing may be refuted, or the run fails.
WORDs pick by name. Exit 1 when an edit survives or a control fails. About ten minutes on two cores.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree, ignore_patterns, which

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from proofs.coq.build import Broken, build, compile_one  # noqa: E402 - this file is also run by its path
from proofs.coq.edits import EDITS, EQUAL, SAME, Edit  # noqa: E402

COMPUTES = ("definitions", "statements", "basics", "rationals", "computing")  # before bridge.v
LIMIT = 900  # seconds for one run of the specification


@dataclass(frozen=True)
class Verdict:
    """broke: the first proof that fails. refuted: the claim that is false, and on which case.
    same: the edited definitions agree with the edited specification; None: they could not be
    evaluated. differs: its cases are others than those of the specification as it stands.
    by_lemma: refuted in Coq itself, from the edited definitions and the statements alone.
    """

    compiles: bool
    broke: Broken | None
    refuted: str
    same: bool | None
    differs: bool
    by_lemma: bool = False

    @property
    def counts(self) -> str:
        """What the edit is counted as."""
        if not self.compiles:
            return "no edit: it does not compile"
        if self.broke and self.refuted and (self.same or self.by_lemma):
            return "REFUTED"
        if self.same and self.differs:
            return "EXAMPLE FALSE"
        return "a script broke" if self.broke else "nothing"


def replaced(file: Path, old: str, new: str) -> None:
    """Errors:
    SystemExit where `old` does not stand in the file exactly once.
    """
    text = file.read_text(encoding="utf-8")
    if text.count(old) != 1:
        raise SystemExit(
            f"{old!r} fits {text.count(old)} places in {file.name}: write it so that it fits one"
        )
    file.write_text(text.replace(old, new), encoding="utf-8")


def python(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run Python on the copy of proofs/ in a folder."""
    path = os.pathsep.join([str(place), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, *words],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        env={**os.environ, "PYTHONPATH": path},
    )


def cases(place: Path) -> str:
    """bridge.v as the specification in the folder writes it; nothing where it cannot."""
    done = python(place, "-m", "proofs.coq.bridge")
    return "" if done.returncode else done.stdout


def refuted(place: Path, claim: str) -> str:
    """How the specification in the folder refutes a claim; nothing where the claim holds."""
    done = python(place, "-m", "proofs.exact", claim)
    lines = [line for line in done.stdout.splitlines() if "REFUTED" in line]
    return f"{claim}, case {lines[0].partition('on case ')[2]}" if lines else ""


def sums_alone(basics: str) -> str:
    """basics.v up to its first lemma, totalE: all that evaluating needs of it."""
    return basics[: basics.index("Qed.")] + "Qed.\nEnd Expectation.\n"


def evaluates(folder: Path, names: Sequence[str]) -> bool | None:
    """Whether the last file compiles, after those that it needs; None where one of these does
    not.
    """
    for name in names[:-1]:
        if not (folder / f"{name}.vo").exists() and compile_one(folder, name)[1]:
            return None
    return compile_one(folder, names[-1])[1] is None


def judged(edit: Edit, usual: str) -> Verdict:
    """Break the definitions and the specification alike. usual: bridge.v of the unedited one."""
    with tempfile.TemporaryDirectory() as where:
        place = Path(where)
        copytree(
            HERE.parent,
            place / "proofs",
            ignore=ignore_patterns("__pycache__", "bridge.v", "*.vo*"),
        )
        folder = place / "proofs" / "coq"
        replaced(folder / "definitions.v", edit.old, edit.new)
        for swap in edit.same:
            replaced(place / "proofs" / "exact" / swap.file, swap.old, swap.new)
        if compile_one(folder, "definitions")[1]:
            return Verdict(False, None, "", None, False)
        broken, _ = build(folder, workers=1)
        broken = [one for one in broken if "not done" not in one.message]
        told = cases(place) if edit.same else usual
        basics = folder / "basics.v"
        if not basics.with_suffix(".vo").exists():
            basics.write_text(sums_alone(basics.read_text(encoding="utf-8")), encoding="utf-8")
        (folder / "bridge.v").write_text(told, encoding="utf-8")
        same = evaluates(folder, [*COMPUTES, "bridge"]) if told else None
        if edit.disproof:
            (folder / "disproof.v").write_text(edit.disproof, encoding="utf-8")
            false = evaluates(folder, ["definitions", "statements", "disproof"])
            found = f"{edit.claim}, by a lemma in Coq" if false else ""
        else:
            found = refuted(place, edit.claim) if edit.claim else ""
    differs = bool(told) and told != usual
    return Verdict(
        True, broken[0] if broken else None, found, same, differs, bool(edit.disproof and found)
    )


def tell(edit: Edit, verdict: Verdict, fine: bool) -> None:
    broke = f"{verdict.broke.file}, {verdict.broke.lemma}" if verdict.broke else "no proof"
    same = {True: "agree", False: "DIFFER", None: "not evaluated"}[verdict.same]
    print(
        f"{edit.name:40} | {broke} | {verdict.refuted or '-'} | cases {same} | {verdict.counts}"
        f" | {'ok' if fine else 'NOT OK'}",
        flush=True,
    )


def main(words: list[str]) -> int:
    if which("coqc") is None:
        print(
            "Coq is not installed: run apt-get install --no-install-recommends coq"
            " libcoq-mathcomp-ssreflect libcoq-mathcomp-algebra"
        )
        return 2
    begin = time.perf_counter()

    def wanted(edit: Edit) -> bool:
        return not words or any(word in edit.name for word in words)

    chosen = [list(filter(wanted, group)) for group in (EDITS, SAME, EQUAL)]
    if not any(chosen):
        print(
            f"no edit has any of {', '.join(words)} in its name: run without words to see them all"
        )
        return 2
    usual = cases(HERE.parents[1])
    counts: dict[str, int] = {}
    wrong = 0
    print(f"{'edit':40} | proof that broke | counterexample | cases | counted as | ok")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for group, edits in enumerate(chosen):
            for edit, verdict in zip(edits, pool.map(lambda e: judged(e, usual), edits)):
                if group == 0:
                    fine = verdict.counts in ("REFUTED", "EXAMPLE FALSE")
                    counts[verdict.counts] = counts.get(verdict.counts, 0) + 1
                elif group == 1:
                    fine = verdict.counts == "nothing" and verdict.same is True
                else:
                    fine = (
                        verdict.counts in ("nothing", "a script broke")
                        and verdict.same is not False
                    )
                wrong += not fine
                tell(edit, verdict, fine)
    print(
        f"of {len(chosen[0])} edits {counts.get('REFUTED', 0)} make a theorem false, as a"
        f" counterexample shows; {counts.get('EXAMPLE FALSE', 0)} make a stated example false and"
        f" no theorem; {len(chosen[1]) + len(chosen[2])} controls; {wrong} not as they should be;"
        f" {time.perf_counter() - begin:.0f} s"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
