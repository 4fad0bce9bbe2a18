"""What a run says it would have found: known tolerance factors, and faults of that size planted."""

import pytest
import torch
from specref.errors import SpecrefError
from specref.stats.betting import Bettor
from specref.stats.questions import (
    EVERYWHERE,
    Context,
    Direction,
    Observed,
    OutcomeCells,
    Questions,
)
from specref.stats.rehearse import (
    Detectable,
    FaultClass,
    cells_drawn,
    mean_tv,
    random_signs,
    rehearse,
    tilt_of,
    tilted,
    tolerance_factor,
)
from torch import Tensor

CELLS, N, ALPHA = 4, 3000, 1e-6
QUESTIONS = Questions(
    (OutcomeCells("token", CELLS),),
    (Context("half", 2, "in half {}", "by half"),),
    (Direction("high", "high tokens"),),
    (("token", EVERYWHERE),),
    (("high", EVERYWHERE), ("high", "half")),
)
TABLE, SCORE = FaultClass("table", "token"), FaultClass("score", "high")
HALF = FaultClass("score", "high", "half")


def stream(seed: int, n: int = N) -> tuple[Tensor, Tensor, Tensor]:
    """p [n,CELLS], direction [n,CELLS], half [n]: a quarter of the tokens are in half 1."""
    g = torch.Generator().manual_seed(seed)
    p = torch.rand(n, CELLS, generator=g, dtype=torch.float64) + 0.2
    high = torch.arange(CELLS).double().expand(n, -1) / (CELLS - 1)
    return p / p.sum(1, keepdim=True), high, (torch.arange(n) % 4 == 0).long()


def observed(seed: int, law: Tensor | None = None, n: int = N) -> Observed:
    p, high, half = stream(seed, n)
    g = torch.Generator().manual_seed(seed + 1)
    u = torch.rand(n, generator=g, dtype=torch.float64)
    cell = cells_drawn(p if law is None else law, u)
    return Observed({"token": p}, {"token": cell}, {"half": half}, {"high": high})


def found_share(found: Detectable, size: float, planted: int = 24) -> float:
    """The share of planted faults of `size` times the MDE that a whole bettor convicts."""
    assert found.tv is not None
    hits = 0
    for i in range(planted):
        p, high, half = stream(100 + i)
        g = torch.Generator().manual_seed(i)
        lean = high * (1 - 2 * (i % 2))
        h = random_signs((CELLS,), g).expand_as(p) if found.fault.kind == "table" else lean
        here = half == found.group if found.fault == HALF else torch.ones(N, dtype=torch.bool)
        theta = tilt_of(p[here], h[here], found.tv * size)
        law = torch.where(here[:, None], tilted(p, h, theta), p)
        bettor = Bettor(QUESTIONS, ALPHA)
        bettor.update(observed(100 + i, law))
        bettor.look()
        hits += bettor.rejected
    return hits / planted


def test_faults_of_the_stated_size_are_found_and_smaller_ones_less_often() -> None:
    calls = [observed(1)]
    table, score, half = rehearse(QUESTIONS, calls, ALPHA, (TABLE, SCORE, HALF), seed=5)
    assert half.group == 1, "the half with fewer tokens"
    assert half.share == 0.25
    assert half.tv is not None
    assert score.tv is not None
    assert half.tv > 1.5 * score.tv, "a quarter of the tokens: twice the TV"
    for found in (table, score, half):
        assert found_share(found, 1.0) == 1.0
        assert found_share(found, 0.4) < 0.7
    assert str(score) == f"a lean to or from high tokens: TV {score.tv:.3g}"
    assert str(half).startswith("a lean to or from high tokens in one of 2 (by half): TV")


def test_a_short_run_finds_no_size_for_sure() -> None:
    (found,) = rehearse(QUESTIONS, [observed(1, n=10)], ALPHA, (TABLE,), seed=5)
    assert found.tv is None
    assert str(found) == "a bias of the token: of no size for sure"


def test_a_tilt_has_the_tv_that_it_should() -> None:
    p, high, _ = stream(3)
    for tv in (0.01, 0.1, 0.3):
        assert mean_tv(p, high, tilt_of(p, high, tv)) == pytest.approx(tv, rel=0.03)


def test_tolerance_factors_of_a_normal_sample() -> None:
    """Tables of one-sided tolerance limits at 90 % confidence, n = 10: 90, 95, 99 % of draws."""
    for power, factor in ((0.9, 2.066), (0.95, 2.568), (0.99, 3.532)):
        assert tolerance_factor(10, power) == pytest.approx(factor, abs=0.001)


def test_what_no_expert_looks_for_is_refused() -> None:
    with pytest.raises(SpecrefError, match="is asked for"):
        rehearse(QUESTIONS, [observed(1, n=10)], ALPHA, (FaultClass("table", "token", "half"),), 1)
    with pytest.raises(SpecrefError, match="without a token"):
        rehearse(QUESTIONS, [], ALPHA, (TABLE,), 1)
