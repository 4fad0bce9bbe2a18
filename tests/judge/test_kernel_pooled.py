"""The checks that add up evidence over cases, and those that only watch: what they are given and
what they say.
"""

import itertools
from collections.abc import Iterator

import pytest
import torch
from specref.judge import cases
from specref.judge.cases import Tables
from specref.judge.session import Session
from specref.judge.suite import kernel_distribution, kernel_pooled
from specref.judge.suite.kernel_group import Group
from specref.judge.suite.kernel_pooled import POOLED, coupling
from specref.judge.suite.kernel_stream import SampleStream
from specref.judge.verdict import Verdict
from torch import Tensor

from tests.judge.by_hand import Mixed


def run(
    check: str,
    groups: dict[str, Group],
    kernel: object = None,
    mde: float = 0.1,
    testing: bool = False,
) -> Iterator[Verdict]:
    session = Session("x", "kernel", mde=mde, testing=testing)
    session.kept["kernel.draws"] = SampleStream(kernel, session, groups)  # type: ignore[arg-type]
    return getattr(kernel_pooled, check)(kernel, session)


def some(cases_of: int = 2) -> dict[str, Group]:
    tables = dict(list(cases.TWOS.items())[:cases_of])
    return {
        name: Group(name, cases.turned(count, 2, tables), call=call)
        for name, count, call in zip(POOLED, (1, 2, 3), (200, 256, 256), strict=True)
    }


class Leaning(torch.nn.Module):
    """Stands for a test of the pooled lean: notes what it is given, sees half as much of a lean at
    every look.
    """

    made: list["Leaning"]

    def __init__(self, p: Tensor, q: Tensor, alpha: float):
        super().__init__()
        self.p, self.q, self.alpha, self.mde, self.n, self.lean, self.rejected = (
            p,
            q,
            alpha,
            1.0,
            0,
            0.0,
            False,
        )
        self.counts: list[Tensor] = []
        self.made.append(self)

    def update(self, counts: Tensor) -> None:
        self.counts.append(counts)
        self.n += int(counts.sum())
        self.mde /= 2


@pytest.fixture
def leaning(monkeypatch: pytest.MonkeyPatch) -> list[Leaning]:
    Leaning.made = []
    monkeypatch.setattr(kernel_pooled, "Leaning", Leaning)
    return Leaning.made


class Keeps:
    """Keeps the whole draft with a probability, else nothing."""

    def __init__(self, share: float):
        self.share = share

    def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
        kept = torch.rand(len(draft), 1, generator=torch.Generator().manual_seed(seed)) < self.share
        last = torch.nn.functional.pad(
            p[:, 0].argmax(-1, keepdim=True), (0, draft.shape[1]), value=-1
        )
        return torch.where(kept, torch.cat((draft, p[:, -1].argmax(-1, keepdim=True)), 1), last)


def test_first_tokens_of_all_cases_are_held_against_the_line_from_target_to_draft(
    leaning: list[Leaning],
) -> None:
    groups = some()
    said = list(run("directed", groups, Mixed(0), mde=0.125))
    assert len(leaning) == 3
    for test, group in zip(leaning, groups.values(), strict=True):
        assert test.alpha == pytest.approx(1e-6 / 3)
        assert test.p.tolist() == [pytest.approx([0.7, 0.3]), pytest.approx([0.9, 0.1])]
        assert test.q.tolist() == [pytest.approx([0.2, 0.8]), pytest.approx([0.6, 0.4])]
        assert test.mde == 0.125  # .5, .25, .125: read until it is there, and no longer
        for counts, part in zip(test.counts, group.slices, strict=True):
            assert counts.tolist() == part.counts.unflatten(1, (2, -1)).sum(2).tolist()
    assert [v.verdict for v in said] == ["INCONCLUSIVE"] * 2 + ["PASS"] * 7
    assert [v.mde for v in said] == [0.5] * 5 + [0.25] * 3 + [0.125]
    assert said[-1].n == sum(test.n for test in leaning)
    assert (
        said[-1].what
        == "the distribution that fits best is +0 of the way from the target to the draft"
    )
    assert {v.alpha for v in said} == {leaning[0].alpha}


def test_a_lean_that_is_off_is_told_with_its_way_and_its_size(leaning: list[Leaning]) -> None:
    for lean, word in ((0.25, "often: "), (-0.034, "seldom: "), (0.0, "seldom: ")):
        leaning.clear()
        check = run("directed", some(), Mixed(0))
        assert next(check).verdict == "INCONCLUSIVE"
        leaning[1].rejected, leaning[1].lean, leaning[1].alpha = True, lean, 0.5
        said = next(check)
        assert said.verdict == "FAIL"
        assert said.what.startswith("tokens that your draft likes come out too " + word)
        assert f"best is {lean:+.2g} of" in said.what
        assert said.alpha == 0.5
        assert next(check, None) is None


