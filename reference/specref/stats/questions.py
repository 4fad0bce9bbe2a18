"""What a test by betting asks of a stream of tokens, as a table with its words, and the draws that
answer.

Three kinds of question, each about a named part of the stream:

    table   does an outcome come as often as its probability says, in each context of a class?
    score   does the stream lean towards a direction, or away from it, in each context of a class?
    lag     do tokens at a fixed distance (rows, places, calls, seeds) depend on each other?

An outcome sorts the vocabulary into cells, a context sorts the tokens of the stream, a direction
scores the cells of an outcome. `Questions` names them; `Observed` holds one call's tokens.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..errors import SpecrefError

EVERYWHERE = "everywhere"  # the name of the context that holds all tokens
ROUNDING = 1e-4  # by how much given probabilities may miss the sum 1


@dataclass(frozen=True)
class OutcomeCells:
    """Cells that the vocabulary is sorted into. words: how a cell is called, {} for its number."""

    name: str
    cells: int
    words: str = "token {}"


@dataclass(frozen=True)
class Context:
    """Groups that the tokens of a stream are sorted into. words: where, {} for the group's name,
    or its number where no names are given; each: the same, said of all groups at once.
    """

    name: str
    size: int
    words: str
    each: str
    names: tuple[str, ...] = ()

    def said(self, group: int) -> str:
        """Where the group is, in words."""
        return self.words.format(self.names[group] if self.names else group)


@dataclass(frozen=True)
class Direction:
    """A score in [0,1] of each cell of an outcome. words: the tokens that score high."""

    name: str
    words: str
    outcome: str = "token"


@dataclass(frozen=True)
class LagQuestions:
    """Which distances to watch: all of rows and places in a call; calls and seeds as listed.

    Args:
        rows, places: the largest call. calls: how many calls back (1: the call before).
        seeds: the differences between two calls' seeds, of either sign.
        outcomes: the (outcome, frequency) pairs whose cosine scores are compared.
        directions: directions that are compared as well.
    """

    rows: int
    places: int
    calls: tuple[int, ...] = (1,)
    seeds: tuple[int, ...] = ()
    outcomes: tuple[tuple[str, int], ...] = (("token", 1), ("token", 2))
    directions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if min(self.rows, self.places, *self.calls, 1) < 1 or 0 in self.seeds:
            raise SpecrefError(
                "rows, places and calls of a lag are 1 or more, and seeds are not 0: leave out what"
                " you do not want to compare"
            )


@dataclass(frozen=True)
class Questions:
    """All that one test asks. tables: (outcome, context) pairs; scores: (direction, context)."""

    outcomes: tuple[OutcomeCells, ...]
    contexts: tuple[Context, ...]
    directions: tuple[Direction, ...] = ()
    tables: tuple[tuple[str, str], ...] = ()
    scores: tuple[tuple[str, str], ...] = ()
    lags: LagQuestions | None = None

    def __post_init__(self) -> None:
        outcomes, contexts = set(self.outcome), {EVERYWHERE, *self.context}
        directions = set(self.direction)
        unknown = {outcome for outcome, _ in self.tables} - outcomes
        unknown |= {direction.outcome for direction in self.directions} - outcomes
        unknown |= {direction for direction, _ in self.scores} - directions
        unknown |= {context for _, context in self.tables + self.scores} - contexts
        if self.lags is not None:
            unknown |= {outcome for outcome, _ in self.lags.outcomes} - outcomes
            unknown |= set(self.lags.directions) - directions
        if unknown:
            raise SpecrefError(f"asked about {sorted(unknown)}, which no row of the table defines")
        if not self.tables and not self.scores and self.lags is None:
            raise SpecrefError("no question is asked: name tables, scores or lags")

    @property
    def outcome(self) -> dict[str, OutcomeCells]:
        return {one.name: one for one in self.outcomes}

    @property
    def context(self) -> dict[str, Context]:
        return {one.name: one for one in self.contexts}

    @property
    def direction(self) -> dict[str, Direction]:
        return {one.name: one for one in self.directions}


@dataclass(frozen=True)
class Observed:
    """The n tokens of one call, in an order in which each one's distribution is the one given all
    tokens before it: row by row.

    Args:
        p: outcome -> [n,M] probabilities of its cells, known before the token is.
        token: outcome -> [n] int64, the cell that came.
        context: context -> [n] int64, the group, known before the token is.
        direction: direction -> [n,M] scores in [0,1], known before the token is.
        tol: outcome -> [n,M], by how much the true probabilities may differ from p; None: p is
            exact but for the rounding of its number format.
        row, place: [n] int64, where the token stands in its call; needed for lags only.
        seed: the call's seed; needed for lags over seeds only.
    """

    p: Mapping[str, Tensor]
    token: Mapping[str, Tensor]
    context: Mapping[str, Tensor] = field(default_factory=dict)
    direction: Mapping[str, Tensor] = field(default_factory=dict)
    tol: Mapping[str, Tensor] | None = None
    row: Tensor | None = None
    place: Tensor | None = None
    seed: int | None = None

    @property
    def n(self) -> int:
        return len(next(iter(self.token.values())))

    def checked(self, questions: Questions) -> "Observed":
        """The same in float64 with every p normalised, tol widened by what that moved.

        Errors:
            SpecrefError for what is missing, of a wrong shape, NaN, no distribution or out of
            range.
        """
        n = self.n
        p: dict[str, Tensor] = {}
        tol: dict[str, Tensor] = {}
        for outcome in questions.outcomes:
            given = _numbers(self.p, outcome.name, (n, outcome.cells))
            total = given.sum(1, keepdim=True)  # [n,1]
            if bool((given < 0).any()) or bool(((total - 1).abs() > ROUNDING).any()):
                raise SpecrefError(
                    f"p of {outcome.name!r} is no distribution in each of the {n} rows: give"
                    " probabilities that sum to 1, with a cell for the rest"
                )
            p[outcome.name] = given / total
            if self.tol is not None:
                slack = _numbers(self.tol, outcome.name, (n, outcome.cells))
                _within("tol", outcome.name, slack, 0, 1)
                tol[outcome.name] = slack + (p[outcome.name] - given).abs()
        direction: dict[str, Tensor] = {}
        for one in questions.directions:
            shape = (n, questions.outcome[one.outcome].cells)
            direction[one.name] = _numbers(self.direction, one.name, shape)
            _within("direction", one.name, direction[one.name], 0, 1)
        token = {
            one.name: _groups("token", self.token, one.name, n, one.cells)
            for one in questions.outcomes
        }
        context = {
            one.name: _groups("context", self.context, one.name, n, one.size)
            for one in questions.contexts
            if one.name != EVERYWHERE
        }
        context[EVERYWHERE] = torch.zeros(n, dtype=torch.int64)
        self._check_grid(questions.lags)
        return Observed(
            p,
            token,
            context,
            direction,
            None if self.tol is None else tol,
            self.row,
            self.place,
            self.seed,
        )

    def _check_grid(self, lags: LagQuestions | None) -> None:
        if lags is None:
            return
        if self.row is None or self.place is None or len(self.row) != self.n:
            raise SpecrefError("lags are asked for: give each token's row and place")
        if len(self.place) != self.n or not self.n:
            raise SpecrefError("a call needs as many places as tokens, and one token at least")
        row, place = self.row.long(), self.place.long()
        if int(row.min()) < 0 or int(row.max()) >= lags.rows:
            raise SpecrefError(f"rows are 0 to {lags.rows - 1} in this test")
        if int(place.min()) < 0 or int(place.max()) >= lags.places:
            raise SpecrefError(f"places are 0 to {lags.places - 1} in this test")
        order = row * lags.places + place
        if bool((order[1:] <= order[:-1]).any()):
            raise SpecrefError("give a call's tokens row by row, each row from left to right")

    def part(self, first: int, last: int) -> "Observed":
        """Tokens first to last - 1, without the grid."""

        def cut(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return {name: value[first:last] for name, value in values.items()}

        tol = None if self.tol is None else cut(self.tol)
        return Observed(cut(self.p), cut(self.token), cut(self.context), cut(self.direction), tol)


def named_cells(p: Tensor, names: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Some tokens by name and the rest as one cell, for a vocabulary that is only known in part.

    Args:
        p: [n,M] probabilities of the named tokens. names: [n,M] int64, no name twice in a row.
        tokens: [n] int64, what came.
    Returns:
        [n,M+1] distribution with the rest in the last cell; [n] int64 the cell that came.
    """
    rest = (1 - p.double().sum(1, keepdim=True)).clamp(min=0)  # [n,1]
    hit = names == tokens[:, None]  # [n,M]
    cell = torch.where(hit.any(1), hit.long().argmax(1), names.shape[1])
    return torch.cat((p.double(), rest), 1), cell


