"""Inputs of other sizes than those of the other checks: vocabularies and prompts."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

from ...data import SamplingParams
from ..contract import Engine
from ..engine_handle import EngineRow, asked, engine_check
from ..session import Session
from ..toys import Toy, written
from ..verdict import Verdict
from .engine_distribution import bets
from .engine_params import greedily
from .engine_text import greedy

_MOST = 1024  # tokens of a slice: each has a distribution of 2,053
# of prompts: at the ends of blocks, and beside them
_LENGTHS = (1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100)


@engine_check("engine.prompts")
def prompts(engine: type[Engine], session: Session) -> Iterator[Verdict]:
    """Is greedy text the target's own after prompts of 1 to 100 tokens, and with end tokens inside
    them?

    Lengths that fill blocks of 16, 32 and 64 and those beside them, one token over and over, and an
    end token in the prompt, which is a token like any other there; with drafts that are always
    taken and drafts that are often right. Then prompts of which the engine has seen a part: those
    that go on from an answer, and blocks of tokens behind other ones.
    """

    def rows(name: str, toy: Toy) -> list[EngineRow]:
        found = written(name, 48)[:3]
        long = [[*one.prompt, *one.text] * 4 for one in found[:2]]
        some = [whole[:length] for whole in long for length in _LENGTHS]
        some += [[*one.prompt[:4], toy.eos, *one.prompt[4:]] for one in found] + [
            [one.prompt[0]] * 20 for one in found
        ]
        return [(prompt, greedy(toy, 12)) for prompt in some]

    def again(name: str, toy: Toy) -> list[EngineRow]:
        found = written(name, 48)[:4]
        turns = [
            [*one.prompt, *one.text[:12], *(one.prompt[0],) * more]
            for one in found
            for more in (0, 1, 4)
        ]
        whole = [([*one.prompt, *one.text] * 2)[:64] for one in found]
        moved = [other[:half] + one[half:] for one, other in pairwise(whole) for half in (16, 32)]
        return [(prompt, greedy(toy, 12)) for prompt in turns + moved]

    def before(name: str, toy: Toy) -> list[EngineRow]:
        return rows(name, toy) + [
            (prompt, greedy(toy, 12))
            for one in written(name, 48)[:4]
            for prompt in (one.prompt, ([*one.prompt, *one.text] * 2)[:64])
        ]

    toys = ("wide-same", "wide")
    first = greedily(engine, session, toys, "after prompts of other lengths", before)
    if first.verdict == "FAIL":
        yield first
        return
    second = greedily(engine, session, toys, "after prompts of which a part was seen", again)
    yield (
        second
        if second.verdict == "FAIL"
        else replace(second, what=f"{first.what}; {second.what}", n=first.n + second.n)
    )


@engine_check("engine.vocabulary-sizes", distribution=True, statistical=True, needs=("sampling",))
def sizes(engine: type[Engine], session: Session) -> Iterator[Verdict]:
    """Is text the target's own among 37 tokens and among 2,053, greedy and sampled?

    Both are prime, so that no tile and no padding fits them, and of 2,053 tokens a tenth of the
    mass lies behind the 1,024 likeliest. First greedy texts, then the distribution of each token
    after its own prefix: a padded row that is drawn from, or a distribution that is cut
    to its likeliest tokens, shows.
    """
    ones = [asked(engine, session, name) for name in ("odd", "vast")]
    verdict = greedily(
        engine,
        session,
        ("odd", "vast"),
        "other vocabularies",
        lambda name, toy: [(found.prompt, greedy(toy, 12)) for found in written(name, 48)[:8]],
    )
    if verdict.verdict == "FAIL":
        yield verdict
        return
    yield from bets(ones, session, SamplingParams(max_new_tokens=8), most=_MOST)
