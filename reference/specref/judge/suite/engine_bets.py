"""All that an engine draws, in one test by betting."""

import math
from collections.abc import Iterator

from ..betting.calls import TOYS, CallPlan
from ..betting.reach import Rehearsal
from ..betting.telling import picture, told
from ..betting.text_bet import TextBet
from ..contract import Engine
from ..engine_handle import asked, engine_check
from ..session import Session
from ..verdict import Verdict


@engine_check(
    "engine.token-bets", distribution=True, statistical=True, needs=("sampling",), since="0.2"
)
def token_bets(engine: type[Engine], session: Session) -> Iterator[Verdict]:
    """Has each token that is drawn the target's distribution, whatever came before it in its text,
    in other rows and in other calls?

    Eight models, batches of 1 to 64 rows of ragged prompts, texts of 3 to 160 tokens, parameters in
    turn and mixed in one batch, neighbouring seeds. One test bets on every token: on each token id
    and on ranks by p and by q/p, after each token, pair and place, in each setting, row and batch
    size, and on dependence between tokens at any distance in rows, places and calls. A PASS says
    what it would have found, class by class. A fault that follows the whole prefix is seen only
    where prefixes recur, as they do on one of the models.
    """
    one = asked(engine, session, TOYS[0])
    first_seed = session.seed_for(session.check, "first seed") % 2**30
    plan = CallPlan(one.has, first_seed)
    bet = TextBet(TOYS, session.alpha())
    rehearsal = Rehearsal(bet, session.seed_for(session.check, "rehearsal") % 2**31)
    while True:
        planned = plan.next()
        handle = asked(engine, session, planned.toy)
        answers = handle.answers(planned.rows, together=planned.together)
        fault = bet.read(handle.toy, planned.rows, answers)
        if fault:
            case = f"toy {planned.toy}, prompt {list(fault.prompt)}"
            yield Verdict("FAIL", what=fault.what, case=case, n=bet.texts)
            return
        if bet.bettor.rejected:
            yield _failure(bet, session)
            return
        while rehearsal.due:
            yield _passed(bet, rehearsal, session)
            rehearsal.step()
        yield _passed(bet, rehearsal, session)
        if rehearsal.everywhere <= session.goal:
            return


def _failure(bet: TextBet, session: Session) -> Verdict:
    """The winning expert, in words."""
    winners = bet.bettor.winners()
    drawn = [picture(bet, winner) for winner in winners]
    said = told(bet, winners[0])
    return Verdict(
        "FAIL",
        "e-process",
        said,
        f"tokens of {bet.texts} texts, toys {', '.join(TOYS)}",
        bet.bettor.n,
        session.alpha(),
        pictures=tuple(one for one in drawn if one is not None),
        cause=said,
    )


def _passed(bet: TextBet, rehearsal: Rehearsal, session: Session) -> Verdict:
    """What was bet on, and what would have been found."""
    return Verdict(
        "PASS" if rehearsal.everywhere < math.inf else "INCONCLUSIVE",
        "e-process",
        f"{bet.bettor.n} tokens of {bet.texts} texts, up to {bet.longest} tokens long",
        n=bet.bettor.n,
        alpha=session.alpha(),
        reach=rehearsal.reach,
    )
