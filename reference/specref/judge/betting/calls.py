"""The calls that are made for the test by betting: models, lengths, batches and parameters in turn.

Calls follow a fixed plan by their number. Seeds are neighbours within a call and from call to call,
and none comes twice.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ...data import SamplingParams
from ..engine_handle import EngineRow
from ..toys import written
from .surroundings import BET_ROWS, LOOKED_UP, toy_of

RECURRING = "recurring"  # the toy whose prefixes recur
_ALONE = 8  # rows of a call of an engine that has no batches
_PROMPTS = 4  # of a call; in every second round one, so that prefixes recur
_UNSEEDED_EVERY = 4  # of so many calls one has no seeds
_ENDING_EVERY = 3  # of so many calls one has texts that end at the end token
_PLAIN, _ONE, _MIXED = "no parameters", "one setting for all rows", "a setting for each row"
# One round: world, rows, tokens of a text at most, parameters.
_ROUND = (
    ("small", 64, 64, _PLAIN),
    (RECURRING, 64, 96, _PLAIN),
    ("wide", 64, 64, _PLAIN),
    ("small", 256, 12, _MIXED),
    ("small", 64, 12, _ONE),
    ("long", 64, 160, _PLAIN),
    ("small", 512, 8, _PLAIN),
    ("small", 17, 64, _PLAIN),
    ("wide-same", 64, 64, _PLAIN),
    ("wide", 33, 24, _ONE),
    (RECURRING, 64, 128, _PLAIN),
    ("small-opposed", 64, 24, _PLAIN),
    ("small", 64, 3, _ONE),
    ("wide", 3, 100, _PLAIN),
    ("odd", 64, 24, _PLAIN),
    (f"small{LOOKED_UP}", 64, 24, _PLAIN),
    ("small", 64, 100, _PLAIN),
    ("wide", 64, 12, _MIXED),
    ("vast", 64, 16, _PLAIN),
    ("small", 1, 40, _ONE),
    ("wide-same", 64, 12, _ONE),
    (RECURRING, 2, 64, _PLAIN),
    ("small", 64, 64, _MIXED),
    ("wide", 64, 40, _ONE),
)
BET_WORLDS = tuple(dict.fromkeys(name for name, *_ in _ROUND))
# what each setting needs of an engine, and the setting
_SETTINGS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("sampling", {"temperature": 0.5}),
    ("top_k", {"top_k": 2}),
    ("top_p", {"top_p": 0.85}),
    ("sampling", {"temperature": 1.5}),
    ("min_p", {"min_p": 0.05}),
    ("penalties", {"repetition_penalty": 1.4}),
    ("logit_bias", {"logit_bias": {0: -100.0, 3: 1.5}}),
    ("sampling", {"temperature": 0.2}),
    ("top_k", {"top_k": 3, "temperature": 0.5}),
    ("min_tokens", {"min_tokens": 3}),
    ("sampling", {"temperature": 3.0}),
    ("top_p", {"top_p": 0.5}),
    ("penalties", {"presence_penalty": 0.8, "frequency_penalty": 0.5}),
    ("top_p", {"top_p": 0.85, "temperature": 0.5}),
    ("top_k", {"top_k": 4}),
    ("min_p", {"min_p": 0.2}),
    ("logit_bias", {"logit_bias": {2: -100.0}, "temperature": 0.5}),
    ("sampling", {"temperature": 0.01}),
    ("min_p", {"min_p": 0.1, "temperature": 0.5}),
    ("penalties", {"presence_penalty": 1.0}),
    ("top_k", {"top_k": 2, "top_p": 0.95}),
    ("penalties", {"frequency_penalty": 0.7}),
    ("top_k", {"top_k": 1}),
    ("top_p", {"top_p": 0.01}),
    ("sampling", {"temperature": 0.0}),
)


@dataclass(frozen=True)
class Planned:
    """One call. rows: the engine gets them at once."""

    world: str
    rows: tuple[EngineRow, ...]

    @property
    def toy(self) -> str:
        return toy_of(self.world).name

    @property
    def lookup(self) -> bool:
        return self.world.endswith(LOOKED_UP)


class CallPlan:
    """Call after call, without an end.

    Args:
        has: whether the engine has a capability. first_seed: of the first row of all.
        lookup: whether it can do without a draft model.
    """

    def __init__(self, has: Callable[[str], bool], first_seed: int, lookup: bool = True):
        self.has, self.next_seed, self.lookup = has, first_seed, lookup
        self.settings = [own for need, own in _SETTINGS if has(need)]
        self.number = self.altered = 0  # calls so far, and those with one setting

    def next(self) -> Planned:
        turn, at = divmod(self.number, len(_ROUND))
        world, size, length, kind = _ROUND[at]
        world = world if self.lookup else world.removesuffix(LOOKED_UP)
        name = toy_of(world).name
        if not self.has("batch"):
            size = min(size, _ALONE)
        crowd = size > BET_ROWS and kind == _PLAIN
        several = 1 if turn % 2 or name == RECURRING or crowd else _PROMPTS
        prompts = [one.prompt for one in written(name, 48)[:several]]
        ends = (toy_of(world).eos,)
        rows: list[EngineRow] = []
        for i in range(size):
            params = SamplingParams(max_new_tokens=length, **self._setting(kind, i))
            prompt = prompts[i % len(prompts)]
            if kind == _MIXED:  # ragged
                prompt = prompt[-(3 + 5 * (i % 3)) :]
                params = replace(params, max_new_tokens=max(3, length * (1 + i % 4) // 4))
            if params.min_tokens or self.number % _ENDING_EVERY == _ENDING_EVERY - 1:
                params = replace(params, stop_ids=ends)
            rows.append((prompt, params if crowd else self._seeded(params)))
        self.number += 1
        self.altered += kind == _ONE
        return Planned(world, tuple(rows))

    def _seeded(self, params: SamplingParams) -> SamplingParams:
        if not self.has("seed") or self.number % _UNSEEDED_EVERY == 1:
            return params
        self.next_seed += 1
        return replace(params, seed=self.next_seed % 2**31)

    def _setting(self, kind: str, row: int) -> dict[str, Any]:
        """The parameters of a row that make its distribution."""
        if kind == _PLAIN:
            return {}
        return self.settings[(row if kind == _MIXED else self.altered) % len(self.settings)]
