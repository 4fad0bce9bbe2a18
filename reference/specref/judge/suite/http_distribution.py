"""The distribution of sampled texts: the server against the same target without speculation, draw
for draw.
"""

import functools
from collections.abc import Callable, Iterator
from dataclasses import replace

from torch import Tensor

from ..dialect import Ask
from ..prefixes import Conditional, JoinedProcesses, Known, Prefixes, Units
from ..server_pair import Endpoint, ServerPair
from ..session import Session
from ..verdict import Picture, Verdict, worst
from .http_asks import asks, repeating, spelled, wishes

LENGTH = 5  # tokens of a text: a whole draft and its bonus, for most servers
EXPLORED = 96  # texts of each side that choose prefixes and outcomes
SMALLEST, LARGEST = 64, 512  # texts of each side in a slice; it grows with the texts so far
_PROMPTS = 2
_PLAN = 0.05  # the TV to be sharpest for


_Drawn = dict[str, list[Units]]


def drawn(
    server_pair: ServerPair, side: Endpoint, cases: dict[str, Ask], count: int, *what: object
) -> _Drawn:
    """Outcomes of `count` requests a case, one case after the other, seeded where seeds are
    taken.
    """
    return {
        name: [
            server_pair.outcome(answer, LENGTH)
            for answer in side.ask_all(
                server_pair.seeded(ask.but(max_tokens=LENGTH), count, side.name, name, *what)
            )
        ]
        for name, ask in cases.items()
    }


def compared(server_pair: ServerPair, session: Session, cases: dict[str, Ask]) -> Iterator[Verdict]:
    """Go on drawing from both servers, one case at a time."""
    yield from _compared(
        server_pair,
        session,
        cases,
        [[name] for name in cases],
        functools.partial(drawn, server_pair),
    )


def compared_together(
    server_pair: ServerPair, session: Session, cases: dict[str, Ask], noise: list[Ask]
) -> Iterator[Verdict]:
    """Go on drawing without seeds, all cases and the noise mixed."""

    def mixed(side: Endpoint, some: dict[str, Ask], count: int, *what: object) -> _Drawn:
        answers = side.ask_all([*some.values(), *noise] * count)
        step = len(some) + len(noise)
        return {
            name: [server_pair.outcome(answer, LENGTH) for answer in answers[i::step]]
            for i, name in enumerate(some)
        }

    yield from _compared(server_pair, session, cases, [list(cases)], mixed)


