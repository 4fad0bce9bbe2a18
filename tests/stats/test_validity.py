"""The sequential tests raise no more false alarms than they say, whenever one looks.

Protects: Ville's condition, exactly. The evidence starts at 1 and its mean after one more draw is
what it was before (one known distribution), or no more than that (two samples): summed over every
possible draw, not sampled. Simulation then checks that the code around it, batches and looks and
all, keeps its rate.
"""

import math
from itertools import product

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from specref.data import SpecrefError
from specref.stats.finding import bonferroni
from specref.stats.sequential import OneSample, TwoSample
from torch import Tensor

DISTRIBUTIONS = {
    "fair": [0.5, 0.5],
    "three": [0.2, 0.3, 0.5],
    "rare": [0.01, 0.04, 0.25, 0.7],
    "lone": [1.0],
}
ROUNDING = 1e-9  # of log-gamma differences, relative


def one_sample(p: list[float], plan: float) -> OneSample:
    return OneSample(torch.tensor(p, dtype=torch.float64), 0.01, [torch.eye(len(p))[0]], plan)


def evidence(test: OneSample | TwoSample, *counts: Tensor) -> float:
    """E after these counts, whatever the test saw before."""
    test.counts = torch.stack(counts).double()
    return math.exp(test.log_e())


def tables(total: int, cells: int) -> list[Tensor]:
    """All counts over the cells that sum to total."""
    return [torch.tensor(c) for c in product(range(total + 1), repeat=cells) if sum(c) == total]


@pytest.mark.parametrize("plan", [0.3, 0.01])
@pytest.mark.parametrize("p", DISTRIBUTIONS.values(), ids=DISTRIBUTIONS)
def test_evidence_against_a_true_distribution_is_a_martingale(p: list[float], plan: float) -> None:
    """From any counts: sum_x p(x) E(counts and x) = E(counts). Too large would be false alarms, too
    small lost power.
    """
    test, cells = one_sample(p, plan), len(p)
    assert evidence(test, torch.zeros(cells)) == pytest.approx(1, rel=ROUNDING)
    for total in (0, 1, 2, 5, 9):
        for counts in tables(total, cells):
            after = sum(p[x] * evidence(test, counts + torch.eye(cells)[x]) for x in range(cells))
            assert after == pytest.approx(evidence(test, counts), rel=ROUNDING)


@pytest.mark.parametrize("counts", [[30, 2, 8], [100, 100, 100], [0, 0, 500]])
def test_evidence_is_a_martingale_far_from_the_distribution(counts: list[int]) -> None:
    test, p = one_sample(DISTRIBUTIONS["three"], 0.1), DISTRIBUTIONS["three"]
    after = sum(p[x] * evidence(test, torch.tensor(counts) + torch.eye(3)[x]) for x in range(3))
    assert after == pytest.approx(evidence(test, torch.tensor(counts)), rel=ROUNDING)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS.values(), ids=DISTRIBUTIONS)
@pytest.mark.parametrize("plan", [0.5, 0.05])
def test_evidence_against_equal_distributions_never_rises_on_average(
    distribution: list[float], plan: float
) -> None:
    """Whatever the common distribution r: sum_xy r(x) r(y) E(counts and x; counts and y) <=
    E(counts).
    """
    cells, test = len(distribution), TwoSample(len(distribution), 0.01, plan)
    assert evidence(test, torch.zeros(cells), torch.zeros(cells)) == pytest.approx(1, rel=ROUNDING)
    unit = torch.eye(cells)
    for total in (0, 1, 2):
        for first, second in product(tables(total, cells), repeat=2):
            after = sum(
                distribution[x]
                * distribution[y]
                * evidence(test, first + unit[x], second + unit[y])
                for x in range(cells)
                for y in range(cells)
            )
            assert after <= evidence(test, first, second) * (1 + ROUNDING)


