"""Training can be killed at any moment and goes on as if it had not been.

Protects: resumed runs (weights, optimiser, data order), the state on disk, and the two losses.
"""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from specref.data import SpecrefError
from specref.model.config import Config
from specref.model.transformer import Transformer
from specref.train import distillation as distil
from specref.train import loop as train

TEXT = torch.randint(1, 30, (400,), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
PLAN = train.TrainingPlan(steps=6, batch=2, context=8, rate=1e-2, warmup=2, save_every=2)


def model(seed: int = 0, layers: int = 1, vocabulary: int = 32) -> Transformer:
    torch.manual_seed(seed)
    return Transformer(Config(vocabulary, 16, 16, layers, 2, 1, 8, 64))


class KilledError(Exception):
    pass


def run(folder, plan=PLAN, kill_in: int | None = None, kill_after: int | None = None, text=TEXT):
    """A run that dies inside step `kill_in` or when step `kill_after` is reported; returns its
    model and losses.
    """
    learner = model()
    loss, calls = train.next_token_loss(learner), []

    def dying_loss(rows):
        calls.append(rows)
        if kill_in is not None and len(calls) == kill_in:
            raise KilledError
        return loss(rows)

    def report(step, value, left):
        if step == kill_after:
            raise KilledError

    return learner, train.fit(learner, dying_loss, text, plan, folder, report)


@pytest.mark.parametrize("how", ["kill_in", "kill_after"])
@pytest.mark.parametrize("step", range(1, PLAN.steps + 1))
def test_a_run_killed_at_any_step_goes_on_as_if_it_had_not_been(step, how, tmp_path):
    whole, losses = run(tmp_path / "whole")
    with pytest.raises(KilledError):
        run(tmp_path / "killed", **{how: step})
    saved = (step if how == "kill_after" else step - 1) // PLAN.save_every * PLAN.save_every
    again, rest = run(tmp_path / "killed")
    assert rest == losses[saved:], (
        "at most the steps since the last save are run again, with the same losses"
    )
    assert all(
        torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True)
    )


@pytest.mark.parametrize(
    ("told", "bfloat16"),
    [({"avx512_bf16": True}, True), ({"avx512_bf16": False}, False), ({}, False)],
)
def test_steps_are_in_bfloat16_only_where_the_processor_has_it(
    told, bfloat16, tmp_path, monkeypatch
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: told)
    learner, seen = model(), []

    def loss(rows):
        seen.append(torch.is_autocast_enabled("cpu"))
        return train.next_token_loss(learner)(rows)

    train.fit(learner, loss, TEXT, PLAN, tmp_path)
    assert seen == [bfloat16] * PLAN.steps


def test_killed_twice_is_no_worse(tmp_path):
    whole, losses = run(tmp_path / "whole")
    for step in (4, 1):
        with pytest.raises(KilledError):
            run(tmp_path / "killed", kill_in=step)
    again, rest = run(tmp_path / "killed")
    assert rest == losses[2:]
    assert all(
        torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True)
    )


def test_a_finished_run_is_not_run_again(tmp_path):
    done, _ = run(tmp_path)
    again, losses = run(tmp_path)
    assert losses == []
    assert all(
        torch.equal(a, b) for a, b in zip(done.parameters(), again.parameters(), strict=True)
    )


def test_training_learns_and_leaves_the_model_ready_to_use(tmp_path):
    plan = replace(PLAN, steps=40)
    learner, losses = run(tmp_path, plan)
    assert sum(losses[-10:]) < sum(losses[:10])
    assert not learner.training


@pytest.mark.parametrize("change", [{"rate": 0.02}, {"steps": 7}, {"seed": 1}, {"batch": 3}])
def test_a_state_of_another_plan_is_refused_and_kept(change, tmp_path):
    run(tmp_path)
    before = (tmp_path / "training.safetensors").read_bytes()
    with pytest.raises(
        SpecrefError, match="in another arithmetic or on another text: choose another folder"
    ):
        run(tmp_path, replace(PLAN, **change))
    assert (tmp_path / "training.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    "text", [TEXT[1:], TEXT.flip(0), TEXT.view(16, 25)], ids=["shorter", "turned", "in rows"]
)
def test_a_state_of_another_text_is_refused_and_kept(text, tmp_path):
    """Its batches would be others: a resumed run must be the one that was killed."""
    with pytest.raises(KilledError):
        run(tmp_path, kill_after=4)
    before = (tmp_path / "training.safetensors").read_bytes()
    with pytest.raises(SpecrefError, match="on another text"):
        run(tmp_path, text=text)
    assert (tmp_path / "training.safetensors").read_bytes() == before
    run(tmp_path)


def test_a_state_of_another_arithmetic_is_refused(tmp_path, monkeypatch):
    for told in (True, False):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda told=told: {"amx_bf16": told})
        if told:
            run(tmp_path)
    with pytest.raises(SpecrefError, match="in another arithmetic"):
        run(tmp_path)


def test_a_state_of_another_model_is_refused(tmp_path):
    run(tmp_path)
    other = model(layers=2)
    with pytest.raises(SpecrefError, match="other settings"):
        train.fit(other, train.next_token_loss(other), TEXT, PLAN, tmp_path)


