"""The answers of a scenario, read against the oracle."""

from dataclasses import dataclass, field

from ..contract import Completion
from ..expected import restored
from ..toys import Toy, scores, toy
from .build import LARGE
from .oracle import TextPlaces, places_of
from .scenario import TextCall, TextRequest, TextScenario

_TOGETHER = {True: 8, False: 64}  # texts of one forward of the oracle, by whether V is large


@dataclass(frozen=True)
class ReadAnswer:
    """One completion. call and row count from 0. text: its tokens, with the stop that some engines
    leave out."""

    call: int
    row: int
    request: TextRequest
    speculative: bool
    done: Completion
    text: list[int]
    places: TextPlaces

    @property
    def chosen(self) -> tuple[range, list[int]]:
        """Indices of the text's own tokens in [M+1,V]."""
        return range(len(self.text)), self.text

    @property
    def way(self) -> str:
        return "speculative" if self.speculative else "plain"

    @property
    def log_probability(self) -> float:
        """Of the whole text."""
        return float(self.places.p[self.chosen].log().sum())

    @property
    def impossible(self) -> list[int]:
        """TextPlaces of tokens that cannot come."""
        return (~self.places.possible[self.chosen]).nonzero()[:, 0].tolist()


@dataclass
class SeenScenario:
    """A scenario and all its answers. error: what a call raised, in one line, and which one."""

    scenario: TextScenario
    toy: Toy
    answers: list[ReadAnswer] = field(default_factory=list)
    error: str = ""
    error_call: int = 0

    @property
    def room(self) -> int:
        """The target's context."""
        return self.toy.target.config.max_position_embeddings

    def size(self, call: int) -> int:
        """Rows of a call."""
        return len(self.scenario.calls[call].requests)


def answers_of(
    world: str, number: int, call: TextCall, done: list[Completion], counts_prompt: bool
) -> list[ReadAnswer]:
    """The completions of one call, read."""
    one = toy(world)
    context = one.target.config.max_position_embeddings
    pairs = [(request.prompt, request.params) for request in call.requests]
    texts = [
        restored(one, [pair], [completion], context - len(pair[0]))[0]
        for pair, completion in zip(pairs, done, strict=True)
    ]
    found, size = [], _TOGETHER[one.vocabulary > LARGE]
    for first in range(0, len(texts), size):
        rows = range(first, min(first + size, len(texts)))
        whole = [[*pairs[row][0], *texts[row]] for row in rows]
        tables = scores(one.target, whole, [len(pairs[row][0]) for row in rows])
        for row, table in zip(rows, tables, strict=True):
            request, text = call.requests[row], list(texts[row])
            places = places_of(table, request, text, counts_prompt)
            found.append(
                ReadAnswer(number, row, request, call.speculative, done[row], text, places)
            )
    return found