@pytest.mark.parametrize(("w", "word"), [(0.3, "often"), (-0.3, "seldom")])
def test_a_kernel_that_leans_in_every_case_is_caught(w: float, word: str) -> None:
    *_, said = run("directed", some(), Mixed(w))
    assert said.verdict == "FAIL"
    assert f"come out too {word}" in said.what
    share = float(said.what.split("best is ")[1].split(" of")[0])
    assert share == pytest.approx(w, abs=0.1)


def test_no_rule_keeps_a_text_more_often_than_the_two_distributions_overlap() -> None:
    """Prefix by prefix, by hand: p = (.7, .3), then (.3, .7) or (.7, .3); q = (.2, .8), then (.8,
    .2) or (.2, .8).
    """
    t = Tables(
        ("x",),
        (
            torch.tensor([[[0.7, 0.3]]]).double(),
            torch.tensor([[[0.3, 0.7], [0.7, 0.3]]]).double(),
            torch.full((1, 4, 2), 0.5).double(),
        ),
        (torch.tensor([[[0.2, 0.8]]]).double(), torch.tensor([[[0.8, 0.2], [0.2, 0.8]]]).double()),
        torch.tensor([2]),
    )
    group = Group("x", t)
    assert coupling(group, 0, 1) == pytest.approx(0.2 + 0.3, abs=1e-6)
    texts = [
        (0.7 * 0.3, 0.2 * 0.8),
        (0.7 * 0.7, 0.2 * 0.2),
        (0.3 * 0.7, 0.8 * 0.2),
        (0.3 * 0.3, 0.8 * 0.8),
    ]
    assert coupling(group, 0, 2) == pytest.approx(sum(map(min, texts)), abs=1e-6)
    same = Group("same", cases.turned(2, 2, cases.TWOS, equal=True))
    assert all(
        coupling(same, case, i) == pytest.approx(1) for case, i in itertools.product((0, 1), (1, 2))
    )


class AtMost:
    """Stands for a test of one bound: notes hits and trials."""

    made: list["AtMost"]

    def __init__(self, bound: float, alpha: float):
        self.bound, self.alpha, self.mde, self.hits, self.n, self.rejected = (
            bound,
            alpha,
            1.0,
            0,
            0,
            False,
        )
        self.looks = 0
        self.made.append(self)

    def update(self, hits: int, n: int) -> None:
        self.looks, self.hits, self.n, self.mde = (
            self.looks + 1,
            self.hits + hits,
            self.n + n,
            self.mde / 2,
        )


@pytest.fixture
def bounds(monkeypatch: pytest.MonkeyPatch) -> list[AtMost]:
    AtMost.made = []
    monkeypatch.setattr(kernel_pooled, "AtMost", AtMost)
    return AtMost.made


def test_i_tokens_kept_are_counted_for_every_i_and_held_against_their_overlap(
    bounds: list[AtMost],
) -> None:
    groups = some()
    said = list(run("accepted", groups, Keeps(0.25), mde=0.125))
    places = [
        (group, case, i)
        for group in groups.values()
        for case in (0, 1)
        for i in range(1, group.K + 1)
    ]
    assert len(bounds) == len(places) == 12
    for test, (group, case, i) in zip(bounds, places, strict=True):
        assert test.bound == coupling(group, case, i)
        assert test.alpha == pytest.approx(1e-6 / 12)
        assert test.looks == 3
        kept = torch.stack([part.accepted[case] for part in group.slices[:3]]).sum(0)
        assert (test.hits, test.n) == (int(kept[i:].sum()), int(kept.sum()))
        assert 0.15 < test.hits / test.n < 0.35
    assert [v.verdict for v in said] == ["INCONCLUSIVE"] * 2 + ["PASS"] * 7
    assert [v.mde for v in said] == [0.5] * 5 + [0.25] * 3 + [0.125]
    assert said[-1].n == sum(
        test.n for test, (_, _, i) in zip(bounds, places, strict=True) if i == 1
    )
    assert said[-1].alpha == bounds[0].alpha
    pairs = torch.stack([part.accepted for part in groups["pairs"].slices[:3]]).sum(0)
    rate = float((pairs[:, 1] / pairs.sum(1)).mean())
    assert (
        said[-1].what
        == f"first draft tokens are accepted {rate:.0%} of the time, by the ratio rule "
        f"{(0.5 + 0.7) / 2:.0%}"
    )


