"""A draw never trusts a running sum with an impossible token.

Protects: GPUs, whose parallel sums need not be monotone: there a token of probability 0 may seem to
have a share. No GPU is needed: a sum that is wrong in that way stands in for one.
"""

import pytest
import torch
from specref.chance import Injected

P = torch.tensor([[0.5, 0.0, 0.25, 0.25, 0.0], [0.0, 0.0, 0.75, 0.25, 0.0]])
# each token of weight 0 seems to have a share, and the last running sum is not the largest
SUMS = torch.tensor([[0.5, 0.55, 0.8, 1.1, 1.0], [0.1, 0.2, 0.75, 1.1, 1.0]], dtype=torch.float64)


@pytest.mark.parametrize("asked", [None, torch.tensor([True, True])])
def test_a_token_that_only_rounding_gave_a_share_is_replaced_by_the_likeliest(monkeypatch, asked):
    monkeypatch.setattr(torch.Tensor, "is_cuda", property(lambda self: True), raising=False)
    monkeypatch.setattr(torch.Tensor, "cumsum", lambda self, dim: SUMS)
    for u, want in ((0.52, [0, 2]), (0.15, [0, 2]), (0.6, [2, 2]), (0.9, [3, 3])):
        uniforms = torch.full((2, 1), u, dtype=torch.float64)
        assert Injected(uniforms).draw(P, asked).tolist() == want
