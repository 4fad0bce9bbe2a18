"""Rows of an engine: seeds, independence, and requests of all kinds in one batch."""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import torch

from ...data import SamplingParams
from .. import expected as reading
from ..betting.reach import BOTH_LEANS, Rehearsal
from ..betting.surroundings import BET_ROWS
from ..betting.text_bet import TextBet
from ..betting.verdicts import Call, betting_verdicts
from ..contract import Engine
from ..engine_handle import EngineHandle, EngineRow, asked, engine_check
from ..expected import read
from ..session import ALPHA, Session
from ..toys import written
from ..verdict import Verdict
from .engine_text import greedy

_LENGTH, _SHORT = 16, 8
_DOUBLED = 3  # how many times the size of a call is doubled
_SEEDS = (0, 1, 257, 65793, 2**30, 2**30 + 1)  # 65793 = 2^16 + 2^8 + 1
_MANY = 320  # rows of one batch: more than a block of 256 streams
# kinds of sampled rows that a mixed batch has, and what each needs
_OWN: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("hot", "sampling", {"temperature": 1.5}),
    ("top-k", "top_k", {"top_k": 3}),
    ("top-p", "top_p", {"top_p": 0.6}),
    ("min-p", "min_p", {"min_p": 0.2}),
    ("penalised", "penalties", {"repetition_penalty": 1.4}),
    ("biased", "logit_bias", {"logit_bias": {0: -100.0, 3: 1.5}}),
)


def _repeated(one: EngineHandle, prompt: tuple[int, ...], texts: list[list[int]]) -> str:
    """Texts that came more than once, where independent rows would hardly do so."""
    for text, times in Counter(map(tuple, texts)).items():
        if times > 1:
            (table,) = reading.expected_distributions(one.toy, [(prompt, SamplingParams())], [text])
            log_p = float(table.distribution[range(len(text)), list(text)].log().sum())
            # That so many of them are one text, of those that are no likelier: sum of p(x)^times <=
            # p^(times - 1).
            chance = math.exp(
                min(0.0, math.log(math.comb(len(texts), times)) + (times - 1) * log_p)
            )
            if chance < ALPHA / 1000 / len(texts):  # as many times are looked at as there are texts
                return (
                    f"{times} of {len(texts)} rows write the same {list(text)}; independent ones do"
                    f" with probability {chance:.0e}"
                )
    return ""


@engine_check("engine.rows", distribution=True, statistical=True, needs=("sampling",))
def independent(engine: type[Engine], session: Session) -> Iterator[Verdict]:
    """Are requests without a seed independent, of each other and of the calls before?

    The same prompt many times over, in one batch and in calls one after another. First no long text
    may come twice, in a batch of 320 rows, in eight calls, or after a request with a seed, always
    the same. Then tokens must be independent at any distance in rows, places and calls: shared
    coins show even where the texts differ, and no distribution of a single text shows them. Rows
    whose seeds follow each other are neighbours too.
    """
    one = asked(engine, session, "wide")
    prompt = written("wide", 48)[0].prompt
    params = SamplingParams(max_new_tokens=28, stop_ids=(one.toy.eos,))
    texts = [
        done.tokens
        for many in ((_MANY, 1) if one.has("batch") else (1,))
        for done in one.answers([(prompt, params)] * max(many, 8), together=many)
    ]
    if one.has("seed"):
        for _ in range(8):
            one.answers([(prompt, replace(params, seed=42))])
            texts += [done.tokens for done in one.answers([(prompt, params)])]
    if wrong := _repeated(one, prompt, texts):
        yield Verdict("FAIL", what=wrong, case=f"prompt {list(prompt)}, no seed", n=len(texts))
        return
    yield from _dependence(engine, session)


def _dependence(engine: type[Engine], session: Session) -> Iterator[Verdict]:
    """A test by betting on one prompt, time and again: without seeds and with those that follow
    each other, in calls of 64 rows and then of more."""
    one = asked(engine, session, "small")
    bet = TextBet(("small",), session.alpha(), _SHORT, lookup=one.lookup)
    seed = session.seed_for(session.check, "rehearsal") % 2**31
    rehearsal = Rehearsal(bet, seed, BOTH_LEANS)
    yield from betting_verdicts(bet, rehearsal, session, _one_request(one, session))


