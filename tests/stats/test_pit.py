"""The rank of a token is uniform where the token has the distribution p, whatever the order.

Protects: the order, the ties, the share of the token's own probability.
"""

import pytest
import torch
from specref.stats.pit import pit_ranks

P = torch.tensor([0.1, 0.4, 0.0, 0.3, 0.2], dtype=torch.float64)


@pytest.mark.parametrize(
    ("keys", "order"),
    [
        ([5.0, 4, 3, 2, 1], [0, 1, 2, 3, 4]),
        ([1.0, 2, 3, 4, 5], [4, 3, 2, 1, 0]),
        ([1.0, 1, 2, 1, 2], [2, 4, 0, 1, 3]),  # of equal keys, the smaller token first
    ],
)
def test_each_token_has_its_own_share_of_the_unit_interval(
    keys: list[float], order: list[int]
) -> None:
    """So a token drawn from p has a uniform rank: the shares tile [0, 1) and are as wide as p."""
    tokens = torch.arange(5)[:, None]
    table, key_table = P.expand(5, 5), torch.tensor(keys, dtype=torch.float64).expand(5, 5)
    low = pit_ranks(table, key_table, tokens, torch.zeros(5, dtype=torch.float64))
    middle = pit_ranks(table, key_table, tokens, torch.full((5,), 0.5, dtype=torch.float64))
    start = 0.0
    for token in order:
        assert float(low[token]) == pytest.approx(start, abs=1e-15)
        assert float(middle[token]) == pytest.approx(start + float(P[token]) / 2, abs=1e-15)
        start += float(P[token])
    assert start == pytest.approx(1)
