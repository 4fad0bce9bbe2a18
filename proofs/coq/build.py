"""python -m proofs.coq.build: check every Coq proof from its source, in a temporary folder. Needs
coqc and MathComp.

Fails unless each file compiles, no source has a word that could leave a gap, every main theorem is
"Closed under the global context", and the cases of the executable specification (bridge.v, written
by bridge.py) evaluate to its laws.
"""

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from shutil import copy, which

HERE = Path(__file__).resolve().parent
LIMIT = 300  # seconds for one file
CLOSED = "Closed under the global context"
GAPS = (
    "Axiom",
    "Axioms",
    "Admitted",
    "admit",
    "Parameter",
    "Parameters",
    "Conjecture",
    "Abort",
    "give_up",
    "Guard",
    "Positivity",
    "bypass_check",
    "Load",
    "Declare",
    "Universe",
)
KINDS = "Lemma|Theorem|Fact|Let|Definition|Fixpoint|Canonical|Inductive|Check|Print Assumptions"
PROVES = re.compile(rf"\s*(?:{KINDS})\s+(\w+)")


@dataclass(frozen=True)
class Broken:
    """Where a build stops: file, the lemma or definition there, the first words of the message."""

    file: str
    lemma: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}, {self.lemma}: {self.message}"


def without_comments(source: str) -> str:
    """Coq text with its (nested) comments left out."""
    kept, depth = [], 0
    for part in re.split(r"(\(\*|\*\))", source):
        depth += {"(*": 1, "*)": -1}.get(part, 0)
        if not depth and part != "*)":
            kept.append(part)
    return "".join(kept)


def gaps(folder: Path) -> Iterator[Broken]:
    """Forbidden words in the sources."""
    for file in sorted(folder.glob("*.v")):
        words = set(re.findall(r"\w+", without_comments(file.read_text(encoding="utf-8"))))
        yield from (
            Broken(file.name, "source", f"the word {word} is not allowed")
            for word in GAPS
            if word in words
        )


def needs(folder: Path) -> dict[str, set[str]]:
    """File -> the files of this folder that it requires."""
    result = {}
    for file in folder.glob("*.v"):
        required = re.findall(
            r"From specref Require Import ([\w\s]+)\.", file.read_text(encoding="utf-8")
        )
        result[file.stem] = {name for names in required for name in names.split()}
    return result


def compile_one(folder: Path, name: str) -> tuple[str, Broken | None]:
    """Compile one file: (what it printed, what broke)."""
    command = ["coqc", "-q", "-w", "none", "-Q", ".", "specref", f"{name}.v"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return "", Broken(f"{name}.v", "?", f"not done after {LIMIT} s")
    if not done.returncode:
        return done.stdout, None
    if "Error" not in done.stderr:
        return "", Broken(
            f"{name}.v", "?", f"not done: coqc ended with {done.returncode} and no error"
        )
    at = re.search(r"line (\d+), characters", done.stderr)
    lines = (
        (folder / f"{name}.v")
        .read_text(encoding="utf-8")
        .splitlines()[: int(at[1]) if at else None]
    )
    lemma = next((found[1] for line in reversed(lines) if (found := PROVES.match(line))), "?")
    message = " ".join(done.stderr.partition("Error:")[2].split()) or "coqc failed"
    return done.stdout, Broken(f"{name}.v", lemma, message[:120])


def unproved(folder: Path, printed: str) -> Iterator[Broken]:
    """The theorems of check.v that are not closed, and proofs that it does not ask about."""
    text = (folder / "check.v").read_text(encoding="utf-8")
    asked = re.findall(r"^Print Assumptions (\w+)\.", text, re.M)
    answers = printed.count(CLOSED)
    if answers != len(asked) or re.search(r"^Axioms:|^Section Variables:", printed, re.M):
        yield Broken(
            "check.v",
            "Print Assumptions",
            f"{answers} of {len(asked)} theorems are closed:\n{printed}",
        )
    stated = {
        name
        for file in folder.glob("*.v")
        for name in re.findall(r"Definition statement_(\w+)", file.read_text(encoding="utf-8"))
    }
    checked = set(re.findall(r"^Check (\w+) : (?:forall R V, )?statement_\1\b", text, re.M)) & set(
        asked
    )
    yield from (
        Broken("check.v", name, "stated, but its proof is not checked")
        for name in sorted(stated - checked)
    )


def build(folder: Path, workers: int = 2, stop: bool = True) -> tuple[list[Broken], str]:
    """Compile the .v files of a folder in the order they need each other: (what broke, what check.v
    printed).
    """
    broken, printed = list(gaps(folder)), ""
    if broken and stop:
        return broken, printed
    waiting, built = needs(folder), set[str]()
    with ThreadPoolExecutor(workers) as pool:
        running: dict[Future[tuple[str, Broken | None]], str] = {}
        while True:
            for name in sorted(name for name, required in waiting.items() if required <= built):
                running[pool.submit(compile_one, folder, name)] = name
                del waiting[name]
            if not running:
                break
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                name, (output, failure) = running.pop(done), done.result()
                if failure:
                    broken.append(failure)
                    waiting = {} if stop else waiting
                else:
                    built.add(name)
                printed = output if name == "check" else printed
    if not broken:
        broken += [
            Broken(f"{name}.v", "Require", "needs a file that is not there") for name in waiting
        ]
        broken += unproved(folder, printed)
    return broken, printed


def main() -> int:
    if which("coqc") is None:
        print(
            "Coq is not installed: run apt-get install --no-install-recommends coq"
            " libcoq-mathcomp-ssreflect libcoq-mathcomp-algebra"
        )
        return 2
    sys.path.insert(0, str(HERE.parents[1]))
    from proofs.coq.bridge import bridge

    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for file in HERE.glob("*.v"):
            if file.name != "bridge.v":
                copy(file, folder)
        cases = bridge()
        (folder / "bridge.v").write_text(cases, encoding="utf-8")
        broken, printed = build(folder, stop=False)
    for failure in broken:
        print(failure)
    if not broken:
        print(
            f"{printed.count(CLOSED)} theorems, each closed under the global context; "
            f"{cases.count('Lemma ')} cases of the executable specification agree"
        )
    print(f"{'FAILED' if broken else 'ok'}, {time.perf_counter() - begin:.0f} s")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
