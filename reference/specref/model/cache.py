"""The key/value cache of one decoder: contiguous, preallocated, ragged by lengths.

A forward over a cache happens in three moves. `step` says where the new tokens stand (positions),
where they are written (slots) and what they see (mask); `write` stores one layer's keys and values;
`commit` keeps the pending token and the accepted path and forgets the rest. Between `step` and
`commit` nothing that was committed before changes, so forgetting costs nothing.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..data import SpecrefError
from .attention import Attend, attend, attending


@dataclass(frozen=True)
class Step:
    """Where the tokens of one forward stand. All tensors are on the cache's device."""

    positions: Tensor  # [B,N] int64: depth in the text, from which RoPE takes its angle
    slots: Tensor | slice  # [B,N] int64 cache slots, or one slice when all rows are aligned
    # [B,1,N,S] float, 0 where visible and -inf elsewhere; None: sees everything
    mask: Tensor | None
    stop: int  # S: slots 0..S-1 are visible to somebody
    # [B,N] bool: which tokens there are; the others are padding. None: all
    real: Tensor | None = None


def depths(parents: Tensor) -> Tensor:
    """Depth of every node: 0 for a child of the context.

    Args:
        parents: [B,N] int64; -1 is the context, and a parent comes before its children.
    Returns:
        [B,N] int64.
    """
    depth = torch.zeros_like(parents)
    for node in range(1, parents.shape[1]):
        parent = parents[:, node]
        above = depth.gather(1, parent.clamp(min=0)[:, None])[:, 0]
        depth[:, node] = torch.where(parent >= 0, above + 1, 0)
    return depth


def ancestors(parents: Tensor) -> Tensor:
    """Which nodes each node sees: itself and every node on its path from the context.

    Args:
        parents: [B,N] int64, as for `depths`.
    Returns:
        [B,N,N] bool; entry [b,i,j]: j is i or an ancestor of i.
    """
    count = parents.shape[1]
    seen = torch.eye(count, dtype=torch.bool, device=parents.device).repeat(len(parents), 1, 1)
    for node in range(1, count):
        parent = parents[:, node]
        above = seen.gather(1, parent.clamp(min=0)[:, None, None].expand(-1, 1, count))[:, 0]
        seen[:, node] |= above & (parent >= 0)[:, None]
    return seen


def places(lengths: Tensor, count: int, parents: Tensor | None, stop: int) -> tuple[Tensor, Tensor]:
    """Where `count` new tokens of each row stand behind its `lengths` [B] and which slots they see.

    Returns:
        positions [B,N] int64, and visible [B,N,S] bool over the first S = stop slots of each row.
    """
    if parents is None:
        positions = lengths[:, None] + torch.arange(count, device=lengths.device)
        return positions, torch.arange(stop, device=lengths.device) <= positions[..., None]
    positions = lengths[:, None] + depths(parents)
    # [B,S]: slot behind the text
    offset = torch.arange(stop, device=lengths.device) - lengths[:, None]
    inside = (offset >= 0) & (offset < count)
    sees = ancestors(parents).gather(2, offset.clamp(0, count - 1)[:, None].expand(-1, count, -1))
    return positions, (offset < 0)[:, None] | (inside[:, None] & sees)


def padding(count: int, counts: Tensor | None, device: torch.device) -> Tensor | None:
    """[B,N] bool, true for the first counts[b] tokens of each row; None where all N are there."""
    if counts is None or int(counts.min()) >= count:
        return None
    return torch.arange(count, device=device) < counts.to(device)[:, None]


def blocked(visible: Tensor, dtype: torch.dtype) -> Tensor:
    """visible [B,N,S] bool as the mask [B,1,N,S] that is added to the scores."""
    return torch.zeros(visible.shape, dtype=dtype, device=visible.device).masked_fill_(
        ~visible, -torch.inf
    )[:, None]


def select(table: Tensor, index: list[int]) -> Tensor:
    """Rows of table [B,...], zeros where the index is -1: a row that is new."""
    chosen = table.new_zeros(len(index), *table.shape[1:])
    kept = [row for row, old in enumerate(index) if old >= 0]
    chosen[kept] = table[[index[row] for row in kept]]
    return chosen


