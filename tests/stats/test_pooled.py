"""Evidence pooled over samples with distributions of their own: it keeps its error rate, and finds
what it says it finds.

Seeds are fixed. The runs under the null have a false-alarm rate of .05 each: 400 of them stay below
34 alarms except with probability 1e-3 were the rate exactly .05; Ville's bound is not tight, so far
fewer are seen.
"""

import math

import pytest
import torch
from scipy import stats
from specref.data import SpecrefError
from specref.stats.pooled import AtMost, Leaning, coin_lower
from specref.stats.sequential import binary_lower

P = torch.tensor(
    [[0.4, 0.3, 0.2, 0.1], [0.7, 0.3, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25]], dtype=torch.float64
)
Q = torch.tensor(
    [[0.1, 0.2, 0.3, 0.4], [0.0, 0.0, 0.5, 0.5], [0.97, 0.01, 0.01, 0.01]], dtype=torch.float64
)


def double(*numbers: float) -> torch.Tensor:
    return torch.tensor([numbers], dtype=torch.float64)


def counts(distributions: torch.Tensor, n: int, generator: torch.Generator) -> torch.Tensor:
    drawn = torch.multinomial(distributions, n, replacement=True, generator=generator)
    return torch.stack(
        [torch.bincount(row, minlength=distributions.shape[1]) for row in drawn]
    ).double()


def test_the_evidence_has_mean_at_most_1_under_the_null() -> None:
    """Every alternative is a distribution, also where p has zeros: the likelihood ratio of one draw
    has mean 1 exactly.
    """
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


SHARES = [2 ** (-i / 2) for i in range(24)]  # of the way, that the alternatives go


@pytest.mark.parametrize("q", [[1.0, 0.0], [0.0, 1.0], [0.7, 0.3]])
def test_one_draw_of_a_fair_coin_says_nothing_and_two_say_a_little(q: list[float]) -> None:
    """Alternatives 1/2 + w (q - 1/2), as many on each side: one draw weighs nothing, two alike have
    the mean of 1 + (2 w (q - 1/2))^2."""
    test = Leaning(torch.tensor([[0.5, 0.5]]), torch.tensor([q], dtype=torch.float64), 0.05)
    for draws in ([1, 0], [0, 1]):
        assert len(test.logs) == 48
        test.counts = torch.tensor([draws]).double()
        assert test.log_e() == pytest.approx(0, abs=1e-9)
        test.counts = 2 * test.counts
        gain = sum((2 * w * (q[0] - 0.5)) ** 2 for w in SHARES) / 24
        assert test.log_e() == pytest.approx(math.log1p(gain), rel=1e-6)


def test_away_from_the_draft_the_alternatives_go_as_far_as_distributions_do() -> None:
    """p = (1/5, 4/5) and q = (1, 0): the first token can lose a quarter of the way, 1/4 (q - p),
    and is then gone. What p excludes is taken out of q; a draft with nothing else leans nowhere."""
    for p, q in (([0.2, 0.8], [1.0, 0.0]), ([0.2, 0.8, 0.0], [0.5, 0.0, 0.5])):
        test = Leaning(torch.tensor([p], dtype=torch.float64), torch.tensor([q]), 0.05)
        test.counts = torch.eye(len(p)).double()[:1]
        assert test.log_e() == pytest.approx(
            math.log1p(sum(4 * w - w for w in SHARES) / 48), rel=1e-6
        )
        test.counts = torch.eye(len(p)).double()[1:2]
        assert test.log_e() == pytest.approx(
            math.log1p(sum(w / 4 - w for w in SHARES) / 48), rel=1e-6
        )
    nowhere = Leaning(torch.tensor([[0.5, 0.5, 0.0]]), torch.tensor([[0.0, 0.0, 1.0]]), 0.05)
    nowhere.update(torch.tensor([[100.0, 0.0, 0.0]]))
    assert nowhere.log_e() == nowhere.lean == 0


def test_impossible_tokens_are_not_counted() -> None:
    """They have a check of their own; one of them would be infinite evidence here too."""
    test = Leaning(P, Q, 1e-6)
    assert not test.update(torch.tensor([[1, 1, 1, 1], [1, 1, 50, 50], [1, 1, 1, 1]]))
    assert test.n == 10


def test_the_evidence_on_a_bound_is_a_martingale_at_the_bound_and_falls_below_it() -> None:
    """From any counts, b E(hit) + (1 - b) E(miss) = E exactly; with a smaller chance than b it is
    less where E has seen anything. Before the first trial E = 1."""

    def evidence(bound: float, hits: int, n: int) -> float:
        test = AtMost(bound, 0.05)
        test.hits, test.n = hits, n
        return math.exp(test.log_e())

    for bound in (0.01, 0.3, 0.75, 0.999):
        assert evidence(bound, 0, 0) == pytest.approx(1)
        for n in (0, 1, 2, 7):
            for hits in range(n + 1):
                hit, miss = evidence(bound, hits + 1, n + 1), evidence(bound, hits, n + 1)
                assert bound * hit + (1 - bound) * miss == pytest.approx(
                    evidence(bound, hits, n), rel=1e-9
                )
                assert hit > miss
        ups = [bound + w * (1 - bound) for w in SHARES]
        assert evidence(bound, 1, 1) == pytest.approx(sum(up / bound for up in ups) / 24)


