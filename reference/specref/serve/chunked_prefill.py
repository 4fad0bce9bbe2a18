"""Chunked prefill: prompt tokens that a decode step's forward writes to the cache without
verification.

A long prompt is cut in chunks, so that the rows that decode do not wait for all of it (Agrawal et
al. 2024, Sarathi-Serve, arXiv:2403.02310). One forward then serves two kinds of rows:
B rows that decode, each with its pending token and its draft, and behind them one row for each
chunk. `decode_step` sees the first kind alone.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..decode import padded
from ..model.cache import Cache
from ..model.transformer import Output, Transformer


class ChunkedPrefill:
    """A target for `decode_step` that also reads one chunk of a prompt for every further row.

    Args:
        chunks: C token lists, ragged, maybe empty. The cache must have their C rows behind those
            that decode.
    """

    def __init__(self, target: Transformer, chunks: Sequence[Sequence[int]]):
        self.target, self.chunks = target, chunks

    @property
    def device(self) -> torch.device:
        return self.target.device

    def __call__(
        self, tokens: Tensor, cache: Cache, parents: Tensor | None, counts: Tensor
    ) -> Output:
        """One forward over the rows that decode and the chunks; the chunks are committed.

        Args:
            tokens, parents, counts: as in Transformer.forward, of the B rows that decode, N tokens
                wide. cache: B + C rows.
        Returns:
            Output of the B rows that decode, logits [B,N,V] and hidden [B,N,E].
        """
        if not self.chunks:
            return self.target(tokens, cache, parents, counts)
        batch, count = tokens.shape
        lengths = torch.tensor([len(chunk) for chunk in self.chunks])  # [C]
        width = max(count, int(lengths.max()))  # M
        more = padded(self.chunks, width, tokens.device)  # [C,M]
        tokens = torch.cat((F.pad(tokens, (0, width - count)), more))  # [B+C,M]
        counts = torch.cat((counts, lengths))  # [B+C]
        if parents is not None:  # the chunks and the padding are chains
            chains = torch.arange(-1, width - 1, device=tokens.device).repeat(len(tokens), 1)
            chains[:batch, :count] = parents
            parents = chains  # [B+C,M]
        output = self.target(tokens, cache, parents, counts)
        cache.lengths[batch:] += lengths
        return Output(output.logits[:batch, :count], output.hidden[:batch, :count])
