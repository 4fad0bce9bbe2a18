"""The transform that compares all distances: against plain loops, and what it says in words."""

import math

import pytest
import torch
from specref.stats.lags import SEEDS_KEPT, Lags, cell_scores
from specref.stats.questions import EVERYWHERE, LagQuestions, Observed, OutcomeCells, Questions
from specref.stats.wealth import PSI, STAKES, log_wealth_of_sums
from torch import Tensor

ROWS, PLACES = 3, 2
QUESTIONS = Questions(
    (OutcomeCells("token", 3),),
    (),
    tables=(("token", EVERYWHERE),),
    lags=LagQuestions(ROWS, PLACES, (1, 2), (5, -5), (("token", 1), ("token", 2))),
)
GRID = [(0, 0), (0, 1), (1, 0), (2, 0), (2, 1)]  # row 1 ends after its first token


def a_call(seed: int, rounded: bool = False) -> Observed:
    g = torch.Generator().manual_seed(seed)
    p = torch.rand(len(GRID), 3, generator=g, dtype=torch.float64)
    p = p / p.sum(1, keepdim=True)
    token = torch.multinomial(p, 1, generator=g)[:, 0]
    row, place = torch.tensor(GRID).T
    tol = {"token": torch.rand(len(GRID), 3, generator=g) / 20} if rounded else None
    call = Observed({"token": p}, {"token": token}, tol=tol, row=row, place=place, seed=seed)
    return call.checked(QUESTIONS)


def by_hand(then: Observed, now: Observed, row: int, place: int) -> tuple[float, float, float]:
    """Sums of products, of their squares, and of |earlier score| times the later one's slack."""
    earlier = cell_scores(then.p["token"], then.token["token"], 1)
    later = cell_scores(now.p["token"], now.token["token"], 1)
    total = squares = slack = 0.0
    for i, (r, t) in enumerate(GRID):
        if (r + row, t + place) in GRID:
            j = GRID.index((r + row, t + place))
            product = float(earlier[i] * later[j])
            total, squares = total + product, squares + product**2
            if now.tol is not None:
                slack += abs(float(earlier[i])) * float(now.tol["token"][j].sum())
    return total, squares, slack


@pytest.mark.parametrize("rounded", [False, True])
def test_sums_are_those_of_plain_loops_at_every_distance(rounded: bool) -> None:
    calls = [a_call(seed, rounded) for seed in (1, 6, 1 + 5 + 5)]
    lags = Lags(QUESTIONS)
    for call in calls:
        lags.update(call)
    pairs = {  # kind -> (earlier, later) calls
        0: [(i, i) for i in range(3)],
        1: [(0, 1), (1, 2)],
        2: [(0, 2)],
        3: [(0, 1), (1, 2)],  # the later call's seed is 5 more
        4: [],  # 5 less: never
    }
    for kind, which in pairs.items():
        for row in range(1 - ROWS, ROWS):
            for place in range(1 - PLACES, PLACES):
                sums = [by_hand(calls[i], calls[j], row, place) for i, j in which]
                wanted = [math.fsum(part) for part in zip(*sums)] if sums else [0, 0, 0]
                got = [
                    float(kept[kind, 0, row, place])
                    for kept in (lags.total, lags.squares, lags.slack)
                ]
                assert got == pytest.approx(wanted, abs=1e-12), (kind, row, place)


def test_the_score_of_a_cell_has_mean_0_and_is_a_mean_of_a_cosine() -> None:
    p = torch.tensor([[0.5, 1e-12, 0.2, 0.3 - 1e-12]], dtype=torch.float64)
    for frequency in (1, 2, 3):
        each = torch.cat([cell_scores(p, torch.tensor([x]), frequency) for x in range(4)])
        assert float(p[0] @ each) == pytest.approx(0, abs=1e-15)
        u = (torch.arange(10_000) + 0.5) / 20_000
        assert float(each[0]) == pytest.approx(
            float((math.pi * frequency * u).cos().mean()), abs=1e-6
        )


def test_each_pair_of_a_call_is_asked_about_once() -> None:
    lags = Lags(QUESTIONS)
    lags.update(a_call(1))
    asked = lags.log_share.exp()[0, 0] > 0
    for row in range(1 - ROWS, ROWS):
        for place in range(1 - PLACES, PLACES):
            both = bool(asked[row, place]) + bool(asked[-row, -place])
            assert both == (0 if (row, place) == (0, 0) else 1)


def test_calls_and_seeds_are_forgotten() -> None:
    lags = Lags(QUESTIONS)
    for seed in range(SEEDS_KEPT + 3):
        lags.update(a_call(seed))
    assert len(lags.by_seed) == SEEDS_KEPT
    assert sorted(lags.by_call) == [SEEDS_KEPT + 1, SEEDS_KEPT + 2]


def test_a_distance_is_named() -> None:
    lags = Lags(QUESTIONS)
    lags.total[1, 0, -2, 1] = -1.0
    said = (
        "tokens at a fixed distance go opposite ways (the next call, row -2 and place +1; seen in"
    )
    assert str(lags.lag(1, 0, 2 * ROWS - 2, 1)) == f"{said} token, frequency 1)"
    assert "the same row and place" in str(lags.lag(2, 1, 0, 0))
    assert "the call whose seed is -5" in str(lags.lag(4, 0, 1, 0))


def test_the_wealth_of_sums_never_exceeds_that_of_the_stakes() -> None:
    """For any scores in [-1,1]: the mean over stakes and signs of exp(+-w S - psi V) is at most
    that of prod (1 +- w s)."""
    scores = torch.tensor([-1.0, 0.3, 0.9, -0.2, 1.0, -0.7], dtype=torch.float64)
    true: list[Tensor] = [(1 + w * scores).prod() for w in (*STAKES, *-STAKES)]
    upper = float(torch.stack(true).mean())
    got = float(log_wealth_of_sums(scores.sum(), scores.square().sum()).exp())
    assert got <= upper
    alone = torch.stack(
        [w * scores.sum() - psi * scores.square().sum() for w, psi in zip(STAKES, PSI)]
    )
    other = torch.stack(
        [-w * scores.sum() - psi * scores.square().sum() for w, psi in zip(STAKES, PSI)]
    )
    assert got == pytest.approx(float(torch.cat((alone, other)).exp().mean()))
    slack = log_wealth_of_sums(scores.sum(), scores.square().sum(), 0.5)
    assert float(slack) < math.log(got)
