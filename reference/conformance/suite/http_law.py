"""The law of sampled texts: the server against the same target without speculation, draw for draw."""

from collections.abc import Iterator
from typing import Any

from ..dialect import Ask
from ..prefixes import Conditional, Prefixes
from ..session import Session
from ..talk import Side, Talk
from ..verdict import Picture, Verdict, worst
from .http_asks import asks, spelled

LENGTH = 5  # tokens of a text: a whole draft and its bonus, for most servers
EXPLORED = 256  # texts of each side that choose prefixes and outcomes
SMALLEST, LARGEST = 64, 512  # texts of each side in a slice; it grows with the texts so far
PROMPTS = 3


def texts(talk: Talk, side: Side, ask: Ask, count: int, *what: object) -> list:
    """Outcomes of `count` seeded requests."""
    answers = side.ask_all(talk.seeded(ask.but(max_tokens=LENGTH), count, side.name, *what))
    return [talk.outcome(answer, LENGTH) for answer in answers]


def compared(talk: Talk, session: Session, cases: dict[str, Ask]) -> Iterator[Verdict]:
    """Go on drawing from both servers, one case after the other, until every case has seen the goal."""
    assert talk.baseline is not None
    sides, alpha = (talk.server, talk.baseline), session.alpha(len(cases))
    tests: dict[str, Prefixes] = {}
    for name, ask in cases.items():
        tests[name] = Prefixes(*(texts(talk, side, ask, EXPLORED, name, "explored") for side in sides), alpha)
        yield Verdict("PASS", "two-sample e-process", "outcomes chosen, nothing tested yet", n=0, alpha=alpha, mde=1.0)
    while any(test.mde > session.goal for test in tests.values()):
        for name, test in tests.items():
            size = min(max(SMALLEST, test.n // 4), LARGEST)
            test.update(*(texts(talk, side, cases[name], size, name, test.n) for side in sides))
            said = [verdict(test, name, cases[name]) for name, test in tests.items()]
            yield worst(said) or said[0]
            if test.rejected:
                return


def verdict(test: Prefixes, name: str, ask: Ask) -> Verdict:
    """What a comparison says so far."""
    at = test.worst() if test.rejected else test.at[()]
    finding = at.test.finding()
    case = f"{name}: prompt {ask.prompt}, temperature {ask.temperature:g}" + "".join(f", {k} {v}" for k, v in ask.more.items())
    if not test.rejected:
        return Verdict("PASS", test.method, f"{test.n:,} texts of each server", case, test.n, test.alpha, test.mde,
                       finding.tv, finding.interval)
    return Verdict("FAIL", test.method, _difference(at), case, test.n, test.alpha, test.mde, finding.tv, finding.interval,
                   (_picture(at),), _cause(test, at))


def _place(at: Conditional) -> str:
    return f"token {len(at.prefix) + 1}" + (f" after {spelled(at.prefix)}" if at.prefix else "")


def _difference(at: Conditional) -> str:
    shares = at.test.counts / max(at.test.n, 1)
    cell = int((shares[0] - shares[1]).abs().argmax())
    ours, theirs = float(shares[0, cell]), float(shares[1, cell])
    return (f"{_place(at)}: {at.names[cell]} comes up in {ours:.1%} of {at.test.n:,} texts, without speculation in "
            f"{theirs:.1%}")


def _picture(at: Conditional) -> Picture:
    ours, theirs = (at.test.counts / max(at.test.n, 1)).tolist()
    return Picture(_place(at), tuple(at.names), tuple(theirs), tuple(ours))


def _cause(test: Prefixes, at: Conditional) -> str:
    first = test.at[()].test
    ours, theirs = at.test.counts / max(at.test.n, 1)
    if first.log_e() < 0 and at.prefix:
        return "first tokens are right and later ones wrong: the bonus token, the cache after a rejection, or a draft's later rows"
    if float((ours.square().sum() - theirs.square().sum()).abs()) > 0.5 * at.test.finding().tv:
        return "sharper or flatter than the target's law: draft rows are judged at another temperature or filter"
    return "tokens that the draft likes come up too often or too rarely: the acceptance or the residual is not p and q's"


def _plain(talk: Talk) -> dict[str, Ask]:
    return {f"prompt {i}": Ask(prompt) for i, prompt in enumerate(talk.prompts[:PROMPTS], 1)}


@asks("http.law", offers=("sampling",), baseline=True, law=True, statistical=True)
def law(talk: Talk, session: Session) -> Iterator[Verdict]:
    """Do sampled texts follow the baseline's law?

    Texts of five tokens at temperature 1, seeded where seeds are taken, from both servers: the first token, and each next
    one after every frequent beginning. Needs thousands of requests; a fault that shows after rare beginnings alone, or
    later than the fifth token, is not seen.
    """
    yield from compared(talk, session, _plain(talk))


@asks("http.temperature", offers=("sampling",), baseline=True, law=True, statistical=True)
def temperature(talk: Talk, session: Session) -> Iterator[Verdict]:
    """Does speculation keep the law at temperatures other than 1?

    As http.law, at .6 and 1.5: a verifier that forgets the temperature on draft or bonus rows is right at 1.
    """
    yield from compared(talk, session, {f"temperature {t}": Ask(talk.prompts[0], temperature=t) for t in (0.6, 1.5)})


@asks("http.parameters", offers=("sampling",), baseline=True, law=True, statistical=True)
def parameters(talk: Talk, session: Session) -> Iterator[Verdict]:
    """Does speculation keep the law under top-k, top-p, min-p, a bias and penalties?

    As http.law, for each parameter that the servers show to know. What both servers do wrong alike is not seen.
    """
    wishes: dict[str, dict[str, Any]] = {
        "top_k": {"top_k": 2}, "top_p": {"top_p": 0.6}, "min_p": {"min_p": 0.3},
        "penalties": {"frequency_penalty": 1.0, "presence_penalty": 0.5}, "logit_bias": {}}
    known = {name: more for name, more in wishes.items() if talk.offers(name)}
    if "logit_bias" in known:
        best = talk.trusted.ask(Ask(talk.prompts[0], 1, 0.0)).tokens
        known["logit_bias"] = {"logit_bias": {str(best[0] if best else 0): -100}}
    if not known:
        yield Verdict("UNSUPPORTED", "none", "the servers show to know none of top_k, top_p, min_p, penalties, logit_bias")
        return
    yield from compared(talk, session, {name: Ask(talk.prompts[0], more=more) for name, more in known.items()})
