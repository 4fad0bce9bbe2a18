"""How a check at HTTP level begins: with both servers reached, and what it needs there offered."""

import functools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from ..contract import Server
from ..dialect import Ask, Prompt
from ..prefixes import Units
from ..server_pair import ServerPair
from ..session import MisbehavedError, Session
from ..verdict import Verdict
from . import check

_Asking = Callable[[ServerPair, Session], Iterator[Verdict]]
_COLD, _DRAWS = 0.1, 200  # at temperature .1 a gap of .11 nats between two tokens shows as 3 to 1


def reached(server: Server, session: Session) -> ServerPair:
    """Both servers, spoken to once for all checks.

    Errors:
        MisbehavedError where one of them does not answer.
    """

    def make() -> ServerPair | MisbehavedError:
        try:
            return ServerPair(server, session)
        except MisbehavedError as error:
            return error

    server_pair = session.once("http", make)
    if isinstance(server_pair, MisbehavedError):
        raise server_pair
    return server_pair


def asks(
    name: str,
    *,
    offers: tuple[str, ...] = (),
    baseline: bool = False,
    distribution: bool = False,
    statistical: bool = False,
    since: str = "0.1",
) -> Callable[[_Asking], _Asking]:
    """Register a check that asks the servers. offers: capabilities that it needs. baseline: whether
    it needs one.
    """

    def register(run: _Asking) -> _Asking:
        @functools.wraps(run)
        def guarded(server: Server, session: Session) -> Iterator[Verdict]:
            try:
                server_pair = reached(server, session)
            except MisbehavedError:
                yield Verdict("INCONCLUSIVE", "none", "not asked: http.reachable says why")
                return
            missing = [offer for offer in offers if not server_pair.offers(offer)]
            if baseline and server_pair.baseline is None:
                yield Verdict(
                    "UNSUPPORTED",
                    "none",
                    "no server to compare with: give --baseline URL, the same target "
                    "without speculation",
                )
            elif missing:
                yield Verdict(
                    "UNSUPPORTED", "none", f"the server does not show {', '.join(missing)}"
                )
            else:
                for verdict in run(server_pair, session):
                    yield _seen(verdict, server_pair, session) if distribution else verdict

        check(name, since=since, distribution=distribution, statistical=statistical)(guarded)
        return run

    return register


def _seen(verdict: Verdict, server_pair: ServerPair, session: Session) -> Verdict:
    """A pass only if something was drafted for this check's own requests, where the server counts
    that.
    """
    if verdict.verdict != "PASS" or server_pair.server.drafted.get(session.check, 1):
        return verdict
    return replace(
        verdict, verdict="UNVERIFIED", what=f"{verdict.what}, in which no token was drafted"
    )


def so_far(done: int, of: int, what: str, n: int) -> Verdict:
    """A pass when all of it is done, and nothing said before."""
    return (
        Verdict("PASS", what=what, n=n)
        if done == of and n
        else Verdict("INCONCLUSIVE", what=f"{what}: {done} of {of} parts", n=n)
    )


def wishes(server_pair: ServerPair) -> dict[str, dict[str, Any]]:
    """Parameters that the servers show to know, by capability; a bias bans what would come
    first.
    """
    known: dict[str, dict[str, Any]] = {
        "top_k": {"top_k": 2},
        "top_p": {"top_p": 0.6},
        "min_p": {"min_p": 0.3},
        "penalties": {"frequency_penalty": 1.0, "presence_penalty": 0.5},
        "logit_bias": {},
    }
    known = {name: more for name, more in known.items() if server_pair.offers(name)}
    # in whatever order they are applied: both servers do alike
    if "top_k" in known and "top_p" in known:
        known["top_k and top_p"] = {"top_k": 2, "top_p": 0.95}
    if "logit_bias" in known:
        best = server_pair.trusted.ask(Ask(repeating(server_pair), 1, 0.0)).tokens
        known["logit_bias"] = {"logit_bias": {str(best[0] if best else 0): -100}}
    return known


def repeating(server_pair: ServerPair) -> Prompt:
    """A prompt that repeats itself: lookup drafters draft after no other."""
    return (server_pair.prompts * 2)[1]


def diverged(first: Units, second: Units) -> int | None:
    """Where two texts begin to differ; None: they don't."""
    if first == second:
        return None
    return next(
        (i for i, (a, b) in enumerate(zip(first, second)) if a != b), min(len(first), len(second))
    )


def tied(server_pair: ServerPair, ask: Ask, right: Units, at: int, other: Units) -> str:
    """Whether two greedy texts part at a tie: asks the trusted side to draw there at a low
    temperature.

    Returns:
        "" for no tie; else what was seen.
    """
    prompt = server_pair.longer(ask.prompt, right[:at])
    if prompt is None or at >= min(len(right), len(other)):
        return ""
    cold = Ask(prompt, 1, _COLD, more=ask.more)
    try:
        drawn = [
            server_pair.units(a)[:1]
            for a in server_pair.trusted.ask_all(
                server_pair.seeded(cold, _DRAWS, "tie", ask.prompt, at)
            )
        ]
    except MisbehavedError:
        return ""
    here, there = drawn.count(right[at : at + 1]), drawn.count(other[at : at + 1])
    return f"a tie: {here} to {there} at temperature {_COLD}" if 3 * there > here else ""


def spelled(units: Units) -> str:
    return (
        "".join(units)
        if all(isinstance(unit, str) and len(unit) == 1 for unit in units)
        else " ".join(map(str, units))
    )
