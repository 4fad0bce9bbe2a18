"""The table of questions for texts: what a test by betting asks of the tokens of an engine, and how
its answers are read.

An engine writes R texts of up to T tokens in each call. Everything here is a tensor over [R,T]: the
target's distribution after each prefix, the draft's where it is known, the tokens, the parameter
setting of each row.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from .questions import (
    EVERYWHERE,
    Context,
    Direction,
    LagQuestions,
    Observed,
    OutcomeCells,
    Questions,
    ranked_cells,
)
from .rehearse import FaultClass

PLACE_STARTS = (0, 1, 2, 4, 8, 16, 32, 64, 128)  # the first place of each group of places
EDGE_ROWS = 4  # rows counted from each edge of a batch
HASHED = 4096  # groups of the last three tokens
MOST_GROUPS = 1 << 14  # of any class, unless a shape says otherwise: more are folded
MOST_CELLS = 64  # of any outcome: larger vocabularies are folded
PREFIX_CLASSES = (
    "previous token",
    "previous token and place group",
    "previous token and place",
    "last two tokens",
    "last three tokens",
)
# Faults whose smallest detectable size a run of texts states.
TEXT_CLASSES = (
    FaultClass("table", "token"),
    FaultClass("table", "token", "previous token"),
    FaultClass("table", "token", "previous token and place"),
    FaultClass("score", "draft"),
    FaultClass("score", "draft", "setting"),
    FaultClass("score", "draft", "row"),
)
LEAST_P = 1e-9  # what counts as 0 in the score of likely tokens
MULTIPLIER = 1_000_003  # of the hash


@dataclass(frozen=True)
class TextShape:
    """vocabulary: V; tokens of a larger one are folded modulo V. rows, places: of the largest call.
    settings: of parameters. draft: whether q is known. calls, seeds: see LagQuestions. worlds: of
    models, whose tokens mean different things. groups: of any context class at most."""

    vocabulary: int
    rows: int
    places: int
    settings: int = 1
    draft: bool = True
    calls: tuple[int, ...] = (1,)
    seeds: tuple[int, ...] = ()
    worlds: int = 1
    groups: int = MOST_GROUPS

    @property
    def cells(self) -> int:
        return min(self.vocabulary, MOST_CELLS)


@dataclass(frozen=True)
class TextBatch:
    """One call's answers.

    Args:
        p: [R,T,V] the target's distribution before each token. q: the same of the draft, or None.
        tokens: [R,T] int64. lengths: [R] int64, tokens of each text.
        prompt: [R,3] int64, the three tokens before the first. setting: [R] int64.
        tol: [R,T,V] or None. seed: of the call.
        context: further context classes, [R,T] each. direction: further directions, [R,T,V] each.
        skip: [R,T] bool, places that are not bet on, known before their tokens are; or None.
        world: which model wrote.
    """

    p: Tensor
    q: Tensor | None
    tokens: Tensor
    lengths: Tensor
    prompt: Tensor
    setting: Tensor
    tol: Tensor | None = None
    seed: int | None = None
    context: Mapping[str, Tensor] | None = None
    direction: Mapping[str, Tensor] | None = None
    skip: Tensor | None = None
    world: int = 0


def text_questions(
    shape: TextShape, further: tuple[Context, ...] = (), leaning: tuple[Direction, ...] = ()
) -> Questions:
    """What is asked of texts; all is also asked in each `further` context, and all scores of each
    direction in `leaning`."""
    contexts = (*_contexts(shape), *further)
    more = tuple(one.name for one in further)
    spread = (EVERYWHERE, "place group", "setting", *more)
    tables = [("token", name) for name in (*spread, *PREFIX_CLASSES, "row")]
    orders = ["rank"] + ["ratio rank"] * shape.draft
    tables += [(order, name) for order in orders for name in (*spread, "edge")]
    directions = (*_directions(shape.draft), *leaning)
    places = (*spread, "edge", "setting and place group", "row")
    scores = [(one.name, name) for one in directions for name in places if one.name != "accepted"]
    lags = LagQuestions(
        shape.rows,
        shape.places,
        shape.calls,
        shape.seeds,
        (("token", 1), ("token", 2), ("rank", 1)),
        ("accepted",) if shape.draft else (),
    )
    outcomes = _outcomes(shape)
    return Questions(outcomes, contexts, directions, tuple(tables), tuple(scores), lags)


def read_texts(shape: TextShape, texts: TextBatch) -> Observed:
    """One call's answers as a bettor takes them: only the tokens before each text's end."""
    T = texts.tokens.shape[1]
    keep = torch.arange(T) < texts.lengths[:, None]  # [R,T]
    if texts.skip is not None:
        keep &= ~texts.skip
    row, place = keep.nonzero(as_tuple=True)  # [n] each, row by row
    p, tokens = texts.p[keep].double(), texts.tokens[keep]  # [n,V], [n]
    q = None if texts.q is None else texts.q[keep].double()
    tol = None if texts.tol is None else texts.tol[keep].double()
    before = torch.cat((texts.prompt, texts.tokens), 1).unfold(1, 4, 1)[
        :, :T
    ]  # [R,T,4]: x3 x2 x1 x
    last = before[..., :3][keep].flip(1)  # [n,3], the nearest first
    earlier = torch.cat((texts.p[:, :1], texts.p[:, :-1]), 1)[keep].double()
    distributions, cells, slack = _cells(shape, p, q, tokens, tol)
    context = _groups_of(shape, texts, row, place, last)
    for name, groups in (texts.context or {}).items():
        context[name] = groups[keep]
    further = {name: score[keep].double() for name, score in (texts.direction or {}).items()}
    direction = _scores_of(shape, p, q, last[:, 0], earlier, further)
    return Observed(distributions, cells, context, direction, slack, row, place, texts.seed)


def _outcomes(shape: TextShape) -> tuple[OutcomeCells, ...]:
    folded = shape.cells < shape.vocabulary
    token = f"the tokens that leave {{}} modulo {shape.cells}" if folded else "token {}"
    ranks = (
        OutcomeCells("rank", shape.cells, "the token of rank {} by p"),
        OutcomeCells("ratio rank", shape.cells, "the token of rank {} by q/p"),
    )
    return (OutcomeCells("token", shape.cells, token), *ranks[: 1 + shape.draft])


def _contexts(shape: TextShape) -> tuple[Context, ...]:
    V, groups = shape.vocabulary * shape.worlds, len(PLACE_STARTS)

    def most(size: int) -> int:
        return min(size, shape.groups)

    return (
        Context("place group", groups, "in group {} of places", "by place"),
        Context("previous token", most(V), "after token {}", "by previous token"),
        Context(
            "previous token and place group",
            most(V * groups),
            "after one token in one group of places (context {})",
            "by previous token and group of places",
        ),
        Context(
            "previous token and place",
            most(V * shape.places),
            "after one token at one place (context {})",
            "by previous token and place",
        ),
        Context(
            "last two tokens",
            most(V * shape.vocabulary),
            "after two tokens (context {})",
            "by last two tokens",
        ),
        Context(
            "last three tokens", HASHED, "after three tokens (context {})", "by last three tokens"
        ),
        Context("setting", shape.settings, "in setting {}", "by setting"),
        Context(
            "setting and place group",
            shape.settings * groups,
            "in one setting and group of places (context {})",
            "by setting and group of places",
        ),
        Context("row", shape.rows, "in row {} of the batch", "by row"),
        Context(
            "edge",
            2 * EDGE_ROWS,
            "near an edge of the batch (context {})",
            "by distance from the edge",
        ),
    )


def _directions(draft: bool) -> tuple[Direction, ...]:
    own = (
        Direction("likely", "likely tokens"),
        Direction("token before", "repetitions of the token before"),
        Direction("distribution before", "tokens that were likelier one place earlier"),
    )
    if not draft:
        return own
    return (
        Direction("draft", "tokens that the draft prefers"),
        *own,
        Direction("accepted", "tokens that are surely accepted"),
    )


def _fold(values: Tensor, cells: int) -> Tensor:
    """[n,V] -> [n,cells]: token x goes to cell x mod cells."""
    if values.shape[1] == cells:
        return values
    cell = torch.arange(values.shape[1]) % cells
    return values.new_zeros(len(values), cells).index_add_(1, cell, values)


def _widened(values: Tensor, cells: int) -> Tensor:
    """[n,M] -> [n,cells] with zeros, where M is less."""
    return torch.nn.functional.pad(values, (0, cells - values.shape[1]))


def _cells(
    shape: TextShape, p: Tensor, q: Tensor | None, tokens: Tensor, tol: Tensor | None
) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor] | None]:
    """Distributions, cells and slack of each outcome."""
    keys = {"rank": p}
    if q is not None:
        keys["ratio rank"] = q / p.clamp(min=1e-300)
    distributions, cells = {"token": _fold(p, shape.cells)}, {"token": tokens % shape.cells}
    slack = {}
    for name, key in keys.items():
        ranked, cells[name] = ranked_cells(p, key, tokens, shape.cells)
        distributions[name] = _widened(ranked, shape.cells)
    if tol is None:
        return distributions, cells, None
    slack = {"token": _fold(tol, shape.cells)}
    for name, key in keys.items():
        slack[name] = _widened(ranked_cells(tol, key, tokens, shape.cells)[0], shape.cells)
    return distributions, cells, slack


def _scores_of(
    shape: TextShape,
    p: Tensor,
    q: Tensor | None,
    last: Tensor,
    earlier: Tensor,
    further: dict[str, Tensor],
) -> dict[str, Tensor]:
    """Direction -> [n,cells] in [0,1]. A folded cell gets its tokens' mean under p."""
    scores = {
        "likely": (p.clamp(min=LEAST_P).log() / -torch.tensor(LEAST_P).double().log() + 1).clamp(
            0, 1
        ),
        "token before": torch.nn.functional.one_hot(last, p.shape[1]).double(),
        "distribution before": _share(earlier, p),
    }
    if q is not None:
        scores["draft"] = _share(q, p)
        scores["accepted"] = (q / p.clamp(min=1e-300)).clamp(max=1)
    scores |= further
    if shape.cells == p.shape[1]:
        return scores
    mass = _fold(p, shape.cells).clamp(min=1e-300)
    return {
        name: (_fold(p * score, shape.cells) / mass).clamp(0, 1) for name, score in scores.items()
    }


