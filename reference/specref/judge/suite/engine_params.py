"""Sampling parameters of engines, on drafted, replaced and bonus tokens alike.

Where engines do not agree on the distribution of two parameters together, one of their conventions
has to hold, or the place is left out; so is one where float32 may miss the edge of a filter. The
judge's distribution of the parameters is its own (`params_oracle`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import cycle
from typing import Any

from ...data import SamplingParams
from ..betting.reach import BOTH_LEANS, Rehearsal
from ..betting.text_bet import TextBet
from ..betting.verdicts import convicted, rehearsed
from ..contract import Completion, Engine
from ..engine_handle import EngineRow, asked, engine_check
from ..expected import read
from ..params_oracle import Convention
from ..session import Session
from ..toys import Toy, written
from ..verdict import Verdict
from .engine_distribution import bets, slices
from .engine_text import greedy, said

_PENALTIES: tuple[dict[str, Any], ...] = (
    {"presence_penalty": 1.0},
    {"frequency_penalty": 0.7},
    {"presence_penalty": 0.8, "frequency_penalty": 0.5},
)
_COUNTING = {
    "presence and frequency of the output": Convention(),
    "presence and frequency of prompt and output": Convention(counts_prompt=True),
}
_ORDER = {
    "the temperature comes before the filter": Convention(filters_first=False),
    "the temperature comes after the filter": Convention(filters_first=True),
}


def _with_each(engine: type[Engine], session: Session, *settings: dict) -> Iterator[Verdict]:
    """Sampled texts under each of the settings in turn, where drafts are rejected and where none
    is, so that bonus tokens come; of 12 tokens, and of 3, so that first and last tokens are no
    rarity."""
    ones = [asked(engine, session, name) for name in ("small", "small-same")]
    variants = [
        SamplingParams(max_new_tokens=most, **each) for most in (12, 3) for each in settings
    ]
    yield from bets(ones, session, *variants)


@engine_check("engine.temperature", distribution=True, statistical=True, needs=("sampling",))
def temperature(engine: type[Engine], session: Session) -> Iterator[Verdict]:
    """At temperatures 0.01, 0.2, 0.5, 1.5 and 3, has each token the distribution of that
    temperature?

    A verifier that leaves the temperature out, takes a low one for 0, cuts a high one or overflows
    at a tiny one, or a draft that reports a distribution of another temperature, moves tokens along
    p or along q/p. First and last tokens, and each temperature, are looked at apart too.
    """
    yield from _with_each(
        engine, session, *({"temperature": at} for at in (0.5, 1.5, 0.2, 3.0, 0.01))
    )


@engine_check("engine.top-k", distribution=True, statistical=True, needs=("sampling", "top_k"))
def top_k(engine: type[Engine], session: Session) -> Iterator[Verdict]:
    """With top-k 1, 2 and 4, and 3 at temperature 0.5, does every token come from the k likeliest,
    by their distribution?

    A single token from outside fails at once. Ties at the edge are left out. Temperature and top-k
    are one distribution in whatever order they are applied, so that it may be asked for both
    together.
    """
    yield from _with_each(
        engine, session, {"top_k": 2}, {"top_k": 4}, {"top_k": 3, "temperature": 0.5}, {"top_k": 1}
    )


@engine_check("engine.top-p", distribution=True, statistical=True, needs=("sampling", "top_p"))
def top_p(engine: type[Engine], session: Session) -> Iterator[Verdict]:
    """With top-p, alone, beside a temperature and beside top-k, does every token come from the
    nucleus, by its distribution?

    0.01, 0.5 and 0.85 alone, 0.85 at temperature 0.5, and 0.95 with top-k 2, where the engine has
    it. The nucleus is the fewest likeliest tokens that reach top-p together, and never empty. A
    single token from outside fails at once. Engines apply the temperature before top-p or after it:
    one of the two conventions has to hold. Tokens for which it matters whether top-k or top-p comes
    first are left out.
    """
    both = [{"top_p": 0.95, "top_k": 2}] if asked(engine, session, "small").has("top_k") else []
    yield from _either(
        engine,
        session,
        _ORDER,
        [
            {"top_p": 0.5},
            {"top_p": 0.85},
            {"top_p": 0.85, "temperature": 0.5},
            *both,
            {"top_p": 0.01},
        ],
    )


@engine_check("engine.min-p", distribution=True, statistical=True, needs=("sampling", "min_p"))
def min_p(engine: type[Engine], session: Session) -> Iterator[Verdict]:
    """With min-p, alone and beside a temperature, does every token have that share of the likeliest
    one's probability?

    0.05 and 0.2 alone, and 0.1 at temperature 0.5, by the distribution. A single token below the
    line fails at once. Engines apply the temperature before min-p or after it: one of the two
    conventions has to hold.
    """
    yield from _either(
        engine,
        session,
        _ORDER,
        [{"min_p": 0.05}, {"min_p": 0.2}, {"min_p": 0.1, "temperature": 0.5}],
    )


@engine_check("engine.logit-bias", distribution=True, statistical=True, needs=("logit_bias",))
def logit_bias(engine: type[Engine], session: Session) -> Iterator[Verdict]:
    """Does a bias hold in every place, drafted, replaced and bonus?

    First at temperature 0: each of the first eight tokens of greedy texts is banned in turn by a
    bias of -100, with drafts that are always taken and drafts that are often right; the text must
    be the target's own under that bias. Then, where the engine samples, the distribution of tokens
    with one banned and one favoured: a single banned token fails at once.
    """
    verdict = greedily(
        engine,
        session,
        ("wide-same", "wide"),
        "a token banned",
        lambda name, toy: [
            (found.prompt, greedy(toy, 12, logit_bias={token: -100.0}))
            for found in written(name, 48)[:3]
            for token in dict.fromkeys(found.text[:8])
        ],
    )
    if verdict.verdict == "FAIL" or not asked(engine, session, "wide").has("sampling"):
        yield verdict
        return
    favourite = max(range(8), key=written("small", 48)[0].text.count)
    yield from _with_each(
        engine,
        session,
        {"logit_bias": {favourite: -100.0, (favourite + 1) % 7: 1.5}},
        {"logit_bias": {(favourite + 2) % 7: -100.0}, "temperature": 0.5},
    )


@engine_check("engine.penalties", distribution=True, statistical=True, needs=("penalties",))
def penalties(engine: type[Engine], session: Session) -> Iterator[Verdict]:
    """Do penalties look at the text, the drafted tokens before a place counted in and rejected ones
    never?

    First at temperature 0 with a repetition penalty, which counts prompt and output everywhere.
    Then, where the engine samples, the distribution of tokens under presence and frequency
    penalties, each alone and both together. Engines count them over the output or over prompt and
    output: one of the two conventions has to hold.
    """
    verdict = greedily(
        engine,
        session,
        ("wide-same", "wide", "wide-opposed"),
        "a repetition penalty",
        lambda name, toy: [
            (found.prompt, greedy(toy, 24, repetition_penalty=1.4))
            for found in written(name, 48)[:6]
        ],
    )
    if verdict.verdict == "FAIL" or not asked(engine, session, "wide").has("sampling"):
        yield verdict
        return
    # where drafts are rejected, and counts grow
    yield from _either(engine, session, _COUNTING, _PENALTIES, ("small",), (16,))


def greedily(
    engine: type[Engine],
    session: Session,
    names: Sequence[str],
    what: str,
    rows: Callable[[str, Toy], list[EngineRow]],
) -> Verdict:
    """Texts at temperature 0 on each of the toys, against the target's own under the same
    parameters.
    """
    readings, tried = [], 0
    for name in names:
        one = asked(engine, session, name)
        wanted = rows(name, one.toy)
        readings.append((f"toy {name}", read(one.toy, wanted, one.answers(wanted))))
        tried += len(wanted)
    return said(readings, what, tried)


def _either(
    engine: type[Engine],
    session: Session,
    conventions: Mapping[str, Convention],
    settings: Sequence[Mapping[str, Any]],
    names: Sequence[str] = ("small", "small-same"),
    lengths: Sequence[int] = (12, 3),
) -> Iterator[Verdict]:
    """As `_with_each`, by one of several conventions, the same for all settings."""
    ones = [asked(engine, session, name) for name in names]
    prompts = [[found.prompt for found in written(one.toy.name, 48)[:4]] for one in ones]
    each = [
        slices(
            one,
            session,
            some,
            *(
                SamplingParams(max_new_tokens=most, stop_ids=(one.toy.eos,), **setting)
                for most in lengths
                for setting in settings
            ),
        )
        for one, some in zip(ones, prompts, strict=True)
    ]
    lookup = ones[0].lookup
    tests = {
        name: TextBet(names, session.alpha(), max(lengths), convention, lookup)
        for name, convention in conventions.items()
    }
    seed = session.seed_for(session.check, "rehearsal") % 2**31
    rehearsals = {name: Rehearsal(bet, seed, BOTH_LEANS) for name, bet in tests.items()}
    wrong: dict[str, Verdict] = {}
    for one, run in cycle(zip(ones, each, strict=True)):
        rows, answers = next(run)
        for name in conventions.keys() - wrong.keys():
            if failure := _failing(tests[name], one.toy, rows, answers):
                wrong[name] = failure
        standing = [name for name in conventions if name not in wrong]
        if not standing:
            yield _by_no_convention([wrong[name] for name in conventions], list(conventions), names)
            return
        first = standing[0]
        for verdict in rehearsed(tests[first], rehearsals[first]):
            yield replace(verdict, what=f"{tests[first].texts} texts: {' or '.join(standing)}")
        if rehearsals[first].everywhere <= session.goal:
            return


def _failing(
    bet: TextBet, toy: Toy, rows: Sequence[EngineRow], answers: Sequence[Completion]
) -> Verdict | None:
    """What is wrong by one convention."""
    if fault := bet.read(toy, rows, answers):
        return Verdict("FAIL", what=fault.what, n=bet.texts)
    return convicted(bet) if bet.bettor.rejected else None


def _by_no_convention(
    failures: Sequence[Verdict], conventions: Sequence[str], toys: Sequence[str]
) -> Verdict:
    first, case = failures[0], f"toys {', '.join(toys)}"
    if all(other.what == first.what for other in failures):
        return replace(first, case=case)
    neither = f"by no convention, neither {' nor '.join(conventions)}"
    return replace(first, what=f"{neither}; {conventions[0]}: {first.what}", case=case)
