"""Cases as rows of mixed batches, and what came of them, counted.

The judge draws the draft tokens from q with a generator of its own, calls the kernel once for many
rows of different cases, and continues every answer with the target's own distribution to K + 1
tokens. A right kernel's K + 1 tokens then have the target's distribution, however many it accepts:
nothing is ever conditioned on acceptance.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ..cases import Tables
from ..contract import Kernel
from ..session import Session
from .kernel_call import called
from .kernel_tally import distinct, spread

CALL = 16_384  # rows of one call


@dataclass
class Slice:
    """What came out of some rows: counts of K + 1 tokens [C,V^(K+1)], of accepted tokens
    [C,K+1].
    """

    counts: Tensor
    accepted: Tensor


@dataclass(eq=False)
class Group:
    """Cases of one shape. ids [V]: where the V tokens of the tables stand in a larger vocabulary,
    all else of probability 0."""

    name: str
    tables: Tables
    certain: bool = False  # the kernel is not told q
    ids: Tensor | None = None
    size: int = 0  # the larger vocabulary
    call: int = CALL
    # bugs, when not a chain's
    planted: Callable[[Tables], Iterator[tuple[str, dict[Any, float]]]] | None = None

    def __post_init__(self) -> None:
        t = self.tables
        self.cases, self.V, self.K = len(t.names), t.vocabulary, t.draft_tokens
        self.drafts, self.leaves = self.V**self.K, self.V ** (self.K + 1)
        self.slices: list[Slice] = []
        self.fresh = self.empty()
        self.drawn = 0
        self.impossible = self.stray = ""

    def empty(self) -> "Slice":
        return Slice(
            torch.zeros(self.cases, self.leaves, dtype=torch.float64),
            torch.zeros(self.cases, self.K + 1, dtype=torch.float64),
        )

    def _along(self, distribution: Sequence[Tensor]) -> Tensor:
        """[C,V^K,len(distribution),V] float32: the rows along every draft."""
        number = torch.arange(self.drafts)
        rows = [table[:, number // self.V ** (self.K - i)] for i, table in enumerate(distribution)]
        return (
            torch.stack(rows, 2).float()
            if rows
            else torch.zeros(self.cases, self.drafts, 0, self.V)
        )

    @cached_property
    def p(self) -> Tensor:
        return self._along(self.tables.p)

    @cached_property
    def q(self) -> Tensor:
        return self._along(self.tables.q)

    def _joint(self, rows: Tensor) -> Tensor:
        """The distribution of the tokens [C,V^len]: rows [C,V^K,L,V] float32, taken as they are
        given and normalised.
        """
        rows = rows.double() / rows.double().sum(-1, keepdim=True)
        distribution = torch.ones(self.cases, 1, dtype=torch.float64)
        for i in range(rows.shape[2]):
            step = rows[:, :: self.V ** (self.K - i), i]  # [C,V^i,V]
            distribution = (distribution[..., None] * step).flatten(1)
        return distribution

    @cached_property
    def target(self) -> Tensor:
        """[C,V^(K+1)] the distribution of K + 1 tokens."""
        return self._joint(self.p)

    @cached_property
    def draft(self) -> Tensor:
        """[C,V^K] the distribution of the draft."""
        return self._joint(self.q)

    @cached_property
    def followed(self) -> Tensor:
        """[C,V^(K+1)] the distribution of a draft that is always accepted."""
        last = self.p[:, :, self.K].double()
        return (self.draft[..., None] * last / last.sum(-1, keepdim=True)).flatten(1)

    @cached_property
    def _draft_sums(self) -> Tensor:
        return self.draft.flatten().cumsum(0)

    @cached_property
    def _back(self) -> Tensor:
        """[size] a token of the larger vocabulary -> its number in the tables, V where it has
        none.
        """
        assert self.ids is not None
        return torch.full((self.size,), self.V).scatter_(0, self.ids, torch.arange(self.V))

    def rows(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw n rows: [n] numbers of a case and its draft, in no order."""
        u = torch.rand(n, dtype=torch.float64, generator=generator) * self._draft_sums[-1]
        return torch.searchsorted(self._draft_sums, u, right=True)

    @property
    def wrong(self) -> str:
        """What is wrong with a single answer, whatever the distribution."""
        return self.impossible or self.stray

    @property
    def nodes(self) -> int:
        """Draft tokens of a row."""
        return self.K

    @cached_property
    def _tokens(self) -> Tensor:
        number = torch.arange(self.drafts)
        return number[:, None] // self.V ** torch.arange(self.nodes - 1, -1, -1) % self.V

    def tokens(self, rows: Tensor) -> Tensor:
        """[n,nodes] the drafts of rows."""
        return self._tokens.index_select(0, rows % self.drafts)

    def inputs(self, rows: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """What the kernel gets: p, q, draft."""
        p, q = (distribution.index_select(0, rows) for distribution in self._distributions)
        draft = self.tokens(rows)
        return p, None if self.certain else q, draft if self.ids is None else self.ids[draft]

    @cached_property
    def _distributions(self) -> tuple[Tensor, Tensor]:
        """p and q of every row [C V^N,..], in the larger vocabulary where there is one."""
        p, q = self.p.flatten(0, 1), self.q.flatten(0, 1)
        if self.ids is None:
            return p, q
        p, q = (torch.zeros(*t.shape[:2], self.size).index_copy_(2, self.ids, t) for t in (p, q))
        return p, q

    def inside(self, answer: Tensor) -> Tensor:
        """Tokens of the larger vocabulary as the tables number them, V for one that they do not
        have; -1 stays.
        """
        return (
            answer
            if self.ids is None
            else torch.where(answer >= 0, self._back[answer.clamp(min=0)], -1)
        )

    def take(self, rows: Tensor, answer: Tensor, generator: torch.Generator) -> None:
        """Count the kernel's answers [n,K+1], each continued to K + 1 tokens by the target's
        distribution.
        """
        rows, answer, times = distinct(rows, self.inside(answer), self.cases * self.drafts, self.V)
        case, emitted, foreign = (
            rows // self.drafts,
            (answer >= 0).sum(1),
            (answer == self.V).any(1),
        )
        self._note_foreign(rows, foreign)
        number = (answer.clamp(min=0) * self.V ** torch.arange(self.K, -1, -1)).sum(1)
        impossible = torch.zeros_like(foreign)
        for length in range(1, self.K + 2):
            here = ((emitted == length) & ~foreign).nonzero()[:, 0]
            prefix = case[here] * self.V**length + number[here] // self.V ** (self.K + 1 - length)
            # what follows every prefix
            distribution = self.target.view(self.cases * self.V**length, -1)
            impossible[here] = distribution[prefix].sum(1) <= 0
            stopped = torch.bincount(prefix, times[here], len(distribution)).long()
            self.fresh.counts += spread(stopped, distribution, generator).view(self.cases, -1)
        self._note(rows, answer, emitted, impossible)
        self.fresh.accepted += torch.bincount(
            case * (self.K + 1) + emitted - 1, times, self.cases * (self.K + 1)
        ).view(self.cases, -1)

    def _note_foreign(self, rows: Tensor, foreign: Tensor) -> None:
        if bool(foreign.any()) and not self.impossible:
            self.impossible = (
                f"{self.label(int(rows[foreign][0]) // self.drafts)}: a token of probability 0"
                " comes out"
            )

    def _note(self, rows: Tensor, answer: Tensor, emitted: Tensor, impossible: Tensor) -> None:
        if not self.impossible and bool(impossible.any()):
            row = int(impossible.nonzero()[0])
            said = [token for token in answer[row].tolist() if token >= 0]
            self.impossible = (
                f"{self.label(int(rows[row]) // self.drafts)}: emits {said} after the draft"
                f" {self.tokens(rows[row : row + 1])[0].tolist()}, to which the target gives"
                " probability 0"
            )
        off = self.astray(self.tokens(rows), answer, emitted)
        if not self.stray and bool(off.any()):
            row = int(off.nonzero()[0])
            self.stray = (
                f"{self.label(int(rows[row]) // self.drafts)}: emits {answer[row].tolist()} for the"
                f" draft {self.tokens(rows[row : row + 1])[0].tolist()}: {self.wanted}"
            )

    wanted = "what stands before the last token is not the draft's beginning"

    def astray(self, drafted: Tensor, answer: Tensor, emitted: Tensor) -> Tensor:
        """[n] whether the accepted tokens of an answer are not the draft's."""
        kept = torch.arange(self.K) < emitted[:, None] - 1
        return (kept & (answer[:, : self.K] != drafted)).any(1)

    def ask(
        self, kernel: Kernel, session: Session, rows: Tensor, seed: int, size: int = 0
    ) -> Tensor:
        """The answers [n,K+1] of one call, or of calls of `size` rows."""
        return called(kernel, session, *self.inputs(rows), seed, size)

    def label(self, case: int) -> str:
        what = self.tables.names[case].split(",")[0]
        told = ", q = None" if self.certain else ""
        return f"{what} (V = {self.size or self.V}, K = {self.K}{told})"


def far_apart(last: int) -> Tensor:
    """Where eight tokens stand in a large vocabulary, the likeliest first: at both sides of the
    ends of tiles.
    """
    return torch.tensor([last, 0, 31, 32, 1023, 1024, 2047, 4000])
