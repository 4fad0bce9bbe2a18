"""A cost curve is fitted to steps that were timed as they are served: all rows decode, and each
drafts as deep as it says.

Protects: the depths that a policy chooses, from a curve of other steps than those it is used for.
"""

from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from specref.data import Draft
from specref.draft.base import Drafter
from specref.serve import ServingEngine
from specref.serve import calibrate as module
from specref.serve.calibrate import calibrate, step_seconds
from specref.verify import RULES

from tests.stub import tiny

TARGET = tiny(seed=1, vocabulary=11, layers=1, context=48)
RULE = RULES["rejection"]


class Noted(Drafter):
    """Proposes zeros; remembers how deep each row was to draft."""

    def __init__(self, branches: int = 1):
        self.branches, self.budgets = branches, []  # type: ignore[var-annotated]

    def nodes(self, gamma: int) -> int:
        return gamma * self.branches

    def propose(self, text, budget, chance) -> Draft:
        self.budgets.append(budget.tolist())
        width = int(budget.max())
        return Draft.chain(torch.zeros(len(budget), width, dtype=torch.int64), None, budget)


class Timed(ServingEngine):
    """Remembers which of its steps were timed, and what they were."""

    made: "Timed"

    def __init__(self, *words):
        super().__init__(*words)
        self.rows_of_step: list[int] = []
        Timed.made = self

    def step(self):
        events = super().step()
        self.rows_of_step.append(len(self.running))
        return events


@pytest.fixture(autouse=True)
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ServingEngine", Timed)


def clocks(monkeypatch: pytest.MonkeyPatch, process: list[float], wall: list[float]) -> None:
    """Each clock says these differences, one for each two readings, and no more."""

    def readings(seconds: list[float]) -> Iterator[float]:
        for begin, taken in enumerate(seconds):
            yield 100.0 * begin
            yield 100.0 * begin + taken

    given = readings(process), readings(wall)
    clock = SimpleNamespace(
        process_time=lambda: next(given[0]), perf_counter=lambda: next(given[1])
    )
    monkeypatch.setattr(module, "time", clock)


@pytest.mark.parametrize(("threads", "seconds"), [(1, 3), (2, 7)])
def test_it_is_the_median_of_five_steps(
    threads: int, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the process's clock where one thread does the work, else by the wall's."""
    clocks(monkeypatch, [5, 1, 2, 9, 3], [8, 7, 6, 9, 1])
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert step_seconds(TARGET, Noted(), RULE, 2, 3) == seconds


@pytest.mark.parametrize("rows", [1, 3, 8])
@pytest.mark.parametrize("gamma", [0, 3])
def test_in_every_timed_step_all_rows_draft_so_deep(
    rows: int, gamma: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One step before them warms up; nothing is preempted, and at the end nothing is held."""
    clocks(monkeypatch, [1] * 5, [])
    drafter = Noted(branches=2)
    step_seconds(TARGET, drafter, RULE, gamma, rows)
    assert drafter.budgets[-6:] == [[gamma] * rows] * 6
    engine = Timed.made
    assert engine.rows_of_step[-6:] == [rows] * 6
    assert engine.preemptions == 0
    assert not engine.busy
    assert engine.pool.free == engine.pool.blocks


def test_the_prompt_is_read_once_and_found_by_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has half of the target's context, less one: 23 tokens and the pending one."""
    clocks(monkeypatch, [1] * 5, [])
    step_seconds(TARGET, Noted(), RULE, 2, 4)
    engine = Timed.made
    assert (engine.hits, engine.looked) == (3 * 23, 4 * 23)
    assert engine.rows_of_step == [1] + [4] * 6


def test_a_long_context_is_timed_behind_128_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks(monkeypatch, [1] * 5, [])
    step_seconds(tiny(vocabulary=11, layers=1, context=400), Noted(), RULE, 2, 2)
    assert (Timed.made.hits, Timed.made.looked) == (128, 256)


def test_a_batch_that_shrinks_is_not_timed_further(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a text of 24 tokens 22 are left; ten a step: after the step that warms up and one more
    the rows end."""
    clocks(monkeypatch, [4, 6, 1, 1, 1], [])

    class Right(Noted):
        """Proposes what the target writes: it has one token alone."""

    sure = tiny(seed=1, vocabulary=1, layers=1, context=48)
    assert step_seconds(sure, Right(), RULE, 9, 2) == 5
    assert not Timed.made.busy


def seconds_of(case: tuple[float, ...], rows: int, tokens: int, depth: int) -> float:
    a, b, c, d, e = case
    return a + b * rows + c * tokens + depth * (d + e * rows)


CASE = (0.5, 0.25, 0.125, 0.0625, 0.03125)


@pytest.mark.parametrize("power", [1, 2], ids=["chain", "bushy"])
def test_a_curve_that_is_as_it_is_modelled_is_found(
    power: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a draft's nodes are in proportion to its depth, a token of the forward and a token of
    the draft step cannot be told apart; a whole step's time is right all the same."""
    drafter = SimpleNamespace(nodes=lambda depth: depth**power)

    def timed(target, who, rule, gamma, rows):
        assert (target, who, rule) == (TARGET, drafter, RULE)
        return seconds_of(CASE, rows, rows * (1 + gamma**power), gamma)

    monkeypatch.setattr(module, "step_seconds", timed)
    policy = calibrate(TARGET, drafter, RULE, 5, 16)  # type: ignore[arg-type]
    for rows in (1, 3, 16, 40):
        for depth in (0, 1, 4, 7):
            tokens = rows * (1 + depth**power)
            step = policy.forward(rows, tokens) + depth * policy.draft(rows)
            assert step == pytest.approx(seconds_of(CASE, rows, tokens, depth))
    if power == 2:
        assert policy.forward(7, 30) == pytest.approx(0.5 + 7 * 0.25 + 30 * 0.125)
        assert policy.draft(7) == pytest.approx(0.0625 + 7 * 0.03125)


@pytest.mark.parametrize(
    ("rows", "gamma", "sizes", "depths"),
    [
        (64, 5, [1, 8, 32, 64], [0, 3, 5]),
        (16, 4, [1, 2, 8, 16], [0, 2, 4]),
        (4, 1, [1, 2, 4], [0, 1]),
        (1, 0, [1], [0]),
    ],
)
def test_sizes_and_depths_from_the_smallest_to_the_largest(
    rows: int, gamma: int, sizes: list[int], depths: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One row, an eighth, half and all; no draft, half of the depth and all."""
    asked: list[tuple[int, int]] = []

    def timed(target, drafter, rule, depth, size):
        asked.append((size, depth))
        return 1.0

    monkeypatch.setattr(module, "step_seconds", timed)
    calibrate(TARGET, Noted(), RULE, gamma, rows)
    assert asked == [(size, depth) for size in sizes for depth in depths]


def test_relative_errors_are_weighed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps that cost nothing by row, token or level but 1 and 3 seconds: the constant with the
    least squares of (a - t) / t is (1 + 1/3) / (1 + 1/9) = 1.2, and not their mean."""
    given = {(1, 0): 1.0, (2, 0): 3.0}
    monkeypatch.setattr(module, "step_seconds", lambda *words: given[words[4], words[3]])
    monkeypatch.setattr(module, "nnls", lambda cases, ones: fitted(cases, ones))
    policy = calibrate(TARGET, Noted(), RULE, 0, 2)
    assert policy.forward(5, 9) == pytest.approx(1.2)


def fitted(cases, ones):
    """Least squares of the constant alone."""
    first = cases[:, 0]
    return np.array([first @ ones / (first @ first), 0, 0, 0, 0]), 0.0