@pytest.mark.parametrize(
    "p", [[1 / 16] * 16, [0.9, 0.0999, 1e-4, 0.0], [1.0, 0.0]], ids=["flat", "rare", "certain"]
)
@pytest.mark.parametrize("arms", [1, 2])
def test_false_alarms_stay_below_their_rate_under_many_looks(p: list[float], arms: int) -> None:
    """250 runs of 120 looks at alpha = .1: more than 60 alarms would have probability 3e-10 at that
    rate.
    """
    generator, distribution = torch.Generator().manual_seed(1), torch.tensor(p, dtype=torch.float64)
    alarms = 0
    for _ in range(250):
        test: OneSample | TwoSample = (
            OneSample(distribution, 0.1) if arms == 1 else TwoSample(len(p), 0.1)
        )
        drawn = torch.multinomial(distribution, 2400 * arms, True, generator=generator).reshape(
            arms, 120, 20
        )
        counts = torch.nn.functional.one_hot(drawn, len(p)).sum(2)  # [arms, 120, K]
        looks = [1, 2, 4, 8, 16, 32, 64, 120]
        for begin, end in zip([0, *looks], looks):
            test.update(*counts[:, begin:end].sum(1))
        alarms += test.rejected
    assert alarms <= 60


@given(st.lists(st.integers(0, 40), min_size=4, max_size=4), st.integers(0, 40))
def test_evidence_does_not_depend_on_the_batches(counts: list[int], cut: int) -> None:
    """Only the totals count, so a batch may be of any size, empty ones too."""
    whole, pieces = one_sample(DISTRIBUTIONS["rare"], 0.05), one_sample(DISTRIBUTIONS["rare"], 0.05)
    whole.update(torch.tensor(counts))
    for part in (torch.tensor(counts).clamp(max=cut), (torch.tensor(counts) - cut).clamp(min=0)):
        pieces.update(part)
    assert pieces.n == whole.n == sum(counts)
    assert pieces.log_e() == whole.log_e()


@given(counts=st.lists(st.integers(0, 60), min_size=3, max_size=3))
def test_the_distribution_is_rejected_exactly_where_evidence_reaches_one_over_alpha(
    counts: list[int],
) -> None:
    distribution = torch.tensor(DISTRIBUTIONS["three"])
    test = OneSample(distribution, 0.5)
    test.update(torch.tensor(counts))
    assume(test.log_e() > 0.01)
    level = math.exp(-test.log_e())
    assert OneSample(distribution, level * 1.0001).update(torch.tensor(counts))
    assert not OneSample(distribution, level * 0.9999).update(torch.tensor(counts))


def test_a_rejection_stands() -> None:
    """What comes after cannot take it back: the rule is to stop, not to wait for a better
    moment.
    """
    test = OneSample(torch.tensor([0.5, 0.5]), 1e-3)
    assert test.update(torch.tensor([40, 0]))
    assert test.update(torch.tensor([0, 40]))
    assert test.log_e() < 0
    assert test.finding().rejected


def test_the_family_shares_one_rate() -> None:
    alphas = bonferroni(1e-6, ["first", "joint", "length", "rows"])
    assert list(alphas) == ["first", "joint", "length", "rows"]
    assert sum(alphas.values()) == pytest.approx(1e-6)
    for total, names in ((1e-6, []), (1e-6, ["a", "a"]), (0.0, ["a"]), (1.0, ["a"])):
        with pytest.raises(SpecrefError):
            bonferroni(total, names)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: OneSample(torch.tensor([0.5, 0.6]), 0.01),
            "p of shape .* is no distribution of 2 outcomes",
        ),
        (lambda: OneSample(torch.tensor([1.5, -0.5]), 0.01), "p of shape"),
        (lambda: OneSample(torch.tensor([0.5, float("nan")]), 0.01), "p of shape"),
        (
            lambda: OneSample(torch.tensor([0.5, 0.5]), 0.01, [torch.tensor([1.0])]),
            "toward of shape",
        ),
        (lambda: OneSample(torch.tensor([0.5, 0.5]), 0.0), "alpha = 0.0"),
        (lambda: TwoSample(2, 1.0), "alpha = 1.0"),
        (
            lambda: OneSample(torch.tensor([0.5, 0.5]), 0.01).update(torch.tensor([1, 2, 3])),
            "one count",
        ),
        (
            lambda: OneSample(torch.tensor([0.5, 0.5]), 0.01).update(torch.tensor([1, -1])),
            "one count",
        ),
        (
            lambda: OneSample(torch.tensor([0.5, 0.5]), 0.01).update(
                torch.tensor([1, float("nan")])
            ),
            "one count",
        ),
        (
            lambda: TwoSample(2, 0.01).update(torch.tensor([1, 1]), torch.tensor([1, 0])),
            "the arms hold 2 and 1 draws",
        ),
    ],
)
def test_bad_input_is_refused(make: object, message: str) -> None:
    with pytest.raises(SpecrefError, match=message):
        make()  # type: ignore[operator]
