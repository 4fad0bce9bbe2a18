"""Many requests at once, and clients that go away: nobody may get another's tokens, coins or
place.
"""

from collections.abc import Iterator

from ..client import FLIGHT, RefusedError
from ..dialect import Answer, Ask
from ..server_pair import Endpoint, ServerPair
from ..session import MisbehavedError, Session
from ..verdict import Verdict
from .http_asks import asks, diverged, so_far, tied, wishes

_ROUNDS = 3
_SEEDED = 8  # tokens of a seeded text


def _own(server_pair: ServerPair) -> list[Ask]:
    """32 questions with fixed answers, as many of them different as there are prompts: greedy, and
    seeded if seeds work.
    """
    prompts = [
        *server_pair.prompts,
        *(p[:cut] for p in server_pair.prompts for cut in (2, 4, 6) if len(p) > cut),
    ]
    asked = [Ask(prompt, 12, 0.0) for prompt in dict.fromkeys(prompts)]
    if server_pair.offers("seed"):
        asked = [
            ask
            for i, a in enumerate(asked)
            for ask in (a, Ask(a.prompt, _SEEDED, 1.0, server_pair.seed("own", i)))
        ]
    return (asked * FLIGHT)[:FLIGHT]


def _together(
    server_pair: ServerPair, side: Endpoint, asked: list[Ask], number: int
) -> list[Answer]:
    """The answers to all of these at once, with as many sampled requests of no account among them,
    whose parameters must not be theirs."""
    others = [{}, *server_pair.session.once("http wishes", lambda: wishes(server_pair)).values()]
    noise = [
        Ask(ask.prompt, 1 + (number + i) % 12, 1.0 + i % 2, more=others[(number + i) % len(others)])
        for i, ask in enumerate(asked)
    ]
    mixed = [ask for pair in zip(asked, noise) for ask in pair]
    return side.ask_all(mixed)[::2]


def _differing(
    server_pair: ServerPair, side: Endpoint, asked: list[Ask], alone: list[Answer], number: int
) -> list[tuple[int, Answer]]:
    """Which answers are others in company than alone; ties of greedy texts are none."""
    found = []
    for i, answer in enumerate(_together(server_pair, side, asked, number)):
        right, mine = server_pair.units(alone[i]), server_pair.units(answer)
        at = diverged(right, mine)
        if at is not None and not (
            asked[i].temperature == 0 and tied(server_pair, asked[i], right, at, mine)
        ):
            found.append((i, answer))
    return found


@asks("http.concurrency")
def http_concurrency(server_pair: ServerPair, session: Session) -> Iterator[Verdict]:
    """With 32 requests in flight, does each get the answer that it gets alone?

    Greedy and seeded texts among sampled ones of other lengths and parameters. An answer that is
    another prompt's is a mix-up. Seeded texts may part where a batch rounds otherwise: if the
    baseline's do too, it is not held against the server, nor is a single one without a baseline.
    """
    asked = _own(server_pair)
    alone = [server_pair.server.ask(ask) for ask in asked]
    tried, parted = 0, 0
    for number in range(_ROUNDS):
        found = _differing(server_pair, server_pair.server, asked, alone, number)
        tried += len(asked)
        for i, answer in found:
            ask, others = (
                asked[i],
                {alone[j].text for j in range(len(asked)) if asked[j] != asked[i]},
            )
            if answer.text in others or ask.temperature == 0:
                what = "another request's text" if answer.text in others else f"{answer.text!r}"
                yield Verdict(
                    "FAIL",
                    what=(
                        f"with {FLIGHT} requests in flight an answer is {what}, alone it is "
                        f"{alone[i].text!r}"
                    ),
                    case=str(ask),
                    n=tried,
                    cause=(
                        "requests share a slot, a buffer or the parameters of the batch's first row"
                    ),
                )
                return
        parted += len(found)
        if (
            parted
            and (server_pair.baseline or parted > tried / 8)
            and not _baseline_parts(server_pair, session, asked)
        ):
            ask, answer = asked[found[0][0]], found[0][1]
            yield Verdict(
                "FAIL",
                what=(
                    f"{parted} of {tried} seeded texts are others with {FLIGHT} in flight: "
                    f"{answer.text!r}, alone {alone[found[0][0]].text!r}"
                ),
                case=str(ask),
                n=tried,
                cause="a request's coins depend on its batch",
            )
            return
        said = f"{tried} answers" + (
            f"; {parted} seeded ones differ, as rounding may do" if parted else ""
        )
        yield so_far(0 if parted else number + 1, _ROUNDS, said, tried)


def _baseline_parts(server_pair: ServerPair, session: Session, asked: list[Ask]) -> bool:
    """Whether the baseline's own seeded texts depend on the company."""
    if server_pair.baseline is None:
        return False
    side = server_pair.baseline
    return bool(
        session.once(
            "http baseline parts",
            lambda: bool(_differing(server_pair, side, asked, [side.ask(ask) for ask in asked], 0)),
        )
    )


@asks("http.disconnect")
def http_disconnect(server_pair: ServerPair, session: Session) -> Iterator[Verdict]:
    """When clients hang up in the middle, are the others still served?

    Eight hang up before the answer, eight after a stream's first event, among requests that stay;
    then 32 requests at once must get the answers they got before.
    """
    side = server_pair.server
    asked = _own(server_pair)
    before = [side.ask(ask) for ask in asked]
    long = side.dialect.body(Ask(server_pair.prompts[0], 24, 1.0))
    with session.calling("requests whose clients hang up"):
        for _ in range(8):
            side.client.drop(side.dialect.path, long)
        streamed = 0
        for result in side.client.many(
            lambda body: side.client.stream(side.dialect.path, body, 1),
            [{**long, "stream": True}] * 8,
        ):
            if isinstance(result, MisbehavedError) and not isinstance(result, RefusedError):
                raise result
            streamed += not isinstance(result, MisbehavedError)
    found = _differing(server_pair, side, asked, before, 0)
    if len(found) > len(asked) / 8:
        i, answer = found[0]
        yield Verdict(
            "FAIL",
            what=(
                f"after clients hung up, {len(found)} of {len(asked)} answers are others: "
                f"{answer.text!r}, before {before[i].text!r}"
            ),
            case=str(asked[i]),
            n=len(asked),
        )
        return
    yield Verdict(
        "PASS",
        what=f"{8 + streamed} clients hung up, {len(asked)} others were served",
        n=8 + streamed,
    )
