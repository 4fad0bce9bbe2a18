"""Rotary angles: their definition, one rotation by hand, and their precision in every type."""

import math

import pytest
import torch
from specref.model.config import Config
from specref.model.transformer import rotary, rotate

CONFIG = Config(4, 8, 8, 1, 1, 1, 8, max_position_embeddings=4096, rope_theta=50.0)


def test_a_pair_is_rotated_by_position_times_its_frequency():
    x = torch.arange(1.0, 9.0, dtype=torch.float64)[None, None, None]  # [1,1,1,8]
    turned = rotate(x, rotary(torch.tensor([[3]]), CONFIG, torch.float64))[0, 0, 0]
    for j in range(4):
        angle, a, b = 3 * 50.0 ** (-2 * j / 8), x[0, 0, 0, j], x[0, 0, 0, j + 4]
        assert turned[j] == pytest.approx(float(a) * math.cos(angle) - float(b) * math.sin(angle))
        assert turned[j + 4] == pytest.approx(
            float(b) * math.cos(angle) + float(a) * math.sin(angle)
        )


@pytest.mark.parametrize(
    ("dtype", "exact", "error"),
    [
        (torch.float64, torch.float64, 1e-11),
        (torch.float32, torch.float32, 1e-3),
        (torch.bfloat16, torch.float32, 1e-3),
        (torch.float16, torch.float32, 1e-3),
    ],
)
def test_angles_are_as_exact_as_the_model_and_float32_at_least(dtype, exact, error):
    """At position 4,095 an angle of float32 is wrong by 1e-4, one of bfloat16 by 10."""
    cos, sin = rotary(torch.tensor([[4095]]), CONFIG, dtype)
    assert cos.dtype == sin.dtype == exact
    for j in range(4):
        angle = 4095 * 50.0 ** (-2 * j / 8)
        assert abs(float(cos[0, 0, 0, j]) - math.cos(angle)) < error
        assert abs(float(sin[0, 0, 0, j + 4]) - math.sin(angle)) < error
        assert float(sin[0, 0, 0, j]) == -float(sin[0, 0, 0, j + 4])


def test_a_rotated_state_keeps_its_type():
    x = torch.ones(1, 1, 1, 8, dtype=torch.bfloat16)
    assert rotate(x, rotary(torch.tensor([[5]]), CONFIG, torch.bfloat16)).dtype == torch.bfloat16
