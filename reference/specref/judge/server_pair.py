"""A server, and the same target without speculation beside it, as the checks speak to them."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .client import FLIGHT, Client
from .contract import Server
from .dialect import Answer, Ask, Dialect, Prompt, detect
from .prefixes import TEXT_END, Units
from .session import MisbehavedError, Session

_PIECES = 8  # samples that prompts are cut from
_STARTS: tuple[Prompt, ...] = ("a", "A", "The", (1,), (2,), (5,))
_SEEDS = 1 << 31  # what every server takes


class Endpoint:
    """One of the two servers. session: its clock watches every call."""

    def __init__(self, name: str, url: str, server: Server, session: Session):
        self.name, self.session = name, session
        self.client = Client(url, server.headers, server.timeout)
        with session.calling(f"{name} at {url}: which dialect?"):
            self.dialect: Dialect = detect(self.client, server.model)
        # tokens drafted, by the check that asked; nothing where no answer counts them
        self.drafted: dict[str, int] = {}

    def ask(self, ask: Ask) -> Answer:
        with self.session.calling(f"POST {self.dialect.path} to {self.name}"):
            return self.noted([self.ask_quietly(ask)])[0]

    def ask_all(self, asks: Iterable[Ask]) -> list[Answer]:
        """32 in flight, answers in the order of the questions; the first error is raised when all
        have come back.
        """
        with self.session.calling(f"POST {self.dialect.path} to {self.name}, {FLIGHT} in flight"):
            return self.noted(_good(self.client.many(self.ask_quietly, asks)))

    def stream(self, ask: Ask, events: int | None = None) -> Answer:
        """By stream; events: hang up after so many."""
        with self.session.calling(f"POST {self.dialect.path} to {self.name}, streamed"):
            return self._read(
                lambda: self.dialect.joined(
                    self.client.stream(
                        self.dialect.path, {**self.dialect.body(ask), "stream": True}, events
                    )
                )
            )

    def noted(self, answers: list[Answer]) -> list[Answer]:
        """The same answers; what was drafted for them is counted for the check that runs."""
        if any(answer.drafted is not None for answer in answers):
            check = self.session.check
            self.drafted[check] = self.drafted.get(check, 0) + sum(
                answer.drafted or 0 for answer in answers
            )
        return answers

    def ask_quietly(self, ask: Ask) -> Answer:
        """As `ask`, without a word to the watch and without counts: for series."""
        return self._read(
            lambda: self.dialect.read(self.client.post(self.dialect.path, self.dialect.body(ask)))
        )

    def _read(self, read: Callable[[], Answer]) -> Answer:
        try:
            return read()
        except (AttributeError, TypeError, KeyError, IndexError, ValueError) as error:
            raise MisbehavedError(
                f"{self.name}'s answer has not the form of {self.dialect.name}: "
                f"{type(error).__name__} {error}"
            ) from None


def _good(results: Sequence[Answer | MisbehavedError]) -> list[Answer]:
    for result in results:
        if isinstance(result, MisbehavedError):
            raise result
    return [result for result in results if isinstance(result, Answer)]


class ServerPair:
    """Both servers, whether token ids go in and out of them, and prompts that both understand."""

    def __init__(self, server: Server, session: Session):
        self.session = session
        self.declared = frozenset(server.supports)
        self.server = Endpoint("the server", server.url, server, session)
        self.baseline = (
            Endpoint("the baseline", server.baseline, server, session) if server.baseline else None
        )
        self.draft, self.no_draft = _draft(server, session)  # no_draft: why it is None
        self.sides = [self.server, *([self.baseline] if self.baseline else [])]
        self.trusted = self.baseline or self.server
        self.ids = all(side.dialect.ids for side in self.sides)
        self.takes_seeds = all(
            any(_takes(side, Ask(prompt, 1, seed=1)) for prompt in ("a", (1,)))
            for side in self.sides
        )
        self.prompts = [
            p if isinstance(p, str) else tuple(p) for p in server.prompts
        ] or self._own_prompts()

    def close(self) -> None:
        """Close the connections."""
        for side in (*self.sides, *([self.draft] if self.draft else [])):
            side.client.close()

    def units(self, answer: Answer) -> Units:
        """A text as ids where both servers give them, else as characters."""
        if not self.ids:
            return tuple(answer.text)
        if answer.tokens is None:
            raise MisbehavedError(
                f"token ids came back before, and now the text {answer.text!r} has none"
            )
        return answer.tokens

    def outcome(self, answer: Answer, length: int) -> Units:
        """The first `length` units, and END where the text ends before."""
        units = self.units(answer)[:length]
        return units if len(units) == length else (*units, TEXT_END)

    def longer(self, prompt: Prompt, units: Units) -> Prompt | None:
        """The prompt with a beginning of an answer behind it; None where ids come out and only text
        goes in.
        """
        if isinstance(prompt, str):
            return None if self.ids else prompt + "".join(units)
        return (*prompt, *units) if self.ids else None

    def seed(self, *what: object) -> int:
        return self.session.seed_for(*what) % _SEEDS

    def seeded(self, ask: Ask, count: int, *what: object) -> list[Ask]:
        """The same question with `count` seeds of its own; without any where the servers refuse
        seeds.
        """
        return [
            ask.but(seed=self.seed(*what, i) if self.takes_seeds else None) for i in range(count)
        ]

    def offers(self, name: str) -> bool:
        """Whether the server has a capability: as declared, else as the trusted side shows."""
        if self.declared:
            return name in self.declared
        return bool(self.session.once(f"http offers {name}", lambda: _tried(self, name)))

    def _own_prompts(self) -> list[Prompt]:
        """Pieces of what the trusted side writes: in its vocabulary, and likely; some repeat
        themselves, so that lookup drafters draft."""
        start, texts = self._beginning()
        plain = [text[:length] for length, text in zip((8, 5, 3, 12, 8, 5, 3, 12), texts)]
        again = [text[:3] * 4 for text in texts[:2]] + [text[:5] * 2 for text in texts[2:4]]
        mixed = [prompt for pair in zip(plain, again) for prompt in pair] + plain[len(again) :]
        return list(dict.fromkeys([*mixed, start]))

    def _beginning(self) -> tuple[Prompt, list[Prompt]]:
        """The first beginning that both servers take, with several texts of some length that the
        trusted side writes after it; one that its vocabulary lacks would be read as nothing."""
        best: tuple[Prompt, list[Prompt]] = "", []
        for start in _STARTS:
            if not all(_takes(side, Ask(start, 1, 0.0)) for side in self.sides):
                continue
            answers = self.trusted.ask_all(self.seeded(Ask(start, 16), _PIECES, "prompts"))
            written: list[Prompt] = [
                answer.tokens or () if self.ids_in() else answer.text for answer in answers
            ]
            texts = [text for text in written if len(text) >= 4]
            best = max(best, (start, texts), key=lambda pair: len({*pair[1]}))
            if len(texts) >= _PIECES // 2:
                break
        if not best[1]:
            raise MisbehavedError(
                f"{self.trusted.name} writes fewer than 4 tokens after each of"
                f" {', '.join(map(repr, _STARTS))}: give the adapter `prompts` after which it"
                " writes more"
            )
        return best

    def ids_in(self) -> bool:
        """Whether prompts may be ids."""
        return self.ids and bool(
            self.session.once(
                "http ids in", lambda: all(_takes(side, Ask((1,), 1, 0.0)) for side in self.sides)
            )
        )


def _draft(server: Server, session: Session) -> tuple[Endpoint | None, str]:
    """The draft's server, where one is named and answers; it plays no part in what is right."""
    if not server.draft:
        return None, "no draft is given"
    try:
        return Endpoint("the draft's server", server.draft, server, session), ""
    except MisbehavedError as error:
        return None, str(error)


