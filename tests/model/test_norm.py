"""RMSNorm in few calls is RMSNorm: values and gradients against torch's own."""

import pytest
import torch
import torch.nn.functional as F
from specref.model.transformer import RMSNorm

CASES = {
    "plain": torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(0)),
    "zeros": torch.zeros(1, 2, 8),
    "tiny": torch.full((1, 1, 8), 1e-4),
    "large": torch.full((1, 1, 8), -3e4),
}


@pytest.mark.parametrize("eps", [1e-5, 1e-2])
@pytest.mark.parametrize("name", CASES)
def test_the_norm_and_its_gradients_are_torchs_own(name: str, eps: float) -> None:
    norm = RMSNorm(8, eps)
    norm.weight.data = torch.arange(1.0, 9.0)
    found, right = [], []
    for run, kept in ((norm, found), (lambda x: F.rms_norm(x, (8,), norm.weight, eps), right)):
        x = CASES[name].clone().requires_grad_()
        norm.weight.grad = None
        y = run(x)
        (y * torch.arange(8)).sum().backward()
        assert norm.weight.grad is not None
        kept += [y.detach(), x.grad, norm.weight.grad.clone()]
    for mine, theirs in zip(found, right, strict=True):
        assert torch.allclose(mine, theirs, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_other_types_are_normed_in_their_own_precision(dtype: torch.dtype) -> None:
    norm = RMSNorm(8, 1e-5).to(dtype)
    x = CASES["plain"].to(dtype)
    assert torch.equal(norm(x), F.rms_norm(x, (8,), norm.weight, 1e-5))
