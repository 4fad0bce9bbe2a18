"""One call on rows that differ: what is wrong with its answer, whatever the distribution, and the
answer continued to full length."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..session import MisbehavedError, OutOfTimeError, Session
from ..suite.kernel_call import answer as read_answer
from .rows import MixedRows, laid_out


@dataclass(frozen=True)
class Continued:
    """B texts of D + 1 tokens, as numbers below S, with what was known before each token.

    p, q: [B,D+1,S] distributions. tokens: [B,D+1]. before: [B,D+1] the token before, 0 at first.
    """

    p: Tensor
    q: Tensor
    tokens: Tensor
    before: Tensor


def asked_once(
    kernel: Any, session: Session, rows: MixedRows, seed: int, layout: str = "contiguous"
) -> Tensor:
    """The answer [B,D+1] of `verify`, or of `verify_tree` where the rows are trees.

    Errors:
        MisbehavedError for anything but tokens, then -1, and for inputs that change.
    """
    return next(asked_in_turn(kernel, session, rows, (len(rows.p), seed), layout))


def asked_in_turn(
    kernel: Any,
    session: Session,
    rows: MixedRows,
    sized: tuple[int, int],
    layout: str = "contiguous",
) -> Iterator[Tensor]:
    """The answers to calls of so many of the rows each, from a seed on that rises by 1."""
    size, seed = sized
    method = "verify_tree" if rows.kind.is_tree else "verify"
    tree = (torch.tensor(rows.parents, dtype=torch.int64),) if rows.kind.is_tree else ()
    inputs = rows.inputs()
    for number, begin in enumerate(range(0, len(rows.p), size)):
        if session.spent:
            raise OutOfTimeError
        mine = [None if one is None else one[begin : begin + size] for one in inputs]
        given = [None if one is None else laid_out(one, layout) for one in mine]
        with session.calling(f"{method}, {size} rows"):
            out = getattr(kernel, method)(*given, *tree, seed + number)
        for name, now, then in zip(("p", "q", "draft"), given, mine, strict=True):
            if now is not None and then is not None and not torch.equal(now, then):
                raise MisbehavedError(f"{method} changes its input {name}: work on a copy")
        yield read_answer(out, size, rows.depth + 1, rows.vocabulary, method)


def wrong_in(rows: MixedRows, answer: Tensor) -> str:
    """The first row that gets a token of probability 0, or one that is not its draft's; "" for
    none."""
    cells, emitted = rows.cells(answer), (answer >= 0).sum(1)
    size = rows.ids.shape[1]
    foreign = (cells == size).any(1)
    mass = _chances(rows, cells)
    impossible = foreign | ((mass == 0) & (cells >= 0)).any(1)
    if bool(impossible.any()):
        return _said(rows, answer, impossible, "a token of probability 0 comes out")
    astray = _astray(rows, answer, emitted)
    if bool(astray.any()):
        return _said(rows, answer, astray, "what stands before the last token is not its draft's")
    return ""


def _chances(rows: MixedRows, cells: Tensor) -> Tensor:
    """[B,D+1] the target's probability of each token, given those before."""
    known = cells.clamp(0, rows.ids.shape[1] - 1)
    before = torch.cat((torch.zeros_like(known[:, :1]), known[:, :-1]), 1)
    found = [
        rows.law(place, before[:, place]).gather(1, known[:, place, None])
        for place in range(rows.depth + 1)
    ]
    return torch.cat(found, 1)


def _astray(rows: MixedRows, answer: Tensor, emitted: Tensor) -> Tensor:
    """[B] whether the accepted tokens are no path down the draft."""
    nodes = len(rows.parents)
    above = torch.tensor(rows.parents, dtype=torch.int64) + 1
    reached = torch.zeros(len(answer), nodes + 1, dtype=torch.bool)
    reached[:, 0] = True  # the context; node i is at i + 1
    off = torch.zeros(len(answer), dtype=torch.bool)
    for place in range(rows.depth):
        below = reached[:, above] & (rows.drafted == answer[:, place, None])
        off |= (place < emitted - 1) & ~below.any(1)
        reached = torch.cat((torch.zeros_like(reached[:, :1]), below), 1)
    return off


def _said(rows: MixedRows, answer: Tensor, bad: Tensor, what: str) -> str:
    row = int(bad.nonzero()[0])
    said = [token for token in answer[row].tolist() if token >= 0]
    drafted = rows.drafted[row].tolist()
    return f"{what}: row {row} of {len(bad)} emits {said} for the draft {drafted}"


def continued_rows(rows: MixedRows, answer: Tensor, generator: torch.Generator) -> Continued:
    """The answer [B,D+1] continued by the target: what a row does not emit is drawn from p. The
    tokens of a right kernel then have the target's distribution."""
    cells = rows.cells(answer)
    before = torch.zeros(len(cells), dtype=torch.int64)
    laws, drafts, tokens, earlier = [], [], [], []
    for place in range(rows.depth + 1):
        p = rows.law(place, before)
        drawn = torch.multinomial(p, 1, generator=generator)[:, 0]
        token = torch.where(cells[:, place] >= 0, cells[:, place], drawn)
        laws.append(p)
        drafts.append(rows.draft_law(place, before))
        tokens.append(token)
        earlier.append(before)
        before = token
    stacked = [torch.stack(parts, 1) for parts in (laws, drafts, tokens, earlier)]
    return Continued(*stacked)