@pytest.mark.parametrize("test", [Leaning(P, Q, 0.01), AtMost(0.5, 0.01)], ids=["leaning", "bound"])
def test_one_over_alpha_rejects_and_a_rejection_stands(test: Leaning | AtMost) -> None:
    test.largest = math.log(100) * (1 - 1e-12)
    assert not test.rejected
    test.largest = -math.log(0.01)
    assert test.rejected
    assert test.update(P * 100) if isinstance(test, Leaning) else test.update(0, 100)
    assert test.log_e() < 0


def test_batches_add_up() -> None:
    lean, bound = Leaning(P, Q, 0.01), AtMost(0.5, 0.01)
    for _ in range(3):
        lean.update(torch.ones(3, 4))
        bound.update(2, 3)
    assert lean.counts.tolist() == (3.0 * (P > 0)).tolist()
    assert (bound.hits, bound.n) == (6, 9)


@pytest.mark.parametrize("x", [1.0, 0.999, 0.5, 0.01])
def test_the_least_chance_of_one_coin_is_that_of_many(x: float) -> None:
    for radius in (0.0, 1e-6, 0.01, 3.0):
        many = float(binary_lower(torch.tensor(x).double(), radius))
        assert coin_lower(x, radius) == pytest.approx(many, rel=1e-6, abs=1e-16)
    assert coin_lower(1.0, 3.0) == pytest.approx(math.exp(-3))


def test_the_stated_excess_is_that_of_the_trials_so_far() -> None:
    test = AtMost(0.5, 1e-6)
    seen = []
    for _ in range(3):
        test.update(500, 1000)
        seen.append(test.mde)
        fresh = AtMost(0.5, 1e-6)
        fresh.update(0, test.n)
        assert test.mde == fresh.mde
    assert seen == sorted(seen, reverse=True)


@pytest.mark.parametrize("n", [30, 100, 1000, 30_000])
@pytest.mark.parametrize("bound", [0.0, 1e-4, 0.001, 0.01, 0.1, 0.5, 0.9])
def test_the_stated_excess_is_found_with_its_power_to_the_binomials_word(
    bound: float, n: int
) -> None:
    """Enumerated, not sampled: the fewest hits that reject, and the chance of as many. With small
    bounds, where a few hits
    decide, an estimate by the normal distribution promised .999 and kept .5. Not idle: half of the
    excess is missed at times."""
    test = AtMost(bound, 1e-6)
    test.n = n
    excess = test.mde
    rejecting = range(math.floor(n * bound), n + 1)
    for hits in rejecting:
        test.hits = hits
        if test.log_e() >= -math.log(1e-6):
            assert stats.binom.sf(hits - 1, n, bound + excess) >= 0.999 - 1e-12
            assert stats.binom.sf(hits - 1, n, bound + excess / 2) < 0.98
            break
    else:
        assert excess == 1 - bound


@pytest.mark.parametrize(("p", "q"), [(0.5, 0.9), (0.5, 0.53), (0.3, 0.9), (0.3, 0.34)])
def test_the_stated_leaning_of_a_coin_is_found_with_its_power_to_the_binomials_word(
    p: float, q: float
) -> None:
    """Enumerated, in both directions. Not idle: at 9/10 of it the power is less."""
    test, n = Leaning(double(p, 1 - p), double(q, 1 - q), 1e-6), 50_000
    test.counts = n * double(p, 1 - p)
    stated, heads = test.mde, torch.arange(n + 1).double()
    each = test.logs[:, 0, :1] * heads + test.logs[:, 0, 1:] * (n - heads)  # [W,n+1]
    rejects = (torch.logsumexp(each, 0) - math.log(48) >= -math.log(1e-6)).numpy()

    def power(heads_rate: float) -> float:
        return float((stats.binom.pmf(range(n + 1), n, heads_rate) * rejects).sum())

    assert min(power(p + stated), power(p - stated)) >= 0.999
    assert min(power(p + 0.9 * stated), power(p - 0.9 * stated)) < 0.999


def test_25_heads_of_25_are_enough_and_24_of_24_are_not() -> None:
    """A coin that always falls on heads, one alternative of 24: 2^25 > 24/alpha > 2^24. So 25
    throws see a coin that hardly ever fails, and 24 see nothing."""
    states = {}
    for n in (24, 25):
        states[n] = AtMost(0.5, 1e-6)
        states[n].n = n
    assert states[24].mde == 0.5
    assert 0.999 ** (1 / 25) - 0.5 < states[25].mde < 0.5


