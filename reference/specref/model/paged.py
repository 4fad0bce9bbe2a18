"""The key/value cache in pages: a row holds blocks of a common pool instead of one long stretch.

`step`, `write` and `commit` as in `cache.py`, with the same results. Slot i of a row's text is slot
i % size of block i // size in the row's table. Blocks of rejected tokens return to the pool. Rows
share blocks where their texts begin alike; before a row writes in a shared block, it gets a copy.
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
        keys = self._write_one(self.pool.keys[layer], step, k)
        return keys, self._write_one(self.pool.values[layer], step, v)

    def _write_one(self, store: Tensor, step: Step, new: Tensor) -> Tensor:
        self._put(store, step, new.transpose(1, 2))  # [B,N,G,D]
        read = store.index_select(0, self._read.flatten())  # [B*S,G,D]
        return read.unflatten(0, self._read.shape).transpose(1, 2)  # [B,G,S,D]

    def keep_states(self, step: Step, states: Tensor) -> None:
        """As in `Cache`; stored where the pool has room for states."""
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
            source = self._slots(row, behind + path[row, :count])
            target = self._slots(row, behind + ahead[:count])
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
        part = type(self)(self.pool, len(index))
        part.lengths = select(self.lengths, index)
        for row, old in enumerate(index):
            if old >= 0:
                part.tables[row] = [self.pool.share(block) for block in self.tables[old]]
                part.names[row] = list(self.names[old])
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
        """Take the blocks that slots up to `ends` need; a row writes only in blocks of its own."""
        pool = self.pool
        begun = [self._begun(row, end) for row, end in enumerate(ends)]
        missing = sum(block is not None and pool.users[block] > 1 for block in begun)
        for table, end in zip(self.tables, ends, strict=True):
            missing += max(0, pool.needed(end) - len(table))
        if missing > pool.free:
            raise SpecrefError(
                f"this step needs {missing} more blocks and {pool.free} are free: give the cache"
                " more, or serve fewer at a time"
            )
        for table, block, end in zip(self.tables, begun, ends, strict=True):
            if block is not None and pool.users[block] > 1:
                own = pool.take()
                pool.copy(block, own)
                pool.drop(block)
                table[table.index(block)] = own
            elif block is not None:
                pool.forget(block)
            table.extend(pool.take() for _ in range(pool.needed(end) - len(table)))

    def _begun(self, row: int, end: int) -> int | None:
        """The block with free slots that the row writes in next; None where it needs a new one."""
        table, length = self.tables[row], int(self.lengths[row])
        place = length // self.pool.size
        if end <= length or place >= len(table):
            return None
        return table[place]

    def _table(self, width: int) -> Tensor:
        """Block tables as [B,width]; the padding, which no token sees, is the row's first block."""
        rows = []
        for table in self.tables:
            padding = table[0] if table else 0
            rows.append((table + [padding] * width)[:width])
        return torch.tensor(rows, dtype=torch.int64, device=self.pool.keys.device)

    def _slots(self, row: int, where: Tensor) -> Tensor:
        """Slots of the pool for slots of the row, [n]."""
        size = self.pool.size
        table = torch.tensor(self.tables[row], dtype=torch.int64)
        return table[where // size] * size + where % size

    @staticmethod
    def _put(store: Tensor, step: Step, new: Tensor) -> None:
        """Write new [B,N,...] into slots of store [slots,...], padding left out."""
        slots = step.slots
        if step.padding_mask is None:
            store[slots.flatten()] = new.flatten(0, 1)
        else:
            store[slots[step.padding_mask]] = new[step.padding_mask]
