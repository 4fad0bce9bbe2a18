"""Engines at temperature 0, where every text is known: parity, long runs, stops, lengths, the
context's end.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from ...data import SamplingParams
from ..contract import Engine
from ..engine_handle import EngineHandle, EngineRow, asked, engine_check
from ..expected import Reading, read
from ..session import Session
from ..toys import TOY_CONTEXT, Toy, written
from ..verdict import Verdict
from . import check

_LONG = 100


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


def _texts(one: EngineHandle, count: int, length: int, **others: Any) -> list[EngineRow]:
    """Lively prompts with greedy parameters, all rows the same object."""
    params = greedy(one.toy, length, **others)
    return [(found.prompt, params) for found in written(one.toy.name, 48)[:count]]


@check("engine.plain", needs=("generate",))
def plain(engine: type[Engine], session: Session) -> Iterator[Verdict]:
    """Does the engine without speculation write the target's own greedy text?

    What fails here is not speculation's fault: the adapter loads the checkpoint in another
    precision, starts from another token, or leaves a sampling parameter at a default of the
    engine's.
    """
    one = asked(engine, session, "wide")
    rows = _texts(one, 8, 24)
    yield said(
        [("without speculation", read(one.toy, rows, one.answers(rows, speculative=False)))],
        "not speculative",
        8,
    )


@engine_check("engine.greedy-long")
def long(engine: type[Engine], session: Session) -> Iterator[Verdict]:
    """Does a long greedy text stay the target's own?

    100 tokens, with some drafts taken and some rejected: what drifts a little every cycle, or only
    after a cache has grown or wrapped round, shows late. A drift after more than 100 tokens is not
    seen.
    """
    one = asked(engine, session, "wide")
    params = greedy(one.toy, _LONG)
    rows = [(found.prompt, params) for found in written("wide", _LONG)[:4]]
    yield said([("", read(one.toy, rows, one.answers(rows)))], f"{_LONG} tokens each", len(rows))


@engine_check("engine.lookup")
def lookup(engine: type[Engine], session: Session) -> Iterator[Verdict]:
    """Without a draft model, is greedy text the target's own?

    The engine is made with draft None and gets prompts that repeat themselves, so that n-gram
    lookup drafts at once. UNSUPPORTED where it cannot be made without a draft model.
    """
    asked(engine, session, "wide")  # what fails here is no matter of lookup
    try:
        one = asked(engine, session, "wide", lookup=True)
    except Exception as error:
        yield Verdict(
            "UNSUPPORTED",
            "none",
            f"the engine needs a draft model: {' '.join(str(error).split())[:160]}",
        )
        return
    rows = _texts(one, 12, 40)
    yield said(
        [("draft None", read(one.toy, rows, one.answers(rows)))], "without a draft model", len(rows)
    )


@engine_check("engine.end-token")
def end_token(engine: type[Engine], session: Session) -> Iterator[Verdict]:
    """Does a text end with the checkpoint's end token, wherever it stands in a draft?

    Greedy texts that end after 1 to 12 tokens, drafted by a model that sees most ends coming. An
    end that is accepted inside a draft must end the text there, and nothing may follow it.
    """
    one = asked(engine, session, "ending")
    ends = {
        found.text.index(one.toy.eos): found.prompt
        for found in written("ending", 48)
        if one.toy.eos in found.text[:16]
    }
    params = greedy(one.toy, 24)
    rows = [(ends[offset], params) for offset in sorted(ends)]
    yield said(
        [("", read(one.toy, rows, one.answers(rows)))],
        f"with ends after {min(ends) + 1} to {max(ends) + 1} tokens",
        len(rows),
    )


_SAMPLED = 32  # texts


def _sampled_stops(one: EngineHandle, kind: str) -> list[EngineRow]:
    """Sampled texts that end with what is common in them: any of their tokens may be drafted,
    replaced or a bonus.
    """
    rows: list[EngineRow] = []
    for i in range(_SAMPLED):
        found = written(one.toy.name, 48)[i % 4]
        at, size = i // 4, 1 + i % 2
        # three, so that one of them comes
        wanted = [found.text[at + j : at + j + size] for j in range(3)]
        stops = (
            greedy(
                one.toy, 24, temperature=1.0, stop_ids=(one.toy.eos, *(stop[0] for stop in wanted))
            )
            if kind == "token"
            else greedy(one.toy, 24, temperature=1.0, stop_sequences=tuple(wanted))
        )
        rows.append((found.prompt, stops))
    return rows


def _stopped(one: EngineHandle, kind: str) -> list[EngineRow]:
    """Greedy texts with a stop after each of their first tokens, so that stops fall at every offset
    of a draft.
    """
    rows: list[EngineRow] = []
    for found in written(one.toy.name, 48)[:3]:
        for i in range(10):
            never = ((one.toy.eos, one.toy.eos),) * (i % 2)
            params = (
                greedy(one.toy, 16, stop_ids=(one.toy.eos, found.text[i]))
                if kind == "token"
                else greedy(one.toy, 16, stop_sequences=(*never, found.text[i : i + 1 + i % 6]))
            )
            rows.append((found.prompt, params))
    return rows


@engine_check("engine.stop-token", needs=("stop",))
def stop_token(engine: type[Engine], session: Session) -> Iterator[Verdict]:
    """Does a text end with its stop token, at every offset inside a draft?

    Each of the first ten tokens of three greedy texts is made a stop token in turn, with drafts
    that are always accepted and with drafts that are often right. Then sampled texts, where the
    engine samples, with three stop tokens each.
    """
    yield from _stops(engine, session, "token")


@engine_check("engine.stop-sequence", needs=("stop",))
def stop_sequence(engine: type[Engine], session: Session) -> Iterator[Verdict]:
    """Does a text end with its stop sequence, inside a draft and across two?

    One to six tokens from each place in three greedy texts are made a stop sequence, alone or
    behind another that never comes: some lie in one draft, some begin in one cycle and end in the
    next or the one after. What follows in the same cycle must go. Then sampled texts, where the
    engine samples, with three stop sequences each.
    """
    yield from _stops(engine, session, "sequence")


def _stops(engine: type[Engine], session: Session, kind: str) -> Iterator[Verdict]:
    readings, count = [], 0
    for name in ("wide-same", "wide"):
        one = asked(engine, session, name)
        rows = _stopped(one, kind) + (_sampled_stops(one, kind) if one.has("sampling") else [])
        readings.append((f"toy {name}", read(one.toy, rows, one.answers(rows))))
        count += len(rows)
    yield said(readings, f"a stop {kind} after 1 to 10 tokens", count)


@engine_check("engine.min-tokens", needs=("min_tokens",))
def min_tokens(engine: type[Engine], session: Session) -> Iterator[Verdict]:
    """Does no end token come before min_tokens, counted in tokens, and does one come after it?

    Greedy texts that would end after 1 to 12 tokens get min_tokens of 1 to 9: the end token must be
    ruled out in every row of a draft, not once a step, and must be possible again behind it. So
    must a stop token, where the engine knows them, and both in sampled texts.
    """
    one = asked(engine, session, "ending")
    early = [found for found in written("ending", 48) if one.toy.eos in found.text[:8]][:6]
    rows: list[EngineRow] = []
    for found in early:
        for least in (1, 2, 3, 5, 9):
            ways = [greedy(one.toy, 16, min_tokens=least)]
            if one.has("stop"):
                ways += [replace(ways[0], stop_ids=(one.toy.eos, found.text[0]))]
            if one.has("sampling"):
                ways += [replace(way, temperature=1.0) for way in ways for _ in range(2)]
            rows += [(found.prompt, way) for way in ways]
    yield said([("", read(one.toy, rows, one.answers(rows)))], "min_tokens from 1 to 9", len(rows))


@engine_check("engine.max-tokens")
def max_tokens(engine: type[Engine], session: Session) -> Iterator[Verdict]:
    """Does a text end at max_new_tokens, to the token?

    From 1 to 20 tokens, which passes one and two whole drafts of whatever length; with drafts that
    are always accepted and with drafts that are often right.
    """
    readings, count = [], 0
    for name in ("wide-same", "wide"):
        one = asked(engine, session, name)
        found = written(name, 48)[:2]
        rows = [(some.prompt, greedy(one.toy, most)) for some in found for most in range(1, 21)]
        readings.append((f"toy {name}", read(one.toy, rows, one.answers(rows))))
        count += len(rows)
    yield said(readings, "max_new_tokens from 1 to 20", count)


@engine_check("engine.context-end")
def context_end(engine: type[Engine], session: Session) -> Iterator[Verdict]:
    """At the end of the context, does a text end as it does without speculation?

    Prompts that leave 1 to 9 tokens. Engines differ in where exactly they stop; with speculation
    they must stop at the same place, with the target's own tokens up to there. UNSUPPORTED where
    such prompts are refused without it too.
    """
    readings, count = [], 0
    for name in ("wide-same", "wide"):
        one = asked(engine, session, name)
        found = written(name, 48)[0]
        params = greedy(one.toy, 24)
        whole = [*found.prompt, *found.text] * 4
        rows: list[EngineRow] = [(whole[: TOY_CONTEXT - room], params) for room in range(1, 10)]
        try:
            alone = one.answers(rows, speculative=False)
        except Exception as error:
            yield Verdict(
                "UNSUPPORTED",
                "none",
                f"refused without speculation too: {' '.join(str(error).split())[:160]}",
            )
            return
        for row, own, done in zip(rows, alone, one.answers(rows), strict=True):
            room = len(own.tokens)  # by the engine's own convention
            known = TOY_CONTEXT - len(row[0])  # behind the context's end no distribution is known
            if len(done.tokens) != room:
                yield Verdict(
                    "FAIL",
                    what=(
                        f"toy {name}: with {known} tokens left writes {len(done.tokens)} tokens,"
                        f" and {room} without speculation"
                    ),
                    case=f"a prompt of {len(row[0])} tokens",
                    n=1,
                )
                return
            cut = replace(params, max_new_tokens=min(room, known))
            done.tokens = done.tokens[:known]
            readings.append(
                (f"toy {name}, {known} tokens left", read(one.toy, [(row[0], cut)], [done]))
            )
            count += 1
    yield said(readings, "1 to 9 tokens before the context's end", count)
