"""The probabilities that a server reports: against the baseline's, and against what it draws
itself.
"""

import math
from collections.abc import Iterator

from ..dialect import Ask
from ..prefixes import TEXT_END, JoinedProcesses, Known, Units, frequent
from ..server_pair import Endpoint, ServerPair
from ..session import MisbehavedError, Session
from ..verdict import Verdict
from .http_asks import asks
from .http_distribution import EXPLORED, LARGEST, LENGTH, SMALLEST, drawn, verdict

_OFF = 0.1  # nats; a 16-bit engine's own numbers differ by half of it from batch to batch
_ALTERNATIVES = (20, 5, 2)  # how many a server may be willing to name
_FINE = 0.02  # numbers of 16 bits are not exact enough to be tested for less


@asks("http.logprobs", offers=("logprobs",))
def logprobs(server_pair: ServerPair, session: Session) -> Iterator[Verdict]:
    """Are the reported logprobs possible, and the baseline's?

    Greedy texts: one finite number of at most 0 for each token, and the baseline's number within .1
    where the baseline wrote the same text so far. Then sampled texts, each token's number against
    the baseline's own after the same tokens, where ids go in and the baseline names that token
    among its alternatives. Without a baseline only impossible numbers are seen.
    """
    tried, largest = 0, 0.0
    for prompt in server_pair.prompts:
        ask = Ask(prompt, 12, 0.0, logprobs=2)
        mine = server_pair.server.ask(ask)
        right = server_pair.baseline.ask(ask) if server_pair.baseline else mine
        if mine.logprobs is None and prompt == server_pair.prompts[0] and not server_pair.declared:
            yield Verdict(
                "UNSUPPORTED", "none", "the server reports no logprobs, though the baseline does"
            )
            return
        if mine.logprobs is None or right.logprobs is None:
            raise MisbehavedError(f"logprobs come back for other requests, and not for {ask}")
        if mine.tokens is not None and len(mine.logprobs) != len(mine.tokens):
            raise MisbehavedError(
                f"{len(mine.logprobs)} logprobs for {len(mine.tokens)} tokens, for {ask}"
            )
        for i, value in enumerate(mine.logprobs):
            if not math.isfinite(value) or value > 1e-4:
                yield Verdict(
                    "FAIL", what=f"token {i + 1} has the logprob {value}", case=str(ask), n=tried
                )
                return
        pairs = list(
            zip(server_pair.units(mine), server_pair.units(right), mine.logprobs, right.logprobs)
        )
        for i, (ours, theirs, value, wanted) in enumerate(pairs if server_pair.baseline else ()):
            if ours != theirs:
                break
            tried, largest = tried + 1, max(largest, abs(value - wanted))
            if not abs(value - wanted) <= _OFF:
                yield Verdict(
                    "FAIL",
                    what=(
                        f"token {i + 1} has the logprob {value:.4f}, without speculation"
                        f" {wanted:.4f}"
                    ),
                    case=str(ask),
                    n=tried,
                    cause="the logprob is taken from another row, or left at 0",
                )
                return
    for ask, i, value, wanted in _sampled(server_pair):
        tried, largest = tried + 1, max(largest, abs(value - wanted))
        if not abs(value - wanted) <= _OFF:
            yield Verdict(
                "FAIL",
                what=(
                    f"token {i + 1} of a sampled text has the logprob {value:.4f}, without"
                    f" speculation {wanted:.4f}"
                ),
                case=str(ask),
                n=tried,
                cause="the logprob is the draft's, or another row's",
            )
            return
    if server_pair.baseline and not tried:
        yield Verdict("INCONCLUSIVE", what="no two texts begin alike: http.greedy says why")
        return
    yield Verdict(
        "PASS",
        what=(
            f"{tried} logprobs, off by {largest:.1e} at most"
            if server_pair.baseline
            else "all are possible; no baseline to compare with"
        ),
        n=tried,
    )


def _sampled(server_pair: ServerPair) -> Iterator[tuple[Ask, int, float, float]]:
    """Questions, places in their sampled texts, the logprob reported there, and the baseline's
    after the same tokens.
    """
    if server_pair.baseline is None or not server_pair.ids:
        return
    for prompt in server_pair.prompts[:4]:
        for ask in server_pair.seeded(Ask(prompt, 6, logprobs=2), 2, "logprobs", prompt):
            mine = server_pair.server.ask(ask)
            for i, (token, value) in enumerate(zip(mine.tokens or (), mine.logprobs or ())):
                distribution = _reported(
                    server_pair, ask, (mine.tokens or ())[:i], server_pair.baseline
                )
                if token in distribution:
                    yield ask, i, value, math.log(distribution[token])


@asks("http.own-law", offers=("sampling", "logprobs"), distribution=True, statistical=True)
def own_distribution(server_pair: ServerPair, session: Session) -> Iterator[Verdict]:
    """Do sampled tokens follow the probabilities that the server itself reports?

    Needs no baseline: the first token, and each next one after every frequent beginning, against
    the logprobs that the server gives for it at temperature 1, likely tokens one by one and all
    others together. Wrong draws with logprobs that are wrong alike are not seen. Stops at a TV of
    .02, since numbers of 16 bits differ from batch to batch.
    """
    ask = Ask(server_pair.prompts[0])
    ends: set = set()
    explored = _spoken(
        drawn(server_pair, server_pair.server, {"own": ask}, EXPLORED, "explored")["own"], ends
    )
    at = {
        prefix: Known(prefix, distribution)
        for prefix in frequent(explored)
        if prefix[-1:] not in ends
        and (distribution := _reported(server_pair, ask, prefix, server_pair.server))
    }
    if () not in at:
        yield Verdict("UNSUPPORTED", "none", "no logprobs by token id come back")
        return
    test = JoinedProcesses(at, session.alpha())
    while not test.rejected and test.mde > max(session.goal, _FINE):
        size = min(max(SMALLEST, test.n // 4), LARGEST)
        test.update(
            _spoken(drawn(server_pair, server_pair.server, {"own": ask}, size, test.n)["own"], ends)
        )
        if len(ends) > 1:
            yield Verdict(
                "UNSUPPORTED",
                "none",
                "texts end and their end token is not shown: its share is not known",
            )
            return
        yield verdict(test, "reported", ask.but(max_tokens=LENGTH))


def _spoken(texts: list[Units], ends: set) -> list[Units]:
    """The texts without END; the last tokens of those that ended go to `ends`: one, if the end
    token is shown.
    """
    ends.update(text[-2:-1] for text in texts if text[-1] == TEXT_END)
    return [text[:-1] if text[-1] == TEXT_END else text for text in texts]


def _reported(server_pair: ServerPair, ask: Ask, prefix: Units, side: Endpoint) -> dict[int, float]:
    """The reported distribution of the next token, as far as that side names it; {}: it doesn't."""
    prompt = server_pair.longer(ask.prompt, prefix)
    if prompt is None or not server_pair.ids:
        return {}
    for count in _ALTERNATIVES:
        try:
            tops = side.ask(ask.but(prompt=prompt, max_tokens=1, logprobs=count)).tops
        except MisbehavedError:
            continue
        distribution = {
            key: math.exp(value)
            for key, value in (tops[0] if tops else {}).items()
            if isinstance(key, int)
        }
        return distribution if sum(distribution.values()) < 1.001 else {}
    return {}
