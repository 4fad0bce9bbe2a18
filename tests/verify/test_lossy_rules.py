"""Lossy rules by name: what each accepts, what comes after, and how far its output is from p, by
formulas worked apart from the code.

Protects: thresholds with their edges, FLy's window, the residual and bonus that the lossless rule
has too, and that each says LOSSY in its name and its type.
"""

import math
from dataclasses import FrozenInstanceError

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from specref.chance import Injected, Streams
from specref.data import Draft, SpecrefError
from specref.exact.enumerate import total_variation
from specref.verify import (
    LossyEnsemble,
    LossyFly,
    LossyMedusaTypical,
    LossyRelaxed,
    LossySynthetic,
    LossyTypical,
    rejection,
)

from tests.distributions import World, a_pair, outcomes, target_distribution, worlds

EXACT = 1e-12
SETTINGS = [
    LossyTypical(),
    LossyMedusaTypical(),
    LossyFly(),
    LossyRelaxed(),
    LossyEnsemble(),
    LossySynthetic(),
]


def one_place(pair, rule, count: int = 1) -> tuple[dict, float]:
    """(distribution of the first token, P(the first draft token is accepted)) for a chain."""
    world = World(len(pair[0]), count, [count], False, [[pair]])
    first: dict[int, float] = {}
    kept = 0.0
    for (run, accepted), weight in outcomes(world, rule)[0].items():
        first[run[0]] = first.get(run[0], 0.0) + weight
        kept += weight * (accepted > 0)
    return first, kept


pairs = st.integers(2, 5).flatmap(a_pair)


@settings(max_examples=40)
@given(pair=pairs, weight=st.sampled_from([0.0, 0.3, 0.7, 1.0]))
def test_an_ensemble_emits_the_mixture_and_is_as_far_off_as_it_says(pair, weight):
    p, q = pair
    first, kept = one_place(pair, LossyEnsemble(weight))
    mixed = {x: weight * a + (1 - weight) * b for x, (a, b) in enumerate(zip(p, q))}
    assert total_variation(first, mixed) < EXACT
    assert abs(kept - sum(min(mixed[x], q[x]) for x in mixed)) < EXACT
    tv = sum(abs(a - b) for a, b in zip(p, q)) / 2
    assert abs(total_variation(first, dict(enumerate(p))) - (1 - weight) * tv) < EXACT


@settings(max_examples=40)
@given(pair=pairs, rate=st.sampled_from([0.0, 0.25, 1.0]))
def test_synthetic_acceptance_emits_the_draft_at_its_rate_and_the_residual_else(pair, rate):
    p, q = pair
    first, kept = one_place(pair, LossySynthetic((rate,)))
    rest = [max(a - b, 0) for a, b in zip(p, q)]
    rest = rest if sum(rest) > 0 else p
    want = {x: rate * q[x] + (1 - rate) * r / sum(rest) for x, r in enumerate(rest)}
    assert abs(kept - rate) < EXACT
    assert total_variation(first, want) < EXACT


def test_synthetic_rates_are_of_whole_prefixes():
    pair = ([0.5, 0.5], [0.9, 0.1])
    world = World(2, 3, [3], False, [[pair]])
    found = outcomes(world, LossySynthetic((0.8, 0.6, 0.3)))[0]
    for depth, rate in enumerate((1, 0.8, 0.6, 0.3)):
        reached = sum(weight for (_, accepted), weight in found.items() if accepted >= depth)
        assert abs(reached - rate) < EXACT


@pytest.mark.parametrize("rates", [(0.5, 0.6), (1.1,), (-0.1,), (0.5, float("nan"))])
def test_rates_that_rise_or_leave_the_unit_interval_are_refused(rates):
    with pytest.raises(SpecrefError, match="are not possible: from 1 to 0, never rising"):
        LossySynthetic(rates)


def test_a_draft_longer_than_the_rates_is_refused():
    p = torch.full((1, 3, 2), 0.5)
    with pytest.raises(SpecrefError, match="a draft of 2 tokens needs as many rates"):
        LossySynthetic((0.5,))(Draft.chain(torch.zeros(1, 2, dtype=torch.int64)), p, Streams([0]))


def forgiven(coins, p_x, top, threshold, window) -> int:
    """How many tokens FLy accepts, told as its papers tell it, token by token."""
    accepted = 0
    for i, coin in enumerate(coins):
        behind = coins[i + 1 : i + 1 + window]
        unsure = -sum(x * math.log(x) for x in top[i] if x) >= threshold
        if not coin and not (p_x[i] > 0 and unsure and len(behind) == window and all(behind)):
            break
        accepted += 1
    return accepted


@settings(max_examples=150)
@given(
    coins=st.lists(st.booleans(), min_size=1, max_size=6),
    window=st.integers(0, 3),
    rows=st.lists(
        st.sampled_from([(0.5, 0.5, 0.0, 0.0), (0.25,) * 4, (0.9, 0.1, 0.0, 0.0), (0.0, 0, 0, 1)]),
        min_size=6,
        max_size=6,
    ),
)
def test_fly_forgives_what_its_description_does(coins, window, rows):
    """Token 0 is drafted everywhere. Entropies of the three likeliest are .693, 1.040, .325, 0."""
    count = len(coins)
    p = torch.tensor([[*rows[:count], rows[0]]], dtype=torch.float64)  # [1,N+1,4]
    q = torch.tensor([1.0, 0, 0, 0], dtype=torch.float64).expand(1, count, 4)
    # a coin of p(0) falls as wanted wherever it can fall both ways
    fell = [want and row[0] > 0 for want, row in zip(coins, rows)]
    uniforms = torch.tensor([[0.0 if heads else 0.999 for heads in fell] + [0.5]])
    draft = Draft.chain(torch.zeros(1, count, dtype=torch.int64), q)
    verdict = LossyFly(0.5, window)(draft, p, Injected(uniforms))
    p_x, top = [row[0] for row in rows], [sorted(row)[-3:] for row in rows]
    assert int(verdict.accepted) == forgiven(fell, p_x, top, 0.5, window)