def test_what_is_stated_is_less_than_the_whole_way_or_nothing() -> None:
    """Whether q itself, in the place of p, would be found decides: with enough draws it is."""
    stated = []
    for n in range(0, 200, 4):
        test = Leaning(double(0.75, 0.25), double(0.25, 0.75), 1e-6)
        test.counts = n * test.p
        stated.append(test.mde)
    first = next(n for n, size in enumerate(stated) if size < 1)
    assert stated[:first] == [1] * first
    assert all(size < 0.5 - 1e-6 for size in stated[first:])
    assert stated[first:] == sorted(stated[first:], reverse=True)


@pytest.mark.parametrize("n", [100, 1000, 10_000])
def test_a_leaning_towards_rare_tokens_is_found_as_stated(n: int) -> None:
    """Three tokens of .001 each that the draft likes, so that a few draws decide: power .999, 40
    runs of 40, where an
    estimate by the normal distribution promised as much and kept .5. Not idle: of half the leaning,
    some are missed."""
    generator = torch.Generator().manual_seed(4)
    p, q = (
        torch.tensor([[0.997, 0.001, 0.001, 0.001]]).double(),
        torch.tensor([[0.1, 0.3, 0.3, 0.3]]).double(),
    )
    test = Leaning(p, q, 1e-6)
    test.counts = p * n
    share = test.mde / 0.897
    assert 0 < share < 1
    found = []
    for w in (share, share / 2):
        samples = [counts((1 - w) * p + w * q, n, generator) for _ in range(40)]
        found.append(sum(Leaning(p, q, 1e-6).update(sample) for sample in samples))
    assert found[0] == 40 > found[1]


@pytest.mark.parametrize("sign", [1, -1])
def test_a_leaning_of_the_size_it_states_is_found(sign: int) -> None:
    """Towards the draft or away from it, at the MDE that it states: power .999, 30 runs of 30."""
    generator = torch.Generator().manual_seed(1)
    distributions = torch.tensor([[0.4, 0.3, 0.2, 0.1], [0.6, 0.2, 0.1, 0.1]], dtype=torch.float64)
    towards = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.3, 0.3, 0.2, 0.2]], dtype=torch.float64)
    for _ in range(30):
        test = Leaning(distributions, towards, 1e-6)
        test.counts = distributions * 5000
        distance = float((distributions - towards).abs().sum(1).mean()) / 2
        w = sign * test.mde / distance
        test.counts = torch.zeros_like(distributions)
        assert test.update(counts((1 - w) * distributions + w * towards, 5000, generator))
        assert test.lean == pytest.approx(w, abs=0.05)
    assert test.n == 10_000


def test_small_leanings_in_many_samples_add_up() -> None:
    """Twenty samples, each alone without evidence, together rejected."""
    generator = torch.Generator().manual_seed(2)
    distributions, towards = P[:1].expand(20, -1), Q[:1].expand(20, -1)
    drawn = counts(0.94 * distributions + 0.06 * towards, 1500, generator)
    assert Leaning(distributions, towards, 1e-6).update(drawn)
    alone = [
        Leaning(distributions[:1], towards[:1], 1e-6).update(drawn[i : i + 1]) for i in range(20)
    ]
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
        assert fresh.update(
            int((torch.rand(20_000, generator=generator) < 0.6 + excess).sum()), 20_000
        )


def test_what_is_stated_before_the_first_draw_and_for_certain_events() -> None:
    assert Leaning(P, Q, 1e-6).largest == AtMost(0.5, 1e-6).largest == 0
    assert AtMost(1.0, 1e-6).log_e() == pytest.approx(0, abs=1e-12)
    assert AtMost(0.4, 1e-6).mde == 0.6
    assert AtMost(1 - 1e-12, 1e-6).mde < 2e-12  # so that nobody waits for what cannot be
    assert AtMost(1.0, 1e-6).mde == 0
    always = AtMost(1.0, 1e-6)
    assert not always.update(10, 10)
    assert always.mde == 0
    certain = AtMost(0.0, 1e-6)
    certain.n = 1000
    assert certain.mde == pytest.approx(1 - 0.001 ** (1 / 1000))
    assert Leaning(P, Q, 1e-6).mde == 1
    # also where one of the drafts has nothing that its target allows, and leans nowhere
    many = Leaning(P, Q, 1e-6)
    many.update(P * 1000)
    assert 0 < many.mde < 0.1
    few = Leaning(P, Q, 1e-6)
    few.update(P.round())
    assert few.mde == 1


def test_distributions_must_match() -> None:
    with pytest.raises(SpecrefError, match="one q for each p"):
        Leaning(P, Q[:2], 0.05)


def test_the_lean_is_the_share_of_the_way_to_the_draft() -> None:
    for w in (0.0, 0.25, 0.5):
        test = Leaning(P[:1], Q[:1], 1e-6)
        test.update(1e6 * ((1 - w) * P[:1] + w * Q[:1]))
        assert test.lean == pytest.approx(w, abs=1e-6)
        assert test.n == 1_000_000