def test_what_is_kept_too_often_is_told_with_both_probabilities(bounds: list[AtMost]) -> None:
    check = run("accepted", some(), Keeps(1))
    next(check)
    next(check)
    chosen = bounds[4]  # the second case of the chains: one token
    chosen.hits, chosen.n, chosen.bound, chosen.mde, chosen.rejected = 80, 100, 0.7, 0.03, True
    told = next(check)
    assert told.verdict == "FAIL"
    assert (
        told.what
        == "accepts 1 draft token with probability 0.800, and no lossless rule can with more than"
        " 0.700"
    )
    assert (told.n, told.mde) == (100, 0.03)
    assert told.tv == pytest.approx(0.1)
    assert told.case == "likely (V = 2, K = 2)"
    assert next(check, None) is None
    bounds.clear()
    check = run("accepted", some(), Keeps(1))
    next(check)
    next(check)
    bounds[1].rejected = bounds[3].rejected = True
    assert "accepts 1 draft token with" in next(check).what  # the first that is off
    bounds.clear()
    check = run("accepted", some(), Keeps(1))
    next(check)
    next(check)
    bounds[3].rejected = True
    assert "accepts 2 draft tokens with" in next(check).what


def test_a_kernel_that_keeps_all_is_caught_and_one_that_keeps_little_is_not() -> None:
    *_, said = run("accepted", some(), Keeps(1))
    assert said.verdict == "FAIL"
    assert "with probability 1.000" in said.what
    *_, said = run("accepted", some(), Keeps(0.3))
    assert said.verdict == "PASS"
    assert said.mde is not None
    assert said.mde <= 0.1


def watched(kernel: object) -> dict[str, Group]:
    names = (
        *kernel_distribution.DISAGREE,
        *kernel_distribution.EQUAL,
        *kernel_distribution.CERTAIN,
    )
    table: dict[str, tuple[cases.CaseRow, cases.CaseRow]] = {
        "some": ((7, 3), (2, 8)),
        "zero": ((1, 0), (1, 1)),
    }
    return {name: Group(name, cases.turned(1, 2, table), call=16) for name in names}


@pytest.mark.parametrize(
    ("check", "good"),
    [
        ("support", "no token of probability 0 in "),
        ("prefix", "all tokens but the last are the draft's, in "),
    ],
)
def test_what_only_watches_draws_each_group_once_and_then_looks_at_what_others_draw(
    check: str, good: str
) -> None:
    groups = watched(None)
    checking = run(check, groups, Mixed(0))
    said = [next(checking) for _ in groups]
    assert [v.verdict for v in said] == ["INCONCLUSIVE"] * (len(groups) - 1) + ["PASS"]
    drawn = sum(group.drawn for group in groups.values())
    assert all(len(group.slices) == 1 for group in groups.values())
    assert said[-1].n == drawn
    assert said[-1].what == f"{good}{drawn:,} rows"
    assert [v.n for v in said] == sorted({v.n for v in said})
    groups["five"].drawn += 5000  # by another check
    assert next(checking).n == drawn + 5000
    assert next(checking, None) is None


@pytest.mark.parametrize("check", ["support", "prefix"])
def test_what_only_watches_goes_on_as_long_as_any_test_does(check: str) -> None:
    """Also where the others draw nothing for a while, as when it is the turn of one that has draws
    of its own.
    """
    groups = watched(None)
    checking = run(check, groups, Mixed(0), testing=True)
    said = [next(checking) for _ in range(3 * len(groups))]
    assert said[-1].n == sum(group.drawn for group in groups.values())
    groups["five"].stray = groups["five"].impossible = "seen late"
    assert next(checking).what == "seen late"


@pytest.mark.parametrize(("check", "mark"), [("support", "impossible"), ("prefix", "stray")])
def test_what_is_seen_once_is_a_failure_and_the_end(check: str, mark: str) -> None:
    groups = watched(None)
    checking = run(check, groups, Mixed(0))
    next(checking)
    setattr(groups["none"], mark, "seen by another check")
    said = next(checking)
    assert (said.verdict, said.method, said.what) == (
        "FAIL",
        "deterministic",
        "seen by another check",
    )
    # of the whole run: others may have drawn it
    assert said.repro == "specref validate x --level kernel --seed 0"
    assert next(checking, None) is None
    groups = watched(None)
    checking = run(check, groups, Mixed(0))
    *_, last = (next(checking) for _ in groups)
    assert last.repro == ""
    setattr(groups["pairs"], mark, "seen without a draw")
    assert next(checking).verdict == "FAIL"


def test_a_token_of_probability_0_and_one_that_nobody_drafted_are_told_apart() -> None:
    class Wrong(Mixed):
        def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
            out = super().verify(p, q, draft, seed)
            if self.w:
                out[p[:, 0, 1] == 0, 0] = 1
            else:
                out[:, 0], out[:, 1] = 1 - draft[:, 0], p[:, 1].argmax(-1)
                out[p[:, 0, 1] == 0, 0] = 0
            return out

    assert next(run("support", watched(None), Wrong(1e-9))).verdict == "FAIL"
    assert next(run("prefix", watched(None), Wrong(1e-9))).verdict == "INCONCLUSIVE"
    assert next(run("prefix", watched(None), Wrong(0))).verdict == "FAIL"
