"""Vocabularies of other sizes than the toys of the other checks have."""

from collections.abc import Iterator

from ...types import SamplingParams
from ..asking import asked, engine_check
from ..contract import Engine
from ..orders import LIKELY
from ..session import Session
from ..toys import written
from ..verdict import Verdict
from .engine_law import direction, ranked
from .engine_params import greedily
from .engine_text import greedy

MOST = 1024  # tokens of a slice: each has a law of 2,053


@engine_check("engine.vocabulary-sizes", law=True, statistical=True, needs=("sampling",))
def sizes(engine: type[Engine], session: Session) -> Iterator[Verdict]:
    """Is text the target's own among 37 tokens and among 2,053, greedy and sampled?

    Both are prime, so that no tile and no padding fits them, and of 2,053 tokens a tenth of the mass lies behind the 1,024
    likeliest. First greedy texts, then the law of each token after its own prefix, by ranks: a padded row that is drawn
    from, or a law that is cut to its likeliest tokens, shows.
    """
    ones = [asked(engine, session, name) for name in ("odd", "vast")]
    verdict = greedily(engine, session, ("odd", "vast"), "other vocabularies", lambda name, toy: [
        (found.prompt, greedy(toy, 12)) for found in written(name, 48)[:8]])
    if verdict.verdict == "FAIL":
        yield verdict
        return
    yield from ranked(ones, session, (LIKELY, direction(engine)), SamplingParams(max_new_tokens=8), most=MOST)
