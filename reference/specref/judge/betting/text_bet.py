"""The test by betting, fed with the answers of an engine's calls."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...data import SamplingParams
from ...stats.betting import Bettor
from ...stats.questions import EVERYWHERE, Observed
from ...stats.texts import TextBatch, read_texts
from .. import expected as reading
from ..contract import Completion
from ..engine_handle import EngineRow
from ..expected import Distributions
from ..params_oracle import Convention
from ..toys import Toy, scores
from .surroundings import BET_ROWS, LOOKED_UP, REHEARSED, Surroundings

PLACES_BET_ON = 192  # of texts, unless said otherwise
_BEFORE = 3  # tokens of a prompt that contexts look at
_KEPT = 1 << 17  # tokens that are kept for rehearsals


@dataclass(frozen=True)
class Answered:
    """Rows of one call with their texts and the distributions that these should have come from."""

    toy: Toy
    rows: Sequence[EngineRow]
    texts: Sequence[list[int]]
    tables: Sequence[Distributions]
    lookup: bool = False  # the draft is what was looked up in the text, and no model

    @property
    def world(self) -> str:
        return self.toy.name + LOOKED_UP * self.lookup

    def part(self, first: int, last: int) -> "Answered":
        return Answered(
            self.toy,
            self.rows[first:last],
            self.texts[first:last],
            self.tables[first:last],
            self.lookup,
        )


class TextBet:
    """One test of all tokens that an engine draws, with one false-alarm rate.

    Rows are independent under the null hypothesis, so that a row whose seed was fed before is left
    out: with the same seed an engine may draw the same numbers. Left out are also greedy rows,
    places without a choice, and places whose distribution depends on rounding or on a convention.

    Args:
        worlds: names of the toys, with LOOKED_UP where the draft is looked up. alpha: of the whole
            stream.
        places: tokens of a text that are bet on.
        convention: the one by which engines are judged where right ones differ; None: what depends
            on it is left out.
        lookup: whether no draft is a model's.
    """

    def __init__(
        self,
        worlds: Sequence[str],
        alpha: float,
        places: int = PLACES_BET_ON,
        convention: Convention | None = None,
        lookup: bool = False,
    ):
        self.surroundings = Surroundings(worlds, places)
        self.convention, self.lookup = convention, lookup
        self.shape = self.surroundings.shape
        self.bettor = Bettor(self.surroundings.questions(), alpha)
        self.calls: list[Observed] = []  # what was bet on, for `reach`
        self.seeds: set[int] = set()  # fed so far
        self.texts = 0
        self.longest = 0  # tokens of a text that were bet on

    def read(
        self,
        toy: Toy,
        rows: Sequence[EngineRow],
        answers: Sequence[Completion],
        lookup: bool = False,
    ) -> reading.Fault | None:
        """Take in the answers of one call, unless one of them is wrong by itself: that fault is
        returned. lookup: without a draft model, by an engine that takes one."""
        texts = reading.restored(toy, rows, answers)
        way = self.convention or reading.PLAIN_WAY
        tables = list(reading.expected_distributions(toy, rows, texts, way))
        faults = reading.check_rows(rows, answers, texts, tables).faults
        if faults:
            return faults[0]
        self.add(Answered(toy, rows, texts, tables, lookup))
        return None

    def add(self, call: Answered) -> None:
        """Take in one call; of a larger one than BET_ROWS each part counts as one."""
        for first in range(0, len(call.rows), BET_ROWS):
            part = call.part(first, first + BET_ROWS)
            if max(map(len, part.texts)):
                self._add(part)

    def _add(self, call: Answered) -> None:
        observed = read_texts(self.shape, self._batch(call, self._fresh(call.rows)))
        self.texts += len(call.rows)
        if not observed.n:
            return
        observed = observed.checked(self.bettor.questions)
        self.bettor.update(observed)
        assert observed.place is not None
        self.longest = max(self.longest, int(observed.place.max()) + 1)
        if self.bettor.n <= _KEPT:
            self.calls.append(_kept(observed))

    def _fresh(self, rows: Sequence[EngineRow]) -> list[bool]:
        """Whether each row is one that is bet on; their seeds are taken."""
        fresh = []
        for _, params in rows:
            new = params.temperature > 0 and params.seed not in self.seeds
            if new and params.seed is not None:
                self.seeds.add(params.seed)
            fresh.append(new)
        return fresh

    def _batch(self, call: Answered, fresh: Sequence[bool]) -> TextBatch:
        world = self.surroundings.world(call.world)
        lengths = [
            min(len(text), self.surroundings.places) if new else 0
            for text, new in zip(call.texts, fresh, strict=True)
        ]
        T = max([1, *lengths])
        tokens, skip = torch.zeros(len(lengths), T, dtype=torch.int64), []
        for row, (text, n) in enumerate(zip(call.texts, lengths, strict=True)):
            tokens[row, :n] = torch.tensor(text[:n], dtype=torch.int64)
        p = _stacked([table.distribution[:n] for table, n in zip(call.tables, lengths)], T)
        plain = _stacked(
            [table.scores[:n].softmax(-1) for table, n in zip(call.tables, lengths)], T
        )
        for (_, params), table, n in zip(call.rows, call.tables, lengths, strict=True):
            unsure = table.doubtful[:n] | (table.distribution[:n].amax(1) == 1)
            if self.convention is None and _by_convention(params):
                unsure = torch.ones(n, dtype=torch.bool)
            skip.append(torch.nn.functional.pad(unsure, (0, T - n), value=True))
        drafts = looked_up(call) if self.lookup or call.lookup else drafted(call)
        prompts = [prompt for prompt, _ in call.rows]
        setting = [self.surroundings.setting(params) for _, params in call.rows]
        return TextBatch(
            p,
            _stacked([part[:n] for part, n in zip(drafts, lengths, strict=True)], T),
            tokens,
            torch.tensor(lengths),
            torch.tensor([([0] * _BEFORE + list(prompt))[-_BEFORE:] for prompt in prompts]),
            torch.tensor(setting),
            context=self.surroundings.contexts(world, call.rows, tokens),
            direction={"plain": plain / (plain + p).clamp(min=1e-300)},
            skip=torch.stack(skip),
            world=world,
        )


def _kept(observed: Observed) -> Observed:
    """What a rehearsal needs of a call."""
    contexts = {name: observed.context[name] for name in REHEARSED if name != EVERYWHERE}
    return Observed(
        {"token": observed.p["token"]},
        {"token": observed.token["token"]},
        contexts | {EVERYWHERE: observed.context[EVERYWHERE]},
        {name: observed.direction[name] for name in ("draft", "likely")},
    )


def _by_convention(params: SamplingParams) -> bool:
    """Whether right engines differ: these penalties count the prompt, or they do not."""
    return bool(params.presence_penalty or params.frequency_penalty)


def drafted(call: Answered) -> list[Tensor]:
    """The draft's distributions [n,V], by the same parameters: q/p is that of the models, as far as
    p reaches."""
    whole = [[*prompt, *text] for (prompt, _), text in zip(call.rows, call.texts, strict=True)]
    drafts = scores(call.toy.draft, whole, [len(prompt) for prompt, _ in call.rows])
    return [
        (table.distribution.log() + (draft - table.scores) / (params.temperature or 1)).softmax(-1)
        for draft, table, (_, params) in zip(drafts, call.tables, call.rows, strict=True)
    ]


def looked_up(call: Answered) -> list[Tensor]:
    """[n,V] certain of the token that followed the last token earlier in the text; p where it is
    new."""
    drafts = []
    for (prompt, _), text, table in zip(call.rows, call.texts, call.tables, strict=True):
        whole, draft = [*prompt, *text], table.distribution.clone()
        following: dict[int, int] = {}
        for i, token in enumerate(whole):
            place = i - len(prompt) + 1  # of the token behind this one
            if 0 <= place < len(draft) and token in following:
                draft[place] = 0
                draft[place, following[token]] = 1
            if i + 1 < len(whole):
                following[token] = whole[i + 1]
        drafts.append(draft)
    return drafts


def _stacked(parts: Sequence[Tensor], longest: int) -> Tensor:
    """[n,V] each -> [R,T,V], zeros behind the end."""
    pad = torch.nn.functional.pad
    return torch.stack([pad(part, (0, 0, 0, longest - len(part))) for part in parts])
