"""Depth policies: unlawful ones are convicted by the check that each names, lawful ones by none.
What the exact checks measure is what a calculation by hand gives.
"""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from specref.judge.contract import Scheduler
from specref.judge.job import Job
from specref.judge.load import load_adapter
from specref.judge.schedule import judge
from specref.judge.scheduler.calls import AdmissionQuestion, CycleInput, PastCycle, SchedulerHandle
from specref.judge.scheduler.cases import CaseMaker, Change, batch_shapes
from specref.judge.scheduler.shrink import Shrinker, parted
from specref.judge.scheduler.weigh import exact_distance
from specref.judge.scheduler.world import RevealOrder, TwoRowWorld, WorldRun, changes_of
from specref.judge.session import MisbehavedError, Session
from specref.judge.suite import checks
from specref.judge.verdict import Verdict
from specref.judge.zoo import schedulers
from specref.judge.zoo.judged import bugs, controls, trial
from specref.judge.zoo.tally import catch

from tests.judge.told import here, verdicts

BUGS, CONTROLS = bugs("scheduler"), controls("scheduler")
EXACT = ("scheduler.text", "scheduler.independence", "scheduler.cycles")


def session(budget: float = 60.0) -> Session:
    return Session("policy", "scheduler", budget=budget)


def said(policy: Scheduler, *only: str, budget: float = 60.0) -> dict[str, Verdict]:
    chosen = [item for item in checks("scheduler") if not only or item.id in only]
    return {v.id: v for v in judge(policy, session(budget), chosen)}


@pytest.mark.parametrize("name", BUGS)
def test_bug_is_convicted_by_the_check_it_names(name: str) -> None:
    tried = trial(BUGS[name], "scheduler", only=[BUGS[name].caught_by])
    assert tried.verdict is not None
    assert "\n" not in tried.verdict.what
    if BUGS[name].caught_by == "scheduler.stopping":
        assert "is verified when" in tried.verdict.what
    if BUGS[name].crashes:
        assert "raises in admit, 0 rows" in tried.verdict.what


@pytest.mark.parametrize("name", CONTROLS)
def test_control_passes_every_check(name: str) -> None:
    subject = CONTROLS[name].subject
    assert isinstance(subject, type)
    assert issubclass(subject, Scheduler)
    found = said(subject(), budget=0.01)
    wanted = {"PASS"} if subject.lossless else {"PASS", "LOSSY-BY-DESIGN"}
    assert {v.verdict for v in found.values()} == wanted


def test_a_whole_trial_finds_the_bug_by_the_check_it_names_and_measures_it() -> None:
    name = "depth-stops-before-unsure"
    caught = catch("scheduler", name)
    assert caught.by == BUGS[name].caught_by
    assert caught.tv is not None
    assert caught.tv > 0.01


def test_every_check_convicts() -> None:
    named = {bug.caught_by for bug in BUGS.values()}
    assert {item.id for item in checks("scheduler")} - named == {"scheduler.text"}
    verdict = said(schedulers.StopsBeforeUnsure(), "scheduler.text")["scheduler.text"]
    assert verdict.verdict == "FAIL"
    assert verdict.tv is not None
    assert verdict.tv > 0.05
    assert verdict.pictures
    assert "is verified when token" in verdict.what


# ---- the exact worlds against calculations by hand


class Table(Scheduler):
    """Two rows: the lengths of each pair of drafts."""

    def __init__(self, lengths: dict):
        self.lengths = lengths

    def admit(self, q, draft, confidence, seed):
        return self.lengths[tuple(map(tuple, draft.tolist()))]


def tables(slots: int, seed: int = 0) -> TwoRowWorld:
    generator = torch.Generator().manual_seed(seed)
    contexts = 2 ** (slots + 1) - 1
    p, q = (
        torch.rand(2, contexts, 2, generator=generator, dtype=torch.float64) + 0.1 for _ in "pq"
    )
    p, q = (t / t.sum(-1, keepdim=True) for t in (p, q))
    return TwoRowWorld("by hand", 2, slots, 1, p, q, None)


def world_result(policy: Scheduler, world: TwoRowWorld):
    return WorldRun(SchedulerHandle(policy, session()), world, 1).found()