def _compared(
    server_pair: ServerPair,
    session: Session,
    cases: dict[str, Ask],
    turns: list[list[str]],
    draws: Callable[..., _Drawn],
) -> Iterator[Verdict]:
    """Until every case has seen the goal. turns: the cases that are drawn together."""
    assert server_pair.baseline is not None
    sides, alpha = (server_pair.server, server_pair.baseline), session.alpha(len(cases))
    tests: dict[str, Prefixes] = {}
    for turn in turns:
        first, second = (
            draws(side, {name: cases[name] for name in turn}, EXPLORED, "explored")
            for side in sides
        )
        tests |= {name: Prefixes(first[name], second[name], alpha, _PLAN) for name in turn}
        yield Verdict(
            "PASS",
            "two-sample e-process",
            "outcomes chosen, nothing tested yet",
            n=0,
            alpha=alpha,
            mde=1.0,
        )
    while any(test.mde > session.goal for test in tests.values()):
        for turn in turns:
            n = tests[turn[0]].n
            size = min(max(SMALLEST, n // 4), LARGEST)
            first, second = (
                draws(side, {name: cases[name] for name in turn}, size // len(turn), n)
                for side in sides
            )
            wrong = [name for name in turn if tests[name].update(first[name], second[name])]
            said = [verdict(test, name, cases[name]) for name, test in tests.items()]
            yield worst(said) or said[0]
            if wrong:
                return


def verdict(test: JoinedProcesses, name: str, ask: Ask) -> Verdict:
    """What a comparison says so far."""
    at = test.worst() if test.rejected else test.at[()]
    finding = at.test.finding()
    said = Verdict(
        "PASS",
        "two-sample e-process" if at.test.arms == 2 else "e-process",
        f"{test.n:,} texts",
        f"{name}: {ask}",
        test.n,
        test.alpha,
        test.mde,
        finding.tv,
        finding.interval,
    )
    if not test.rejected:
        return said
    ours, theirs = _distributions(at)
    cell = int((ours - theirs).abs().argmax())
    place = f"token {len(at.prefix) + 1}" + (f" after {spelled(at.prefix)}" if at.prefix else "")
    other = "without speculation" if at.test.arms == 2 else "by its reported probability"
    return replace(
        said,
        verdict="FAIL",
        cause=_cause(test, at),
        what=(
            f"{place}: {at.names[cell]} comes up in "
            f"{float(ours[cell]):.1%} of {at.test.n:,} texts, {other} in {float(theirs[cell]):.1%}"
        ),
        pictures=(Picture(place, tuple(at.names), tuple(theirs.tolist()), tuple(ours.tolist())),),
    )


def _distributions(at: Conditional | Known) -> tuple[Tensor, Tensor]:
    """The server's distribution after a prefix, and the one to compare with: [K] each."""
    ours = at.test.counts[0] / max(at.test.n, 1)
    return ours, at.test.p if isinstance(at, Known) else at.test.counts[1] / max(at.test.n, 1)


def _cause(test: JoinedProcesses, at: Conditional | Known) -> str:
    ours, theirs = _distributions(at)
    if at.prefix and at.test.finding().tv > 4 * test.at[()].test.finding().tv:
        return (
            "first tokens are right and later ones wrong: the bonus token, the cache after a"
            " rejection, or later rows"
        )
    if (
        float((ours.square().sum() - theirs.square().sum()).abs())
        > float((ours - theirs).abs().sum()) / 4
    ):
        return (
            "sharper or flatter than the target's distribution: draft rows are judged at another"
            " temperature or filter"
        )
    return (
        "tokens that the draft likes come up too often or too rarely: the acceptance or the"
        " residual is not p and q's"
    )


def _plain(server_pair: ServerPair) -> dict[str, Ask]:
    return {
        f"prompt {i}": Ask(prompt) for i, prompt in enumerate(server_pair.prompts[:_PROMPTS], 1)
    }


@asks("http.law", offers=("sampling",), baseline=True, distribution=True, statistical=True)
def distribution(server_pair: ServerPair, session: Session) -> Iterator[Verdict]:
    """Do sampled texts follow the baseline's distribution?

    Texts of five tokens at temperature 1, seeded where seeds are taken, from both servers: the
    first token, and each next one after every frequent beginning. Needs thousands of requests; a
    fault that shows after rare beginnings alone, or later than the fifth token, is not seen.
    """
    yield from compared(server_pair, session, _plain(server_pair))


@asks("http.temperature", offers=("sampling",), baseline=True, distribution=True, statistical=True)
def temperature(server_pair: ServerPair, session: Session) -> Iterator[Verdict]:
    """Does speculation keep the distribution at temperatures other than 1?

    As http.law, at .6 and 1.5: a verifier that forgets the temperature on draft or bonus rows is
    right at 1.
    """
    yield from compared(
        server_pair,
        session,
        {
            f"temperature {t}": Ask(prompt, temperature=t)
            for prompt, t in zip((server_pair.prompts * 2)[1::-1], (0.6, 1.5))
        },
    )


@asks("http.parameters", offers=("sampling",), baseline=True, distribution=True, statistical=True)
def parameters(server_pair: ServerPair, session: Session) -> Iterator[Verdict]:
    """Does speculation keep the distribution under top-k, top-p, min-p, a bias and penalties?

    As http.law, for each parameter that the servers show to know. What both servers do wrong alike
    is not seen.
    """
    known = wishes(server_pair)
    if not known:
        yield Verdict(
            "UNSUPPORTED",
            "none",
            "the servers show to know none of top_k, top_p, min_p, penalties, logit_bias",
        )
        return
    yield from compared(
        server_pair,
        session,
        {name: Ask(repeating(server_pair), more=more) for name, more in known.items()},
    )