def test_a_damaged_state_is_a_clear_error(tmp_path):
    run(tmp_path)
    path = tmp_path / "training.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(SpecrefError, match=r"is damaged .*delete it"):
        run(tmp_path)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_the_run_and_saves_nothing(value, tmp_path):
    learner = model()
    right, calls = train.next_token_loss(learner), []

    def loss(rows):
        calls.append(rows)
        return right(rows) * (value if len(calls) == 4 else 1)

    with pytest.raises(SpecrefError, match=f"the loss became {value} at step 3: lower --rate"):
        train.fit(learner, loss, TEXT, PLAN, tmp_path)
    again, rest = run(tmp_path)
    assert len(rest) == PLAN.steps - 2
    assert all(bool(parameter.isfinite().all()) for parameter in again.parameters())


def test_frozen_weights_stay_and_a_run_that_has_them_can_be_resumed(tmp_path):
    results = []
    for folder, kill in (("whole", None), ("killed", 4), ("killed", None)):
        learner = model()
        learner.embedding.weight.requires_grad_(False)
        before, loss = learner.embedding.weight.clone(), train.next_token_loss(learner)
        calls: list[int] = []

        def dying(rows, loss=loss, calls=calls, kill=kill):
            calls.append(rows)
            if len(calls) == kill:
                raise KilledError
            return loss(rows)

        try:
            train.fit(learner, dying, TEXT, PLAN, tmp_path / folder)
        except KilledError:
            continue
        assert torch.equal(learner.embedding.weight, before)
        results.append(learner)
    assert all(
        torch.equal(a, b)
        for a, b in zip(results[0].parameters(), results[1].parameters(), strict=True)
    )


def test_rows_are_a_function_of_seed_and_step_alone():
    rows = [train.windows(TEXT, PLAN, step) for step in range(8)]
    torch.rand(5)
    for step in (7, 2, 0):
        assert torch.equal(train.windows(TEXT, PLAN, step), rows[step])
    assert not torch.equal(rows[0], rows[1])
    assert not torch.equal(rows[0], train.windows(TEXT, replace(PLAN, seed=1), 0))
    assert [tuple(row.shape) for row in rows[:4]] == [
        (2, 9),
        (2, 9),
        (2, 9),
        (1, 17),
    ], "every fourth is twice as long"
    text = bytes(TEXT.tolist())
    assert all(bytes(row.tolist()) in text for step in rows for row in step)


def test_rows_that_are_given_whole_stay_whole_and_come_half_as_many_a_step():
    text = TEXT[:391].view(23, 17)
    rows = [train.windows(text, PLAN, step) for step in range(8)]
    assert torch.equal(train.windows(text, PLAN, 5), rows[5])
    assert all(row.shape == (1, 17) and row.dtype == torch.int64 for row in rows)
    assert all((text == row).all(1).any() for row in rows)
    assert len({tuple(row[0].tolist()) for row in rows}) > 1


def test_a_text_shorter_than_a_row_is_refused():
    with pytest.raises(SpecrefError, match="10 bytes and one row takes 17: give more text"):
        train.windows(TEXT[:10], PLAN, 3)


def test_the_rate_warms_up_then_falls_to_a_tenth():
    plan = train.TrainingPlan(steps=100, rate=1.0, warmup=10)
    rates = [train.learning_rate(plan, step) for step in range(100)]
    assert rates[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert rates[10] == 1.0
    assert all(a >= b for a, b in pairwise(rates[10:]))
    assert train.learning_rate(plan, 100) == pytest.approx(0.1)


def test_next_token_loss_is_the_mean_of_minus_log_p():
    learner, rows = model(), torch.randint(32, (2, 9))
    distribution = learner(rows[:, :-1]).logits.log_softmax(-1)
    by_hand = -sum(distribution[b, i, rows[b, i + 1]] for b in range(2) for i in range(8)) / 16
    torch.testing.assert_close(train.next_token_loss(learner)(rows), by_hand)


def test_distillation_costs_nothing_where_the_draft_is_the_target():
    target, rows = model(), torch.randint(32, (2, 9))
    assert abs(distil.distillation_loss(target, target)(rows).item()) < 1e-6
    assert distil.distillation_loss(model(1), target)(rows).item() > 1e-3


def test_distillation_is_kl_plus_tv():
    target, draft, rows = model(), model(1), torch.randint(32, (2, 9))
    p, q = (m(rows[:, :-1]).logits.double().softmax(-1) for m in (target, draft))
    kl = (p * (p / q).log()).sum(-1).mean()
    tv = (p - q).abs().sum(-1).mean() / 2
    assert distil.distillation_loss(draft, target)(rows).item() == pytest.approx(
        (kl + tv).item(), rel=1e-4
    )


def test_distillation_raises_the_acceptance_and_leaves_the_target_alone():
    target, draft = model(vocabulary=256), model(1, vocabulary=256)
    target.embedding.weight.data.mul_(20)
    before = [parameter.clone() for parameter in target.parameters()]
    texts = {"a": bytes(TEXT.tolist())}
    start = distil.held_out_acceptance(draft, target, texts, context=16)
    optimizer = torch.optim.Adam(draft.parameters(), 1e-2)
    loss = distil.distillation_loss(draft, target)
    for _ in range(30):
        optimizer.zero_grad()
        loss(TEXT[:320].long().view(20, 16)).backward()
        optimizer.step()
    assert distil.held_out_acceptance(draft, target, texts, context=16) > start + 0.05
    assert all(torch.equal(a, b) for a, b in zip(before, target.parameters(), strict=True))
    assert all(parameter.grad is None for parameter in target.parameters())
