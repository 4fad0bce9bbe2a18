"""The memory that all paged rows share: blocks of slots, who uses each, and which of them can be
found by their text.

A block is spare (nobody's), held by one or more rows, or idle: nobody's any more, but published, so
that a prompt with the same beginning can take it up again (Kwon et al. 2023, PagedAttention,
arXiv:2309.06180, sections 4.2 to 4.4). Idle blocks are forgotten, the oldest first, when spare ones
run out.
"""

import hashlib
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from ..data import SpecrefError
from .config import Config


def names(tokens: Sequence[int], size: int, known: Sequence[bytes] = ()) -> list[bytes]:
    """A name for each full block of a text: a hash of all tokens up to the block's end, for keys
    depend on all of them.

    Args:
        size: tokens a block. known: the names of the first blocks, which are not worked out again.
    """
    result = list(known)
    for begin, end in pairwise(range(len(result) * size, len(tokens) + 1, size)):
        block = b"".join(token.to_bytes(8, "little") for token in tokens[begin:end])
        result.append(
            hashlib.blake2b((result[-1] if result else b"") + block, digest_size=16).digest()
        )
    return result


class Pool:
    """Keys and values of every layer in blocks.

    Args:
        config: of the decoder. blocks: how many. size: slots of a block. states: keep the target's
            last states too, for drafters that read them.
    """

    def __init__(
        self,
        config: Config,
        blocks: int,
        size: int = 16,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        states: bool = False,
    ):
        if blocks < 1 or size < 1:
            raise SpecrefError(
                f"a cache of {blocks} blocks of {size} tokens is not possible: give 1 or more of"
                " each"
            )
        slots, width = blocks * size, config.hidden_size if states else 0
        shape = (config.num_hidden_layers, slots, config.num_key_value_heads, config.head_dim)
        try:
            self.keys = torch.zeros(shape, dtype=dtype, device=device)
            self.values = torch.zeros(shape, dtype=dtype, device=device)
            self.states = torch.zeros(1, slots, width, dtype=dtype, device=device)
        except (RuntimeError, TypeError):  # no memory; more than a tensor can have
            raise SpecrefError(
                f"there is no memory for a cache of {blocks} blocks of {size} tokens: give fewer"
            ) from None
        self.blocks, self.size = blocks, size
        self.spare = list(range(blocks))[::-1]
        self.users = [0] * blocks
        self.by_name: dict[bytes, int] = {}
        self.name_of: dict[int, bytes] = {}
        self.idle: dict[int, None] = {}  # in the order in which they became idle

    @property
    def stores(self) -> tuple[Tensor, Tensor, Tensor]:
        """What a slot holds, each [layers or 1, slots, ...]."""
        return self.keys, self.values, self.states

    @property
    def free(self) -> int:
        """Blocks that a row can get."""
        return len(self.spare) + len(self.idle)

    def needed(self, tokens: int) -> int:
        """Blocks for that many tokens."""
        return -(-tokens // self.size)

    def take(self) -> int:
        """A block for one row to write in.

        Errors:
            SpecrefError when there is none.
        """
        if not self.spare:
            if not self.idle:
                raise SpecrefError(
                    f"all {self.blocks} blocks are in use: give the cache more, or serve fewer at a"
                    " time"
                )
            oldest = next(iter(self.idle))
            del self.idle[oldest]
            self.forget(oldest)
            self.spare.append(oldest)
        block = self.spare.pop()
        self.users[block] = 1
        return block

    def share(self, block: int) -> int:
        """One user more; an idle block is held again."""
        self.idle.pop(block, None)
        self.users[block] += 1
        return block

    def drop(self, block: int) -> None:
        """One user less."""
        self.users[block] -= 1
        if not self.users[block]:
            if block in self.name_of:
                self.idle[block] = None
            else:
                self.spare.append(block)

    def publish(self, block: int, name: bytes) -> None:
        """From now on the block can be found, and nobody writes in it. The first of equal blocks is
        the one found.
        """
        if name not in self.by_name and block not in self.name_of:
            self.by_name[name], self.name_of[block] = block, name

    def forget(self, block: int) -> None:
        """It can be found no more."""
        name = self.name_of.pop(block, None)
        if name is not None:
            del self.by_name[name]

    def find(self, wanted: Sequence[bytes]) -> list[int]:
        """The blocks of the longest beginning that is there."""
        found = []
        for name in wanted:
            if name not in self.by_name:
                break
            found.append(self.by_name[name])
        return found

    def copy(self, source: int, target: int) -> None:
        """All slots of one block into another."""
        for store in self.stores:
            blocks = store.view(store.shape[0], self.blocks, self.size, *store.shape[2:])
            blocks[:, target] = blocks[:, source]
