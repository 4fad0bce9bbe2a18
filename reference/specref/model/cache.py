"""The key/value cache of one decoder: contiguous, preallocated, rows of different lengths.

`step` places the new tokens: their positions, their slots and what each sees. `write` stores one
layer's keys and values. `commit` keeps the pending token and the accepted path: a forward does not
change what was committed before it, so rejected tokens are removed by setting the lengths.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..data import SpecrefError
from .attention import Attend
from .config import Config
from .packing import attend_apart, short_rows
from .tree import ancestors, depths


@dataclass(frozen=True)
class Step:
    """Where the tokens of one forward stand. All tensors are on the cache's device."""

    positions: Tensor  # [B,N] int64: depth in the text, from which RoPE takes its angle
    slots: Tensor  # [B,N] int64: where keys and values are stored
    mask: Tensor  # [B,1,N,S] float: 0 where visible and -inf elsewhere
    stop: int  # S: slots 0..S-1 are visible to some token
    padding_mask: Tensor | None = None  # [B,N] bool, false for padding; None: no padding


def positions_and_mask(
    lengths: Tensor, count: int, parents: Tensor | None, stop: int
) -> tuple[Tensor, Tensor]:
    """Positions of `count` new tokens behind the text of each row, and the slots they see.

    Args:
        lengths: [B] int64. count: N. parents: [B,N] int64; None: a chain. stop: S.
    Returns:
        positions [B,N] int64, and visible [B,N,S] bool over the first S slots of each row.
    """
    slot = torch.arange(stop, device=lengths.device)  # [S]
    if parents is None:
        ahead = torch.arange(count, device=lengths.device)  # [N]
        positions = lengths[:, None] + ahead  # [B,N]
        return positions, slot <= positions[..., None]  # [B,N,S]
    positions = lengths[:, None] + depths(parents)  # [B,N]
    node = slot - lengths[:, None]  # [B,S]: which node a slot holds; below 0: the text
    inside = (node >= 0) & (node < count)  # [B,S]
    index = node.clamp(0, count - 1)[:, None].expand(-1, count, -1)  # [B,N,S]
    sees = ancestors(parents).gather(2, index)  # [B,N,S]
    return positions, (node < 0)[:, None] | (inside[:, None] & sees)  # [B,N,S]


def padding_mask(count: int, counts: Tensor | None, device: torch.device) -> Tensor | None:
    """[B,N] bool, true for the first counts[b] tokens of each row; None where all N are there."""
    if counts is None or int(counts.min()) >= count:
        return None
    return torch.arange(count, device=device) < counts.to(device)[:, None]


def additive_mask(visible: Tensor, dtype: torch.dtype) -> Tensor:
    """visible [B,N,S] bool as the mask [B,1,N,S] that is added to the scores."""
    mask = torch.zeros(visible.shape, dtype=dtype, device=visible.device)  # [B,N,S]
    return mask.masked_fill_(~visible, -torch.inf)[:, None]


def select(table: Tensor, index: list[int]) -> Tensor:
    """Rows of table [B,...]; a new row, index -1, is zeros."""
    chosen = table.new_zeros(len(index), *table.shape[1:])
    kept = [row for row, old in enumerate(index) if old >= 0]
    chosen[kept] = table[[index[row] for row in kept]]
    return chosen


class Cache:
    """Keys and values of every layer for B rows of at most `capacity` tokens.

    Args:
        config: of the decoder. batch: B. capacity: slots of a row; drafts need room behind the
            text.
    """

    def __init__(
        self,
        config: Config,
        batch: int,
        capacity: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ):
        layers, heads = config.num_hidden_layers, config.num_key_value_heads
        shape = (layers, batch, heads, capacity + 1, config.head_dim)  # the last slot: padding
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros(shape, dtype=dtype, device=device)
        self.lengths = torch.zeros(batch, dtype=torch.int64)  # [B], on the host: no data

    @property
    def capacity(self) -> int:
        return self.keys.shape[3] - 1

    def step(self, count: int, parents: Tensor | None = None, counts: Tensor | None = None) -> Step:
        """Place `count` new tokens behind each row's text.

        Args:
            count: N. parents: [B,N] int64 for a tree whose node 0 is the pending token; None for a
                chain. counts: [B] int64, how many of the N each row has; None: all.
        Errors:
            SpecrefError when a row has no room left.
        """
        device = self.keys.device
        stop = int((self.lengths + (count if counts is None else counts)).max())
        if stop > self.capacity:
            raise SpecrefError(
                f"the cache holds {self.capacity} tokens and this step needs {stop}: "
                "make it larger, or generate fewer tokens"
            )
        start, padding = self.lengths.to(device), padding_mask(count, counts, device)
        positions, visible = positions_and_mask(start, count, parents, stop)
        slots = start[:, None] + torch.arange(count, device=device)  # [B,N]
        if padding is not None:
            slots = slots.where(padding, self.capacity)
        return Step(positions, slots, additive_mask(visible, self.keys.dtype), stop, padding)

    def write(self, layer: int, step: Step, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store k and v [B,G,N,D] of one layer; return what the step sees, both [B,G,S,D]."""
        keys, values = self.keys[layer], self.values[layer]  # [B,G,capacity+1,D]
        slots = step.slots[:, None, :, None].expand_as(k)  # [B,G,N,D]
        keys.scatter_(2, slots, k)
        values.scatter_(2, slots, v)
        return keys[:, :, : step.stop], values[:, :, : step.stop]

    def reader(self, step: Step) -> Attend:
        """How every layer of a step stores its keys and values and reads all that it sees."""
        short = short_rows(step.padding_mask)
        return lambda i, q, k, v: attend_apart(short, q, *self.write(i, step, k, v), step.mask)

    def keep_states(self, step: Step, states: Tensor) -> None:
        """Store the last states [B,N,E] of the step's tokens; this cache has no place for them."""

    def commit(self, path: Tensor, accepted: Tensor) -> None:
        """Keep the pending token (slot 0 of the step) and the accepted draft tokens behind it.

        Args:
            path: [B,D] int64 draft indices, on the host. accepted: [B] int64, how many of them are
                kept.
        """
        ahead = torch.arange(path.shape[1])  # [D]
        moved = (path != ahead) & (ahead < accepted[:, None])  # [B,D]
        if moved.any():  # a tree's path is scattered over its slots: compact it
            rows = torch.arange(len(path))[:, None]  # [B,1]
            behind = self.lengths[:, None] + 1  # [B,1]
            source = (behind + torch.where(moved, path, ahead)).clamp(max=self.capacity)  # [B,D]
            target = (behind + ahead).clamp(max=self.capacity)  # [B,D]
            for store in (self.keys, self.values):
                store[:, rows, :, target] = store[:, rows, :, source]
        self.lengths += accepted + 1

    def trim(self, lengths: Tensor) -> None:
        """Forget everything behind `lengths` [B]; a row that is already shorter stays as it is."""
        self.lengths = torch.minimum(self.lengths, lengths)

    def rows(self, index: list[int]) -> "Cache":
        """A new cache of these rows; -1 is an empty row. Do not use the old cache any more."""
        part = object.__new__(type(self))
        part.lengths = select(self.lengths, index)
        part.keys = select(self.keys.transpose(0, 1), index).transpose(0, 1)
        part.values = select(self.values.transpose(0, 1), index).transpose(0, 1)
        return part
