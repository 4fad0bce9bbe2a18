"""The sequential tests compute what their formulas say: evidence and intervals worked out by hand
for a few draws, the edges (no draw, one draw, equality at a threshold), the defaults, and the
record.

A Dirichlet(s p) distribution gives one outcome twice with probability p (s p + 1)/(s + 1); pi ~
Beta(b,b) has mean pi (1 - pi) = b/(2 (2 b + 1)). Nothing else is needed for two draws.
"""

import math
from dataclasses import FrozenInstanceError
from itertools import product
from statistics import mean

import pytest
import torch
from scipy.optimize import brentq
from specref.data import SpecrefError
from specref.stats.finding import Finding, bonferroni
from specref.stats.power import mde
from specref.stats.sequential import OneSample, TwoSample, binary_lower, run
from torch import Tensor

PLANNED = 0.3
SIZES = [PLANNED, *(1 / 2**i for i in range(1, 11))]
# of the spread alternatives; 1/8 each is left to the single and to the directed ones
WEIGHTS = [0.5, *[0.025] * 10]
STEPS = [1 / 2**i for i in range(11)]  # of the way to a named distribution


def double(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def one_sample(
    counts: list[int], p: list[float], toward: list[list[float]], plan: float = PLANNED
) -> OneSample:
    test = OneSample(double(*p), 0.05, [double(*distribution) for distribution in toward], plan)
    test.counts = torch.tensor([counts]).double()
    return test


@pytest.mark.parametrize("p", [[0.5, 0.5], [0.2, 0.3, 0.5], [0.125] * 8])
def test_one_draw_counts_for_the_named_distributions_alone(p: list[float]) -> None:
    """The uniform distribution is always one of them. Alternatives around p have p as their
    mean.
    """
    q = [float(i == 0) for i in range(len(p))]
    for x in range(len(p)):
        counts = [int(i == x) for i in range(len(p))]
        towards = mean(
            (1 - w) + w * distribution / p[x] for distribution in (1 / len(p), q[x]) for w in STEPS
        )
        assert one_sample(counts, p, [q]).log_e() == pytest.approx(
            math.log(0.875 + 0.125 * towards), abs=1e-9
        )
        towards = mean((1 - w) + w / len(p) / p[x] for w in STEPS)
        assert one_sample(counts, p, []).log_e() == pytest.approx(
            math.log(0.875 + 0.125 * towards), abs=1e-9
        )


@pytest.mark.parametrize("p", [[0.5, 0.5], [0.2, 0.3, 0.5], [0.7, 0.0, 0.3]])
def test_the_same_outcome_twice(p: list[float]) -> None:
    """Spread distributions have s = (K - 1)/(4 e^2), K the possible outcomes; single changed ones,
    of the outcome itself or of another, which then gives or takes in proportion, have the s of a
    coin, all alike in weight."""
    possible = [i for i in range(len(p)) if p[i] > 0]

    def twice(p: float, s: float) -> float:
        return (s * p + 1) / (s + 1) / p

    for x in possible:
        counts = [2 * int(i == x) for i in range(len(p))]
        spread = sum(
            w * twice(p[x], (len(possible) - 1) / (4 * e**2)) for w, e in zip(WEIGHTS, SIZES)
        )
        single = mean(
            twice(p[x] if i == x else 1 - p[i], 1 / (4 * e**2)) for i in possible for e in SIZES
        )
        towards = mean(((1 - w) + w / len(p) / p[x]) ** 2 for w in STEPS)
        expected = spread + single / 8 + towards / 8
        assert one_sample(counts, p, []).log_e() == pytest.approx(math.log(expected), abs=1e-9)


def test_a_certain_outcome_leaves_the_named_distributions_to_doubt() -> None:
    """p = (1, 0): every draw as it should be. Where there is no other outcome there is no evidence
    at all.
    """
    towards = mean((1 - w / 2) ** 3 for w in STEPS)
    assert one_sample([3, 0], [1.0, 0.0], []).log_e() == pytest.approx(
        math.log(0.875 + towards / 8), abs=1e-9
    )
    assert one_sample([3], [1.0], []).log_e() == pytest.approx(0, abs=1e-12)
    assert one_sample([3, 1], [1.0, 0.0], []).log_e() == math.inf


@pytest.mark.parametrize("cells", [2, 3, 9])
def test_one_pair_of_draws(cells: int) -> None:
    """Unlike ones: 2 E pi 2 (1 - E pi) = 1, no evidence. Alike: 4 E pi (1 - pi) = 2 b/(2 b + 1),
    with b = s/K and s = (K - 1)/(2 e^2), 7/8 in all outcomes together; a single outcome has it once
    in K."""
    unit = torch.eye(cells).double()
    for x, y in product(range(cells), repeat=2):
        test = TwoSample(cells, 0.05, PLANNED)
        test.update(unit[x], unit[y])
        bs = [(cells - 1) / (2 * e**2) / cells for e in SIZES]
        alike = [2 * b / (2 * b + 1) for b in bs]
        spread = sum(w / 0.75 * part for w, part in zip(WEIGHTS, alike))
        single = (mean(alike) + cells - 1) / cells
        expected = 0.875 * spread + 0.125 * single if x == y else 1.0
        assert test.log_e() == pytest.approx(math.log(expected), abs=1e-9)


def test_before_the_first_draw_the_evidence_is_1_and_every_distribution_is_possible() -> None:
    for test in (OneSample(double(0.2, 0.3, 0.5), 0.05), TwoSample(3, 0.05)):
        assert test.n == 0
        assert test.log_e() == pytest.approx(0, abs=1e-12)
        assert test.region(0.95) == (0.0, 0.0, 1.0)
        finding = test.finding()
        assert (finding.rejected, finding.log_e, finding.mde, finding.tv, finding.interval) == (
            False,
            0,
            1,
            0,
            (0, 1),
        )


@pytest.mark.parametrize(
    "test", [OneSample(double(0.5, 0.5), 0.01), TwoSample(2, 0.01)], ids=["one", "two"]
)
def test_evidence_of_one_over_alpha_is_enough(test: OneSample | TwoSample) -> None:
    test.largest = -math.log(0.01) * (1 - 1e-12)
    assert not test.rejected
    test.largest = -math.log(0.01)
    assert test.rejected


def divergence(x: float, y: float) -> float:
    return sum(a * math.log(a / b) for a, b in ((x, y), (1 - x, 1 - y)) if a > 0)


@pytest.mark.parametrize(
    ("counts", "p"),
    [
        ([70, 30], [0.5, 0.5]),
        ([60, 30, 10], [0.2, 0.3, 0.5]),
        ([4, 3, 3], [0.4, 0.3, 0.3]),
        ([50, 40, 10], [0.5, 0.5, 0.0]),
        ([0, 7], [0.9, 0.1]),
    ],
)
@pytest.mark.parametrize("level", [0.95, 0.5])
def test_the_interval_holds_the_distributions_that_are_not_rejected(
    counts: list[int], p: list[float], level: float
) -> None:
    """n KL(sample, theta) <= r with r = n KL(sample, p) - log E - log(1 - level). Lower end over
    every set of outcomes.
    """
    n = sum(counts)
    test = one_sample(counts, p, [])

    def likelihood(w: float) -> float:
        """Of the counts, under p moved by w towards the uniform distribution."""
        return math.prod(((1 - w) * a + w / len(p)) ** c for a, c in zip(p, counts))

    if min(p) > 0:
        marginal = test.log_e() + sum(c * math.log(a) for c, a in zip(counts, p))
    else:
        marginal = math.log(mean(map(likelihood, STEPS)) / 8)
    radius = (sum(c * math.log(c / n) for c in counts if c) - marginal - math.log(1 - level)) / n
    low = 0.0
    for inside in product((False, True), repeat=len(p)):
        x = sum(c / n for c, i in zip(counts, inside) if i)
        most = sum(a for a, i in zip(p, inside) if i)
        if 0 < x <= 1 and most < 1:
            least = brentq(
                lambda y, x=x: divergence(min(x, 1.0), y) - radius, 1e-300, x * (1 - 1e-15)
            )
            low = max(low, least - most)
    tv, found, high = test.region(level)
    assert tv == pytest.approx(sum(abs(c / n - a) for c, a in zip(counts, p)) / 2)
    assert found == pytest.approx(low, abs=1e-9)
    assert high == pytest.approx(min(tv + math.sqrt(radius / 2), 1))


@pytest.mark.parametrize(("n", "k", "m"), [(1, 0, 1), (2, 7, 2), (100, 48, 98), (10_000, 96, 9413)])
def test_the_interval_of_two_samples_is_that_of_the_last_power_of_one_tenth_more(
    n: int, k: int, m: int
) -> None:
    """Means stray sqrt((K - 1)/(2 m)) at most, and further by sqrt(log(1/d)/m) with probability d,
    1/((k + 1)(k + 2)) of it for the step k; these shares add up to 1."""
    assert 1.1**k <= n < 1.1 ** (k + 1)
    test = TwoSample(3, 0.05)
    test.update(torch.tensor([n, 0, 0]), torch.tensor([0, n, 0]))
    error = math.sqrt(2 / (2 * m)) + math.sqrt(math.log((k + 1) * (k + 2) / 0.1) / m)
    assert test.region(0.9) == (1.0, pytest.approx(max(1 - error, 0)), 1.0)
    test = TwoSample(3, 0.05)
    test.update(torch.tensor([n, 0, 0]), torch.tensor([n, 0, 0]))
    assert test.region(0.9) == (0.0, 0.0, pytest.approx(min(error, 1)))


def test_the_least_coin_within_a_divergence() -> None:
    """KL(1, y) = -log y; nothing but the coin itself within 0; otherwise what KL(x, y) = r says."""
    x = double(0, 0.1, 0.5, 0.9, 1)
    assert binary_lower(x, 0.0).tolist() == pytest.approx(x.tolist(), abs=1e-7)
    for r in (0.01, 0.3, 2.0):
        low = binary_lower(x, r).tolist()
        assert (low[0], low[-1]) == (0, pytest.approx(math.exp(-r)))
        for a, b in zip(x.tolist()[1:-1], low[1:-1]):
            assert b < a
            assert divergence(a, b) == pytest.approx(r, rel=1e-9)


def test_a_distribution_may_be_off_by_its_rounding_and_no_more() -> None:
    assert OneSample(double(0.5, 0.50009), 0.05).p.sum() == pytest.approx(1, abs=1e-12)
    for off in (0.50011, 0.49989):
        with pytest.raises(SpecrefError, match="sum to 1"):
            OneSample(double(0.5, off), 0.05)


def test_a_run_draws_what_is_left_and_stops_at_a_rejection() -> None:
    asked: list[int] = []

    def sample(n: int, distribution: tuple[float, float] = (0.5, 0.5)) -> Tensor:
        asked.append(n)
        return torch.tensor(distribution) * n

    assert not run(OneSample(double(0.5, 0.5), 1e-6), sample, 25, 10)
    assert not run(OneSample(double(0.5, 0.5), 1e-6), sample, 15_000)
    assert not run(OneSample(double(0.5, 0.5), 1e-6), sample, 0)
    assert asked == [10, 10, 5, 10_000, 5000]
    test = OneSample(double(0.5, 0.5), 1e-6)
    assert run(test, lambda n: sample(n, (1.0, 0.0)), 1000, 100)
    assert test.n == 100


@pytest.mark.parametrize(
    "test", [OneSample(double(0.5, 0.3, 0.2, 0.0), 1e-4), TwoSample(4, 1e-4)], ids=["one", "two"]
)
def test_a_finding_states_what_its_draws_could_show(test: OneSample | TwoSample) -> None:
    """By default the power is .999, the level .95 and the plan a TV of .01. Outcomes that p
    excludes do not count.
    """
    counts = torch.tensor([500, 300, 200, 0])
    test.update(*[counts] * test.arms)
    known = mde(1000, 3 if test.arms == 1 else 4, 1e-4, 0.999, test.arms, 0.01)
    assert (test.finding().mde, test.finding().power, test.finding().level) == (known, 0.999, 0.95)
    assert test.finding().interval == test.region(0.95)[1:]
    other = test.finding(power=0.9, level=0.5)
    assert (other.power, other.level, other.interval) == (0.9, 0.5, test.region(0.5)[1:])
    assert other.mde < known
    assert other.interval[1] < test.finding().interval[1]


def finding(rejected: bool, log_e: float) -> Finding:
    return Finding("e-process", rejected, 1000, 1e-6, 0.05, 0.999, 0.01, (0.0, 0.1), 0.95, log_e, 7)


def test_a_finding_is_a_record() -> None:
    assert str(finding(False, 2.0)).startswith("no difference seen after 1,000 draws")
    assert str(finding(True, 20.0)).startswith("the distributions differ after 1,000 draws")
    assert finding(False, 2.0).as_dict()["log_e"] == 2
    assert finding(True, math.inf).as_dict()["log_e"] is None
    assert finding(False, 2.0).as_dict()["interval"] == [0.0, 0.1]
    with pytest.raises(FrozenInstanceError):
        finding(False, 2.0).rejected = True  # type: ignore[misc]


def test_a_family_shares_its_rate_evenly() -> None:
    assert bonferroni(0.9, ["a", "b", "c"]) == {"a": 0.3, "b": 0.3, "c": 0.3}
    assert bonferroni(0.5, ["alone"]) == {"alone": 0.5}
    for total, names in (
        (0.5, []),
        (0.5, ["a", "b", "a"]),
        (0.0, ["a"]),
        (-0.1, ["a"]),
        (1.0, ["a"]),
        (1.5, ["a"]),
    ):
        with pytest.raises(SpecrefError, match="give"):
            bonferroni(total, names)


def test_the_interval_does_not_suffer_from_shares_that_add_up_to_more_than_1() -> None:
    """By rounding, in the set of all outcomes that were drawn, which is the one that says most: at
    least exp(-r) of the distribution is in it, against a half of p."""
    over = [k for k in range(2, 60) if float((torch.ones(k).double() / k).cumsum(0)[-1]) > 1]
    assert over
    for k in over:
        test = OneSample(torch.ones(2 * k).double() / (2 * k), 0.05)
        test.update(torch.tensor([100] * k + [0] * k))
        tv, low, high = test.region(0.95)
        assert (tv, low) == (
            pytest.approx(0.5),
            pytest.approx(math.exp(-2 * (high - tv) ** 2) - 0.5, abs=1e-9),
        )