@settings(max_examples=25)
@given(world=worlds(certain=False))
def test_fly_that_is_never_unsure_is_speculative_sampling(world):
    for mine, other in zip(outcomes(world, LossyFly(99.0, 1)), outcomes(world, rejection)):
        assert total_variation(mine, other) < EXACT


@settings(max_examples=60)
@given(
    p=st.lists(st.integers(0, 9), min_size=5, max_size=5).filter(any),
    x=st.integers(0, 4),
    top_k=st.integers(1, 7),
    tenths=st.integers(0, 10),
)
def test_relaxed_acceptance_keeps_what_is_near_the_top(p, x, top_k, tenths):
    """p in whole parts of 64, so that a token at the threshold itself is exact: it passes."""
    row = torch.tensor([weight / 64 for weight in p] + [1 - sum(p) / 64], dtype=torch.float64)
    delta = tenths * 4 / 64
    draft = Draft.chain(torch.tensor([[x]]))
    verdict = LossyRelaxed(top_k, delta)(draft, torch.stack((row, row))[None], Streams([0]))
    rank = row.topk(min(top_k, 6)).indices.tolist()
    near = float(row[x]) >= float(row.max()) - delta
    assert bool(verdict.accepted[0]) == (x in rank and near)
    assert int(verdict.next_token) == int(row.argmax())


def test_medusa_takes_the_likelier_of_two_paths_and_then_the_argmax():
    """Two typical paths of one length: the drawn variant keeps the first, Medusa the likelier."""
    p = torch.tensor([[[0.3, 0.4, 0.3]] + [[0.2, 0.5, 0.3]] * 2], dtype=torch.float64)
    draft = Draft(torch.tensor([[0, 1]]), torch.tensor([[-1, -1]]), None, torch.tensor([2]))
    mine = LossyMedusaTypical()(draft, p, Streams([0]))
    drawn = LossyTypical()(draft, p, Injected(torch.tensor([[0.99]], dtype=torch.float64)))
    assert (mine.path[0, 0], mine.next_token[0]) == (1, 1)
    assert (drawn.path[0, 0], drawn.next_token[0]) == (0, 2)


@pytest.mark.parametrize(("epsilon", "kept"), [(0.25, 0), (0.2499, 1)])
def test_medusa_refuses_a_token_at_the_bar_itself(epsilon, kept):
    p = torch.tensor([[[0.25, 0.75], [0.5, 0.5]]], dtype=torch.float64)
    draft = Draft.chain(torch.tensor([[0]]))
    assert int(LossyMedusaTypical(epsilon, 10.0)(draft, p, Streams([0])).accepted) == kept


def test_medusa_bars_by_entropy():
    """H(1/4, 1/4, 1/4, 1/4) = log 4: the bar is delta / 4, and 1/4 exceeds it only below 1."""
    p = torch.full((1, 2, 4), 0.25, dtype=torch.float64)
    draft = Draft.chain(torch.tensor([[0]]))
    for delta, kept in ((0.99, 1), (1.01, 0)):
        assert int(LossyMedusaTypical(1.0, delta)(draft, p, Streams([0])).accepted) == kept


def test_a_rate_of_zero_ends_every_draft():
    pair = ([0.5, 0.5], [0.9, 0.1])
    world = World(2, 3, [3], False, [[pair]])
    found = outcomes(world, LossySynthetic((0.5, 0.0, 0.0)))[0]
    assert {accepted for _, accepted in found} == {0, 1}
    assert abs(sum(found.values()) - 1) < EXACT


def test_the_defaults_are_those_of_the_engines():
    """vLLM's FLy, TensorRT-LLM's example for DeepSeek-R1, Medusa's thresholds, and the weight that
    transformers' tests use.
    """
    assert LossyFly() == LossyFly(threshold=0.3, window=6)
    assert LossyRelaxed() == LossyRelaxed(top_k=15, delta=0.5)
    assert LossyMedusaTypical() == LossyMedusaTypical(epsilon=0.09, delta=0.3)
    assert LossyEnsemble() == LossyEnsemble(weight=0.7)


@pytest.mark.parametrize("rule", SETTINGS, ids=lambda rule: type(rule).__name__)
def test_a_setting_cannot_change_under_a_run(rule):
    with pytest.raises(FrozenInstanceError):
        rule.lossless = True


@pytest.mark.parametrize("rule", SETTINGS, ids=lambda rule: type(rule).__name__)
def test_each_says_that_it_is_lossy_and_is(rule):
    """One world where each is off by far more than rounding."""
    assert not rule.lossless
    assert type(rule).__name__.startswith("Lossy")
    assert rule.__name__.startswith("lossy_")
    pair = ([0.5, 0.3, 0.2], [0.2, 0.3, 0.5])
    count = 4
    world = World(3, count, [count], False, [[pair]])
    rule = LossyFly(0.3, 1) if isinstance(rule, LossyFly) else rule
    first: dict = {}
    for (run, _), weight in outcomes(world, rule)[0].items():
        first[run[:1]] = first.get(run[:1], 0.0) + weight
    assert total_variation(first, target_distribution(world, 0, 1)) > 0.01