class Cache:
    """Keys and values of every layer for B rows of at most `capacity` tokens.

    Args:
        layers, heads, head_dim: the decoder's layer count, key/value heads and head width.
        batch: B. capacity: S, slots per row; drafts need room behind the text.
    """

    def __init__(
        self,
        layers: int,
        heads: int,
        head_dim: int,
        batch: int,
        capacity: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ):
        shape = (layers, batch, heads, capacity, head_dim)
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros(shape, dtype=dtype, device=device)
        # on the host: it steers, it is not data
        self.lengths = torch.zeros(batch, dtype=torch.int64)

    @property
    def capacity(self) -> int:
        return self.keys.shape[3]

    def step(self, count: int, parents: Tensor | None = None, counts: Tensor | None = None) -> Step:
        """Place `count` new tokens behind each row's text.

        Args:
            count: N. parents: [B,N] int64 for a tree whose node 0 is the pending token; None for a
                chain.
            counts: [B] int64, how many of the N each row has; None: all.
        Errors:
            SpecrefError when a row has no room left.
        """
        device = self.keys.device
        real, lengths = padding(count, counts, device), self.lengths.tolist()
        longest = max(lengths)
        stop = (
            longest + count
            if real is None or counts is None
            else int((self.lengths + counts).max())
        )
        if stop > self.capacity:
            raise SpecrefError(
                f"the cache holds {self.capacity} tokens and this step needs {stop}: "
                "make it larger, or generate fewer tokens"
            )
        start = self.lengths.to(device)
        aligned = real is None and min(lengths) == longest
        slots = (
            slice(longest, stop) if aligned else start[:, None] + torch.arange(count, device=device)
        )
        if aligned and count == 1 and parents is None:
            return Step(start[:, None], slots, None, stop)
        positions, visible = places(start, count, parents, stop)
        return Step(positions, slots, blocked(visible, self.keys.dtype), stop, real)

    def write(self, layer: int, step: Step, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store k and v [B,H,N,D] of one layer; return what the step sees, both [B,H,S,D]."""
        keys, values = self.keys[layer], self.values[layer]
        if isinstance(step.slots, slice):
            keys[:, :, step.slots] = k
            values[:, :, step.slots] = v
        else:
            rows = torch.arange(len(step.slots), device=keys.device)[:, None].expand_as(step.slots)
            there = ... if step.real is None else step.real
            keys[rows[there], :, step.slots[there]] = k.transpose(1, 2)[there]
            values[rows[there], :, step.slots[there]] = v.transpose(1, 2)[there]
        return keys[:, :, : step.stop], values[:, :, : step.stop]

    def reader(self, step: Step, groups: int) -> Attend:
        """How every layer of a step keeps its keys and values and reads all that it sees. groups:
        query heads that read the same keys."""
        count = step.positions.shape[1]
        parts = attending(count, step.mask, step.real, groups)
        return lambda layer, q, k, v: attend(q, *self.write(layer, step, k, v), parts)

    def note(self, step: Step, states: Tensor) -> None:
        """The last states [B,N,E] of the step's tokens, for a cache that keeps them; this one does
        not.
        """

    def commit(self, path: Tensor, accepted: Tensor) -> None:
        """Keep the pending token (slot 0 of the step) and the accepted draft tokens behind it.

        Args:
            path: [B,D] int64 draft indices, on the host. accepted: [B] int64, how many of them are
                kept.
        """
        ahead = torch.arange(path.shape[1])
        moved = (path != ahead) & (ahead < accepted[:, None])
        if moved.any():  # a tree's path is scattered over its slots: compact it
            rows = torch.arange(len(path))[:, None]
            source = self.lengths[:, None] + 1 + torch.where(moved, path, ahead)
            target = self.lengths[:, None] + 1 + ahead
            source = torch.where(ahead < accepted[:, None], source, target).clamp(
                max=self.capacity - 1
            )
            target = target.clamp(max=self.capacity - 1)
            for store in (self.keys, self.values):
                store[:, rows, :, target] = store[:, rows, :, source]
        self.lengths += accepted + 1

    def trim(self, lengths: Tensor) -> None:
        """Forget everything behind `lengths` [B]; a row that is already shorter stays as it is."""
        self.lengths = torch.minimum(self.lengths, lengths)

    def rows(self, index: list[int]) -> "Cache":
        """A cache of these rows, of the same class; -1 is a new and empty row. The old one must not
        be used any more.
        """
        part = object.__new__(type(self))
        part.lengths = select(self.lengths, index)
        used = int(part.lengths.max()) if index else 0
        shape = (self.keys.shape[0], len(index), *self.keys.shape[2:])
        part.keys, part.values = self.keys.new_zeros(shape), self.values.new_zeros(shape)
        kept = [row for row, old in enumerate(index) if old >= 0]
        source = [index[row] for row in kept]
        part.keys[:, kept, :, :used] = self.keys[:, source, :, :used]
        part.values[:, kept, :, :used] = self.values[:, source, :, :used]
        return part
