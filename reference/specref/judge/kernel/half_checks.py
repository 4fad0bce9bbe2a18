"""Distributions in half precision: what a kernel may refuse, and must not get wrong."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import torch

from ...stats.betting import Bettor
from ..contract import Kernel
from ..session import MisbehavedError, OutOfTimeError, Session
from ..suite import check
from ..verdict import Verdict
from .answers import asked_once, continued_rows, wrong_in
from .questions import kernel_questions, read_rows, rounded
from .scenarios import Axes, Scenario, covering

HALVES = (torch.float16, torch.bfloat16)
CALLS_EACH, SLICE_CALLS = 16, 4
HALF_AXES = Axes(
    vocabulary=(2, 5, 8, 37, 64, 129, 300, 1000),
    draft_tokens=(0, 1, 1, 2, 2, 3, 4, 6),
    rows=(1, 3, 8, 24, 33, 64, 129, 250),
    dense=(False,),
)


class HalfStream:
    """Calls in one format, and the test by betting that allows for its rounding.

    refused: the kernel does not take the format. wrong: as in `MixedStream`.
    """

    def __init__(self, kernel: Kernel, session: Session, dtype: torch.dtype, alpha: float):
        self.kernel, self.session, self.dtype = kernel, session, dtype
        self.bettor = Bettor(kernel_questions(), alpha)
        self.scenarios = covering(session.seed_for("half", str(dtype)), HALF_AXES)
        self.rows = self.calls = 0
        self.refused, self.wrong, self.shown_in = False, "", Scenario()

    def draw(self) -> None:
        scenario = replace(next(self.scenarios).within(self.session), dtype=self.dtype)
        number, self.calls = self.calls, self.calls + 1
        generator = self.session.generator("half rows", str(self.dtype), number)
        rows = scenario.batch(generator)
        seed = self.session.seed_for("half call", str(self.dtype), number)
        try:
            answer = asked_once(self.kernel, self.session, rows, seed, scenario.layout)
        except (MisbehavedError, OutOfTimeError):
            raise
        except Exception:
            self.session.raised = ""
            self.refused = True
            return
        self.rows += scenario.rows
        self.wrong, self.shown_in = wrong_in(rows, answer), scenario
        if not self.wrong:
            texts = continued_rows(rows, answer, generator)
            self.bettor.update(rounded(read_rows(scenario, rows, texts), self.dtype))


@check(
    "kernel.half-inputs",
    since="0.2",
    distribution=True,
    statistical=True,
    needs=("verify",),
)
def half_inputs(kernel: Kernel, session: Session) -> Iterator[Verdict]:
    """Are distributions in float16 and bfloat16 refused, or taken for what they are?

    The contract asks for float32; a kernel that takes less is held to the distributions as given,
    normalised. Each probability may be off by eps of itself, and a running sum by eps of 1 (eps is
    2^-10 in float16, 2^-7 in bfloat16), so only faults beyond that are seen.
    """
    alpha, said = session.alpha(len(HALVES)), []
    for dtype in HALVES:
        stream = HalfStream(kernel, session, dtype, alpha)
        name = str(dtype).removeprefix("torch.")
        while stream.calls < CALLS_EACH and not stream.refused:
            for _ in islice(range(CALLS_EACH - stream.calls), SLICE_CALLS):
                stream.draw()
                if stream.refused or stream.wrong or stream.bettor.rejected:
                    break
            if stream.wrong or stream.bettor.rejected:
                yield _off(stream, name, alpha)
                return
            yield Verdict("PASS", "e-process", f"{stream.rows} rows of {name}", n=stream.rows)
        said.append(f"{name} refused" if stream.refused else f"{stream.rows} rows of {name}")
    yield Verdict("PASS", "e-process", ", ".join(said), n=stream.rows, alpha=alpha)


def _off(stream: HalfStream, name: str, alpha: float) -> Verdict:
    if stream.wrong:
        return Verdict("FAIL", what=stream.wrong, case=str(stream.shown_in), n=stream.rows)
    words = stream.bettor.winners()[0].words
    return Verdict("FAIL", "e-process", f"{name}: {words}", n=stream.rows, alpha=alpha)
