"""The estimate of a method is the formula that it states, fed with what the calibration saw.

Protects: the estimate, the clock around a drafter, acceptance by depth on chains and trees.
"""

import time

import pytest
import torch
from specref.chance import Chance, Streams
from specref.data import Draft, SamplingParams
from specref.draft.base import Drafter, Text
from specref.measure.speed.calibration import Calibration, ClockedDrafter, calibrate_method
from specref.measure.speed.decoding_runs import DraftingMethod
from specref.verify import RULES
from torch import Tensor

from tests.stub import Scripted, Told, parrot, tiny

WORDS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]


def test_the_estimate_is_tokens_over_what_a_cycle_costs():
    seen = Calibration(
        seconds=0.6, widths=[2, 3, 0], accepted=[2, 1, 0], judged=[2, 2, 0], texts=[0, 0, 1]
    )
    steps = [1.0, 1.1, 1.3, 1.6]  # a forward over 1, 2, 3, 4 tokens
    assert seen.tokens_per_cycle == 2
    verify = (1.3 + 1.6 + 1.0) / 3  # widths plus the pending token
    assert seen.predicted(steps, plain=0.5) == pytest.approx(2 / (verify + 0.2 / 0.5))


def test_by_depth_counts_only_drafts_that_go_there():
    seen = Calibration(
        widths=[3, 1, 3, 3], accepted=[3, 1, 1, 0], judged=[3, 1, 2, 1], texts=[0] * 4
    )
    assert seen.by_depth() == [3 / 4, 1 / 2, 1 / 1]
    assert Calibration().by_depth() == []


def test_calibration_of_a_chain_that_is_right_and_runs_out():
    """The script's text is known: two of three guesses are right at first, and the last draft is
    cut by the budget.
    """
    target = Scripted(11, parrot(11, WORDS, 1))

    def tell(text: list[int], budget: int) -> list[int]:
        written = len(text) - 1
        return [*WORDS[written : written + 2], 0][:budget]

    seen = calibrate_method(
        target,  # type: ignore[arg-type]
        DraftingMethod("told", Told(tell), RULES["rejection"], 3),
        [[0], [0]],
        SamplingParams(max_new_tokens=8),
    )
    assert seen.accepted == [2, 2, 1] * 2  # 3 + 3 + 2 tokens
    assert seen.widths == [3, 3, 1] * 2
    assert seen.judged == [3, 3, 1] * 2
    assert seen.texts == [0, 0, 0, 1, 1, 1]
    assert seen.by_depth() == [1, 1, 0]
    assert seen.tokens_per_cycle == pytest.approx(16 / 6)


class Forked(Drafter):
    """A wrong guess with a child, and a right one without: a full path ends at depth 1."""

    def nodes(self, gamma: int) -> int:
        return 3

    def propose(self, text: Text, budget: Tensor, chance: Chance) -> Draft:
        right = WORDS[len(text.tokens[0]) - 1]
        count = 3 if int(budget[0]) > 1 else 0
        return Draft(
            torch.tensor([[0, right, 0]])[:, :count],
            torch.tensor([[-1, -1, 0]])[:, :count],
            None,
            torch.tensor([count]),
        )


def test_in_a_tree_a_leaf_ends_the_draft():
    seen = calibrate_method(
        Scripted(11, parrot(11, WORDS, 1)),  # type: ignore[arg-type]
        DraftingMethod("forked", Forked(), RULES["tree"], 2),
        [[0]],
        SamplingParams(max_new_tokens=6),
    )
    assert seen.accepted == [1, 1, 0, 0]
    assert seen.judged == [
        1,
        1,
        0,
        0,
    ], "the accepted node is a leaf, and the last cycles have no room for a draft"
    assert seen.by_depth() == [1]


def work(seconds: float) -> None:
    """Keeps the processor at work that long: sleeping is no work."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


class Slow(Drafter):
    def propose(self, text: Text, budget: Tensor, chance: Chance) -> Draft:
        work(0.01)
        return Draft.chain(torch.zeros(len(budget), 0, dtype=torch.int64))

    def commit(self, accepted: Tensor) -> None:
        work(0.005)


def test_the_clock_counts_the_drafters_time_and_nothing_else():
    target = tiny(vocabulary=11)
    seen = calibrate_method(
        target,
        DraftingMethod("slow", Slow(), RULES["rejection"], 2),
        [[1, 2]],
        SamplingParams(max_new_tokens=5),
    )
    assert len(seen.widths) == 5
    assert seen.seconds >= 5 * 0.015
    idle = ClockedDrafter(Told(lambda text, budget: []), target.device)
    work(0.02)
    assert idle.seconds == 0


class SlowTarget(Scripted):
    def __call__(self, *args):
        work(0.01)
        return super().__call__(*args)


def test_the_account_parts_a_cycle_in_drafting_forward_and_the_rest():
    """What the rest is made of is not to be had alone: a rule that takes its time stands for it.
    Reading the prompt is in no cycle."""
    target = SlowTarget(11, parrot(11, WORDS, 1))

    def rule(*args):
        work(0.02)
        return RULES["rejection"](*args)

    method = DraftingMethod("slow", Slow(), rule, 2)
    seen = calibrate_method(
        target,  # type: ignore[arg-type]
        method,
        [[0], [1, 2]],
        SamplingParams(max_new_tokens=4),
    )
    account = seen.account(plain=0.01)
    assert len(seen.widths) == 8
    for part, steps in (("draft", 1.5), ("forward", 1), ("rest", 2)):
        assert account[part] >= steps, part
    assert sum(account.values()) == pytest.approx(seen.loop / 8 / 0.01)


def test_a_clock_changes_nothing():
    inner = Forked()
    clocked = ClockedDrafter(inner, torch.device("cpu"))
    assert clocked.nodes(5) == inner.nodes(5) != 5
    text = Text([[0]], [1], [SamplingParams()], 11)
    assert torch.equal(
        clocked.propose(text, torch.tensor([4]), Streams([0])).tokens, torch.tensor([[0, 1, 0]])
    )
