"""The bridge from the claims about speed, T2, T7 and T8, to reference/measure."""

from fractions import Fraction
from itertools import product

import pytest
import torch
from specref.measure.acceptance.rates import expected_acceptance
from specref.measure.speed import cost
from torch import Tensor

from proofs.exact import speed
from proofs.exact.cases import pairs, rotated, speeds
from proofs.exact.chain import cycle
from proofs.exact.program import Context, Dist, Prog
from proofs.exact.step import alpha
from proofs.exact.text import expected_growth

SPEEDS = list(speeds())


def double(d: Dist) -> Tensor:
    return torch.tensor([float(weight) for weight in d], dtype=torch.float64)


def test_expected_acceptance_is_alpha() -> None:
    for p, q in pairs():
        got = expected_acceptance(double(p), double(q))
        assert float(got) == pytest.approx(float(alpha(p, q)), abs=1e-12)


def test_expected_tokens_is_what_a_cycle_emits() -> None:
    p = (Fraction(1, 2), Fraction(1, 3), Fraction(1, 6))
    for (_, q), gamma in product([pair for pair in pairs() if len(pair[1]) == 3][:10], range(4)):

        def one(c: Context, q: tuple[Fraction, ...] = q, gamma: int = gamma) -> Prog[Context]:
            return cycle(rotated(p), rotated(q), gamma, c)

        got = cost.expected_tokens(float(alpha(p, q)), gamma)
        assert got == pytest.approx(float(expected_growth(one, ())), abs=1e-12)


def test_predicted_speedup_and_the_best_gamma() -> None:
    for a, c, b, longest in SPEEDS:
        steps = [float(speed.linear(b)(gamma)) for gamma in range(longest + 1)]
        exact = [speed.speedup(a, gamma, c, speed.linear(b)) for gamma in range(longest + 1)]
        for gamma, want in enumerate(exact):
            assert cost.predicted_speedup(float(a), gamma, steps, float(c)) == pytest.approx(
                float(want), rel=1e-12
            )
        best = cost.best_gamma(float(a), steps, float(c))
        assert float(exact[best]) == pytest.approx(
            float(max(exact)), rel=1e-12
        )  # of equals, rounding may pick any


def test_break_even_of_one_token_is_the_cost_it_adds() -> None:
    for _, c, b, longest in SPEEDS:
        got = cost.break_even_alpha(
            1, [float(speed.linear(b)(gamma)) for gamma in range(longest + 1)], float(c)
        )
        assert got == pytest.approx(float(b + c), abs=1e-9) if b + c <= 1 else got is None