def _share(a: Tensor, b: Tensor) -> Tensor:
    """a / (a + b), 0 where both are 0."""
    return a / (a + b).clamp(min=1e-300)


def _groups_of(
    shape: TextShape, texts: TextBatch, row: Tensor, place: Tensor, last: Tensor
) -> dict[str, Tensor]:
    """Context class -> [n] group."""
    V, rows, world = shape.vocabulary, len(texts.tokens), texts.world
    setting, starts = texts.setting[row], torch.tensor(PLACE_STARTS)
    group = torch.bucketize(place, starts, right=True) - 1  # [n]
    side = torch.minimum(row, rows - 1 - row).clamp(max=EDGE_ROWS - 1)
    before = world * V + last[:, 0] % V  # [n] the token before, of its own world

    def most(key: Tensor) -> Tensor:
        return key % shape.groups

    return {
        "place group": group,
        "previous token": most(before),
        "previous token and place group": most(before * len(starts) + group),
        "previous token and place": most(before * shape.places + place),
        "last two tokens": most(before * V + last[:, 1] % V),
        "last three tokens": (hashed_columns(last) + world * MULTIPLIER) % HASHED,
        "setting": setting,
        "setting and place group": setting * len(starts) + group,
        "row": row,
        "edge": 2 * side + (2 * row >= rows).long(),
    }


def hashed_columns(values: Tensor) -> Tensor:
    """[n,k] int64 -> [n] int64, not negative."""
    key = torch.zeros(len(values), dtype=torch.int64)
    for column in values.T:
        key = (key * MULTIPLIER + column + 1) % (2**31 - 1)
    return key
