"""The verdicts of a test by betting, call after call."""

import math
from collections.abc import Iterable, Iterator, Sequence

from ..contract import Completion
from ..engine_handle import EngineHandle, EngineRow
from ..session import Session
from ..verdict import Verdict
from .reach import Rehearsal
from .telling import cause, picture, told
from .text_bet import TextBet

Call = tuple[EngineHandle, Sequence[EngineRow], Sequence[Completion]]


def betting_verdicts(
    bet: TextBet, rehearsal: Rehearsal, session: Session, calls: Iterable[Call]
) -> Iterator[Verdict]:
    """Bet on the calls until the engine is convicted, the goal is seen, or the calls end: one
    verdict after each call and after each class that is rehearsed."""
    for handle, rows, answers in calls:
        fault = bet.read(handle.toy, rows, answers, handle.lookup and not bet.lookup)
        if fault:
            case = f"toy {handle.toy.name}, prompt {list(fault.prompt)}"
            yield Verdict("FAIL", what=fault.what, case=case, n=bet.texts)
            return
        if bet.bettor.rejected:
            yield convicted(bet)
            return
        yield from rehearsed(bet, rehearsal)
        if rehearsal.everywhere <= session.goal:
            return


def rehearsed(bet: TextBet, rehearsal: Rehearsal) -> Iterator[Verdict]:
    """Rehearse what is due; a verdict before each class, and one in the end."""
    while rehearsal.due:
        yield not_convicted(bet, rehearsal)
        rehearsal.step()
    yield not_convicted(bet, rehearsal)


def convicted(bet: TextBet) -> Verdict:
    """The winning expert, in words."""
    winners = bet.bettor.winners()
    drawn = [picture(bet, winner) for winner in winners]
    return Verdict(
        "FAIL",
        "e-process",
        told(bet, winners[0]),
        f"tokens of {bet.texts} texts, toys {', '.join(bet.surroundings.worlds)}",
        bet.bettor.n,
        bet.bettor.alpha,
        pictures=tuple(one for one in drawn if one is not None),
        cause=cause(bet, winners),
    )


def not_convicted(bet: TextBet, rehearsal: Rehearsal) -> Verdict:
    """What was bet on, and what would have been found."""
    return Verdict(
        "PASS" if rehearsal.everywhere < math.inf else "INCONCLUSIVE",
        "e-process",
        f"{bet.bettor.n} tokens of {bet.texts} texts, up to {bet.longest} tokens long",
        n=bet.bettor.n,
        alpha=bet.bettor.alpha,
        reach=rehearsal.reach,
    )
