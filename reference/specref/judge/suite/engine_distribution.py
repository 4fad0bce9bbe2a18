"""Engines at temperature 1 and above: the joint distribution of several tokens, and the
distribution of each token after its own prefix.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count, cycle

from ...data import SamplingParams
from .. import expected as reading
from ..betting.reach import BOTH_LEANS, LIKELY_ALONE, Rehearsal
from ..betting.telling import LEANS
from ..betting.text_bet import TextBet
from ..betting.verdicts import Call, betting_verdicts
from ..contract import Completion, Engine
from ..engine_handle import EngineHandle, EngineRow, asked, engine_check
from ..joint import Joint, enumerated
from ..params_oracle import ended
from ..session import Session
from ..toys import written
from ..verdict import Verdict

_MOST = 4096  # tokens of a slice; its rows begin at 8 and grow fourfold
_LENGTH = 4


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


def _joint(engine: type[Engine], session: Session, name: str) -> Iterator[Verdict]:
    """The joint distribution of the first four tokens, on one toy."""
    one = asked(engine, session, name)
    toy, prompt = one.toy, written(name, 48)[0].prompt
    p = session.once(
        f"distribution {name}", lambda: enumerated(toy.target, prompt, _LENGTH, toy.eos)
    )
    q = (
        None
        if getattr(engine, "own_draft", False)
        else session.once(
            f"draft's distribution {name}", lambda: enumerated(toy.draft, prompt, _LENGTH, toy.eos)
        )
    )
    test = Joint(p, q, toy.vocabulary, _LENGTH, session.alpha())
    params = SamplingParams(max_new_tokens=_LENGTH, stop_ids=(toy.eos,))
    for rows, answers in slices(one, session, [prompt], params):
        texts = reading.restored(toy, rows, answers)
        for text in texts:
            if not ended(text, params, _LENGTH):
                yield Verdict(
                    "FAIL",
                    what=f"ends after {len(text)} of {_LENGTH} tokens without a stop: {text}",
                    case=f"prompt {list(prompt)}",
                    n=1,
                )
                return
        test.add(texts, toy.eos)
        depth, said = test.stated(session.enough)
        verdict = Verdict(
            "PASS",
            "e-process",
            f"the first {depth} tokens together" if depth > 1 else "the first token",
            f"toy {name}, prompt {list(prompt)}",
            said.n,
            session.alpha(),
            said.mde,
            said.tv,
            said.interval,
            (test.picture(),),
        )
        if said.rejected:
            lean = test.lean()
            cause = ""
            if abs(lean) > 0.7:
                often, seldom = LEANS["draft"]
                cause = often if lean > 0 else seldom
            yield replace(
                verdict,
                verdict="FAIL",
                what=f"{test.furthest(depth)}" + f"; {cause}" * bool(cause),
                cause=cause,
            )
            return
        yield verdict
        if depth == _LENGTH and said.mde <= session.goal:
            return


@engine_check("engine.joint", distribution=True, statistical=True, needs=("sampling",))
def joint_distribution(engine: type[Engine], session: Session) -> Iterator[Verdict]:
    """Do the first four tokens together have the target's distribution?

    8 tokens, so 4,096 texts at most, all of their probabilities known by enumeration; every text is
    continued to the same length, whatever was accepted, and behind the end token nothing follows.
    Tested are the first token, the first two and so on; the verdict is about as many as there are
    five draws a text for. Draft and target share about two thirds of their mass, so that several
    cycles make one text.
    """
    yield from _joint(engine, session, "small")


@engine_check("engine.joint-opposed", distribution=True, statistical=True, needs=("sampling",))
def joint_opposed(engine: type[Engine], session: Session) -> Iterator[Verdict]:
    """The same when the draft likes what the target likes least: is what replaces a rejected token
    right?

    Nearly every draft is rejected, so that text is made of residual draws.
    """
    yield from _joint(engine, session, "small-opposed")


@engine_check("engine.lookup-law", distribution=True, statistical=True, needs=("sampling",))
def lookup_distribution(engine: type[Engine], session: Session) -> Iterator[Verdict]:
    """Without a draft model, has each token the target's distribution after its own prefix?

    The engine is made with draft None; prompts repeat themselves, so that n-gram lookup drafts.
    Bet on by p and by what was looked up: a draft that is certain has a point mass for its q.
    """
    asked(engine, session, "small")
    try:
        one = asked(engine, session, "small", lookup=True)
    except Exception as error:
        yield Verdict(
            "UNSUPPORTED",
            "none",
            f"the engine needs a draft model: {' '.join(str(error).split())[:160]}",
        )
        return
    yield from bets([one], session, SamplingParams(max_new_tokens=12))
