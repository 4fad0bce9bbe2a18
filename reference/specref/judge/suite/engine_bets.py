"""All that an engine draws, in one test by betting."""

from collections.abc import Iterator

from ..betting.calls import BET_WORLDS, CallPlan
from ..betting.reach import Rehearsal, every_class
from ..betting.text_bet import TextBet
from ..betting.verdicts import Call, betting_verdicts
from ..contract import Engine
from ..engine_handle import asked, engine_check
from ..session import Session
from ..verdict import Verdict
from .engine_scenarios import hunt_of


@engine_check(
    "engine.token-bets", distribution=True, statistical=True, needs=("sampling",), since="0.2"
)
def token_bets(engine: type[Engine], session: Session) -> Iterator[Verdict]:
    """Has each token that is drawn the target's distribution, whatever came before it in its text,
    in other rows and in other calls?

    Eight models, one of them also without a draft model, batches of 1 to 512 rows of ragged
    prompts, texts of 3 to 160 tokens, parameters in turn and mixed in one batch, neighbouring
    seeds. One test bets on every token: on each token id and on ranks by p and by q/p, after each
    token, pair and place, in each setting, row and batch size, and on dependence between tokens at
    any distance in rows, places and calls. Where right engines differ (what penalties count,
    whether filters come before the temperature), the engine's own text without speculation says
    which way is asked for. A PASS says what it would have found, class by class. A fault that
    follows the whole prefix is seen only where prefixes recur, as they do on one of the models.
    """
    hunt = hunt_of(engine, session)
    first = session.seed_for(session.check, "first seed") % 2**30
    plan = CallPlan(hunt.known.__contains__, first, hunt.drafts_alone)
    bet = TextBet(
        BET_WORLDS, session.alpha(), convention=hunt.home.convention, lookup=hunt.own_draft
    )
    seed = session.seed_for(session.check, "rehearsal") % 2**31
    rehearsal = Rehearsal(bet, seed, every_class(BET_WORLDS))
    yield from betting_verdicts(bet, rehearsal, session, _calls(engine, session, plan))


def _calls(engine: type[Engine], session: Session, plan: CallPlan) -> Iterator[Call]:
    while True:
        planned = plan.next()
        handle = asked(engine, session, planned.toy, planned.lookup)
        yield handle, planned.rows, handle.answers(planned.rows, together=len(planned.rows))