def leaves(p: torch.Tensor, q: torch.Tensor, token: int) -> torch.Tensor:
    """[2]: what a verified token makes of itself: kept with min(1, p/q), else the residual."""
    kept = min(1.0, float(p[token] / q[token]))
    rest = (p - q).clamp(min=0)
    out = rest / rest.sum() * (1 - kept) if kept < 1 else torch.zeros(2, dtype=torch.float64)
    out[token] += kept
    return out


def test_a_draft_cut_by_its_token_is_off_by_what_the_sum_says() -> None:
    """One slot, verified if its token is 0: p' = q(0) R(.|0) + q(1) p."""
    world = tables(1)
    policy = Table(
        {((a,), (b,)): [int(a == 0), 1] for a, b in itertools.product(range(2), repeat=2)}
    )
    found = world_result(policy, world)
    p, q = world.p[0, 0], world.q[0, 0]
    cut = q[0] * leaves(p, q, 0) + q[1] * p
    assert found.row_distance(0) == pytest.approx(float((cut - p).abs().sum() / 2), abs=1e-12)
    assert found.row_distance(0) > 0.01
    assert found.row_distance(1) < 1e-12
    assert found.joint_distance == pytest.approx(found.row_distance(0), abs=1e-12)


def test_rows_that_look_at_each_other_are_each_right_and_dependent_by_what_the_sum_says() -> None:
    """Each row is verified if the other's token is 0: the joint distribution is off by the product
    of q(1) (R(.|1) - p) of both rows.
    """
    world = tables(1)
    policy = Table(
        {((a,), (b,)): [int(b == 0), int(a == 0)] for a, b in itertools.product(range(2), repeat=2)}
    )
    found = world_result(policy, world)
    sums = []
    for row in range(2):
        p, q = world.p[row, 0], world.q[row, 0]
        sums.append(float((q[1] * (leaves(p, q, 1) - p)).abs().sum()))
    assert found.joint_distance == pytest.approx(sums[0] * sums[1] / 2, abs=1e-12)
    assert found.joint_distance > 1e-3
    assert max(map(found.row_distance, range(2))) < 1e-12


def test_rows_in_an_order_are_independent() -> None:
    """Row 0's tokens decide row 1's slots, and not the other way round."""
    found = world_result(schedulers.FirstRowDecides(), tables(2))
    assert found.joint_distance < 1e-12
    assert RevealOrder(found).crossing() is None
    assert RevealOrder(world_result(schedulers.RowsCrosswise(), tables(2))).crossing() is not None


DRAFTS = tuple(itertools.product(range(2), repeat=2))


def random_lengths(seed: int, kind: str) -> dict:
    """Lengths of two rows with two slots each. "own": any; "other": a slot looks at the tokens
    before it and at the whole other row; "order": row 1 looks at row 0 too, row 0 at itself only.
    """
    generator = torch.Generator().manual_seed(seed)
    coins: dict = {}

    def coin(*key: object) -> bool:
        if key not in coins:
            coins[key] = bool(torch.rand((), generator=generator) < 0.6)
        return coins[key]

    def length(row: int, own: tuple, other: tuple) -> int:
        seen = other if kind != "order" or row else ()
        if kind == "own":
            return int(coin(row, own, other)) + int(coin(row, own, other, "second"))
        if not coin(row, seen):
            return 0
        return 1 + coin(row, seen, own[:1])

    return {(a, b): [length(0, a, b), length(1, b, a)] for a in DRAFTS for b in DRAFTS}


@pytest.mark.parametrize("seed", range(6))
def test_a_row_is_exact_if_and_only_if_no_change_parts_its_admission(seed: int) -> None:
    """The theorem and its converse, for any table, at a target and a draft that agree nowhere."""
    for kind in ("own", "other", "order"):
        found = world_result(Table(random_lengths(seed, kind)), tables(2, seed))
        rows = {change.row for change in changes_of(found)}
        for row in range(2):
            assert (found.row_distance(row) > 1e-9) == (row in rows), (kind, row)
        if kind != "own":
            assert not rows


@pytest.mark.parametrize("seed", range(6))
def test_rows_are_independent_if_there_is_an_order(seed: int) -> None:
    ordered = world_result(Table(random_lengths(seed, "order")), tables(2, seed))
    assert RevealOrder(ordered).crossing() is None
    assert ordered.joint_distance < 1e-12
    free = world_result(Table(random_lengths(seed, "other")), tables(2, seed))
    assert (free.joint_distance > 1e-9) == (RevealOrder(free).crossing() is not None)