def _one_request(one: EngineHandle, session: Session) -> Iterator[Call]:
    prompt = written("small", 48)[0].prompt
    params = SamplingParams(max_new_tokens=_SHORT, stop_ids=(one.toy.eos,))
    seed = session.seed_for(session.check) % 2**30
    for number in count():
        size = BET_ROWS << min(number // 2, _DOUBLED) if one.has("batch") else BET_ROWS
        rows: list[EngineRow] = [(prompt, params)] * size
        if one.has("seed") and number % 2:
            rows = [(prompt, replace(params, seed=seed + i)) for i in range(size)]
            seed += size
        yield one, rows, one.answers(rows, together=size)


def _mixture(one: EngineHandle, session: Session, number: int) -> list[tuple[str, EngineRow]]:
    """One batch of all kinds of rows, ragged in prompt and length."""
    toy = one.toy
    found = written(toy.name, 48)
    kinds: list[tuple[str, EngineRow]] = []
    for i in range(8):
        prompt = found[i // 2 % 4].prompt[-(3 + 5 * (i % 3)) :]
        base = SamplingParams(max_new_tokens=4 + 3 * (i % 4), stop_ids=(toy.eos,))
        kinds.append(("greedy", (prompt, replace(base, temperature=0.0))))
        kinds.append(("sampled", (prompt, base)))
        if one.has("seed"):
            kinds.append(
                (
                    "seeded",
                    (prompt, replace(base, seed=session.seed_for("mixed", number, i) % 2**31)),
                )
            )
        kinds += [
            (name, (prompt, replace(base, **own))) for name, need, own in _OWN if one.has(need)
        ]
    return kinds


@engine_check(
    "engine.mixed-batch", distribution=True, statistical=True, needs=("batch", "sampling")
)
def mixed(engine: type[Engine], session: Session) -> Iterator[Verdict]:
    """In one batch of all kinds of requests, does each get what it would get alone?

    Greedy, sampled, seeded, hot, filtered, penalised and biased rows, in any order, some prompts
    more than once, ragged in prompt and length. Greedy rows must be the target's own, and sampled
    ones have the distribution of their own parameters, which is bet on, in each kind apart too.
    Whether seeded rows are the same as alone is the question of engine.seeds.
    """
    one = asked(engine, session, "small")
    longest = max(params.max_new_tokens for _, (_, params) in _mixture(one, session, 0))
    bet = TextBet(("small",), session.alpha(), longest, lookup=one.lookup)
    seed = session.seed_for(session.check, "rehearsal") % 2**31
    rehearsal = Rehearsal(bet, seed, BOTH_LEANS)
    for number in count():
        kinds = [
            kind
            for part in range(min(1 << number, 8))
            for kind in _mixture(one, session, 100 * number + part)
        ]
        # a row of any kind may come first and lead the others
        first = session.generator(session.check, "order", number)
        kinds = [kinds[i] for i in torch.randperm(len(kinds), generator=first).tolist()]
        rows = [row for _, row in kinds]
        answers = one.answers(rows, together=len(rows))
        for verdict in betting_verdicts(bet, rehearsal, session, [(one, rows, answers)]):
            what = f"in mixed batches, {verdict.what}"
            yield replace(verdict, what=what)
            if verdict.verdict == "FAIL":
                return
        if rehearsal.everywhere <= session.goal:
            return


@engine_check("engine.batch", needs=("batch",))
def batched(engine: type[Engine], session: Session) -> Iterator[Verdict]:
    """Is greedy text the same alone, in a batch, in a batch turned round, and beside copies of
    itself?

    Prompts of 1 to 14 tokens that end after 1 to 30 tokens, so that rows leave the batch at
    different times and drafts are cut to different lengths; texts are compared with the target's
    own.
    """
    one = asked(engine, session, "wide")
    found = written("wide", 48)
    rows: list[EngineRow] = [
        (
            some.prompt[-(1 + 4 * (i % 4)) :] if i % 2 else some.prompt,
            greedy(one.toy, 1 + (7 * i) % 30),
        )
        for i, some in enumerate(found[:12])
    ]
    tried = 0
    for name, batch in (
        ("ragged", rows),
        ("turned round", rows[::-1]),
        ("repeated", [rows[0]] * 3 + rows[5:8] * 2),
        ("alone", rows[:4]),
    ):
        seen = read(one.toy, batch, one.answers(batch, together=1 if name == "alone" else 64))
        tried += len(batch)
        if seen.faults:
            yield Verdict("FAIL", what=f"{name}: {seen.faults[0]}", case=seen.case, n=tried)
            return
    yield Verdict("PASS", what=f"{tried} rows", n=tried)
