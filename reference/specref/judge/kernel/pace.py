"""How many rows a call may have, so that it takes about .2 s at most: measured once, before the
checks begin.

A fast kernel gets the calls that every check wants, so that its verdicts do not depend on a clock.
"""

import time
from collections.abc import Callable
from typing import Any

import torch

from ..load import has
from ..session import Session

CALL_SECONDS = 0.2  # seconds of one call
QUICK = 0.05  # a call of MANY rows that takes less says that the kernel is fast
FEWEST, MANY, GROWTH = 4, 4096, 4  # rows of the first call, of the last one; from one to the next


def measure_pace(kernel: Any, session: Session) -> None:
    """Set what `session.fit` allows. A kernel that raises here is asked again by the checks."""
    ask = _asking(kernel, session)
    rows = FEWEST
    if ask is None:
        return
    try:
        while True:
            seconds = _seconds(ask, rows)
            if rows == FEWEST:
                session.call_seconds = seconds
            if seconds > CALL_SECONDS / 2 or rows == MANY:
                break
            rows *= GROWTH
    except (Exception, SystemExit):
        return
    finally:
        session.raised = ""
    if seconds > QUICK:
        session.most_rows = max(1, int(rows * CALL_SECONDS / seconds))


def _seconds(ask: Callable[[int], None], rows: int) -> float:
    """Seconds of a call; the second of two, where the first may have had something to prepare."""
    for _ in range(2):
        began = time.perf_counter()
        ask(rows)
        seconds = time.perf_counter() - began
        if seconds <= QUICK:
            break
    return seconds


def _asking(kernel: Any, session: Session) -> Callable[[int], None] | None:
    """A call of so many rows of 2 draft tokens and 8 in the vocabulary; None without a method."""
    method = next((m for m in ("verify", "verify_tree", "verify_with") if has(kernel, m)), None)
    if method is None:
        return None
    seed = session.seed_for("pace")

    def ask(rows: int) -> None:
        p, q = torch.full((rows, 3, 8), 1 / 8), torch.full((rows, 2, 8), 1 / 8)
        draft = torch.zeros(rows, 2, dtype=torch.int64)
        rest: dict[str, tuple[Any, ...]] = {
            "verify": (seed,),
            "verify_tree": (torch.tensor([-1, 0]), seed),
            "verify_with": (torch.full((rows, 2), 0.5), torch.full((rows,), 0.5)),
        }
        with session.calling(f"{method}, {rows} rows"):
            getattr(kernel, method)(p, q, draft, *rest[method])

    return ask
