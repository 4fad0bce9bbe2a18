"""The distribution of tokens one by one, wherever they stand: no joint distribution has to be
enumerated, and one text gives many draws.

Put the vocabulary in an order that only what stands before may decide (`orders`). The probability
of the tokens in front of the one that came, plus a uniform share of its own, is uniform on [0,1)
and independent of everything before, whatever the distribution, the parameters and the prefix
(Rosenblatt 1952, made continuous). So the ranks of all tokens of all texts are one sample of one
known distribution, and so are the pairs of ranks that stand side by side, and the sums of normal
scores of whole texts. What moves tokens to the front of the order moves ranks to 0: by the target's
own probabilities that is text that is too greedy, by q/p it is text that leans to the draft.

A fault of one kind of token drowns among all others, and faults of two settings may cancel. So the
first token of a text, the last before its length, those from the 33rd on and all between, on each
toy and under each setting of the parameters, are samples of their own beside the sample of all;
half of the false-alarm rate is theirs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from ..data import SamplingParams
from ..stats.pit import pit_ranks
from ..stats.sequential import OneSample
from . import expected as reading
from .contract import Completion
from .engine_handle import EngineRow
from .expected import Distributions
from .ordering import Ordering
from .params_oracle import Convention
from .toys import Toy
from .verdict import Picture

BINS = 16
_LATE = 32
_PLACES = (
    "first tokens",
    "last tokens before max_new_tokens",
    f"tokens behind the {_LATE}nd",
    f"tokens 2 to {_LATE}",
)
_NO_SETTING = ("seed", "max_new_tokens", "stop_ids", "stop_sequences")


@dataclass(frozen=True)
class Evidence:
    """What one sample says. among: which tokens it holds, "" for all."""

    way: Ordering
    test: OneSample
    among: str = ""

    @property
    def rejected(self) -> bool:
        return self.test.rejected

    @property
    def cause(self) -> str:
        counts = self.test.counts[0]
        front = float((counts * torch.arange(BINS - 1, -BINS, -2)).sum()) > 0
        return (
            f"{self.among}{': ' * bool(self.among)}{self.way.front if front else self.way.behind}"
        )

    def __str__(self) -> str:
        return f"{self.cause} (ranks {self.way.name})"

    def picture(self) -> Picture:
        counts = self.test.counts[0]
        return Picture(
            f"ranks of tokens, {self.way.name}",
            tuple(f"{i}/{BINS}" for i in range(BINS)),
            (1 / BINS,) * BINS,
            tuple((counts / counts.sum().clamp(min=1)).tolist()),
        )


def _setting(params: SamplingParams) -> str:
    """The parameters that make the distribution, in words; "" for none."""
    plain = SamplingParams()
    return ", ".join(
        f"{one.name} {getattr(params, one.name)}"
        for one in fields(params)
        if one.name not in _NO_SETTING and getattr(params, one.name) != getattr(plain, one.name)
    )


class PITTest:
    """The test: for each order one e-process of all tokens, and one for each kind of token."""

    def __init__(self, directions: Sequence[Ordering], alpha: float, generator: torch.Generator):
        self.generator, self.alpha = generator, alpha / len(directions)
        self.tests = {way: _sample(self.alpha / (1 if way.groups else 2)) for way in directions}
        self.parts: dict[tuple[Ordering, int], OneSample] = {}
        # toys and settings, in the order in which they came
        self.settings: list[tuple[str, str]] = []

    def read(
        self,
        toy: Toy,
        rows: Sequence[EngineRow],
        answers: Sequence[Completion],
        convention: Convention = reading.PLAIN_WAY,
    ) -> reading.Fault | None:
        """Take in answers, unless one of them is wrong by itself: that fault is returned."""
        texts = reading.restored(toy, rows, answers)
        tables = list(reading.expected_distributions(toy, rows, texts, convention))
        read = reading.check_rows(rows, answers, texts, tables)
        if read.faults:
            return read.faults[0]
        if any(texts):
            self.add(toy, rows, texts, tables)
        return None

    def add(
        self,
        toy: Toy,
        rows: Sequence[EngineRow],
        texts: Sequence[list[int]],
        tables: Sequence[Distributions],
    ) -> None:
        """Take in texts and their distributions. Places that are doubtful or leave no choice are
        left out, and what is impossible is not for here."""
        clear = [
            ~table.doubtful[: len(text)] & (table.distribution[: len(text)].amax(1) < 1)
            for text, table in zip(texts, tables, strict=True)
        ]
        tokens = torch.cat([torch.tensor(text, dtype=torch.int64) for text in texts])[:, None]
        distribution = torch.cat(
            [table.distribution[: len(text)] for text, table in zip(texts, tables, strict=True)]
        )
        keep, kinds = torch.cat(clear), self._kinds(toy, rows, texts)
        for way, test in self.tests.items():
            keys = torch.cat(
                [
                    key[: len(text)]
                    for text, key in zip(texts, way.keys(toy, rows, texts, tables), strict=True)
                ]
            )
            ranks = pit_ranks(distribution, keys, tokens, self._uniforms(len(tokens)))
            if way.groups:
                index = way.groups([len(text) for text in texts])
                # Whether there is a next one depends on the first: where there is none a uniform of
                # our own stands for it.
                joined = self._uniforms(index.numel()).view(index.shape)
                joined = torch.where((index >= 0) & keep[index], ranks[index], joined)
                test.update(torch.bincount(together(joined[keep[index[:, 0]]]), minlength=BINS))
                continue
            bins = (ranks * BINS).long().clamp(max=BINS - 1)
            test.update(torch.bincount(bins[keep], minlength=BINS))
            for kind in kinds[keep].unique().tolist():
                part = self.parts.setdefault((way, kind), _sample(self._share(kind)))
                part.update(torch.bincount(bins[keep & (kinds == kind)], minlength=BINS))

    def _kinds(self, toy: Toy, rows: Sequence[EngineRow], texts: Sequence[list[int]]) -> Tensor:
        """For each token, its place, toy and setting, as a number; known before the token is."""
        made = []
        for (_, params), text in zip(rows, texts, strict=True):
            if (named := (toy.name, _setting(params))) not in self.settings:
                self.settings.append(named)
            at = torch.arange(len(text))
            place = torch.where(at >= _LATE, 2, 3)
            place[at == params.max_new_tokens - 1] = 1
            place[:1] = 0
            made.append(place + len(_PLACES) * self.settings.index(named))
        return torch.cat(made)

    def _share(self, kind: int) -> float:
        """Of the false-alarm rate: settings are not counted beforehand, so that the later one
        comes, the less it gets.
        """
        number = kind // len(_PLACES)
        return self.alpha / 2 / len(_PLACES) / ((number + 1) * (number + 2))

    def _uniforms(self, count: int) -> Tensor:
        return torch.rand(count, dtype=torch.float64, generator=self.generator)

    def worst(self) -> Evidence:
        """The sample with the most evidence against it, of those that are rejected, else of those
        that hold all tokens.

        Pairs come after single tokens, whose distribution shows in pairs too.
        """
        whole = [Evidence(way, test) for way, test in self.tests.items()]
        parts = [Evidence(way, test, self._named(kind)) for (way, kind), test in self.parts.items()]
        rejected = [one for one in (*whole, *parts) if one.rejected]
        return max(
            rejected or [one for one in whole if not one.way.beside],
            key=lambda one: (bool(rejected) and not one.way.groups, one.test.largest),
        )

    def _named(self, kind: int) -> str:
        toy, at = self.settings[kind // len(_PLACES)]
        several = len({name for name, _ in self.settings}) > 1
        return _PLACES[kind % len(_PLACES)] + f" at {at}" * bool(at) + f" on toy {toy}" * several


def together(ranks: Tensor) -> Tensor:
    """Ranks [G,m] -> one of BINS cells for each group [G], all as likely if the ranks are
    independent: of two by their quarters; of more the sum of normal scores, whose spread grows with
    every dependence of one sign."""
    if ranks.shape[1] == 2:
        quarter = (ranks * 4).long().clamp(max=3)
        return 4 * quarter[:, 0] + quarter[:, 1]
    scores = torch.special.ndtri(ranks.clamp(1e-12, 1 - 1e-12)).sum(1) / ranks.shape[1] ** 0.5
    return (torch.special.ndtr(scores) * BINS).long().clamp(max=BINS - 1)


def _sample(alpha: float) -> OneSample:
    ramp = torch.arange(2 * BINS - 1, 0, -2, dtype=torch.float64) / BINS**2
    return OneSample(torch.full((BINS,), 1 / BINS), alpha, (ramp, ramp.flip(0)))
