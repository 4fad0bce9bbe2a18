"""What one test by betting asks of rows that differ, and how an answer is read for it.

Every answer is continued by the target to D + 1 tokens (answers.py), so each of its tokens has a
known distribution given those before, under any lossless rule.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise, product

import torch
from torch import Tensor

from ...stats.questions import (
    EVERYWHERE,
    Context,
    Direction,
    Observed,
    OutcomeCells,
    Questions,
    ranked_cells,
)
from ...stats.rehearse import FaultClass
from .answers import Continued
from .rows import LAYOUTS, SHAPES, TOKENS, MixedRows, depths_of
from .scenarios import DRAFT_LENGTHS, ROW_COUNTS, VOCABULARY_SIZES, Scenario

NEAR_EDGE = 4  # rows counted from each edge of a batch
PLACES = len(DRAFT_LENGTHS)
SELDOM = 0.1  # a token that the kernel emits with less probability is told apart
SETTINGS = 4 * len(LAYOUTS)


def _crossed(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{a}, {b}" for a, b in product(first, second))


def _joined_words(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map("".join, product(first, second)))


_PLACES = tuple(f"token {place + 1}" for place in range(PLACES))
_SIZES = (
    "1 row",
    *(
        f"{low + 1} to {high} rows" if high > low + 1 else f"{high} rows"
        for low, high in pairwise(ROW_COUNTS)
    ),
)
_EDGES = _crossed(
    ("first row", "second row", "third row", "a later row"), ("from the start", "from the end")
)
_TOLD = _crossed(("q = None", "q told"), ("the same ids in all rows", "ids of each row"))
_TREES = (
    "a draft that is no tree",
    "a tree's last tokens",
    *(
        f"a tree with {count} there"
        for count in ("1 node", "2 nodes", "3 nodes", "4 nodes or more")
    ),
)
_TAKEN = ("", ", trees")  # drafts that are none; drafts that are
_DENSE = ("", ", every token possible")
_WIDTHS = tuple(f"V = {V:,}" for V in VOCABULARY_SIZES)
_NAMES: dict[str, tuple[str, str, tuple[str, ...]]] = {  # class -> where, all of them, groups
    "shape": ("for p and q that are {}", "by shape", tuple(SHAPES)),
    "place": ("at {}", "by place", _PLACES),
    "shape and place": (
        "for p and q that are {}",
        "by shape and place",
        _crossed(tuple(SHAPES), _PLACES),
    ),
    "rank before": (
        "after the token of rank {}",
        "by the last token's rank",
        ("-", *map(str, range(TOKENS))),
    ),
    "row": ("in row {} of the batch", "by row", tuple(map(str, range(max(ROW_COUNTS))))),
    "edge": ("in a batch's {}", "by distance from the edge", _EDGES),
    "size": ("in batches of {}", "by size of the batch", _joined_words(_SIZES, _TAKEN)),
    "size and edge": (
        "in a batch of {}",
        "by size of the batch and distance from its edge",
        _crossed(_SIZES, _EDGES),
    ),
    "vocabulary": ("at {}", "by vocabulary", _joined_words(_WIDTHS, _DENSE)),
    "draft length": (
        "with {} draft tokens",
        "by length of the draft",
        tuple(map(str, range(PLACES))),
    ),
    "setting": ("with tensors {}", "by layout and by what is told", _crossed(LAYOUTS, _TOLD)),
    "tree": ("in {}", "by the tree's nodes at that depth", _TREES),
}
# the last group of each class: tokens that the target mostly draws, not the kernel
_SURROUNDINGS = tuple(
    Context(name, len(groups) + 1, words, each, (*groups, "what a rejection leaves over"))
    for name, (words, each, groups) in _NAMES.items()
)
_OUTCOMES = (
    OutcomeCells("token", TOKENS, "the possible token number {} by id"),
    OutcomeCells("rank", TOKENS, "the token of rank {} by p"),
    OutcomeCells("ratio rank", TOKENS, "the token of rank {} by q/p"),
)
_DIRECTIONS = (
    Direction("draft", "tokens that the draft prefers"),
    Direction("likely", "likely tokens"),
    Direction("large ids", "tokens with large ids"),
)
_LEANS = (
    "shape",
    "place",
    "shape and place",
    "edge",
    "size",
    "size and edge",
    "vocabulary",
    "draft length",
    "setting",
    "tree",
)
# Faults whose smallest detectable size a run states, in words.
KERNEL_FAULTS = {
    FaultClass("score", "draft"): "a lean to or from the draft",
    FaultClass("table", "rank", "shape"): "a bias of tokens by their rank, for each p and q",
    FaultClass("table", "rank", "shape and place"): "one for each p, q and place",
    FaultClass("score", "draft", "vocabulary"): "a lean at one of 12 vocabularies",
    FaultClass("score", "draft", "draft length"): "a lean at one of 13 draft lengths",
    FaultClass("score", "draft", "size"): "a lean in batches of one of 11 sizes",
    FaultClass("score", "draft", "edge"): "a lean in one of the rows at a batch's edges",
    FaultClass("score", "draft", "tree"): "a lean in trees by their nodes at a depth",
}
ON_EVERY_TOKEN = tuple(KERNEL_FAULTS)[:2]


def kernel_questions() -> Questions:
    """What is asked of each token by itself."""
    names = [one.name for one in _SURROUNDINGS]
    tables = [("rank", name) for name in (EVERYWHERE, *names)]
    tables += [("ratio rank", name) for name in (EVERYWHERE, "shape", "size and edge")]
    tables += [("token", name) for name in (EVERYWHERE, "vocabulary")]
    leaning = (EVERYWHERE, *_LEANS)
    scores = [(one.name, name) for one in _DIRECTIONS for name in leaning]
    return Questions(_OUTCOMES, _SURROUNDINGS, _DIRECTIONS, tuple(tables), tuple(scores))


def read_rows(scenario: Scenario, rows: MixedRows, texts: Continued) -> Observed:
    """The tokens of one scenario's calls as a bettor takes them: row by row, all D + 1 of each."""
    batch, places = texts.tokens.shape
    p, q = (_wide(law).flatten(0, 1) for law in (texts.p, texts.q))  # [n,S]
    token = texts.tokens.flatten()
    ranks, rank = ranked_cells(p, p, token, TOKENS)
    ratios, ratio = ranked_cells(p, q / p.clamp(min=1e-300), token, TOKENS)
    row = (torch.arange(batch) % scenario.rows).repeat_interleave(places)
    place = torch.arange(places).repeat(batch)
    earlier = torch.cat((torch.full((batch, 1), -1), rank.view(batch, places)[:, :-1]), 1)
    reached = _reached(scenario, texts).flatten()
    context = _surroundings(scenario, row, place)
    shape = rows.shape.repeat_interleave(places)
    context |= {"shape": shape, "place": place, "shape and place": shape * PLACES + place}
    context["rank before"] = earlier.flatten() + 1
    for one in _SURROUNDINGS:
        context[one.name] = torch.where(reached < SELDOM, one.size - 1, context[one.name])
    return Observed(
        {"token": p, "rank": ranks, "ratio rank": ratios},
        {"token": token, "rank": rank, "ratio rank": ratio},
        context,
        _directions(p, q, reached[:, None]),
        row=row,
        place=place,
    )


