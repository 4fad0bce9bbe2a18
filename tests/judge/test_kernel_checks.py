"""The checks of a kernel: each passes right kernels and fails on a planted bug of its own, for the
reason it is there for.

Deterministic, given the seed. Without it: a right kernel fails here with a probability of 1e-6 a
run.
"""

import pytest
import torch
from specref.adapters.reference import BlockKernel, MatchingKernel, Rejection, Tree
from specref.judge.schedule import judge
from specref.judge.session import Session
from specref.judge.suite import checks
from specref.judge.suite.kernel_distribution import groups
from specref.judge.suite.kernel_group import Group
from specref.judge.suite.kernel_tree import groups as trees
from specref.judge.verdict import Verdict
from specref.judge.zoo.judged import bug_distance, bugs, controls, trial
from specref.judge.zoo.kernels import Coins, StaleDraftDistribution
from torch import Tensor

KERNEL = [item.id for item in checks("kernel")]
OWN = {
    "kernel.shape": "writes-into-q",
    "kernel.determinism": "stream-goes-on",
    "kernel.not-a-number": "nan-unnoticed",
    "kernel.first-token": "residual-reversed",
    "kernel.joint": "ratio-of-prefix",
    "kernel.bonus": "bonus-by-argmax",
    "kernel.certain-draft": "tree-redraws-target",
    "kernel.directed": "resample-from-p",
    "kernel.accepted": "ratio-too-lenient",
    "kernel.support": "ratio-floored",
    "kernel.prefix": "neighbours-tokens",
    "kernel.exact-law": "draft-law-in-half-precision",
    "kernel.edges": "kernel-running-sum-overrun",
    "kernel.tree-first-token": "siblings-independent",
    "kernel.tree-joint": "tree-judged-as-chain",
    "kernel.tree-path": "cousin-accepted",
    "kernel.tree-independence": "neighbouring-trees-share-coins",
    "kernel.tree-seeds": "tree-seed-through-a-float",
    "kernel.tree-near-equal": "tree-residual-0/0",
    "kernel.independence": "coins-shared-by-rows",
    "kernel.seeds": "coins-of-seed-plus-row",
    "kernel.near-equal": "residual-0/0",
    "kernel.mixed-rows": "last-tile-dropped",
    "kernel.tree-mixed-rows": "cousin-accepted",
    "kernel.bad-rows": "nan-unnoticed",
    "kernel.token-bets": "resample-from-p",
    "kernel.greedy": "small-temperature-for-0",
}
# no planted bug of the zoo: tests/judge/test_kernel_mixed.py and test_kernel_bets.py
ELSEWHERE = {"kernel.empty-batch", "kernel.half-inputs"}


@pytest.mark.parametrize("check", [name for name in KERNEL if name not in ELSEWHERE])
def test_every_check_fails_on_a_bug_of_its_own(check: str) -> None:
    tried = trial(bugs("kernel")[OWN[check]], "kernel", seed=1, budget=30, only=[check])
    assert tried.verdict is not None, f"{check} lets {OWN[check]} pass"
    assert tried.verdict.id == check
    assert "cannot be judged" not in tried.verdict.what
    assert "raises in" not in tried.verdict.what


@pytest.mark.parametrize("kernel", [Rejection, BlockKernel, MatchingKernel, Tree])
def test_right_kernels_pass_every_check(kernel: type) -> None:
    """An MDE of .2: what is shown here is that nothing right is called wrong, and no check dies of
    its own mistakes.
    """
    said = judge(
        kernel(), Session(kernel.__name__, "kernel", seed=3, budget=120, mde=0.2), checks("kernel")
    )
    assert {v.verdict for v in said} <= {"PASS", "UNSUPPORTED"}, [
        (v.id, v.what) for v in said if v.verdict != "PASS"
    ]
    assert [v.id for v in said] == KERNEL
    assert all(v.mde is None or v.mde <= 0.2 for v in said)


def test_the_zoo_meets_the_contract_with_bugs_and_controls_enough() -> None:
    assert len(bugs("kernel")) >= 45
    assert len(controls("kernel")) >= 12
    assert not bugs("kernel").keys() & controls("kernel").keys()


def test_a_check_says_the_same_alone() -> None:
    """Draws are shared between checks and do not depend on which of them run."""

    def said(kernel: object, *names: str) -> Verdict:
        chosen = [item for item in checks("kernel") if item.id in (*names, "kernel.joint")]
        return next(
            v
            for v in judge(kernel, Session("x", "kernel", mde=0.1), chosen)
            if v.id == "kernel.joint"
        )

    for kernel in (Coins, StaleDraftDistribution):
        alone, among = (
            said(kernel()),
            said(kernel(), "kernel.first-token", "kernel.bonus", "kernel.seeds"),
        )
        assert (alone.verdict, alone.n, alone.tv, alone.what) == (
            among.verdict,
            among.n,
            among.tv,
            among.what,
        )


def test_windows_of_one_stream_that_overlap_between_rows_are_noticed() -> None:
    """A row begins four coins behind the one before: with four draft tokens it needs five. No
    distribution of one row shows it.
    """

    class Overlapping(Coins):
        def uniforms(self, batch: int, width: int, seed: int) -> Tensor:
            stream = super().uniforms(1, 4 * batch + width, seed)[0]
            return stream.unfold(0, width, 4)[:batch]

    (said,) = judge(
        Overlapping(),
        Session("x", "kernel", budget=30),
        [c for c in checks("kernel") if c.id == "kernel.independence"],
    )
    assert said.verdict == "FAIL"
    assert "rows of one batch share coins" in said.what


def test_the_exact_distance_of_a_planted_kernel() -> None:
    """One coin for both tokens of a row is off by what enumeration over that coin says; shared rows
    show in no row, and one coin in 2^24 in no distribution that float32 knows."""
    assert bug_distance("coins-shared-by-rows", "kernel") is None
    assert bug_distance("one-coin-a-row", "kernel") == pytest.approx(0.195, abs=1e-3)
    assert bug_distance("kernel-inclusive-coin", "kernel") is None


@pytest.mark.parametrize(
    "group", [*groups().values(), *trees().values()], ids=lambda group: group.name
)
def test_cases_hold_distributions_and_what_is_drawn_has_them(group: Group) -> None:
    assert torch.allclose(group.target.sum(1), torch.ones(group.cases).double())
    assert torch.allclose(group.draft.sum(1), torch.ones(group.cases).double())
    assert torch.allclose(group.followed.sum(1), torch.ones(group.cases).double())
    rows = group.rows(4000, torch.Generator().manual_seed(0))
    assert bool((group.draft.flatten()[rows] > 0).all())
    seen = torch.bincount(rows, minlength=group.draft.numel()) / 4000
    off = float((seen - group.draft.flatten() / group.cases).abs().sum()) / 2
    assert off < 0.4 * (group.draft.numel() / 2000) ** 0.5 + 0.05


def test_a_cause_is_named_from_the_zoo() -> None:
    for name in (
        "resample-from-p",
        "bonus-from-draft",
        "residual-of-first-q",
        "siblings-independent",
    ):
        verdict = trial(
            bugs("kernel")[name], "kernel", only=["kernel.joint", "kernel.tree-joint"]
        ).verdict
        assert verdict is not None
        assert name in verdict.cause
        assert verdict.pictures
    verdict = trial(bugs("kernel")["resample-from-p"], "kernel").verdict
    assert verdict is not None
    assert "your draft likes come out too often" in verdict.what
