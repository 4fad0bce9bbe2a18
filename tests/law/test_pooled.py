"""Evidence pooled over samples with laws of their own: it keeps its error rate, and finds what it says it finds.

Seeds are fixed. The runs under the null have a false-alarm rate of .05 each: 400 of them stay below 34 alarms except with
probability 1e-3 were the rate exactly .05; Ville's bound is not tight, so far fewer are seen.
"""

import math

import pytest
import torch

from reference.law.pooled import AtMost, Leaning, effect
from reference.types import SpecdecError

P = torch.tensor([[0.4, 0.3, 0.2, 0.1], [0.7, 0.3, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25]], dtype=torch.float64)
Q = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.0, 0.0, 0.5, 0.5], [0.97, 0.01, 0.01, 0.01]], dtype=torch.float64)


def counts(laws: torch.Tensor, n: int, generator: torch.Generator) -> torch.Tensor:
    drawn = torch.multinomial(laws, n, replacement=True, generator=generator)
    return torch.stack([torch.bincount(row, minlength=laws.shape[1]) for row in drawn]).double()


def test_the_evidence_has_mean_at_most_1_under_the_null() -> None:
    """Every alternative is a law, also where p has zeros: the likelihood ratio of one draw has mean 1 exactly."""
    test = Leaning(P, Q, 0.05)
    means = (test.logs.exp() * P).sum(2)  # [W,C]
    assert torch.allclose(means, torch.ones_like(means), atol=1e-9)


def test_false_alarms_are_as_rare_as_promised() -> None:
    generator, alarms, above = torch.Generator().manual_seed(0), 0, 0
    for _ in range(400):
        test, bound = Leaning(P, Q, 0.05), AtMost(0.6, 0.05)
        for _ in range(8):
            test.update(counts(P, 40, generator))
            bound.update(int((torch.rand(100, generator=generator) < 0.6).sum()), 100)
        alarms += test.rejected
        above += bound.rejected
    assert alarms <= 33
    assert above <= 33


@pytest.mark.parametrize("sign", [1, -1])
def test_a_leaning_of_the_size_it_states_is_found(sign: int) -> None:
    """Towards the draft or away from it, at the MDE that it states: power .999, 30 runs of 30."""
    generator = torch.Generator().manual_seed(1)
    laws = torch.tensor([[0.4, 0.3, 0.2, 0.1], [0.6, 0.2, 0.1, 0.1]], dtype=torch.float64)
    towards = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.3, 0.3, 0.2, 0.2]], dtype=torch.float64)
    for _ in range(30):
        test = Leaning(laws, towards, 1e-6)
        test.counts = laws * 5000
        distance = float((laws - towards).abs().sum(1).mean()) / 2
        w = sign * test.mde / distance
        test.counts = torch.zeros_like(laws)
        assert test.update(counts((1 - w) * laws + w * towards, 5000, generator))
        assert test.lean == pytest.approx(w, abs=0.05)
    assert test.n == 10_000


def test_small_leanings_in_many_samples_add_up() -> None:
    """Twenty samples, each alone without evidence, together rejected."""
    generator = torch.Generator().manual_seed(2)
    laws, towards = P[:1].expand(20, -1), Q[:1].expand(20, -1)
    drawn = counts(0.94 * laws + 0.06 * towards, 1500, generator)
    assert Leaning(laws, towards, 1e-6).update(drawn)
    alone = [Leaning(laws[:1], towards[:1], 1e-6).update(drawn[i: i + 1]) for i in range(20)]
    assert sum(alone) < 4


def test_a_bound_is_passed_only_from_above() -> None:
    test = AtMost(0.6, 1e-6)
    assert not test.update(0, 100_000)
    assert not AtMost(1.0, 1e-6).update(100, 100)
    assert AtMost(0.0, 1e-6).update(1, 1_000_000)
    assert not AtMost(0.0, 1e-6).update(0, 1_000_000)
    above = AtMost(0.6, 1e-6)
    above.n = 20_000
    excess = above.mde
    assert 0.01 < excess < 0.05
    generator = torch.Generator().manual_seed(3)
    for _ in range(30):
        fresh = AtMost(0.6, 1e-6)
        assert fresh.update(int((torch.rand(20_000, generator=generator) < 0.6 + excess).sum()), 20_000)


def test_what_is_stated_before_the_first_draw_and_for_certain_events() -> None:
    assert AtMost(1.0, 1e-6).log_e() == 0
    assert AtMost(0.5, 1e-6).mde == 1
    assert AtMost(1.0, 1e-6).mde == 0
    certain = AtMost(0.0, 1e-6)
    certain.n = 1000
    assert certain.mde == pytest.approx(1 - 0.001 ** (1 / 1000))
    assert Leaning(P, Q, 1e-6).mde == 1
    assert effect(0.0, 24, 1e-6) == 1
    assert effect(4e6, 24, 1e-6) == pytest.approx(effect(1e6, 24, 1e-6) / 2)


def test_laws_must_match() -> None:
    with pytest.raises(SpecdecError, match="one q for each p"):
        Leaning(P, Q[:2], 0.05)


def test_the_effect_is_that_of_a_normal_law_of_the_evidence() -> None:
    """At r = 2^(-1/4), the worse misfit, (r - r^2/2) x^2 - 3.09 r x = log(24/alpha) gives x."""
    r, needed = 2**-0.25, math.log(24 / 1e-6)
    x = effect(1e6, 24, 1e-6) * 1000
    high = 2**0.25
    assert (r - r * r / 2) * x**2 - 3.09 * r * x >= needed - 1e-9
    assert (high - high * high / 2) * x**2 - 3.09 * high * x == pytest.approx(needed)


def test_the_lean_is_the_share_of_the_way_to_the_draft() -> None:
    for w in (0.0, 0.25, 0.5):
        test = Leaning(P[:1], Q[:1], 1e-6)
        test.update(1e6 * ((1 - w) * P[:1] + w * Q[:1]))
        assert test.lean == pytest.approx(w, abs=1e-6)
        assert test.n == 1_000_000
