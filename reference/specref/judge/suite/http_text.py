"""Texts that are known token for token: greedy ones, and seeded ones asked for again in another
way.
"""

from collections.abc import Iterator

from ..client import RefusedError
from ..dialect import Answer, Ask
from ..server_pair import ServerPair
from ..session import Session
from ..verdict import Verdict
from .http_asks import asks, diverged, so_far, spelled, tied

_LONG = 24  # tokens of a greedy text
_MOST = 9  # a draft is at most this long


@asks("http.greedy", baseline=True, distribution=True)
def http_greedy(server_pair: ServerPair, session: Session) -> Iterator[Verdict]:
    """Is the text at temperature 0 the baseline's, token for token?

    All prompts in flight together: what the server wrote itself, some repeating themselves so that
    lookup drafters draft. Where the texts part, the baseline draws there at temperature .1: if the
    server's token comes up too, it is a tie of floating-point numbers and is reported apart. A
    difference below a gap of .1 nats is not seen.
    """
    assert server_pair.baseline is not None
    asked = [Ask(prompt, _LONG, 0.0) for prompt in server_pair.prompts]
    tokens, ties = 0, list[str]()
    answers = [map(server_pair.units, side.ask_all(asked)) for side in server_pair.sides]
    for number, (ask, mine, right) in enumerate(zip(asked, *answers), 1):
        at = diverged(right, mine)
        tokens += len(right) if at is None else at
        if at is None:
            continue
        tie = tied(server_pair, ask, right, at, mine)
        if not tie:
            yield Verdict(
                "FAIL",
                what=(
                    f"token {at + 1} is {_at(mine, at)} and the baseline's is {_at(right, at)}, "
                    f"after {spelled(right[:at]) or 'the prompt'}"
                ),
                case=str(ask),
                n=number,
                cause=(
                    "the draft's token is kept where the target's argmax is another, or a rejected"
                    " token stays in the cache"
                ),
            )
            return
        ties.append(tie)
    yield Verdict(
        "PASS" if tokens else "INCONCLUSIVE",
        what=f"{tokens} tokens of {len(asked)} prompts"
        + (f"; {len(ties)} part at {ties[0]}" if ties else ""),
        n=len(asked),
    )


def _at(units: tuple, at: int) -> str:
    return repr(units[at]) if at < len(units) else "missing"


def _known(server_pair: ServerPair, length: int, what: str) -> list[tuple[Ask, Answer]]:
    """Questions whose answers are fixed, with the server's own: greedy, and seeded where seeds
    work; four of each.
    """
    prompts = (server_pair.prompts * 4)[:4]
    asked = [Ask(prompt, length, 0.0) for prompt in prompts]
    if server_pair.offers("seed"):
        asked += [
            Ask(prompt, length, 1.0, server_pair.seed(what, i)) for i, prompt in enumerate(prompts)
        ]
    return [(ask, server_pair.server.ask(ask)) for ask in asked]


@asks("http.max-tokens")
def http_max_tokens(server_pair: ServerPair, session: Session) -> Iterator[Verdict]:
    """Does a text have as many tokens as asked for, 1 to 9, and are they the same tokens?

    Greedy texts of every length against the longest one's beginning, and their finish reason; of
    seeded texts the length alone, since the length may change how much is drafted. Without token
    ids lengths are seen through the server's own count.
    """
    tried, known = 0, _known(server_pair, _MOST + 3, "max-tokens")
    for part, (ask, whole) in enumerate(known, 1):
        full = server_pair.units(whole)
        most = min(_MOST, len(full) - 1) if server_pair.ids else _MOST
        for length in range(1, most + 1):
            answer = server_pair.server.ask(ask.but(max_tokens=length))
            units, case, tried = (
                server_pair.units(answer),
                str(ask.but(max_tokens=length)),
                tried + 1,
            )
            count = len(units) if server_pair.ids else answer.count
            wrong = ""
            if (
                count is not None
                and count != length
                and not (count < length and answer.finish == "stop")
            ):
                wrong = f"{count} tokens come back for max_tokens {length}"
            elif (
                ask.temperature == 0
                and answer.finish != "length"
                and count == length
                and whole.finish == "length"
            ):
                wrong = f"a text cut at max_tokens has the finish reason {answer.finish!r}"
            elif (
                ask.temperature == 0
                and units != full[: len(units)]
                and not tied(
                    server_pair, ask, full, diverged(full[: len(units)], units) or 0, units
                )
            ):
                wrong = (
                    f"the text {spelled(units)} is no beginning of the longer one {spelled(full)}"
                )
            if wrong:
                yield Verdict(
                    "FAIL",
                    what=wrong,
                    case=case,
                    n=tried,
                    cause="lengths are looked at once a block, not once a token",
                )
                return
        if part % 4 == 0:
            yield so_far(part, len(known), f"{tried} texts of 1 to {_MOST} tokens", tried)


