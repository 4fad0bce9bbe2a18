"""A batch whose rows all differ: each has a target and a draft of its own shape, at places of its
own in the vocabulary.

The S tokens that a row may get stand at the ids `ids[b]`; all other ids have probability 0, so that
a row that is judged by another one's distribution shows at once. After token c of a row's S, its
distributions are those of `p` and `q`, turned by c: they depend on what came before.

Where a row is dense, each of the S stands for many ids of equal probability: which of them comes is
not looked at.
"""

from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor

from .. import cases

TOKENS = 8  # S, or the whole of a smaller vocabulary
GARBAGE = 0.5  # stands in what surrounds a tensor in memory

LAYOUTS = (
    "contiguous",
    "in a buffer with a padded vocabulary",
    "every other row of a buffer",
    "with the vocabulary as the slowest axis in memory",
)
# Shapes that are mostly accepted, so that long drafts reach their end.
_ACCEPTED: dict[str, tuple[cases.CaseRow, cases.CaseRow]] = {
    "likely": ((5, 4, 1), (4, 3, 3)),
    "nearly equal": ((8, 7, 6, 5, 4, 3, 2, 1), (8, 6, 6, 5, 4, 4, 2, 1)),
    "likely of two": ((8, 2), (7, 3)),
}
SHAPES = {name: pair for name, pair in (cases.PAIRS | _ACCEPTED).items() if len(pair[0]) <= TOKENS}


