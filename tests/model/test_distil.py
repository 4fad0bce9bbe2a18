"""What drafts learn from, and how a chain of guesses is unrolled for learning.

Protects: what a teacher says is what its target says, and costs one reading; training sees at every
depth exactly what drafting sees there.
"""

import pytest
import torch
from specref.draft.mtp import MTPModule
from specref.train.auxiliary import begin_with
from specref.train.distillation import Teacher, Unrolled, distance
from specref.train.losses import mtp_loss

from tests.stub import tiny

TARGET = tiny(vocabulary=9, dtype=torch.float32)
TEXT = torch.randint(9, (3, 15), generator=torch.Generator().manual_seed(0))


def module(layers: int = 1) -> MTPModule:
    torch.manual_seed(1)
    return MTPModule.of(TARGET, layers).eval()


def test_a_teacher_says_what_its_target_says_and_reads_each_row_once(monkeypatch):
    read = []
    states = TARGET.states

    def reading(rows):
        read.append(len(rows))
        return states(rows)

    monkeypatch.setattr(TARGET, "states", reading)
    teacher = Teacher(TARGET)
    for rows in (TEXT[:2], TEXT[[1, 2, 0]], TEXT):
        said = teacher(rows)
        want = TARGET.logits(states(rows))
        # its states are kept in float16
        torch.testing.assert_close(said.logits, want, atol=0.02, rtol=0)
        torch.testing.assert_close(said.hidden, states(rows), atol=2e-3, rtol=0)
    assert read == [2, 1]


def test_teachers_are_told_apart_by_their_weights():
    assert Teacher(TARGET).name == Teacher(tiny(vocabulary=9, dtype=torch.float32)).name
    assert Teacher(TARGET).name != Teacher(tiny(seed=1, vocabulary=9, dtype=torch.float32)).name


@pytest.mark.parametrize("layers", [1, 2])
@torch.inference_mode()
def test_every_pass_of_training_sees_what_a_draft_of_that_depth_sees(layers):
    """From each anchor, the states are those of a drafter whose cache holds the text up to there
    and its own chain.
    """
    made, depth = module(layers), 4
    hidden, embedded = TARGET.states(TEXT), TARGET.embedding(TEXT)
    anchors = torch.tensor([0, 3, 9])
    cache = Unrolled(layers, anchors)
    passes = [made(hidden[:, :-1], embedded[:, 1:], cache)]
    for k in range(1, depth):
        before = passes[-1] if k > 1 else passes[0][:, anchors]
        passes.append(made(before, embedded[:, anchors + k + 1], cache))
    for place, anchor in enumerate(anchors.tolist()):
        own = made.new_cache(len(TEXT), 20)
        state = made(hidden[:, : anchor + 1], embedded[:, 1 : anchor + 2], own)[:, -1:]
        own.lengths += anchor + 1
        torch.testing.assert_close(passes[0][:, anchor], state[:, 0])
        for k in range(1, depth):
            state = made(state, embedded[:, anchor + k + 1][:, None], own)
            own.lengths += 1
            torch.testing.assert_close(passes[k][:, place], state[:, 0])


def test_the_loss_of_a_module_is_the_distance_at_every_depth_by_hand():
    """Depth 1 counts over all places, deeper ones over the anchors; weights are 1 + .85, then
    .85.
    """
    made, rows = module(), TEXT
    hidden, brought = TARGET.states(rows[:, :-1]), made.brought(TARGET.embedding(rows))
    p = TARGET.logits(hidden).softmax(-1)
    first = made(hidden[:, :-1], brought[:, 1:-1])
    one = distance(p[:, 1:], TARGET.logits(first))
    anchors = range(int(rows.sum()) % 5, rows.shape[1] - 3, 5)
    parts = []
    for anchor in anchors:
        cache = made.new_cache(len(rows), 20)
        state = made(hidden[:, : anchor + 1], brought[:, 1 : anchor + 2], cache)[:, -1:]
        cache.lengths += anchor + 1
        state = made(state, brought[:, anchor + 2][:, None], cache)
        parts.append(distance(p[:, anchor + 2][:, None], TARGET.logits(state)))
    assert len(parts) > 1
    want = ((1 + 0.85) * one + 0.85 * torch.stack(parts).mean()) / (1 + 2 * 0.85)
    torch.testing.assert_close(mtp_loss(made, TARGET, depth=2, apart=5)(rows), want)


def test_gradients_reach_the_module_through_every_depth_and_never_the_target():
    made = module()
    mtp_loss(made, Teacher(TARGET), depth=3, apart=2)(TEXT).backward()
    assert all(
        parameter.grad is not None and bool(parameter.grad.any()) for parameter in made.parameters()
    )
    assert all(parameter.grad is None for parameter in TARGET.parameters())


def test_a_module_that_got_wider_says_what_it_said():
    made, wide = module(), MTPModule.of(TARGET, units=40).eval()
    begin_with(wide, made)
    hidden, embedded = TARGET.states(TEXT), TARGET.embedding(TEXT)
    said = [each(hidden[:, :-1], each.brought(embedded[:, 1:])) for each in (wide, made)]
    torch.testing.assert_close(*said)
    weight = wide.get_parameter("blocks.0.mlp.down_proj.weight")
    assert weight.shape[1] == 40
    mtp_loss(wide, TARGET)(TEXT).backward()
    assert weight.grad is not None
    added = weight.grad[:, made.config.intermediate_size :]
    assert bool(added.any()), "and can learn more"