def rounded(call: Observed, dtype: torch.dtype) -> Observed:
    """The same call, with the slack that the rule needs when it computes in a short number format:
    each probability may be off by eps of itself, and a running sum by eps of 1.
    """
    eps = torch.finfo(dtype).eps
    tol = {name: (eps * (1 + p)).where(p > 0, 0.0) for name, p in call.p.items()}
    return replace(call, tol=tol)


def joined_calls(calls: Sequence[Observed]) -> Observed:
    """The tokens of several calls as one, without their places in them."""
    return Observed(
        _joined([call.p for call in calls]),
        _joined([call.token for call in calls]),
        _joined([call.context for call in calls]),
        _joined([call.direction for call in calls]),
    )


def _joined(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    names = parts[0]
    columns = zip(*(part.values() for part in parts), strict=True)  # every call has the same names
    return dict(zip(names, map(torch.cat, columns), strict=True))


def _wide(law: Tensor) -> Tensor:
    """[..,S] -> [..,TOKENS], with zeros behind where the vocabulary is smaller."""
    return torch.nn.functional.pad(law, (0, TOKENS - law.shape[-1]))


def _nodes_at(scenario: Scenario) -> Tensor:
    """[D+1] nodes of the draft at each depth; 0 behind the last."""
    depths = torch.tensor(depths_of(scenario.nodes), dtype=torch.int64)
    return torch.bincount(depths, minlength=2)[1:].to(torch.int64)


def _reached(scenario: Scenario, texts: Continued) -> Tensor:
    """[B,D+1] about how likely it is that the kernel emits a token, given those before: that all of
    them were accepted, by the ratio rule, of as many guesses as there are at that depth. A bet may
    be as small as one likes where it can win little.
    """
    came = texts.tokens[..., None]
    p, q = (law.gather(2, came)[..., 0] for law in (texts.p, texts.q))
    kept = (q / p.clamp(min=1e-300)).clamp(max=1) if scenario.told else q
    first = torch.ones(len(kept), 1, dtype=kept.dtype)
    guesses = _nodes_at(scenario)[: kept.shape[1] - 1]
    return torch.cat((first, (kept[:, :-1] * guesses).clamp(max=1)), 1).cumprod(1)


def _directions(p: Tensor, q: Tensor, reached: Tensor) -> dict[str, Tensor]:
    flat = (p > 0) / (p > 0).sum(1, keepdim=True)
    ids = torch.arange(TOKENS, dtype=torch.float64) / (TOKENS - 1)
    return {
        "draft": reached * q / (p + q).clamp(min=1e-300),
        "likely": reached * p / (p + flat).clamp(min=1e-300),
        "large ids": reached * ids,
    }


def _surroundings(scenario: Scenario, row: Tensor, place: Tensor) -> dict[str, Tensor]:
    """Context class -> [n] group."""
    batch = scenario.rows
    side = torch.minimum(row, batch - 1 - row).clamp(max=NEAR_EDGE - 1)
    edge = 2 * side + (2 * row >= batch).long()
    size = sum(batch > most for most in ROW_COUNTS[:-1])
    setting = 4 * LAYOUTS.index(scenario.layout) + 2 * scenario.told + scenario.own_ids
    vocabulary = VOCABULARY_SIZES.index(scenario.vocabulary)
    everywhere, is_tree = torch.zeros_like(row), scenario.parents is not None
    nodes = torch.cat((_nodes_at(scenario), torch.zeros(1, dtype=torch.int64)))[place]
    return {
        "row": row,
        "edge": edge,
        "size": everywhere + 2 * size + is_tree,
        "size and edge": size * 2 * NEAR_EDGE + edge,
        "vocabulary": everywhere + 2 * vocabulary + scenario.dense,
        "draft length": everywhere + len(scenario.nodes),
        "setting": everywhere + setting,
        "tree": 1 + nodes.clamp(max=4) if is_tree else everywhere,
    }
