"""The probabilities that a server reports: against the baseline's, and against what it draws itself."""

import math
from collections.abc import Iterator

from ..dialect import Ask
from ..prefixes import END, Known, Text, Together, frequent
from ..session import MisbehavedError, Session
from ..talk import Side, Talk
from ..verdict import Verdict
from .http_asks import asks
from .http_law import EXPLORED, LARGEST, LENGTH, SMALLEST, drawn, verdict

OFF = 0.1  # nats; a 16-bit engine's own numbers differ by half of it from batch to batch
ALTERNATIVES = (20, 5, 2)  # how many a server may be willing to name
FINE = 0.02  # numbers of 16 bits are not exact enough to be tested for less


@asks("http.logprobs", offers=("logprobs",))
def logprobs(talk: Talk, session: Session) -> Iterator[Verdict]:
    """Are the reported logprobs possible, and the baseline's?

    Greedy texts: one finite number of at most 0 for each token, and the baseline's number within .1 where the baseline
    wrote the same text so far. Then sampled texts, each token's number against the baseline's own after the same tokens,
    where ids go in and the baseline names that token among its alternatives. Without a baseline only impossible numbers are
    seen.
    """
    tried, largest = 0, 0.0
    for prompt in talk.prompts:
        ask = Ask(prompt, 12, 0.0, logprobs=2)
        mine = talk.server.ask(ask)
        right = talk.baseline.ask(ask) if talk.baseline else mine
        if mine.logprobs is None and prompt == talk.prompts[0] and not talk.declared:
            yield Verdict("UNSUPPORTED", "none", "the server reports no logprobs, though the baseline does")
            return
        if mine.logprobs is None or right.logprobs is None:
            raise MisbehavedError(f"logprobs come back for other requests, and not for {ask}")
        if mine.tokens is not None and len(mine.logprobs) != len(mine.tokens):
            raise MisbehavedError(f"{len(mine.logprobs)} logprobs for {len(mine.tokens)} tokens, for {ask}")
        for i, value in enumerate(mine.logprobs):
            if not math.isfinite(value) or value > 1e-4:
                yield Verdict("FAIL", what=f"token {i + 1} has the logprob {value}", case=str(ask), n=tried)
                return
        pairs = list(zip(talk.units(mine), talk.units(right), mine.logprobs, right.logprobs))
        for i, (ours, theirs, value, wanted) in enumerate(pairs if talk.baseline else ()):
            if ours != theirs:
                break
            tried, largest = tried + 1, max(largest, abs(value - wanted))
            if not abs(value - wanted) <= OFF:
                yield Verdict("FAIL", what=f"token {i + 1} has the logprob {value:.4f}, without speculation {wanted:.4f}",
                              case=str(ask), n=tried, cause="the logprob is taken from another row, or left at 0")
                return
    for ask, i, value, wanted in _sampled(talk):
        tried, largest = tried + 1, max(largest, abs(value - wanted))
        if not abs(value - wanted) <= OFF:
            yield Verdict("FAIL", what=f"token {i + 1} of a sampled text has the logprob {value:.4f}, without speculation "
                          f"{wanted:.4f}", case=str(ask), n=tried, cause="the logprob is the draft's, or another row's")
            return
    if talk.baseline and not tried:
        yield Verdict("INCONCLUSIVE", what="no two texts begin alike: http.greedy says why")
        return
    yield Verdict("PASS", what=f"{tried} logprobs, off by {largest:.1e} at most" if talk.baseline else
                  "all are possible; no baseline to compare with", n=tried)


def _sampled(talk: Talk) -> Iterator[tuple[Ask, int, float, float]]:
    """Questions, places in their sampled texts, the logprob reported there, and the baseline's after the same tokens."""
    if talk.baseline is None or not talk.ids:
        return
    for prompt in talk.prompts[:4]:
        for ask in talk.seeded(Ask(prompt, 6, logprobs=2), 2, "logprobs", prompt):
            mine = talk.server.ask(ask)
            for i, (token, value) in enumerate(zip(mine.tokens or (), mine.logprobs or ())):
                law = _reported(talk, ask, (mine.tokens or ())[:i], talk.baseline)
                if token in law:
                    yield ask, i, value, math.log(law[token])


@asks("http.own-law", offers=("sampling", "logprobs"), law=True, statistical=True)
def own_law(talk: Talk, session: Session) -> Iterator[Verdict]:
    """Do sampled tokens follow the probabilities that the server itself reports?

    Needs no baseline: the first token, and each next one after every frequent beginning, against the logprobs that the
    server gives for it at temperature 1, likely tokens one by one and all others together. Wrong draws with logprobs that
    are wrong alike are not seen. Stops at a TV of .02, since numbers of 16 bits differ from batch to batch.
    """
    ask = Ask(talk.prompts[0])
    ends: set = set()
    explored = _spoken(drawn(talk, talk.server, {"own": ask}, EXPLORED, "explored")["own"], ends)
    at = {prefix: Known(prefix, law) for prefix in frequent(explored)
          if prefix[-1:] not in ends and (law := _reported(talk, ask, prefix, talk.server))}
    if () not in at:
        yield Verdict("UNSUPPORTED", "none", "no logprobs by token id come back")
        return
    test = Together(at, session.alpha())
    while not test.rejected and test.mde > max(session.goal, FINE):
        size = min(max(SMALLEST, test.n // 4), LARGEST)
        test.update(_spoken(drawn(talk, talk.server, {"own": ask}, size, test.n)["own"], ends))
        if len(ends) > 1:
            yield Verdict("UNSUPPORTED", "none", "texts end and their end token is not shown: its share is not known")
            return
        yield verdict(test, "reported", ask.but(max_tokens=LENGTH))


def _spoken(texts: list[Text], ends: set) -> list[Text]:
    """The texts without END; the last tokens of those that ended go to `ends`: one, if the end token is shown."""
    ends.update(text[-2:-1] for text in texts if text[-1] == END)
    return [text[:-1] if text[-1] == END else text for text in texts]


def _reported(talk: Talk, ask: Ask, prefix: Text, side: Side) -> dict[int, float]:
    """The reported law of the next token, as far as that side names it; {}: it doesn't."""
    prompt = talk.longer(ask.prompt, prefix)
    if prompt is None or not talk.ids:
        return {}
    for count in ALTERNATIVES:
        try:
            tops = side.ask(ask.but(prompt=prompt, max_tokens=1, logprobs=count)).tops
        except MisbehavedError:
            continue
        law = {key: math.exp(value) for key, value in (tops[0] if tops else {}).items() if isinstance(key, int)}
        return law if sum(law.values()) < 1.001 else {}
    return {}
