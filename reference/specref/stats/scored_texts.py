"""The table of questions for texts whose tokens another party has scored: of each token's
distribution the k likeliest tokens are known by name, and all others are one cell, the rest.

Everything here is a tensor over [R,T]: R texts of up to T tokens. What is reported is rounded, so
every distribution has a slack, relative to each probability.
"""

import math
from collections.abc import Sequence
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
)
from .rehearse import FaultClass

TEXT_PLACES = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256)  # the first place of each group of places
FOLDS = 32  # named tokens are counted by id modulo this
PREFIX_GROUPS = 4096  # of contexts by the tokens before
OVERLAP_BINS = 8  # of the largest probability, and of the overlap with the draft
RECENT = 32  # tokens that count as just said
FLOOR = 1e-6  # slack of the rest: what a report leaves out for being small
LEAST_NAMED = 1e-7  # slack of a named token, whatever its probability
FAINTEST = 1e-9  # what counts as 0 in the score of likely tokens
SPREAD = 1_000_003  # of the hash
HASH_SIZE = 2**31 - 1


@dataclass(frozen=True)
class ScoredShape:
    """named: k. rows, places: of the largest call. prompts: how many different ones. draft:
    whether a draft's distribution chooses directions."""

    named: int
    rows: int
    places: int
    prompts: int
    draft: bool


@dataclass(frozen=True)
class ScoredBatch:
    """Texts of one call with their scores. Behind a text's end anything may stand.

    Args:
        names: [R,T,k] int64, the likeliest tokens before each token was known, the likeliest
            first; -1: no token. p: [R,T,k] their reported probabilities.
        q: [R,T,k] the draft's of the same tokens, or None. They choose bets and are not tested.
        tokens: [R,T] int64. lengths: [R] int64. before: the prompt of each text.
        prompt: [R] int64, its number.
        slack: by how much, relatively, each p may be off.
    """

    names: Tensor
    p: Tensor
    q: Tensor | None
    tokens: Tensor
    lengths: Tensor
    before: Sequence[Sequence[int]]
    prompt: Tensor
    slack: float


def scored_questions(shape: ScoredShape) -> Questions:
    """What is asked of scored texts."""
    cells = shape.named + 1
    outcomes = [
        OutcomeCells("rank", cells, "the token of rank {} by p"),
        OutcomeCells("token", FOLDS + 1, f"the likely tokens that leave {{}} modulo {FOLDS}"),
    ]
    tables = [("rank", name) for name in (EVERYWHERE, "place group", "certainty", "row")]
    tables += [("rank", "previous token"), ("rank", "last two tokens")]
    tables += [("token", name) for name in (EVERYWHERE, "place group", "previous token")]
    parts = ("place group", "certainty", "row", "prompt")
    leans = [one.name for one in directions_of(shape) if one.name != "accepted"]
    scores = [(name, EVERYWHERE) for name in leans]
    scores += [(name, part) for name in ("likely", "lookup") for part in parts]
    compared: tuple[str, ...] = ()
    if shape.draft:
        outcomes.append(OutcomeCells("ratio rank", cells, "the token of rank {} by q/p"))
        tables += [("ratio rank", name) for name in (EVERYWHERE, "place group", "agreement")]
        scores += [("draft", part) for part in (*parts, "agreement")]
        compared = ("accepted",)
    lags = LagQuestions(
        shape.rows, shape.places, (1,), (), (("rank", 1), ("rank", 2), ("token", 1)), compared
    )
    return Questions(
        tuple(outcomes), _contexts(shape), directions_of(shape), tuple(tables), tuple(scores), lags
    )


def scored_classes(shape: ScoredShape) -> tuple[FaultClass, ...]:
    """Faults whose smallest detectable size a run states."""
    leans = ("draft", "likely", "lookup") if shape.draft else ("likely", "lookup")
    return (
        *(FaultClass("score", name) for name in leans),
        FaultClass("score", leans[0], "row"),
        FaultClass("table", "rank"),
        FaultClass("table", "token"),
        FaultClass("table", "token", "previous token"),
    )


def directions_of(shape: ScoredShape) -> tuple[Direction, ...]:
    """The directions in which a text may lean; the draft's only where one is known."""
    own = (
        Direction("likely", "likely tokens", "rank"),
        Direction("token before", "repetitions of the token before", "rank"),
        Direction("recent", f"tokens that are among the last {RECENT}", "rank"),
        Direction("lookup", "tokens that an n-gram lookup drafts", "rank"),
        Direction("distribution before", "tokens that were likelier one place earlier", "rank"),
    )
    if not shape.draft:
        return own
    return (
        Direction("draft", "tokens that the draft prefers", "rank"),
        *own,
        Direction("accepted", "tokens that are surely accepted", "rank"),
    )


