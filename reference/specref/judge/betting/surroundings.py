"""Where a token of an engine's text stands: the contexts of the test by betting, and their words.

A context is known before its token is: the model (a toy, with or without its draft model), the
sampling parameters, the size of the batch, the row, the place in the text and in the cache, and
the tokens before.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property

import torch
from torch import Tensor

from ...data import SamplingParams
from ...stats.questions import Context, Direction, Questions
from ...stats.texts import PLACE_STARTS, TextShape, hashed_columns, text_questions
from ..toys import Toy, toy

BET_ROWS = 64  # of one call
LOOKED_UP = " without a draft model"  # behind a toy's name
_PROMPT = 64  # positions in the cache beside those of a text's own places
_FOLDED = 32  # tokens of larger vocabularies are told apart modulo this
_SETTINGS, _PAIRS = 32, 128  # of parameters, and of model and parameters; more are one
_GROUPS = 1 << 17  # of any context class at most
_PREFIXES = 1 << 14  # groups that whole prefixes are hashed into
_BATCHES = (1, 2, 8, 32, 64)  # the smallest size of each group of batches
_LAST = 4  # places that are counted from the longest end of a text
# context classes of the faults that a PASS speaks of
REHEARSED = (
    "everywhere",
    "setting",
    "row",
    "toy",
    "previous token",
    "previous token and position",
    "whole prefix",
)
_UNDRAWN = ("seed", "max_new_tokens", "stop_ids", "stop_sequences")  # no part of a distribution
PLAIN_WORDS = "tokens that would be likelier without the sampling parameters"


def toy_of(world: str) -> Toy:
    """The toy of a world."""
    return toy(world.removesuffix(LOOKED_UP))


def setting_words(params: SamplingParams) -> str:
    """The parameters that make the distribution; "" for none."""
    plain = SamplingParams()
    return ", ".join(
        f"{one.name} {getattr(params, one.name)}"
        for one in fields(params)
        if one.name not in _UNDRAWN and getattr(params, one.name) != getattr(plain, one.name)
    )


@dataclass
class Surroundings:
    """The worlds that a test knows, and the settings that it has met.

    Args:
        worlds: names of the toys, in the order of their numbers.
        places: tokens of a text that are bet on; what is behind them is not.
    """

    worlds: Sequence[str]
    places: int
    settings: dict[str, int] = field(default_factory=dict)  # words -> number
    pairs: dict[tuple[int, int], int] = field(default_factory=dict)  # (world, setting) -> number

    @property
    def shape(self) -> TextShape:
        return TextShape(
            self.folded,
            BET_ROWS,
            self.places,
            _SETTINGS,
            worlds=len(self.worlds),
            groups=_GROUPS,
        )

    @cached_property
    def folded(self) -> int:
        """Tokens are told apart modulo this."""
        return min(_FOLDED, max(toy_of(name).vocabulary for name in self.worlds))

    @property
    def positions(self) -> int:
        return self.places + _PROMPT

    def questions(self) -> Questions:
        """All that is asked."""
        by_position = self.folded * len(self.worlds) * self.positions
        spread = (
            Context("toy", len(self.worlds), "", "by model"),
            Context("toy and setting", _PAIRS, "", "by model and setting"),
            Context("batch size", len(_BATCHES), "", "by size of the batch"),
            Context("end", _LAST, "", "by distance from the longest end"),
        )
        by_prefix = (
            Context(
                "previous token and position",
                min(by_position, _GROUPS),
                "",
                "by previous token and position",
            ),
            Context("whole prefix", _PREFIXES, "", "by all that stands before"),
        )
        asked = text_questions(self.shape, spread, (Direction("plain", PLAIN_WORDS),))
        tables = tuple(("token", one.name) for one in by_prefix)
        tables += (("rank", "previous token"), ("rank", "previous token and position"))
        return replace(asked, contexts=asked.contexts + by_prefix, tables=asked.tables + tables)

    def world(self, name: str) -> int:
        return self.worlds.index(name)

    def setting(self, params: SamplingParams) -> int:
        number = min(len(self.settings), _SETTINGS - 1)
        return self.settings.setdefault(setting_words(params), number)

    def pair(self, world: int, setting: int) -> int:
        return self.pairs.setdefault((world, setting), min(len(self.pairs), _PAIRS - 1))

    def contexts(
        self, world: int, rows: Sequence[tuple[Sequence[int], SamplingParams]], tokens: Tensor
    ) -> dict[str, Tensor]:
        """Context class -> [R,T] group, beside those of every text.

        Args:
            rows: prompts and parameters. tokens: [R,T].
        """
        prompts = [prompt for prompt, _ in rows]
        most = torch.tensor([params.max_new_tokens for _, params in rows])
        pairs = torch.tensor([self.pair(world, self.setting(params)) for _, params in rows])
        R, T = tokens.shape
        place = torch.arange(T).expand(R, T)
        start = torch.tensor([len(prompt) for prompt in prompts])[:, None]
        last = torch.tensor([prompt[-1] for prompt in prompts])[:, None]
        before = torch.cat((last, tokens), 1)[:, :T] % self.folded + world * self.folded  # [R,T]
        position = (start + place).clamp(max=self.positions - 1)
        size = torch.bucketize(torch.tensor([R]), torch.tensor(_BATCHES), right=True) - 1
        return {
            "toy": torch.full((R, T), world),
            "toy and setting": pairs[:, None].expand(R, T),
            "batch size": size[:, None].expand(R, T),
            "end": (most[:, None] - 1 - place).clamp(0, _LAST - 1),
            "previous token and position": (before * self.positions + position) % _GROUPS,
            "whole prefix": _prefixes(world, prompts, tokens),
        }

    def where(self, context: str, group: int) -> str:
        """A group of a context class in words."""
        V, places = self.folded, len(PLACE_STARTS)
        if context == "toy":
            return f"on toy {self.worlds[group]}"
        if context == "setting":
            return self._set(group)
        if context == "toy and setting":
            return self._pair(group)
        if context == "setting and place group":
            return f"{self._set(group // places)}, {_places(group % places)}"
        if context == "previous token":
            return self._after(group)
        if context == "previous token and place group":
            return f"{self._after(group // places)}, {_places(group % places)}"
        if context == "last two tokens":
            before = group // V
            pair = f"tokens {group % V}, {before % V}"
            return f"after the {pair} on toy {self.worlds[before // V]}"
        said = {
            "place group": lambda: _places(group),
            "row": lambda: f"in row {group} of the batch",
            "edge": lambda: _edge(group),
            "batch size": lambda: _size(group),
            "end": lambda: _end(group),
            "previous token and place": lambda: self._after(group, self.places, "place"),
            "previous token and position": lambda: self._after(group, self.positions, "position"),
            "last three tokens": lambda: "after some three tokens",
            "whole prefix": lambda: "after some prefixes",
        }
        return said[context]() if context in said else ""

    def _after(self, group: int, size: int = 1, name: str = "") -> str:
        before, at = divmod(group, size)
        here = f" at {name} {at}" if name else ""
        return (
            f"after token {before % self.folded}{here} on toy {self.worlds[before // self.folded]}"
        )

    def _set(self, number: int) -> str:
        found = [words for words, at in self.settings.items() if at == number]
        words = found[0] if len(found) == 1 else "parameters of several kinds"
        return f"with {words}" if words else "without parameters"

    def _pair(self, number: int) -> str:
        found = [known for known, at in self.pairs.items() if at == number]
        if len(found) != 1:
            return "on several toys"
        (world, setting), *_ = found
        return f"on toy {self.worlds[world]} {self._set(setting)}"


def _prefixes(world: int, prompts: Sequence[Sequence[int]], tokens: Tensor) -> Tensor:
    """[R,T] groups of the prompt and all tokens before a place."""
    started = [hash((world, tuple(prompt))) % (2**31 - 1) for prompt in prompts]
    key, groups = torch.tensor(started), []
    for column in tokens.T:
        groups.append(key % _PREFIXES)
        key = hashed_columns(torch.stack((key, column), 1))
    return torch.stack(groups, 1)


def _places(group: int) -> str:
    first = PLACE_STARTS[group]
    if group + 1 == len(PLACE_STARTS):
        return f"from place {first} on"
    last = PLACE_STARTS[group + 1] - 1
    return f"at place {first}" if first == last else f"at places {first} to {last}"


def _edge(group: int) -> str:
    side, second_half = divmod(group, 2)
    if side == 0:
        return "in the last row of a batch" if second_half else "in the first row of a batch"
    return f"{side} rows from the {'last' if second_half else 'first'} row of a batch"


def _size(group: int) -> str:
    first = _BATCHES[group]
    if group + 1 == len(_BATCHES):
        return f"in batches of {first} rows and more"
    last = _BATCHES[group + 1] - 1
    return f"in batches of {first} to {last} rows" if last > first else "in batches of one row"


def _end(group: int) -> str:
    if group == _LAST - 1:
        return f"{group} and more places before the longest end"
    return f"{group} places before the longest end" if group else "at the last place of a text"
