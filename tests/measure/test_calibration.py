"""The estimate of a method is the formula that it states, fed with what the calibration saw.

Protects: the estimate, the clock around a drafter, acceptance by depth on chains and trees.
"""

import time
from types import SimpleNamespace

import pytest
import torch
from specref.chance import Chance, Streams
from specref.data import Draft, SamplingParams
from specref.draft.base import Drafter, Text
from specref.measure.speed import calibration
from specref.measure.speed.calibration import (
    Calibration,
    ClockedDrafter,
    calibrate_method,
    levels_judged,
)
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


def test_a_calibration_begins_with_nothing():
    seen = Calibration()
    assert (seen.seconds, seen.forwards, seen.loop, seen.tokens_per_cycle) == (0, 0, 0, 1)
    assert seen.widths == seen.accepted == seen.judged == seen.texts == []


def test_figures_are_means_over_the_cycles():
    seen = Calibration(seconds=2, forwards=8, loop=16, widths=[3, 1, 0, 0], accepted=[2, 0, 0, 0])
    assert (seen.nodes, seen.tokens_per_cycle) == (1, 1.5)
    assert seen.account(plain=0.5) == {"draft": 1, "forward": 4, "rest": 3}
    assert Calibration(accepted=[2]).tokens_per_cycle == 3


class Stepping:
    """A clock that moves only where it is told to."""

    moment = 50.0

    def __init__(self, device: torch.device):
        pass

    def now(self) -> float:
        return Stepping.moment


def test_a_cycles_time_is_parted_to_the_last_second(monkeypatch):
    """Drafting takes 1 second and its commit half of one, the forward 2, the rule 4; before the
    first cycle of each text 100 are for its prompt, which is in no cycle."""
    monkeypatch.setattr(calibration, "WorkClock", Stepping)

    class Drafting(Drafter):
        def begin(self, text: Text, capacity: int) -> None:
            Stepping.moment += 100

        def propose(self, text: Text, budget: Tensor, chance: Chance) -> Draft:
            Stepping.moment += 1
            return Draft.chain(torch.zeros(len(budget), 0, dtype=torch.int64))

        def commit(self, accepted: Tensor) -> None:
            Stepping.moment += 0.5

    class Target(Scripted):
        def __call__(self, *args):
            Stepping.moment += 2
            return super().__call__(*args)

    def rule(*args):
        Stepping.moment += 4
        return RULES["rejection"](*args)

    seen = calibrate_method(
        Target(11, parrot(11, WORDS, 1)),  # type: ignore[arg-type]
        DraftingMethod("stepping", Drafting(), rule, 2),
        [[0], [1, 2]],
        SamplingParams(max_new_tokens=4),
    )
    assert len(seen.widths) == 8
    assert (seen.seconds, seen.forwards, seen.loop) == (8 * 1.5, 8 * 2, 8 * 7.5)


@pytest.mark.parametrize(
    ("path", "accepted", "judged"), [([0, 0], 0, 1), ([1, 0], 1, 2), ([0, 0], 1, 1), ([1, 2], 2, 2)]
)
def test_a_level_is_judged_where_the_draft_goes_on_below_the_last_accepted_node(
    path: list[int], accepted: int, judged: int
):
    """Nodes 0 and 1 follow the context, node 2 follows node 1, and node 3, below node 0, is
    padding."""
    draft = Draft(
        torch.tensor([[5, 6, 7, 8]]), torch.tensor([[-1, -1, 1, 0]]), None, torch.tensor([3])
    )
    verdict = SimpleNamespace(path=torch.tensor([path]), accepted=torch.tensor([accepted]))
    cycle = SimpleNamespace(draft=draft, verdict=verdict)
    assert levels_judged(cycle) == [judged]  # type: ignore[arg-type]


def test_a_draft_of_nothing_is_not_judged():
    draft = Draft.chain(torch.zeros(1, 0, dtype=torch.int64))
    verdict = SimpleNamespace(
        path=torch.zeros(1, 0, dtype=torch.int64), accepted=torch.zeros(1, dtype=torch.int64)
    )
    cycle = SimpleNamespace(draft=draft, verdict=verdict)
    assert levels_judged(cycle) == [0]  # type: ignore[arg-type]


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