def read_scored(shape: ScoredShape, batch: ScoredBatch) -> Observed:
    """One call's texts as a bettor takes them, row by row."""
    keep = torch.arange(batch.tokens.shape[1]) < batch.lengths[:, None]  # [R,T]
    row, place = keep.nonzero(as_tuple=True)  # [n] each
    names, tokens = batch.names[keep], batch.tokens[keep]  # [n,k], [n]
    p, tol = slackened(batch.p[keep].double(), batch.slack)  # [n,k+1] each
    q = None if batch.q is None else with_rest(batch.q[keep].double())  # [n,k+1]
    lookup = followers(batch.before, batch.tokens)[keep]  # [n]
    cell = named_cell(names, tokens)  # [n]
    fold = folded(names)  # [n,k+1]
    distributions = {"rank": p, "token": summed(p, fold)}
    cells = {"rank": cell, "token": _at(fold, cell)}
    slack = {"rank": tol, "token": summed(tol, fold)}
    if q is not None:
        order = ratio_order(p, q)  # [n,k+1]
        distributions["ratio rank"] = p.gather(1, order)
        slack["ratio rank"] = tol.gather(1, order)
        cells["ratio rank"] = (order == cell[:, None]).long().argmax(1)
    last = last_tokens(batch.before, batch.tokens)[keep]  # [n,2], the nearest first
    groups = torch.bucketize(place, torch.tensor(TEXT_PLACES), right=True) - 1  # [n]
    context = {
        "place group": groups,
        "certainty": _bin(p[:, :-1].amax(1)),
        "previous token": prefix_hash(last[:, :1]) % PREFIX_GROUPS,
        "last two tokens": prefix_hash(last) % PREFIX_GROUPS,
        "row": row,
        "prompt": batch.prompt[row],
    }
    direction = {
        "likely": (p.clamp(min=FAINTEST).log() / -math.log(FAINTEST) + 1).clamp(0, 1),
        "token before": _is(names, last[:, :1]),
        "recent": _is(names, recent_tokens(batch.before, batch.tokens)[keep]),
        "lookup": _is(names, lookup[:, None]),
        "distribution before": share(earlier_p(batch)[keep], p),
    }
    if q is not None:
        context["agreement"] = _bin(torch.minimum(p, q).sum(1))
        direction["draft"] = share(q, p)
        direction["accepted"] = (q / p.clamp(min=1e-300)).clamp(max=1)
    return Observed(distributions, cells, context, direction, slack, row, place)


def slackened(p: Tensor, slack: float) -> tuple[Tensor, Tensor]:
    """[n,k] reported probabilities -> the distribution [n,k+1] with the rest last, and how much
    each of its cells may be off. Reports that add up to more than 1 are divided by their sum.
    """
    total = p.sum(1, keepdim=True)  # [n,1]
    named = p / total.clamp(min=1)
    off = slack * p + (p - named) + LEAST_NAMED  # [n,k]
    rest = slack * total + (total - 1).clamp(min=0) + FLOOR  # [n,1]
    return with_rest(named), torch.cat((off, rest), 1).clamp(max=1)


def with_rest(p: Tensor) -> Tensor:
    """[n,k] -> [n,k+1], the rest to 1 in the last cell."""
    return torch.cat((p, (1 - p.sum(1, keepdim=True)).clamp(min=0)), 1)


def named_cell(names: Tensor, tokens: Tensor) -> Tensor:
    """[n,k], [n] -> [n]: which of the names came; k: none of them."""
    hit = names == tokens[:, None]  # [n,k]
    return torch.where(hit.any(1), hit.long().argmax(1), names.shape[1])


def folded(names: Tensor) -> Tensor:
    """[n,k] ids -> [n,k+1] the fold of each name and, last, of the rest."""
    fold = torch.where(names < 0, FOLDS, names % FOLDS)
    return torch.cat((fold, torch.full_like(fold[:, :1], FOLDS)), 1)


def summed(values: Tensor, fold: Tensor) -> Tensor:
    """[n,k+1] values of names -> [n,FOLDS+1] of folds."""
    return values.new_zeros(len(values), FOLDS + 1).scatter_add_(1, fold, values)


