"""What is timed is what a decode step does, behind the context that was asked for; and a verify
curve in plain steps is arithmetic on those times.

Protects: the predicted speedups, and with them the draft length and the tree that are chosen.
"""

from collections.abc import Callable, Mapping

import pytest
import torch
from specref.data import Draft, SamplingParams
from specref.draft.medusa import MedusaHeads
from specref.draft.mtp import MTPModule
from specref.measure.speed import step_costs as module
from specref.measure.speed.step_costs import TimedModels, in_plain_steps, step_costs
from specref.probs import probs

from tests.stub import tiny

TARGET, DRAFT = tiny(seed=1, vocabulary=11), tiny(seed=2, vocabulary=11, layers=1)
PARAMS = SamplingParams(temperature=0.7, top_k=5)
Works = Mapping[str, Callable[[], object]]


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> dict:
    """What would be timed: the works, the device and the number of rounds."""
    seen: dict = {}

    def note(works: Works, device: torch.device, rounds: int) -> dict[str, float]:
        seen.update(works=works, device=device, rounds=rounds)
        return dict.fromkeys(works, 1.0)

    monkeypatch.setattr(module, "microseconds", note)
    return seen


def work(timed: dict, name: str):
    """What one piece of work gives."""
    with torch.inference_mode():
        return timed["works"][name]()


def auxiliary() -> tuple[MTPModule, MedusaHeads]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = MTPModule.of(TARGET).to(TARGET.dtype).requires_grad_(False)
    return made, MedusaHeads.of(TARGET, 2).to(TARGET.dtype).requires_grad_(False)


def test_only_what_is_there_is_timed(timed: dict) -> None:
    costs = step_costs(TimedModels(TARGET, DRAFT), PARAMS, 5, [1, 4], rounds=7)
    assert list(costs) == ["plain", "draft", "verify 1", "verify 4"]
    assert (timed["device"], timed["rounds"]) == (TARGET.device, 7)
    costs = step_costs(TimedModels(TARGET, DRAFT, *auxiliary()), PARAMS, 5, [2])
    assert list(costs) == ["plain", "draft", "mtp", "heads", "verify 2"]


@pytest.mark.parametrize("context", [1, 5, 60])
def test_a_step_reads_one_token_and_draws_one_and_may_be_repeated(
    timed: dict, context: int
) -> None:
    """Behind a cache that has just room for it: what a repeated work leaves there would not fit."""
    step_costs(TimedModels(TARGET, DRAFT, *auxiliary()), PARAMS, context, [])
    for name in ("plain", "draft", "mtp"):
        for _ in range(3):
            token = work(timed, name)
            assert isinstance(token, int)
            assert 0 <= token < 11


def test_each_forward_reads_as_many_tokens_as_it_is_timed_for(timed: dict) -> None:
    step_costs(TimedModels(TARGET, DRAFT), PARAMS, 5, [1, 3])
    widths: list[tuple[str, int]] = []
    hooks = [
        model.register_forward_pre_hook(
            lambda _, given, name=name: widths.append((name, given[0].shape[1]))
        )
        for name, model in (("target", TARGET), ("draft", DRAFT))
    ]
    for name in ("plain", "draft", "verify 1", "verify 3"):
        work(timed, name)
    for hook in hooks:
        hook.remove()
    assert widths == [("target", 1), ("draft", 1), ("target", 1), ("target", 3)]


@pytest.mark.parametrize("width", [1, 4])
def test_a_verify_forward_gives_a_distribution_behind_each_of_its_tokens(
    timed: dict, width: int
) -> None:
    """It is what the target says of that many tokens behind `context` slots that hold zeros, with
    the sampling parameters; and nothing is drawn."""
    step_costs(TimedModels(TARGET, DRAFT), PARAMS, 5, [width])
    cache = TARGET.new_cache(1, 64)
    cache.lengths += 5
    with torch.inference_mode():
        logits = TARGET(torch.zeros(1, width, dtype=torch.int64), cache).logits
    got = work(timed, f"verify {width}")
    torch.testing.assert_close(got, probs(logits, [PARAMS]))
    assert got.shape == (1, width, 11)
    assert int((got > 0).sum()) == 5 * width


def test_the_heads_work_is_one_whole_tree(timed: dict) -> None:
    """Two heads, four guesses on each level."""
    step_costs(TimedModels(TARGET, DRAFT, heads=auxiliary()[1]), PARAMS, 5, [])
    draft = work(timed, "heads")
    assert isinstance(draft, Draft)
    assert draft.lengths.tolist() == [8]
    assert draft.parents.tolist() == [[-1, -1, -1, -1, 0, 0, 0, 0]]


def test_a_curve_in_plain_steps_has_a_draw_in_every_cycle() -> None:
    """A plain step of 10 is a forward of 8 and a draw of 2; forwards over 2 and 3 tokens take 9
    and 13."""
    costs = {"plain": 10.0, "draft": 3.0, "verify 1": 8.0, "verify 2": 9.0, "verify 3": 13.0}
    assert in_plain_steps(costs) == [1.0, 1.1, 1.5]


def test_a_curve_in_another_models_plain_steps_has_that_models_draw() -> None:
    """The unit is 20, of which the draw takes 5."""
    costs = {"plain": 10.0, "verify 1": 8.0, "verify 2": 9.0}
    assert in_plain_steps(costs, {"plain": 20.0, "verify 1": 15.0}) == [0.65, 0.7]
