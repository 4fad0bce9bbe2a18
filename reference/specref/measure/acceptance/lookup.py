"""Drafters that look in the text, on texts that are given: how far each gets with a step.

The target is taken to write the text as it stands, so no model runs and nothing is random. A step
is one target forward: it emits the drafted tokens that are right, and one more.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from ...chance import Streams
from ...data import SamplingParams
from ...draft.base import Drafter, Text
from ...draft.ngram import NGramDrafter
from ...draft.suffix import SuffixDrafter
from ..held_out import held_out_prompts

# the text so far, and how many tokens are wanted at most -> the draft
LookupFunction = Callable[[list[int], int], list[int]]

PERIODS = (1, 2, 4)
_BYTES = 256  # values of a byte: the vocabulary
NGRAM_SIZES = range(4, 1, -1)  # those of NGramDrafter


@dataclass(frozen=True)
class LookupSettings:
    """texts: held-out stretches. Lengths in bytes: what is given, and what is then written."""

    texts: int
    prompt_length: int
    new_tokens: int
    gamma: int = 6


@dataclass
class Steps:
    """What one drafter did. tokens: written. accepted: the drafted ones that were right."""

    steps: int = 0
    tokens: int = 0
    drafted: int = 0
    accepted: int = 0

    def row(self) -> dict[str, float]:
        return {
            "tokens_per_step": self.tokens / self.steps,
            "drafted_per_step": self.drafted / self.steps,
            "accepted_of_drafted": self.accepted / max(1, self.drafted),
        }


def compare_lookups(settings: LookupSettings) -> dict[str, Any]:
    """What `specref profile lookup --json` writes: each drafter on loops and on held-out text."""
    length, gamma = settings.prompt_length + settings.new_tokens, settings.gamma
    loops = {f"period {period}": [_loop(period, length)] for period in PERIODS}
    worlds = loops | {"held-out text": held_out_prompts(settings.texts, length)}
    drafters: dict[str, Callable[[], LookupFunction]] = {
        "first occurrence": lambda: first_occurrence,
        "most recent": lambda: most_recent,
        "ngram": lambda: _asked(NGramDrafter()),
        "suffix": lambda: _asked(SuffixDrafter()),
    }
    rows: dict[str, dict[str, dict[str, float]]] = {}
    for name, make in drafters.items():
        rows[name] = {}
        for world, texts in worlds.items():
            seen = Steps()
            for text in texts:
                replay(make(), text, settings.prompt_length, gamma, seen)
            rows[name][world] = seen.row()
    return {"drafters": rows, "settings": asdict(settings)}


def _loop(period: int, length: int) -> list[int]:
    return [place % period for place in range(length)]


def replay(
    lookup: LookupFunction, text: Sequence[int], prompt: int, gamma: int, seen: Steps
) -> None:
    """Write text[prompt:] with the drafts of `lookup`, and count into `seen`."""
    end = prompt
    while end < len(text):
        draft = lookup(list(text[:end]), min(gamma, len(text) - end - 1))
        right = 0
        while right < len(draft) and draft[right] == text[end + right]:
            right += 1
        seen.steps += 1
        seen.tokens += right + 1
        seen.drafted += len(draft)
        seen.accepted += right
        end += right + 1


def first_occurrence(text: list[int], most: int) -> list[int]:
    """Saxena 2023, as transformers and vLLM have it: what followed the first occurrence, to the
    text's end.
    """
    earlier, everything = bytes(text[:-1]), bytes(text)
    return _behind(text, most, lambda n: earlier.find(everything[-n:]))


def most_recent(text: list[int], most: int) -> list[int]:
    """What followed the most recent occurrence, to the text's end."""
    earlier, everything = bytes(text[:-1]), bytes(text)
    return _behind(text, most, lambda n: earlier.rfind(everything[-n:]))


def _behind(text: list[int], most: int, find: Callable[[int], int]) -> list[int]:
    """At most `most` tokens behind the place that `find` gives for the longest n-gram."""
    for n in NGRAM_SIZES:
        place = find(n)
        if place >= 0:
            return text[place + n :][:most]
    return []


def _asked(drafter: Drafter) -> LookupFunction:
    """A drafter of one row as a function of the text."""
    row = Text([[]], [0], [SamplingParams()], _BYTES)
    drafter.begin(row, 0)
    chance = Streams([0])

    def lookup(text: list[int], most: int) -> list[int]:
        row.tokens[0] = text
        draft = drafter.propose(row, torch.tensor([most]), chance)
        return draft.tokens[0].tolist()

    return lookup
