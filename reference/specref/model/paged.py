"""The key/value cache in pages: rows hold blocks of a common pool instead of one long stretch each.

The same three moves as `cache.py`, and the same answers. A row has a table of blocks; slot i of its
text is slot i % size of the block i // size. What was rejected goes back to the pool at once, so
that a row never wastes a whole block. Rows share blocks where their texts begin alike; before a row
writes in a block that others use, it gets a copy of its own.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..data import SpecrefError
from .cache import Cache, Step, additive_mask, padding_mask, positions_and_mask, select
from .pool import Pool, names


class PagedCache(Cache):
    """B rows over a pool. Other caches may use the same pool."""

    def __init__(self, pool: Pool, batch: int = 0):
        self.pool = pool
        self.lengths = torch.zeros(batch, dtype=torch.int64)
        self.tables: list[list[int]] = [[] for _ in range(batch)]
        # of each row's first blocks, as far as published
        self.names: list[list[bytes]] = [[] for _ in range(batch)]

    @property
    def capacity(self) -> int:
        return self.pool.blocks * self.pool.size

    def step(self, count: int, parents: Tensor | None = None, counts: Tensor | None = None) -> Step:
        """As in `Cache`; takes the blocks that the new tokens need.

        Errors:
            SpecrefError when the pool has too few; then nothing was taken.
        """
        padding = padding_mask(count, counts, self.pool.keys.device)
        ends = self.lengths + (count if counts is None else counts)
        self._reserve(ends.tolist())
        size, device = self.pool.size, self.pool.keys.device
        stop = self.pool.needed(int(ends.max())) * size
        table = self._table(stop // size)
        start = self.lengths.to(device)
        positions, visible = positions_and_mask(start, count, parents, stop)
        # [B,N] slots of the row's own
        ahead = (start[:, None] + torch.arange(count, device=device)).clamp(max=stop - 1)
        slots = table.gather(1, ahead // size) * size + ahead % size
        # Where `write` gathers from, [B,S] slots of the pool: the same for every layer.
        self._read = (table[..., None] * size + torch.arange(size, device=device)).flatten(1)
        mask = additive_mask(visible, self.pool.keys.dtype)
        return Step(positions, slots, mask, stop, padding)

    def write(self, layer: int, step: Step, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """As in `Cache`; what the step sees is gathered from the pages: [B,H,S,D]."""
        result = []
        for store, new in ((self.pool.keys[layer], k), (self.pool.values[layer], v)):
            self._put(store, step, new.transpose(1, 2))
            read = store.index_select(0, self._read.flatten()).view(
                *self._read.shape, *store.shape[1:]
            )
            result.append(read.transpose(1, 2))
        return result[0], result[1]

    def keep_states(self, step: Step, states: Tensor) -> None:
        if self.pool.states.shape[2]:
            self._put(self.pool.states[0], step, states)

    def states(self, row: int) -> Tensor:
        """The target's states of a row's tokens, [n,E], where the pool keeps them."""
        slots = self._slots(row, torch.arange(int(self.lengths[row])))
        return self.pool.states[0, slots.to(self.pool.states.device)]

    def commit(self, path: Tensor, accepted: Tensor) -> None:
        """As in `Cache`, for the first len(accepted) rows; the others keep what they have."""
        ahead = torch.arange(path.shape[1])
        moved = (path != ahead) & (ahead < accepted[:, None])
        # a tree's path is scattered over its slots: compact it
        for row in moved.any(1).nonzero()[:, 0].tolist():
            behind, count = int(self.lengths[row]) + 1, int(accepted[row])
            source, target = (
                self._slots(row, behind + path[row, :count]),
                self._slots(row, behind + ahead[:count]),
            )
            for store in self.pool.stores:
                store[:, target] = store[:, source]
        self.lengths[: len(accepted)] += accepted + 1
        self._give_back()

    def trim(self, lengths: Tensor) -> None:
        super().trim(lengths)
        self._give_back()

    def _give_back(self) -> None:
        """Blocks behind the text go back to the pool."""
        for row, length in enumerate(self.lengths.tolist()):
            while len(self.tables[row]) > self.pool.needed(length):
                self.pool.drop(self.tables[row].pop())
            del self.names[row][length // self.pool.size :]

    def rows(self, index: list[int]) -> "PagedCache":
        """As in `Cache`. A row taken twice is shared, not copied; a row left out gives its blocks
        back.
        """
        part = type(self)(self.pool)
        part.lengths = select(self.lengths, index)
        part.tables = [
            [] if i < 0 else [self.pool.share(block) for block in self.tables[i]] for i in index
        ]
        part.names = [[] if i < 0 else list(self.names[i]) for i in index]
        self.release()
        return part

    def release(self) -> None:
        """All rows end."""
        for table in self.tables:
            for block in table:
                self.pool.drop(block)
        self.tables, self.names, self.lengths = [], [], self.lengths[:0]

    def adopt(self, row: int, known: Sequence[bytes]) -> int:
        """Begin an empty row with the published blocks of these names, as far as they go; how many
        tokens that are.
        """
        found = self.pool.find(known)
        self.tables[row] = [self.pool.share(block) for block in found]
        self.names[row] = list(known[: len(found)])
        self.lengths[row] = len(found) * self.pool.size
        return len(found) * self.pool.size

    def publish(self, row: int, tokens: Sequence[int]) -> None:
        """Let others find the row's full blocks. tokens: its text, all of it verified, at least as
        long as the cache.
        """
        before, length = len(self.names[row]), int(self.lengths[row])
        self.names[row] = names(tokens[:length], self.pool.size, self.names[row])
        for number in range(before, len(self.names[row])):
            self.pool.publish(self.tables[row][number], self.names[row][number])

    def _reserve(self, ends: Sequence[int]) -> None:
        """Blocks for slots up to `ends`, of the row's own where it is going to write."""
        pool, lengths = self.pool, self.lengths.tolist()
        begun = [
            (
                table[length // pool.size]
                if len(table) > length // pool.size and end > length
                else None
            )
            for table, length, end in zip(self.tables, lengths, ends, strict=True)
        ]
        missing = sum(
            max(0, pool.needed(end) - len(table))
            for end, table in zip(ends, self.tables, strict=True)
        ) + sum(block is not None and pool.users[block] > 1 for block in begun)
        if missing > pool.free:
            raise SpecrefError(
                f"this step needs {missing} more blocks and {pool.free} are free: give the cache"
                " more, or serve fewer at a time"
            )
        for table, block, length, end in zip(self.tables, begun, lengths, ends, strict=True):
            if block is not None and pool.users[block] > 1:
                table[length // pool.size] = pool.take()
                pool.copy(block, table[length // pool.size])
                pool.drop(block)
            elif block is not None:
                pool.forget(block)
            table.extend(pool.take() for _ in range(pool.needed(end) - len(table)))

    def _table(self, width: int) -> Tensor:
        """Block tables as [B,width], a row's own first block in the padding (nobody sees it)."""
        rows = [
            (table[:width] + [table[0] if table else 0] * width)[:width] for table in self.tables
        ]
        return torch.tensor(rows, dtype=torch.int64, device=self.pool.keys.device)

    def _slots(self, row: int, where: Tensor) -> Tensor:
        """Slots of the pool for slots of the row, [n]."""
        size = self.pool.size
        return (
            torch.tensor(self.tables[row], dtype=torch.int64)[where // size] * size + where % size
        )

    @staticmethod
    def _put(store: Tensor, step: Step, new: Tensor) -> None:
        """Write new [B,N,...] into slots of store [slots,...], padding left out."""
        slots = step.slots
        if step.padding_mask is None:
            store[slots.flatten()] = new.flatten(0, 1)
        else:
            store[slots[step.padding_mask]] = new[step.padding_mask]