def ratio_order(p: Tensor, q: Tensor) -> Tensor:
    """[n,k+1]: the named cells by falling q/p, the rest last."""
    ratio = q[:, :-1] / p[:, :-1].clamp(min=1e-300)
    order = ratio.argsort(dim=1, descending=True, stable=True)
    return torch.cat((order, torch.full_like(order[:, :1], p.shape[1] - 1)), 1)


def share(a: Tensor, b: Tensor) -> Tensor:
    """a / (a + b), 0 where both are 0."""
    return a / (a + b).clamp(min=1e-300)


def prefix_hash(values: Tensor) -> Tensor:
    """[n,w] int64 -> [n] int64, not negative."""
    key = torch.zeros(len(values), dtype=torch.int64)
    for column in values.T:
        key = (key * SPREAD + column + 1) % HASH_SIZE
    return key


def last_tokens(before: Sequence[Sequence[int]], tokens: Tensor) -> Tensor:
    """[R,T,2]: the token before each token and the one before that; 0 where there is none."""
    return recent_tokens(before, tokens, 2)


def recent_tokens(before: Sequence[Sequence[int]], tokens: Tensor, width: int = RECENT) -> Tensor:
    """[R,T,width]: the tokens before each token, the nearest first; -1 where there is none."""
    starts = [[-1] * width + list(prompt) for prompt in before]
    start = torch.tensor([prompt[-width:] for prompt in starts])  # [R,width]
    whole = torch.cat((start, tokens), 1)  # [R,width+T]
    return whole.unfold(1, width, 1)[:, :-1].flip(2)


def followers(before: Sequence[Sequence[int]], tokens: Tensor) -> Tensor:
    """[R,T]: what a lookup drafts at each place: the token that last followed the two tokens
    before it, else the one token before it; -1: neither was there before.
    """
    return torch.tensor(
        [_followers(prompt, text) for prompt, text in zip(before, tokens.tolist(), strict=True)]
    )


def _followers(prompt: Sequence[int], text: Sequence[int]) -> list[int]:
    after: dict[tuple[int, ...], int] = {}
    whole, found = [*prompt, *text], []
    for i, token in enumerate(whole):
        one, two = tuple(whole[i - 1 : i]), tuple(whole[max(i - 2, 0) : i])
        if i >= len(prompt):
            found.append(after.get(two, after.get(one, -1)))
        after[one], after[two] = token, token
    return found


def earlier_p(batch: ScoredBatch) -> Tensor:
    """[R,T,k+1]: the named tokens' probabilities one place earlier, as far as they were named
    there; 0 for the rest, and at the first place.
    """
    R, T, k = batch.names.shape
    found = torch.zeros(R, T, k + 1, dtype=torch.float64)
    same = batch.names[:, 1:, :, None] == batch.names[:, :-1, None, :]  # [R,T-1,k,k]
    found[:, 1:, :k] = (same * batch.p[:, :-1, None, :].double()).sum(3)
    return found


def _is(names: Tensor, tokens: Tensor) -> Tensor:
    """[n,k], [n,w] -> [n,k+1]: 1 where a name is one of the tokens; 0 for the rest."""
    found = (names[:, :, None] == tokens[:, None]).any(2) & (names >= 0)
    return torch.cat((found, torch.zeros_like(found[:, :1])), 1).double()


def _at(values: Tensor, index: Tensor) -> Tensor:
    return values.gather(1, index[:, None])[:, 0]


def _bin(values: Tensor) -> Tensor:
    """[n] in [0,1] -> [n] int64 below OVERLAP_BINS."""
    return (values * OVERLAP_BINS).long().clamp(max=OVERLAP_BINS - 1)


def _contexts(shape: ScoredShape) -> tuple[Context, ...]:
    own = (
        Context("place group", len(TEXT_PLACES), "in group {} of places", "by place"),
        Context("certainty", OVERLAP_BINS, "where p is peaked to degree {}", "by the largest p"),
        Context(
            "previous token", PREFIX_GROUPS, "after one token (context {})", "by previous token"
        ),
        Context(
            "last two tokens", PREFIX_GROUPS, "after two tokens (context {})", "by last two tokens"
        ),
        Context("row", shape.rows, "in request {} of those asked together", "by request"),
        Context("prompt", shape.prompts, "after prompt {}", "by prompt"),
    )
    if not shape.draft:
        return own
    agreeing = Context(
        "agreement", OVERLAP_BINS, "where p and q overlap to degree {}", "by overlap"
    )
    return (*own, agreeing)
