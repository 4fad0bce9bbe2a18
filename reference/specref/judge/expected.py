"""Reading an engine's texts against the target's own distributions: each token by what stands
before it, and where the text ends.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..data import SamplingParams
from . import params_oracle
from .contract import Completion
from .engine_handle import EngineRow
from .params_oracle import Convention, ended
from .toys import Toy, scores

_PLAIN, PLAIN_WAY = SamplingParams(), Convention()


@dataclass(frozen=True)
class Distributions:
    """After a prompt, the distribution of every output token and of the one that would follow."""

    scores: Tensor  # [M,V] the target's
    distribution: Tensor  # [M,V]
    doubtful: Tensor  # [M] bool


def expected_distributions(
    toy: Toy,
    rows: Sequence[EngineRow],
    texts: Sequence[Sequence[int]],
    convention: Convention = PLAIN_WAY,
) -> Iterator[Distributions]:
    """For each row and its output, the distributions that it should have been drawn from."""
    whole = [[*prompt, *text] for (prompt, _), text in zip(rows, texts, strict=True)]
    for (prompt, params), text, table in zip(
        rows, texts, scores(toy.target, whole, [len(prompt) for prompt, _ in rows]), strict=True
    ):
        if replace(params, seed=None, max_new_tokens=64, stop_ids=(), stop_sequences=()) == _PLAIN:
            yield Distributions(table, table.softmax(-1), torch.zeros(len(table), dtype=torch.bool))
            continue
        made = [
            params_oracle.row(line, params, prompt, text[:i], convention)
            for i, line in enumerate(table.tolist())
        ]
        yield Distributions(
            table,
            torch.tensor([one.distribution for one in made], dtype=torch.float64),
            torch.tensor([one.doubtful for one in made]),
        )


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


def read(
    toy: Toy,
    rows: Sequence[EngineRow],
    answers: Sequence[Completion],
    room: int = 10**9,
    convention: Convention = PLAIN_WAY,
) -> Reading:
    """As `check`, from the answers alone."""
    texts = restored(toy, rows, answers, room)
    return check_rows(
        rows, answers, texts, list(expected_distributions(toy, rows, texts, convention)), room
    )


def check_rows(
    rows: Sequence[EngineRow],
    answers: Sequence[Completion],
    texts: Sequence[list[int]],
    tables: Sequence[Distributions],
    room: int = 10**9,
) -> Reading:
    """Texts of temperature 0, or of any parameters: no token of probability 0, and the end where it
    has to be.

    texts: the answers' as `restored` gives them. tables: their distributions. room: output tokens
    that the context has room for.
    """
    faults, ties = [], 0
    for row, done, text, table in zip(rows, answers, texts, tables, strict=True):
        prompt, params = row
        chosen = table.distribution[range(len(text)), text]
        at = next(iter((chosen == 0).nonzero()[:, 0].tolist()), None)
        end = next((i for i in range(1, len(text) + 1) if ended(text[:i], params, room)), None)
        if at is not None and (end is None or at < end):
            if bool(table.doubtful[at]):
                ties += 1
                continue
            likely = int(table.distribution[at].argmax())
            right = f"instead of {likely}" if params.temperature == 0 else "which has probability 0"
            faults.append(
                Fault(
                    tuple(prompt),
                    f"writes {text[at]} {right} as token {at + 1} of {len(text)}: {text[: at + 1]}",
                    at,
                )
            )
        elif end is not None and end < len(text):
            why = ended(text[:end], params, room)
            faults.append(
                Fault(
                    tuple(prompt),
                    f"goes on for {len(text) - end} tokens after its {_named(why, params)}: {text}",
                    end,
                )
            )
        elif end is None:
            most = min(params.max_new_tokens, room)
            faults.append(
                Fault(
                    tuple(prompt),
                    f"ends after {len(text)} of {most} tokens without a stop "
                    f"({done.finish_reason!r}): {text}",
                    len(text),
                )
            )
        elif done.finish_reason != ended(text, params, room) and len(text) < min(
            params.max_new_tokens, room
        ):
            faults.append(
                Fault(
                    tuple(prompt),
                    f"says {done.finish_reason!r} of a text that ends by "
                    f"{ended(text, params, room)!r}: {text}",
                    len(text),
                )
            )
    return Reading(tuple(faults), ties)


def _named(why: str, params: SamplingParams) -> str:
    return "stop" if why == "stop" else f"{params.max_new_tokens} tokens"


def restored(
    toy: Toy, rows: Sequence[EngineRow], answers: Sequence[Completion], room: int = 10**9
) -> list[list[int]]:
    """The texts with their stops, which some engines leave out."""
    return [
        _restored(toy, prompt, params, done, room)
        for done, (prompt, params) in zip(answers, rows, strict=True)
    ]


def _restored(
    toy: Toy, prompt: Sequence[int], params: SamplingParams, done: Completion, room: int
) -> list[int]:
    if done.finish_reason != "stop" or (done.tokens and ended(done.tokens, params, room) == "stop"):
        return done.tokens
    possible = []
    for stop in (*((token,) for token in params.stop_ids), *params.stop_sequences):
        whole = [*done.tokens, *stop]
        ends = [ended(whole[:i], params, room) for i in range(1, len(whole) + 1)]
        if ends[-1] == "stop" and not any(ends[:-1]):
            possible.append(whole)
    if len(possible) < 2:
        return possible[0] if possible else done.tokens
    tables = expected_distributions(toy, [(prompt, params)] * len(possible), possible)
    return max(zip(possible, tables, strict=True), key=lambda one: _likely(*one))[0]


def _likely(text: Sequence[int], table: Distributions) -> tuple[float, float]:
    """How likely a text is under its parameters, and under none: at temperature 0 a single one is
    possible.
    """
    under, plain = (
        float(distribution[range(len(text)), text].log().sum())
        for distribution in (table.distribution, table.scores.softmax(-1))
    )
    return under, plain