@dataclass(frozen=True)
class RowKind:
    """What all rows of a batch have in common.

    Args:
        parents: of the N nodes; a chain's are -1, 0, 1 ..
        is_tree: `verify_tree` is asked, not `verify`.
        own_ids: each row has its ids; else all rows share them.
        dense: each of the S stands for as many ids as fit, a power of two.
        alone: siblings are drawn without replacement.
        dtype: of p and q.
    """

    parents: tuple[int, ...]
    vocabulary: int
    is_tree: bool = False
    own_ids: bool = True
    dense: bool = False
    alone: bool = False
    dtype: torch.dtype = torch.float32

    @property
    def size(self) -> int:
        """S"""
        return min(TOKENS, self.vocabulary)

    @property
    def width(self) -> int:
        """W, the ids that each of the S stands for."""
        return 1 << ((self.vocabulary // self.size).bit_length() - 1) if self.dense else 1


@dataclass(frozen=True)
class MixedRows:
    """B rows.

    Args:
        p, q: [B,D+1,S], [B,D,S] float64, exact in `dtype`; not normalised beyond its rounding.
        ids: [B,S] int64, rising; the first id of each. stride: from one of its W ids to the next.
        draft: [B,N] numbers of tokens, below S. drafted: [B,N] their ids.
        shape: [B] number of the row's pair in SHAPES.
        told: whether the kernel gets q.
    """

    kind: RowKind
    p: Tensor
    q: Tensor
    ids: Tensor
    draft: Tensor
    drafted: Tensor
    shape: Tensor
    stride: int = 1
    told: bool = True

    @property
    def depth(self) -> int:
        return self.q.shape[1]

    @property
    def parents(self) -> tuple[int, ...]:
        return self.kind.parents

    @property
    def vocabulary(self) -> int:
        return self.kind.vocabulary

    def only(self, rows: Tensor) -> "MixedRows":
        """Some of the rows."""
        return replace(
            self,
            p=self.p[rows],
            q=self.q[rows],
            ids=self.ids[rows],
            draft=self.draft[rows],
            drafted=self.drafted[rows],
            shape=self.shape[rows],
        )

    def inputs(self) -> tuple[Tensor, Tensor | None, Tensor]:
        """What the kernel gets: p [B,N+1,V], q [B,N,V] or None, tokens [B,N]."""
        before = self._before()  # [B,N+1]
        depth = torch.tensor([0, *depths_of(self.parents)])  # of the rows of p
        p = self._spread(turned_by(self.p[:, depth], before))
        if not self.told:
            return p, None, self.drafted
        above = torch.tensor(self.parents, dtype=torch.int64) + 1
        cells = turned_by(self.q[:, depth[above]], before[:, above])
        if self.kind.alone:
            laws = [self.untaken(node, cells[:, node], self.draft) for node in range(len(above))]
            cells = torch.stack(laws, 1) if laws else cells
        return p, self._spread(cells), self.drafted

    def untaken(self, node: int, law: Tensor, draft: Tensor) -> Tensor:
        """law [B,S] without the tokens of the node's earlier siblings in draft [B,..]; as it is
        where nothing would be left. Exact in the dtype."""
        parents = self.parents
        earlier = [i for i in range(node) if parents[i] == parents[node]]
        if not (self.kind.alone and earlier):
            return law
        left = law.scatter(1, draft[:, earlier], 0.0)
        left = torch.where(left.sum(1, keepdim=True) > 0, left, law)
        return (left / left.sum(1, keepdim=True)).to(self.kind.dtype).double()

    def _before(self) -> Tensor:
        """[B,N+1] the token before each row of p: none (0) at the context, then each node's own."""
        none = torch.zeros(len(self.draft), 1, dtype=torch.int64)
        return torch.cat((none, self.draft), 1)

    def _spread(self, cells: Tensor) -> Tensor:
        """[B,N,S] -> [B,N,V]"""
        dtype, width = self.kind.dtype, self.kind.width
        wide = torch.zeros(*cells.shape[:2], self.vocabulary, dtype=dtype)
        at, each = self.ids, (cells / width).to(dtype)
        if width > 1:
            at = (at[..., None] + torch.arange(width) * self.stride).flatten(1)  # [B,S*W]
            each = each.repeat_interleave(width, 2)
        return wide.scatter_(2, at[:, None].expand(each.shape), each)

    def cells(self, answer: Tensor) -> Tensor:
        """Token ids [B,D+1] as numbers below S; S for one that is not the row's, -1 for none."""
        on = answer[..., None] - self.ids[:, None]  # [B,D+1,S]
        hit = (on >= 0) & (on < self.kind.width * self.stride) & (on % self.stride == 0)
        number = torch.where(hit.any(-1), hit.long().argmax(-1), self.ids.shape[1])
        return torch.where(answer < 0, -1, number)

    def law(self, place: int, before: Tensor) -> Tensor:
        """[B,S] the target's distribution at a place, after token before [B]."""
        p = turned_by(self.p[:, place], before)
        return p / p.sum(1, keepdim=True)

    def draft_law(self, place: int, before: Tensor) -> Tensor:
        """[B,S] the draft's; the target's behind the last draft token."""
        if place == self.depth:
            return self.law(place, before)
        q = turned_by(self.q[:, place], before)
        return q / q.sum(1, keepdim=True)


def turned_by(cells: Tensor, token: Tensor) -> Tensor:
    """[..,S] -> the same, each row turned to the right by token [..]."""
    size = cells.shape[-1]
    return cells.gather(-1, (torch.arange(size) - token[..., None]) % size)


def depths_of(parents: tuple[int, ...]) -> list[int]:
    """The depth of each node, 1 for a child of the context."""
    found: list[int] = []
    for parent in parents:
        found.append(1 if parent < 0 else found[parent] + 1)
    return found


def chain_parents(count: int) -> tuple[int, ...]:
    return tuple(range(-1, count - 1))


def mixed_rows(batch: int, kind: RowKind, generator: torch.Generator) -> MixedRows:
    """Rows of random shapes; the draft is drawn from q, node by node."""
    size = kind.size
    names = [name for name, (p, _) in SHAPES.items() if len(p) <= size]
    depth = max(depths_of(kind.parents), default=0)
    tables = _tables(tuple(names), size)  # [C,2,S]
    which = torch.randint(len(names), (batch,), generator=generator)
    order = torch.rand(batch, depth + 1, size, generator=generator).argsort(-1)  # [B,D+1,S]
    p, q = (
        table[:, None].expand(-1, depth + 1, -1).gather(2, order).to(kind.dtype).double()
        for table in tables[which].unbind(1)
    )
    ids, stride = _ids(batch if kind.own_ids else 1, kind, generator)
    number = torch.tensor([[*SHAPES].index(name) for name in names])[which]
    none = torch.zeros(batch, 0, dtype=torch.int64)
    made = MixedRows(kind, p, q[:, :depth], ids.expand(batch, -1), none, none, number, stride)
    draft = _drawn(made, generator)
    member = torch.randint(kind.width, draft.shape, generator=generator)
    return replace(made, draft=draft, drafted=made.ids.gather(1, draft) + member * stride)


@cache
def _tables(names: tuple[str, ...], size: int) -> Tensor:
    return torch.stack([_padded(SHAPES[name], size) for name in names])


def _padded(pair: tuple[cases.CaseRow, cases.CaseRow], size: int) -> Tensor:
    """[2,S] target and draft, with zeros behind."""
    made = torch.zeros(2, size, dtype=torch.float64)
    for row, weights in zip(made, pair, strict=True):
        row[: len(weights)] = torch.tensor(weights, dtype=torch.float64)
    return made / made.sum(1, keepdim=True)


def _ids(batch: int, kind: RowKind, generator: torch.Generator) -> tuple[Tensor, int]:
    """[B,S] rising ids, and the stride. One in each S-th of the vocabulary, and its ends in every
    other row; dense ones lie in blocks, or in turn."""
    size, width = kind.size, kind.width
    if width > 1:
        blocks = bool(torch.randint(2, (), generator=generator))
        room = kind.vocabulary - size * width + 1
        start = torch.randint(room, (batch, 1), generator=generator)
        return start + torch.arange(size) * (width if blocks else 1), 1 if blocks else size
    u = torch.rand(batch, size, generator=generator, dtype=torch.float64)
    starts = torch.arange(size + 1) * kind.vocabulary // size
    ids = starts[:-1] + (u * (starts[1:] - starts[:-1])).long()
    ends = torch.rand(2, batch, generator=generator) < 0.5
    ids[:, 0] = ids[:, 0].masked_fill(ends[0], 0)
    ids[:, -1] = ids[:, -1].masked_fill(ends[1], kind.vocabulary - 1)
    return ids, 1


def _drawn(rows: MixedRows, generator: torch.Generator) -> Tensor:
    """[B,N] a draft, node by node."""
    drawn: list[Tensor] = []
    none = torch.zeros(len(rows.p), dtype=torch.int64)
    for node, depth in enumerate(depths_of(rows.parents)):
        parent = rows.parents[node]
        before = none if parent < 0 else drawn[parent]
        so_far = torch.stack(drawn, 1) if drawn else none[:, None]
        q = rows.untaken(node, rows.draft_law(depth - 1, before), so_far)
        drawn.append(torch.multinomial(q, 1, generator=generator)[:, 0])
    return torch.stack(drawn, 1) if drawn else torch.zeros(len(rows.p), 0, dtype=torch.int64)


def laid_out(tensor: Tensor, layout: str) -> Tensor:
    """An equal tensor [B,..] in other memory."""
    if layout == LAYOUTS[1]:
        room = torch.full((*tensor.shape[:-1], tensor.shape[-1] + 3), GARBAGE).to(tensor.dtype)
        room[..., : tensor.shape[-1]] = tensor
        return room[..., : tensor.shape[-1]]
    if layout == LAYOUTS[2]:
        room = torch.full((2 * len(tensor), *tensor.shape[1:]), GARBAGE).to(tensor.dtype)
        room[::2] = tensor
        return room[::2]
    if layout == LAYOUTS[3]:
        return tensor.movedim(-1, 0).contiguous().movedim(0, -1)
    return tensor.clone()
