"""What a server of completions must do before any distribution is asked for: answer, count, refuse,
and show that it speculates.
"""

import json
from collections.abc import Iterator
from typing import Any

from ..client import RefusedError
from ..contract import Server
from ..dialect import Ask
from ..server_pair import Endpoint, ServerPair
from ..session import MisbehavedError, Session
from ..verdict import Verdict
from . import check
from .http_asks import asks, reached

_WORDS = ("draft", "spec_", "specul", "accept")  # in the names of counters


@check("http.reachable")
def http_reachable(server: Server, session: Session) -> Iterator[Verdict]:
    """Does a server answer at the address, and the baseline at its own?

    Finds out which dialect each speaks and whether token ids go in and come out. Without ids, texts
    are compared by their characters, which sees less.
    """
    server_pair = reached(server, session)
    said = ", ".join(f"{side.name} speaks {side.dialect.name}" for side in server_pair.sides)
    yield Verdict(
        "PASS",
        what=(
            f"{said};"
            f" {'token ids come back' if server_pair.ids else 'text only, compared by characters'}"
            f"{'' if server_pair.baseline else '; no baseline'}"
        ),
        n=len(server_pair.sides),
    )


@asks("http.counts")
def http_counts(server_pair: ServerPair, session: Session) -> Iterator[Verdict]:
    """Do the counts of tokens, drafts and accepted drafts fit the text?

    Completion tokens against the ids that came back, also where a stop of one character cuts them;
    accepted at most drafted and at most the text's length. Counts that are wrong but possible are
    not seen.
    """
    asked = [
        ask
        for prompt in server_pair.prompts
        for ask in (Ask(prompt, 9, 0.0), *server_pair.seeded(Ask(prompt, 9), 4, "counts", prompt))
    ]
    if server_pair.offers("stop"):
        texts = [
            (ask, answer.text) for ask, answer in zip(asked, server_pair.server.ask_all(asked))
        ]
        asked += [
            ask.but(stop=(text[len(text) // 2],))
            for ask, text in texts
            if text and "\ufffd" not in text
        ]
    known = 0
    for ask, answer in zip(asked, server_pair.server.ask_all(asked)):
        case = str(ask)
        length = None if answer.tokens is None else len(answer.tokens)
        known += answer.count is not None or answer.drafted is not None
        # A server may count the end token that it does not show.
        if (
            length is not None
            and answer.count is not None
            and answer.count - length not in (0, answer.finish == "stop")
        ):
            yield Verdict(
                "FAIL",
                what=f"counts {answer.count} completion tokens and returns {length}",
                case=case,
                n=known,
                cause="counts steps or whole blocks, not tokens",
            )
            return
        if answer.accepted is not None and answer.accepted > (answer.drafted or 0):
            yield Verdict(
                "FAIL",
                what=f"accepts {answer.accepted} of {answer.drafted or 0} drafted tokens",
                case=case,
                n=known,
                cause="counts the bonus token as accepted",
            )
            return
        if (
            answer.accepted is not None
            and answer.count is not None
            and answer.accepted > answer.count
        ):
            yield Verdict(
                "FAIL",
                what=f"accepts {answer.accepted} drafted tokens in a text of {answer.count}",
                case=case,
                n=known,
                cause="counts past the text's end",
            )
            return
    yield (
        Verdict("PASS", what=f"{known} answers' counts", n=known)
        if known
        else Verdict("UNSUPPORTED", "none", "no counts come back")
    )


@asks("http.speculation")
def http_speculation(server_pair: ServerPair, session: Session) -> Iterator[Verdict]:
    """Is it seen that the server speculates?

    By counts of drafted tokens in its answers, or counters of /metrics that rise. A server without
    either is judged on its texts alone, and this says UNVERIFIED.
    """
    before = _counters(server_pair.server)
    asked = [
        ask for prompt in server_pair.prompts for ask in (Ask(prompt, 12, 0.0), Ask(prompt, 12))
    ]
    answers = server_pair.server.ask_all(asked)
    drafted = sum(answer.drafted or 0 for answer in answers)
    accepted = sum(answer.accepted or 0 for answer in answers)
    after = _counters(server_pair.server)
    rose = [name for name in after if after[name] > before.get(name, after[name])]
    if drafted:
        yield Verdict(
            "PASS",
            what=f"{drafted} tokens drafted and {accepted} accepted in {len(answers)} answers",
            n=len(answers),
        )
    elif rose:
        yield Verdict(
            "PASS",
            what=(
                f"{rose[0]} rose by {after[rose[0]] - before[rose[0]]:g} in {len(answers)} answers"
            ),
            n=len(answers),
        )
    else:
        yield Verdict(
            "UNVERIFIED",
            what="neither the answers nor /metrics count a drafted token",
            n=len(answers),
        )


def _counters(side: Endpoint) -> dict[str, float]:
    try:
        lines = side.client.get("/metrics").decode(errors="replace").splitlines()
    except MisbehavedError:
        return {}
    found: dict[str, float] = {}
    for line in lines:
        name, _, value = line.rpartition(" ")
        if not line.startswith("#") and any(word in name for word in _WORDS):
            try:
                found[name] = float(value)
            except ValueError:
                continue
    return found


@asks("http.errors")
def http_errors(server_pair: ServerPair, session: Session) -> Iterator[Verdict]:
    """Is a bad request refused with 4xx, and a good one served after it?

    No prompt, a length and a temperature that are words, a token id that no vocabulary has: JSON
    each, and read by the server, so that answering as if it were good means that what was asked for
    is not looked at, and 5xx that an error went unseen up to the top.
    """
    side, good = server_pair.server, Ask(server_pair.prompts[0], 4, 0.0)
    path, body = side.dialect.path, side.dialect.body(good)
    length = "max_tokens" if "max_tokens" in body else "n_predict"
    bad: dict[str, Any] = {
        "no prompt": {k: v for k, v in body.items() if k != "prompt"},
        f"{length} 'many'": {**body, length: "many"},
        "temperature 'hot'": {**body, "temperature": "hot"},
    }
    if server_pair.ids_in():
        bad["token id 2^40"] = {**body, "prompt": [1 << 40]}
    for number, (name, sent) in enumerate(bad.items(), 1):
        with session.calling(f"a bad request: {name}"):
            try:
                side.client.post(path, sent)
                said = "is answered as if it were good"
            except RefusedError as error:
                said = "" if error.status < 500 else f"gets HTTP {error.status}"
            except MisbehavedError as error:
                said = f"gets no answer: {error}"
        if said:
            yield Verdict(
                "FAIL", what=f"a request with {name} {said}: refuse it with 4xx", n=number
            )
            return
        side.ask(good)  # or raises
    yield Verdict(
        "PASS", what=f"{len(bad)} bad requests refused, and good ones served after them", n=len(bad)
    )


@asks("http.malformed")
def http_malformed(server_pair: ServerPair, session: Session) -> Iterator[Verdict]:
    """Does a body that is no JSON get an answer other than text, and a good request one after it?

    A text, a connection that closes without an answer, silence, and a good request that is not
    served afterwards are failures. Which status says no is not: servers hand broken JSON to the
    framework below them, some get 500 back or 200 with an error in it, and neither touches any
    distribution. 4xx passes; another status is UNSUPPORTED, and named.
    """
    side, good = server_pair.server, Ask(server_pair.prompts[0], 4, 0.0)
    status, said = 200, ""
    with session.calling("a bad request: no JSON"):
        try:
            if _text(side, side.client.send(side.dialect.path, b'{"prompt": ')):
                said = "is answered with a text"
        except RefusedError as error:
            status = error.status
        except MisbehavedError as error:
            said = f"gets no answer: {error}"
    if said:
        yield Verdict(
            "FAIL", what=f"a request whose body is no JSON {said}: refuse it with 400", n=1
        )
        return
    side.ask(good)  # or raises
    if 400 <= status < 500:
        yield Verdict(
            "PASS", what=f"refused with HTTP {status}, and a good request served after it", n=1
        )
    else:
        yield Verdict(
            "UNSUPPORTED",
            "none",
            f"a body that is no JSON gets HTTP {status} and no text, where 400 is usual",
        )


def _text(side: Endpoint, data: bytes) -> bool:
    """Whether an answer holds text or tokens."""
    try:
        answer = side.dialect.read(json.loads(data))
    except (MisbehavedError, AttributeError, TypeError, KeyError, IndexError, ValueError):
        return False
    return bool(answer.text or answer.tokens)
