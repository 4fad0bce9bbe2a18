"""python -m proofs.run (make proofs): check all that is checked by machine. Installs nothing.

Exit 0: everything that can run here holds, and what could not run is said. 1: something is refuted
or does not build.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NO_COQ = (
    "Coq is not installed: run apt-get install --no-install-recommends coq"
    " libcoq-mathcomp-ssreflect libcoq-mathcomp-algebra"
)


def part(name: str, *command: str) -> bool:
    """Run one part, its output passed through; whether it holds."""
    print(f"== {name}: {' '.join(command)}", flush=True)
    begin = time.perf_counter()
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env={**os.environ, "PYTHONPATH": path}
    )
    print(
        f"== {name}: {'ok' if not done.returncode else f'FAILED, exit {done.returncode}'}, "
        f"{time.perf_counter() - begin:.0f} s",
        flush=True,
    )
    return not done.returncode


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m proofs.run", description=__doc__.partition("\n")[0]
    )
    parser.add_argument(
        "--mutate",
        action="store_true",
        help="then break each definition and see which check notices",
    )
    options = parser.parse_args()
    coq = shutil.which("coqc") is not None
    results = [
        part(
            "claims, exactly, and the bridge to reference/specref/verify",
            "-m",
            "pytest",
            "-q",
            "tests/proofs",
        )
    ]
    if coq:
        results.append(
            part("Coq, and its bridge to the exact specification", "-m", "proofs.coq.build")
        )
    if options.mutate:
        results.append(part("mutations of the exact specification", "-m", "proofs.exact.mutate"))
        if coq:
            results.append(part("mutations of the Coq definitions", "-m", "proofs.coq.mutate"))
    if not coq:
        print(NO_COQ)
        print(
            "NOT checked here: the Coq theorems, and that Coq and the exact specification mean the"
            " same by a name"
        )
    print(
        "proofs: "
        + ("everything that ran holds" if all(results) else "something FAILED, see above")
    )
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
