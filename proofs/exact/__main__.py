"""python -m proofs.exact [CLAIM ...]: run the claims on their cases, one line each; exit 1 when one
is refuted.
"""

import sys
import time

from .cases import CASES
from .claims import Refuted


def main(names: list[str]) -> int:
    unknown = set(names) - {claim.__name__ for claim in CASES}
    if unknown:
        print(
            f"no claim is called {', '.join(sorted(unknown))}: give some of"
            f" {', '.join(c.__name__ for c in CASES)}"
        )
        return 2
    refuted = 0
    for claim, cases in CASES.items():
        if names and claim.__name__ not in names:
            continue
        begin, count = time.perf_counter(), 0
        try:
            for case in cases():
                count += 1
                claim(*case)
            verdict = f"{count} cases"
        except (Refuted, ArithmeticError, LookupError, RecursionError) as error:
            refuted += 1
            verdict = f"REFUTED on case {count}: {type(error).__name__}: {error}"
        print(f"{claim.__name__:30} {time.perf_counter() - begin:6.2f} s  {verdict}", flush=True)
    return 1 if refuted else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