# ---- the smallest example


def big_change(handle: SchedulerHandle) -> Change:
    """The first failing change of a batch of 3 rows, 5 slots, after some cycles."""
    maker = CaseMaker(torch.Generator().manual_seed(3), handle)
    for _ in range(50):
        question = maker.question(3, 5, 4, 2)
        for change in maker.changes(question, 2):
            if question.past and Shrinker(handle).seen(change) is not None:
                return change
    raise AssertionError("no failing change was found")


@pytest.mark.parametrize("policy", [schedulers.CutsBelowMinimum, schedulers.AllOrNothing])
def test_an_example_is_made_small(policy: type[Scheduler]) -> None:
    handle = SchedulerHandle(policy(), session())
    small = Shrinker(handle).smallest(big_change(handle))
    assert small.question.now.draft.shape == (1, 1)
    assert not small.question.past
    assert small.question.now.confidence is None


def test_the_distance_of_an_example_is_the_one_by_hand() -> None:
    """q = (.9, .1), token 1 dropped. Target (.5, .5): p' = .9 R(.|0) + .1 p, R(0|0) = 5/9, so
    p'(0) = .5 + .05; the other targets, (.1, .9) both, give .01.
    """
    handle = SchedulerHandle(schedulers.CutsBelowMinimum(), session())
    now = CycleInput(torch.tensor([[[0.9, 0.1]]]), torch.tensor([[0]]), None, 0)
    change = Change(AdmissionQuestion(now), replace(now, draft=torch.tensor([[1]])), 0, 0)
    seen = Shrinker(handle).seen(change)
    assert seen is not None
    assert exact_distance(handle, change, seen) == pytest.approx(0.05, abs=1e-6)


def test_an_example_says_which_token_and_which_slot() -> None:
    verdict = said(schedulers.DropsRepeats(), "scheduler.stopping")["scheduler.stopping"]
    assert verdict.what.startswith(
        "slot 1 is verified when token 1 is 0 and not when it is 1 (tokens before it equal)"
    )
    assert verdict.tv == pytest.approx(0.25, abs=1e-6)


def test_only_slots_up_to_the_change_count() -> None:
    now = CycleInput(torch.full((1, 3, 2), 0.5), torch.zeros(1, 3, dtype=torch.int64), None, 0)
    change = Change(AdmissionQuestion(now), now, 0, 1)
    assert parted((3,), (2,), change) is None  # slot 2 stands behind the change
    seen = parted((1,), (3,), change)
    assert seen is not None
    assert (seen.slot, seen.kept) == (1, False)


# ---- what may be looked at


class StopsByConfidence(Scheduler):
    """Slot i is verified if confidence i is high."""

    needs_confidence = True

    def admit(self, q, draft, confidence, seed):
        return (confidence >= 0.5).long().cumprod(1).sum(1)


class StopsByTokenConfidence(StopsByConfidence):
    confidence_sees_token = True


def test_a_confidence_may_decide_its_slot_only_if_it_was_known_before_the_token() -> None:
    assert {v.verdict for v in said(StopsByConfidence()).values()} == {"PASS"}
    found = said(StopsByTokenConfidence(), "scheduler.stopping", "scheduler.text")
    assert {v.verdict for v in found.values()} == {"FAIL"}


def test_a_policy_that_needs_a_confidence_is_always_given_one() -> None:
    assert said(StopsByConfidence(), "scheduler.shape")["scheduler.shape"].verdict == "PASS"
    careless = type("Careless", (StopsByConfidence,), {"needs_confidence": False})
    failed = said(careless(), "scheduler.shape")["scheduler.shape"]
    assert failed.verdict == "FAIL"
    assert "raises in admit" in failed.what


def test_a_change_leaves_everything_before_its_slot_alone() -> None:
    for sees in (False, True):
        policy = type("Policy", (schedulers.FixedDepth,), {"confidence_sees_token": sees})()
        maker = CaseMaker(torch.Generator().manual_seed(0), SchedulerHandle(policy, session()))
        for style in range(1, 4):
            question = maker.question(2, 4, 3, style)
            for change in maker.changes(question, style):
                now, changed, slot = question.now, change.changed, change.slot
                own, other = change.row, 1 - change.row
                assert now.draft[own, slot] != changed.draft[own, slot]
                assert torch.equal(now.draft[own, :slot], changed.draft[own, :slot])
                assert torch.equal(now.q[own, : slot + 1], changed.q[own, : slot + 1])
                last = slot if sees else slot + 1
                assert now.confidence is not None
                assert changed.confidence is not None
                assert torch.equal(now.confidence[own, :last], changed.confidence[own, :last])
                for name in ("q", "draft", "confidence"):
                    assert torch.equal(getattr(now, name)[other], getattr(changed, name)[other])


