"""Sampled texts of some toys under some parameters, bet on token by token."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count, cycle

from ...data import SamplingParams
from ..betting.reach import BOTH_LEANS, LIKELY_ALONE, Rehearsal
from ..betting.text_bet import TextBet
from ..betting.verdicts import Call, betting_verdicts
from ..contract import Completion
from ..engine_handle import EngineHandle, EngineRow
from ..session import Session
from ..toys import written
from ..verdict import Verdict

_MOST = 4096  # tokens of a slice; its rows begin at 8 and grow fourfold


def _seeded(
    session: Session, params: SamplingParams, one: EngineHandle, *what: object
) -> SamplingParams:
    """The same with a seed of its own, where the engine knows seeds."""
    return (
        replace(params, seed=session.seed_for(session.check, *what) % 2**31)
        if one.has("seed")
        else params
    )


def slices(
    one: EngineHandle,
    session: Session,
    prompts: Sequence[tuple[int, ...]],
    *variants: SamplingParams,
    most: int = _MOST,
) -> Iterator[tuple[list[EngineRow], list[Completion]]]:
    """Rows that take the prompts in turn, and the engine's answers: larger slices each time, of
    `most` tokens in the end, which take the parameters in turn."""
    for number in count():
        params = variants[number % len(variants)]
        size = min(
            8 << min(2 * number, 10),
            most // params.max_new_tokens // (1 if one.has("batch") else 8),
        )
        rows: list[EngineRow] = [
            (prompts[i % len(prompts)], _seeded(session, params, one, one.toy.name, number, i))
            for i in range(size)
        ]
        if not one.has("seed"):
            rows = [(prompt, params) for prompt, _ in rows]
        yield rows, one.answers(rows, together=_MOST)


def bets(
    ones: Sequence[EngineHandle], session: Session, *variants: SamplingParams, most: int = _MOST
) -> Iterator[Verdict]:
    """A test by betting on each token of sampled texts, and no token of probability zero; toys in
    turn, each with its own end token, under each of the parameters in turn."""
    toys = tuple(dict.fromkeys(one.toy.name for one in ones))
    places = max(params.max_new_tokens for params in variants)
    bet = TextBet(toys, session.alpha(), places, lookup=ones[0].lookup)
    seed = session.seed_for(session.check, "rehearsal") % 2**31
    made = [one.toy for one in ones]
    words = LIKELY_ALONE if all(toy.draft is toy.target for toy in made) else BOTH_LEANS
    each = [_sliced(one, session, variants, most) for one in ones]
    calls = (next(run) for run in cycle(each))
    yield from betting_verdicts(bet, Rehearsal(bet, seed, words), session, calls)


def _sliced(
    one: EngineHandle, session: Session, variants: Sequence[SamplingParams], most: int
) -> Iterator[Call]:
    prompts = [found.prompt for found in written(one.toy.name, 48)[:4]]
    ending = [replace(params, stop_ids=(one.toy.eos,)) for params in variants]
    for rows, answers in slices(one, session, prompts, *ending, most=most):
        yield one, rows, answers