def rank_starts(vocabulary: int, cells: int) -> Tensor:
    """[cells] int64, the first rank of each cell, from 0: one rank a cell in the first half; in the
    second half each cell has more ranks than the one before, by a factor, up to the vocabulary."""
    alone = cells // 2
    grown = (vocabulary / alone) ** (torch.arange(cells - alone).double() / (cells - alone)) * alone
    least = alone + torch.arange(cells - alone)  # where the factor is near 1
    return torch.cat((torch.arange(alone), torch.maximum(grown.long(), least)))


def ranked_cells(p: Tensor, key: Tensor, tokens: Tensor, cells: int) -> tuple[Tensor, Tensor]:
    """Tokens sorted by falling key; in a large vocabulary the ranks of `rank_starts` share cells.

    Args:
        p, key: [n,V]. tokens: [n] int64.
    Returns:
        [n,cells] distribution of the rank's cell, [n] int64 the cell that came.
    """
    order = key.argsort(dim=1, descending=True, stable=True)  # [n,V]
    by_rank = p.double().gather(1, order)
    rank = (order == tokens[:, None]).long().argmax(1)
    if by_rank.shape[1] <= cells:
        return by_rank, rank
    starts = rank_starts(by_rank.shape[1], cells)
    cell_of = torch.bucketize(torch.arange(by_rank.shape[1]), starts, right=True) - 1  # [V]
    grouped = by_rank.new_zeros(len(by_rank), cells).index_add_(1, cell_of, by_rank)
    return grouped, cell_of[rank]


def _numbers(values: Mapping[str, Tensor], name: str, shape: tuple[int, int]) -> Tensor:
    if name not in values:
        raise SpecrefError(f"nothing is given for {name!r}, which the test asks about")
    value = values[name].double()
    if tuple(value.shape) != shape:
        raise SpecrefError(f"{name!r} has shape {list(value.shape)}, not {list(shape)}")
    if not bool(value.isfinite().all()):
        raise SpecrefError(f"{name!r} holds NaN or infinity: a distribution must be known to bet")
    return value


def _within(kind: str, name: str, value: Tensor, low: float, high: float) -> None:
    if bool(((value < low) | (value > high)).any()):
        raise SpecrefError(f"{kind} {name!r} has values outside {low} to {high}")


def _groups(kind: str, values: Mapping[str, Tensor], name: str, n: int, size: int) -> Tensor:
    if name not in values:
        raise SpecrefError(f"nothing is given for {kind} {name!r}, which the test asks about")
    value = values[name].long()
    if tuple(value.shape) != (n,):
        raise SpecrefError(f"{kind} {name!r} has shape {list(value.shape)}, not [{n}]")
    _within(kind, name, value, 0, size - 1)
    return value
