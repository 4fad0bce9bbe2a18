"""Engines at temperature 0, where every text is known: parity without speculation."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from ...data import SamplingParams
from ..contract import Engine
from ..engine_handle import asked
from ..expected import Reading, read
from ..session import Session
from ..toys import Toy, written
from ..verdict import Verdict
from . import check


def greedy(toy: Toy, length: int, **others: Any) -> SamplingParams:
    """Temperature 0; the checkpoint's end token ends a text in whatever way the engine knows of
    it.
    """
    return replace(
        SamplingParams(temperature=0.0, max_new_tokens=length, stop_ids=(toy.eos,)), **others
    )


def said(readings: Sequence[tuple[str, Reading]], what: str, count: int) -> Verdict:
    """The verdict on texts that were read; ties are told apart."""
    for name, reading in readings:
        if reading.faults:
            first = min(reading.faults, key=lambda fault: fault.at)
            wrong = sum(len(other.faults) for _, other in readings)
            place = f"{name}: " if name else ""
            return Verdict(
                "FAIL",
                what=f"{place}{first} ({wrong} of {count} texts are wrong)",
                case=f"{place}prompt {list(first.prompt)}",
                n=count,
            )
    ties = sum(reading.ties for _, reading in readings)
    return Verdict(
        "PASS",
        what=f"{count} texts, {what}" + (f"; {ties} cut short by a tie" if ties else ""),
        n=count,
    )


@check("engine.plain", needs=("generate",))
def plain(engine: type[Engine], session: Session) -> Iterator[Verdict]:
    """Does the engine without speculation write the target's own greedy text?

    What fails here is not speculation's fault: the adapter loads the checkpoint in another
    precision, starts from another token, or leaves a sampling parameter at a default of the
    engine's.
    """
    one = asked(engine, session, "wide")
    params = greedy(one.toy, 24)
    rows = [(found.prompt, params) for found in written("wide", 48)[:8]]
    yield said(
        [("without speculation", read(one.toy, rows, one.answers(rows, speculative=False)))],
        "not speculative",
        8,
    )
