"""The sequential tests find what they say they find, in about the draws they say, and state it.

Protects: the mixture's power, the minimum detectable effect of a finding (measured on the
worst-case difference, and not far beyond what is needed), early stopping, the interval, and the
record that a report is made of.
"""

import json
import math
from statistics import median

import pytest
import torch
from specref.stats.power import mde, samples
from specref.stats.sequential import OneSample, TwoSample, run
from torch import Tensor


def multinomial(distribution: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Counts [K] of n draws."""
    return torch.bincount(
        torch.multinomial(distribution, n, True, generator=generator), minlength=len(distribution)
    )


def uneven(cells: int) -> Tensor:
    """A distribution that falls like 1/rank."""
    return (1 / torch.arange(1.0, cells + 1, dtype=torch.float64)) / sum(
        1 / i for i in range(1, cells + 1)
    )


def hardest(p: Tensor, tv: float) -> Tensor:
    """The distribution at TV tv from p that is hardest to see: evenly from one half of the
    probability to the other.
    """
    up = torch.zeros(len(p), dtype=torch.bool)
    for i in p.argsort(descending=True):
        up[i] = bool(p[up].sum() + p[i] <= 0.5)
    share = p[up].sum()
    return torch.where(up, p * (1 + tv / share), p * (1 - tv / (1 - share)))


def miss_rate(
    p: Tensor, other: Tensor, n: int, alpha: float, arms: int, plan: float, runs: int
) -> float:
    generator = torch.Generator().manual_seed(5)
    missed = 0
    for _ in range(runs):
        if arms == 1:
            missed += not OneSample(p, alpha, plan=plan).update(multinomial(other, n, generator))
        else:
            test = TwoSample(len(p), alpha, plan)
            missed += not test.update(
                multinomial(p, n, generator), multinomial(other, n, generator)
            )
    return missed / runs


@pytest.mark.parametrize("arms", [1, 2])
@pytest.mark.parametrize("distribution", ["flat 4", "flat 16", "uneven 40"])
def test_the_stated_effect_is_found_with_the_stated_power(distribution: str, arms: int) -> None:
    """At the MDE for power .99, 100 runs miss 8 at most (more has probability 6e-6); at 2/3 of it
    most runs miss, so that the figure is not an idle bound."""
    cells, n, alpha, plan = int(distribution.split()[1]), 4000 * arms, 1e-6, 0.08
    p = (
        uneven(cells)
        if distribution.startswith("uneven")
        else torch.full((cells,), 1 / cells, dtype=torch.float64)
    )
    effect = mde(n, cells, alpha, 0.99, arms, plan)
    assert miss_rate(p, hardest(p, effect), n, alpha, arms, plan, 100) <= 0.08
    assert miss_rate(p, hardest(p, effect * 2 / 3), n, alpha, arms, plan, 100) >= 0.3


def test_early_stopping_takes_about_half_of_the_planned_draws() -> None:
    """K = 16, TV .05, false alarm 1e-6: planned 11.3k, and half of the runs need less than 6k. A
    mixture that spends its weight badly fails here."""
    generator, p = torch.Generator().manual_seed(6), torch.full((16,), 1 / 16, dtype=torch.float64)
    other, used = hardest(p, 0.05), []
    for _ in range(40):
        test = OneSample(p, 1e-6, plan=0.05)
        assert run(test, lambda n: multinomial(other, n, generator), 20_000, 250)
        used.append(test.n)
    assert median(used) < 6000
    assert samples(0.05, 16, 1e-6) == pytest.approx(11_340, rel=0.01)


def test_a_named_distribution_is_found_sooner() -> None:
    """K = 64, half of a percent towards q: the directed alternative needs less than half of the
    draws.
    """
    generator, p = torch.Generator().manual_seed(7), uneven(64)
    q = hardest(p, 0.4)
    other = 0.9 * p + 0.1 * q
    used: dict[bool, list[int]] = {False: [], True: []}
    for _ in range(10):
        for told in used:
            test = OneSample(p, 1e-6, [q] if told else [], plan=0.04)
            assert run(test, lambda n: multinomial(other, n, generator), 60_000, 500)
            used[told].append(test.n)
    assert median(used[True]) < 0.6 * median(used[False])


def test_one_changed_outcome_among_many_is_found() -> None:
    """K = 512, one outcome of .01 drawn a third too often: TV .0033. What is spread over all
    outcomes would need 300,000
    draws. Two samples: one of 512 equally likely ones drawn twice as often."""
    generator, p = torch.Generator().manual_seed(8), uneven(512)
    other = p.clone()
    other[14] *= 1.34
    other /= other.sum()
    assert OneSample(p, 1e-6).update(multinomial(other, 110_000, generator))
    p = torch.full((512,), 1 / 512, dtype=torch.float64)
    other = torch.cat((2 * p[:1], p[1:] * 510 / 511))
    assert TwoSample(512, 1e-6).update(
        multinomial(p, 100_000, generator), multinomial(other, 100_000, generator)
    )


def test_an_impossible_outcome_rejects_at_once() -> None:
    """One draw of p = 0 among a million others: no distribution p makes it."""
    test = OneSample(torch.tensor([0.5, 0.5, 0.0]), 1e-9)
    assert not test.update(torch.tensor([500_000, 500_000, 0]))
    assert test.update(torch.tensor([0, 0, 1]))
    finding = test.finding(seed=3)
    assert finding.log_e == math.inf
    assert finding.as_dict()["log_e"] is None
    assert 0 < finding.tv < 1e-5


@pytest.mark.parametrize("arms", [1, 2])
def test_the_interval_covers_the_true_distance_at_a_stopping_time(arms: int) -> None:
    """150 runs, each stopped where its own evidence passes 20: more than 25 misses have probability
    2e-8 at 5%.
    """
    generator, p = torch.Generator().manual_seed(9), uneven(8)
    missed = 0
    for number in range(150):
        tv = (0.0, 0.02, 0.1)[number % 3]
        other, n = hardest(p, tv), 0
        test: OneSample | TwoSample = (
            OneSample(p, 0.05, plan=0.05) if arms == 1 else TwoSample(8, 0.05, 0.05)
        )
        while not test.rejected and n < 4000:
            fresh = multinomial(other, 200, generator)
            n += 200
            (
                test.update(fresh)
                if isinstance(test, OneSample)
                else test.update(multinomial(p, 200, generator), fresh)
            )
        measured, low, high = test.region(0.95)
        assert 0 <= low <= measured <= high <= 1
        missed += not low - 1e-9 <= tv <= high + 1e-9
    assert missed <= 25


@pytest.mark.parametrize("arms", [1, 2])
def test_the_interval_knows_how_far_small_samples_stray(arms: int) -> None:
    """200 draws over 2000 outcomes look nothing like their distribution: a TV near .9, and equal
    distributions not excluded.
    """
    generator, p = (
        torch.Generator().manual_seed(10),
        torch.full((2000,), 1 / 2000, dtype=torch.float64),
    )
    test: OneSample | TwoSample = OneSample(p, 1e-6) if arms == 1 else TwoSample(2000, 1e-6)
    test.update(*[multinomial(p, 200, generator) for _ in range(arms)])
    tv, low, _ = test.region(0.95)
    assert tv > 0.8
    assert low == 0


def test_the_interval_shrinks_to_the_distance() -> None:
    """After 200,000 draws at TV .1 from p it is narrow and excludes 0; before the first draw it is
    everything.
    """
    p = uneven(8)
    test = OneSample(p, 1e-6)
    assert test.finding().interval == (0.0, 1.0)
    test.update((hardest(p, 0.1) * 200_000).round().long())
    low, high = test.finding().interval
    assert 0.08 < low < 0.1 < high < 0.115
    two = TwoSample(8, 1e-6)
    assert two.finding().interval == (0.0, 1.0)
    rounded = (p * 200_000).round().long()
    rounded[0] += 200_000 - rounded.sum()
    other = (hardest(p, 0.1) * 200_000).round().long()
    other[0] += 200_000 - other.sum()
    two.update(rounded, other)
    low, high = two.finding().interval
    assert 0.06 < low < 0.1 < high < 0.14


def test_a_finding_says_everything_a_report_needs() -> None:
    test = OneSample(torch.tensor([0.5, 0.5]), 1e-6)
    test.update(torch.tensor([5010, 4990]))
    finding = test.finding(seed=17)
    record = json.loads(json.dumps(finding.as_dict(), allow_nan=False))
    assert {
        key: record[key] for key in ("method", "rejected", "n", "alpha", "power", "seed", "level")
    } == {
        "method": "e-process, one sample",
        "rejected": False,
        "n": 10_000,
        "alpha": 1e-6,
        "power": 0.999,
        "seed": 17,
        "level": 0.95,
    }
    assert record["tv"] == pytest.approx(0.001)
    assert record["mde"] == mde(10_000, 2, 1e-6)
    assert record["interval"][0] == 0 < 0.001 < record["interval"][1]
    for word in (
        "no difference seen",
        "10,000 draws",
        "false alarm 1.0e-06",
        "seed 17",
        f"{record['mde']:.4f}",
    ):
        assert word in str(finding)
    test.update(torch.tensor([9000, 0]))
    assert "the distributions differ" in str(test.finding())