def test_a_change_is_asked_of_every_slot_and_of_all_that_is_behind_it() -> None:
    policy = schedulers.FixedDepth()
    maker = CaseMaker(torch.Generator().manual_seed(0), SchedulerHandle(policy, session()))
    changes = list(maker.changes(maker.question(2, 4, 3, 3), 3))
    assert {(c.row, c.slot) for c in changes} == set(itertools.product(range(2), range(4)))
    assert any(not torch.equal(c.changed.q, c.question.now.q) for c in changes)
    confidences = [(c.changed.confidence, c.question.now.confidence) for c in changes]
    assert any(
        changed is not None and now is not None and not torch.equal(changed, now)
        for changed, now in confidences
    )
    rows, slots, sizes = (set(one) for one in zip(*batch_shapes()))
    assert rows >= {1, 8}
    assert slots >= {1, 8}
    assert max(sizes) >= 1000


# ---- calls


class Recorder(Scheduler):
    """What it was told."""

    def __init__(self):
        self.told = []

    def begin(self, rows):
        self.told.append(("begin", rows))

    def admit(self, q, draft, confidence, seed):
        self.told.append(("admit", seed))
        return [1] * len(draft)

    def observe(self, accepted):
        self.told.append(("observe", accepted.tolist()))


def cycle(seed: int) -> CycleInput:
    return CycleInput(torch.full((2, 2, 2), 0.5), torch.zeros(2, 2, dtype=torch.int64), None, seed)


def test_the_past_is_told_again_before_a_question() -> None:
    policy = Recorder()
    handle = SchedulerHandle(policy, session())
    past = PastCycle(cycle(1), torch.tensor([2, 0]))
    assert handle.answer(AdmissionQuestion(cycle(2), (past,))) == (1, 1)
    assert policy.told == [
        ("begin", 2),
        ("admit", 1),
        ("observe", [1, 0]),  # of two accepted tokens one was verified
        ("admit", 2),
    ]
    assert handle.remembers
    assert not SchedulerHandle(schedulers.FixedDepth(), session()).remembers


@pytest.mark.parametrize(
    ("lengths", "why"),
    [
        ([0, 3], "the length 3: return int64 lengths [2], from 0 to 2"),
        ([-1, 0], "the length -1"),
        ([[0, 1]], "the shape [1, 2]"),
        ([0], "the shape [1]"),
        ([0.0, 1.0], "no whole numbers"),
        (None, "a NoneType"),
    ],
)
def test_an_answer_that_is_none_is_named(lengths: object, why: str) -> None:
    policy = type("Wrong", (Scheduler,), {"admit": lambda self, *given: lengths})()
    with pytest.raises(MisbehavedError) as error:
        SchedulerHandle(policy, session()).answer(AdmissionQuestion(cycle(0)))
    assert why in str(error.value)


def test_a_policy_that_admits_nothing_is_not_said_to_be_right() -> None:
    nothing = type("Nothing", (Scheduler,), {"admit": lambda self, q, d, c, s: [0] * len(d)})
    found = said(nothing(), "scheduler.text")
    assert found["scheduler.text"].verdict == "UNVERIFIED"


# ---- as a user meets it


def test_the_level_is_found_from_the_method(tmp_path: Path) -> None:
    file = tmp_path / "policy.py"
    file.write_text(
        "class Policy:\n    def admit(self, q, draft, confidence, seed):\n"
        "        return [1] * len(draft) if draft.shape[1] else [0] * len(draft)\n"
    )
    adapter = load_adapter(f"{file}:Policy")
    assert adapter.level == "scheduler"
    found = verdicts(here(Job(f"{file}:Policy", budget=30.0, only=EXACT[:2])))
    assert {one["verdict"] for one in found.values()} == {"PASS"}


def test_our_server_is_judged_by_its_name() -> None:
    assert load_adapter("reference-serving", "scheduler").level == "scheduler"
    assert load_adapter("reference-serving").level == "engine"