@asks("http.stop", offers=("stop",))
def http_stop(server_pair: ServerPair, session: Session) -> Iterator[Verdict]:
    """Does a text end at its stop string, wherever in a draft that falls?

    Every offset of a known text, greedy and seeded, gives a stop of one to three characters, alone
    or behind another that never comes; the text must be the one before the string's first place,
    with or without it, and the finish reason "stop". A stop that never comes must change nothing.
    """
    tried, known = 0, _known(server_pair, _MOST + 3, "stop")
    for part, (ask, whole) in enumerate(known, 1):
        text = whole.text
        never = 2 * text  # longer than any text of this length
        # half a letter
        words = [
            word for at in range(len(text)) if "\ufffd" not in (word := text[at : at + 1 + at % 3])
        ]
        for number, word in enumerate(dict.fromkeys(filter(None, [*words, never]))):
            answer, tried = (
                server_pair.server.ask(ask.but(stop=(never,) * (number % 2) + (word,))),
                tried + 1,
            )
            at = text.find(word)
            wrong = ""
            if at < 0:
                if answer.text != text:
                    wrong = (
                        f"a stop that never comes changes the text from {text!r} to {answer.text!r}"
                    )
            elif answer.text not in (text[:at], text[: at + len(word)]):
                wrong = f"with the stop {word!r} the text is {answer.text!r}, not {text[:at]!r}"
            elif answer.finish != "stop":
                wrong = (
                    f"a text that ends at its stop {word!r} has the finish reason {answer.finish!r}"
                )
            if wrong:
                yield Verdict(
                    "FAIL",
                    what=wrong,
                    case=str(ask),
                    n=tried,
                    cause="stops are looked for at the end of a block, or inside one block only",
                )
                return
        if part % 4 == 0:
            yield so_far(part, len(known), f"{tried} stops", tried)


@asks("http.stream")
def http_stream(server_pair: ServerPair, session: Session) -> Iterator[Verdict]:
    """Is a streamed text the text that comes at once, to its end?

    Greedy and seeded, and with a stop where those are known; events of several tokens are put
    together. Text, token ids and finish reason must be the same. Times between events are not
    looked at.
    """
    known = _known(server_pair, _LONG, "stream")
    if server_pair.offers("stop"):
        middles = [(ask, whole.text[len(whole.text) // 2 :][:2]) for ask, whole in known]
        known += [
            (cut, server_pair.server.ask(cut))
            for ask, word in middles
            if word and "\ufffd" not in word
            for cut in (ask.but(stop=(word,)),)
        ]
    for tried, (ask, whole) in enumerate(known, 1):
        try:
            answer = server_pair.server.stream(ask)
        except RefusedError as error:
            yield Verdict("UNSUPPORTED", "none", f"no streams: {error}")
            return
        if answer.text != whole.text:
            yield Verdict(
                "FAIL",
                what=f"streamed, the text is {answer.text!r}; at once it is {whole.text!r}",
                case=str(ask),
                n=tried,
                cause=(
                    "text behind a stop is sent before the stop is seen"
                    if ask.stop
                    else "an event keeps one token of a step that gave several"
                ),
            )
            return
        both: dict[str, tuple[object, object]] = {"finish reason": (answer.finish, whole.finish)}
        # the ids of a stop may be left out
        if not ask.stop and answer.tokens is not None and whole.tokens is not None:
            both["token ids"] = answer.tokens, whole.tokens
        for what, (streamed, right) in both.items():
            if streamed != right:
                yield Verdict(
                    "FAIL",
                    what=f"the {what} of {whole.text!r}: streamed {streamed}, at once {right}",
                    case=str(ask),
                    n=tried,
                )
                return
    yield Verdict("PASS", what=f"{len(known)} texts", n=len(known))
