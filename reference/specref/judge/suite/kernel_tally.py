"""Answers of many rows as few: equal ones counted together, and what follows them drawn for all at
once.
"""

import numpy
import torch
from torch import Tensor

# as many kinds of answers are numbered; where there could be more, they are sorted, which is slower
MANY = 2**19


def distinct(
    rows: Tensor, answers: Tensor, kinds: int, vocabulary: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Equal rows with equal answers as one.

    Args:
        rows: [n], each below `kinds`.
        answers: [n,W], each token from -1 to vocabulary.
    Returns:
        the different ones, rows [m] and answers [m,W], and how often each came [m].
    """
    base, width = vocabulary + 2, answers.shape[1]
    code = rows
    for token in answers.unbind(1):
        code = code * base + (token + 1)
    if kinds * base**width <= MANY:
        times = torch.bincount(code)
        code = times.nonzero()[:, 0]
        times = times[code]
    else:
        code, times = code.unique(return_counts=True)
    places = base ** torch.arange(width - 1, -1, -1)
    return code // base**width, code[:, None] // places % base - 1, times


def spread(counts: Tensor, distribution: Tensor, generator: torch.Generator) -> Tensor:
    """Draw what counts [m] fall into, by distributions [m,R] that need not add up to 1: [m,R]. No
    draw falls where a distribution has nothing, unless it has nothing anywhere."""
    if distribution.shape[1] == 1:
        return counts[:, None].to(distribution)
    some = counts.nonzero()[:, 0]
    # the last outcome takes what rounding leaves over: let it be the likeliest
    weights, order = distribution[some].sort(1)
    share = (weights / weights.sum(1, keepdim=True)).nan_to_num()
    coins = numpy.random.default_rng(int(torch.randint(2**63 - 1, (), generator=generator)))
    drawn = torch.from_numpy(coins.multinomial(counts[some].numpy(), share.numpy())).to(
        distribution
    )
    return torch.zeros_like(distribution).index_copy_(
        0, some, torch.zeros_like(drawn).scatter_(1, order, drawn)
    )
