"""Answers counted together, and what follows them: against a loop over rows, and against the
distributions.
"""

import collections

import pytest
import torch
from specref.judge.suite import kernel_tally
from specref.judge.suite.kernel_tally import distinct, spread
from specref.stats.sequential import OneSample
from torch import Tensor


@pytest.mark.parametrize("most", [0, kernel_tally.MANY])
@pytest.mark.parametrize(("kinds", "width", "vocabulary"), [(1, 1, 2), (6, 3, 2), (4, 2, 5)])
def test_equal_rows_with_equal_answers_are_counted_together(
    monkeypatch: pytest.MonkeyPatch, most: int, kinds: int, width: int, vocabulary: int
) -> None:
    monkeypatch.setattr(kernel_tally, "MANY", most)
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(kinds, (300,), generator=generator)
    answers = torch.randint(-1, vocabulary + 1, (300, width), generator=generator)
    rows[:2], answers[0], answers[1] = kinds - 1, vocabulary, -1  # the ends
    seen = collections.Counter(
        (row, *tokens) for row, tokens in zip(rows.tolist(), answers.tolist(), strict=True)
    )
    found, said, times = distinct(rows, answers, kinds, vocabulary)
    assert {
        (row, *tokens): n
        for row, tokens, n in zip(found.tolist(), said.tolist(), times.tolist(), strict=True)
    } == seen
    assert len(found) == len(seen)


@pytest.mark.parametrize(("kinds", "numbered"), [(2**19 // 16, True), (2**19 // 16 + 1, False)])
def test_few_kinds_are_numbered_and_many_are_sorted(
    monkeypatch: pytest.MonkeyPatch, kinds: int, numbered: bool
) -> None:
    counted = []
    count = torch.bincount

    def counting(code: Tensor) -> Tensor:
        counted.append(len(code))
        return count(code)

    monkeypatch.setattr(torch, "bincount", counting)
    distinct(torch.tensor([0]), torch.tensor([[1, 0]]), kinds, 2)  # four kinds of each token
    assert bool(counted) is numbered


DISTRIBUTION = torch.tensor(
    [[0.1, 0.6, 0.3], [0.0, 0.2, 0.0], [0.5, 0.5, 1.0], [0.0, 0.0, 0.0]]
).double()


def drawn(counts: list[int], seed: int = 0) -> torch.Tensor:
    return spread(torch.tensor(counts), DISTRIBUTION, torch.Generator().manual_seed(seed))


def test_what_follows_has_the_distribution_of_its_own_row() -> None:
    """Two hundred times 100 draws of each row; the distribution of the first and of the third, and
    how far the counts vary.
    """
    all_drawn = torch.stack([drawn([100, 100, 100, 0], seed) for seed in range(200)])
    assert bool((all_drawn.sum(2) == torch.tensor([100, 100, 100, 0])).all())
    assert bool((all_drawn[:, 1] == torch.tensor([0, 100, 0])).all())
    assert not all_drawn[:, 3].any()
    for row, distribution in ((0, [0.1, 0.6, 0.3]), (2, [0.25, 0.25, 0.5])):
        test = OneSample(torch.tensor(distribution), 1e-6, plan=0.02)
        assert not test.update(all_drawn[:, row].sum(0))
        varies = all_drawn[:, row].var(0) / torch.tensor([100 * p * (1 - p) for p in distribution])
        assert bool(((varies > 0.6) & (varies < 1.5)).all())  # of 200 counts: 1 +- 5 sqrt(2 / 200)


def test_where_a_distribution_has_nothing_nothing_falls_though_sums_are_rounded() -> None:
    distributions = torch.rand(
        2000, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    # shares that add up to less than 1 by rounding leave nothing to the last ones
    distributions[:, 5:] = 0
    fallen = spread(torch.full((2000,), 10**15), distributions, torch.Generator().manual_seed(2))
    assert not fallen[:, 5:].any()
    assert bool((fallen.sum(1) == 10**15).all())


def test_what_follows_an_impossible_text_is_impossible_and_not_lost() -> None:
    assert drawn([0, 0, 0, 5]).sum() == drawn([0, 0, 0, 5])[3].sum() == 5


def test_one_outcome_takes_all_and_seeds_decide_the_rest() -> None:
    assert spread(
        torch.tensor([3, 0]), torch.tensor([[0.2], [0.0]]).double(), torch.Generator()
    ).tolist() == [[3], [0]]
    assert spread(
        torch.tensor([3]), torch.tensor([[0.2, 0.0]]).double(), torch.Generator()
    ).tolist() == [[3, 0]]
    many = [10**6, 0, 10**6, 0]
    assert torch.equal(drawn(many, 1), drawn(many, 1))
    assert len({tuple(drawn(many, seed).flatten().tolist()) for seed in range(300)}) == 300
