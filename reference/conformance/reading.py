"""Reading an engine's texts against the target's own laws: each token by what stands before it, and where the text ends."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..types import SamplingParams
from . import params_oracle
from .asking import Row
from .contract import Completion
from .params_oracle import Row as Law
from .params_oracle import ended
from .toys import Toy, scores


def laws(toy: Toy, rows: Sequence[Row], texts: Sequence[Sequence[int]], counts_prompt: bool = False,
         draft: bool = False) -> Iterator[list[Law]]:
    """For each row and its output, the law of every output token, and of the one that would follow."""
    whole = [[*prompt, *text] for (prompt, _), text in zip(rows, texts, strict=True)]
    after = scores(toy.draft if draft else toy.target, whole, [len(prompt) for prompt, _ in rows])
    for (prompt, params), text, table in zip(rows, texts, after, strict=True):
        yield [params_oracle.row(line, params, prompt, text[:i], counts_prompt) for i, line in enumerate(table.tolist())]


@dataclass(frozen=True)
class Fault:
    """What is wrong with a text."""

    prompt: tuple[int, ...]
    what: str
    at: int  # output token

    def __str__(self) -> str:
        return self.what


@dataclass(frozen=True)
class Reading:
    """What was read: the faults, and how many texts could not be judged to their end for a tie."""

    faults: tuple[Fault, ...]
    ties: int = 0

    @property
    def case(self) -> str:
        return f"prompt {list(self.faults[0].prompt)}" if self.faults else ""


def read(toy: Toy, rows: Sequence[Row], answers: Sequence[Completion], room: int = 10**9,
         counts_prompt: bool = False) -> Reading:
    """Texts of temperature 0, or of any parameters: no token of probability 0, and the end where it has to be.

    room: output tokens that the context has room for. A stop that the engine leaves out is put back.
    """
    texts = [_restored(done, params, room) for done, (_, params) in zip(answers, rows, strict=True)]
    faults, ties = [], 0
    for row, done, text, table in zip(rows, answers, texts, laws(toy, rows, texts, counts_prompt), strict=True):
        prompt, params = row
        at = next((i for i, token in enumerate(text) if table[i].law[token] == 0), None)
        end = next((i for i in range(1, len(text) + 1) if ended(text[:i], params, room)), None)
        if at is not None and (end is None or at < end):
            if table[at].doubtful:
                ties += 1
                continue
            likely = max(range(toy.vocabulary), key=lambda token: table[at].law[token])
            right = f"instead of {likely}" if params.temperature == 0 else "which has probability 0"
            faults.append(Fault(tuple(prompt), f"writes {text[at]} {right} as token {at + 1} of {len(text)}: "
                                f"{text[:at + 1]}", at))
        elif end is not None and end < len(text):
            why = ended(text[:end], params, room)
            faults.append(Fault(tuple(prompt), f"goes on for {len(text) - end} tokens after its {_named(why, params)}: "
                                f"{text}", end))
        elif end is None:
            most = min(params.max_new_tokens, room)
            faults.append(Fault(tuple(prompt), f"ends after {len(text)} of {most} tokens without a stop "
                                f"({done.finish_reason!r}): {text}", len(text)))
        elif done.finish_reason != ended(text, params, room) and len(text) < min(params.max_new_tokens, room):
            faults.append(Fault(tuple(prompt), f"says {done.finish_reason!r} of a text that ends by "
                                f"{ended(text, params, room)!r}: {text}", len(text)))
    return Reading(tuple(faults), ties)


def _named(why: str, params: SamplingParams) -> str:
    return "stop" if why == "stop" else f"{params.max_new_tokens} tokens"


def _restored(done: Completion, params: SamplingParams, room: int) -> list[int]:
    """The text with its stop, which some engines leave out."""
    if done.finish_reason == "stop" and not (done.tokens and ended(done.tokens, params, room) == "stop"):
        for stop in (*((token,) for token in params.stop_ids), *params.stop_sequences):
            whole = [*done.tokens, *stop]
            ends = [ended(whole[:i], params, room) for i in range(1, len(whole) + 1)]
            if ends[-1] == "stop" and not any(ends[:-1]):
                return whole
    return done.tokens