def _takes(side: Endpoint, ask: Ask) -> bool:
    try:
        side.ask(ask)
    except MisbehavedError:
        return False
    return True


# What a parameter does if it is known at all: it makes sampling greedy.
_GREEDY = {"top_k": 1, "top_p": 1e-6, "min_p": 1.0}


def _tried(server_pair: ServerPair, name: str) -> bool:
    side, prompt = server_pair.trusted, server_pair.prompts[0]
    ask = Ask(prompt, 8)
    try:
        if name in _GREEDY:
            wanted = side.ask(ask.but(temperature=0.0)).text
            return all(
                a.text == wanted
                for a in side.ask_all(
                    server_pair.seeded(ask.but(more={name: _GREEDY[name]}), 6, name)
                )
            )
        if name == "seed":
            first, second, *others = side.ask_all(
                [ask.but(seed=7)] * 2 + server_pair.seeded(ask, 8, name)
            )
            return first.text == second.text and any(a.text != first.text for a in others)
        plain = side.ask(ask.but(temperature=0.0))
        if name == "logprobs":
            return side.ask(ask.but(temperature=0.0, logprobs=2)).logprobs is not None
        if name == "penalties":
            more: dict[str, Any] = {"frequency_penalty": 2.0}
        elif name == "logit_bias" and server_pair.ids and plain.tokens:
            more = {"logit_bias": {str(plain.tokens[0]): -100}}
        # a string that comes: one that is in no vocabulary may be refused for that
        elif name == "stop":
            comes = plain.text[len(plain.text) // 2 :][:1]
            return len(side.ask(ask.but(temperature=0.0, stop=(comes,))).text) < len(plain.text)
        else:
            return name == "sampling"
        return (
            side.ask(ask.but(temperature=0.0, more=more, max_tokens=16)).text[: len(plain.text)]
            != plain.text
        )
    except MisbehavedError:
        return False
