"""Attention that reads pages where they are: no copy of the keys and values that a row sees.

The readable path (`paged.py`) gathers every row's pages into one padded tensor for each layer, and
then attends. Here a kernel walks the row's block table instead (Kwon et al. 2023, PagedAttention,
arXiv:2309.06180, section 4.1), made by PyTorch's flex_attention from one function that says which
slot of the pool a query sees (Dong et al. 2024, arXiv:2412.05496, section 4.2). Worth it on a GPU,
where the kernel is compiled; elsewhere PyTorch runs the same function over the whole pool, which is
slow, and good for checking it.
"""

import warnings
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from ..data import SpecrefError
from .attention import Attend
from .cache import Step
from .paged import PagedCache
from .pool import Pool

TILE = 16
QUERIES = 128  # queries that a kernel takes together
# where there is no CUDA, as said above
warnings.filterwarnings("ignore", "flex_attention called without torch.compile")


class FlexCache(PagedCache):
    """A paged cache whose pages are read in place. The same answers as `PagedCache`, up to
    rounding.

    Errors:
        SpecrefError: on CUDA, where a block must have a multiple of 16 tokens: a kernel multiplies
            in tiles of 16.
    """

    def __init__(self, pool: Pool, batch: int = 0):
        if pool.keys.is_cuda and pool.size % TILE:
            raise SpecrefError(
                f"a kernel can't read blocks of {pool.size} tokens: give blocks of {TILE} or a"
                " multiple, or gather the pages"
            )
        super().__init__(pool, batch)

    def reader(self, step: Step) -> Attend:
        mask = self._mask(step)
        kernel: Callable[..., Tensor] = _compiled() if self.pool.keys.is_cuda else flex_attention  # type: ignore[assignment]

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            stored = []
            for store, new in ((self.pool.keys[layer], k), (self.pool.values[layer], v)):
                self._put(store, step, new.transpose(1, 2))
                # [B,G,slots,D], not copied
                stored.append(store.transpose(0, 1)[None].expand(len(q), -1, -1, -1))
            return kernel(q, *stored, block_mask=mask, enable_gqa=True)

        return attend

    def _mask(self, step: Step) -> BlockMask:
        """Which slots of the pool each query sees, and which blocks a kernel has to visit for
        it.
        """
        size, device = self.pool.size, step.mask.device
        batch, _, count, stop = step.mask.shape
        sees = step.mask[:, 0] == 0  # [B,N,S], S slots of the row's own
        place = torch.full((batch, self.pool.blocks), -1)  # where a block stands in a row's table
        visits = torch.zeros(batch, self.pool.blocks, dtype=torch.int32)
        used = torch.tensor(
            [min(len(table), stop // size) for table in self.tables], dtype=torch.int32
        )
        for row, table in enumerate(self.tables):
            first = torch.tensor(table[: stop // size], dtype=torch.int64)
            place[row, first] = torch.arange(len(first))
            visits[row, : len(first)] = first
        place = place.to(device)

        def seen(row: Tensor, head: Tensor, query: Tensor, slot: Tensor) -> Tensor:
            block = place[row, slot // size]
            return (block >= 0) & sees[row, query, (block * size + slot % size).clamp(0, stop - 1)]

        several = -(-count // QUERIES)
        return BlockMask.from_kv_blocks(
            used.to(device)[:, None, None].expand(-1, 1, several).contiguous(),
            visits.to(device)[:, None, None].expand(-1, 1, several, -1).contiguous(),
            BLOCK_SIZE=(QUERIES, size),
            mask_mod=seen,
            seq_lengths=(count, self.pool.blocks * size),
        )


@cache
def _compiled() -> Callable[..., Tensor]:
    return torch.compile(flex_attention, dynamic=True)
