"""Which expected distribution each sequential test of a kernel is given, what it reads, when it
ends and what it says.
"""

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from specref.adapters.reference import Rejection
from specref.judge import cases
from specref.judge.contract import Kernel
from specref.judge.session import Session
from specref.judge.suite import checks, kernel_distribution
from specref.judge.suite.kernel_distribution import (
    DistributionTest,
    Window,
    detectable,
    distribution,
    distribution_tests,
    failed,
    first,
    groups,
    passed,
    places,
    windows,
    within,
)
from specref.judge.suite.kernel_group import Group, Slice
from specref.judge.suite.kernel_stream import SampleStream
from specref.judge.verdict import Verdict
from specref.judge.zoo.adapters import adapter
from specref.judge.zoo.judged import bugs
from specref.stats import power
from specref.stats.sequential import OneSample
from torch import Tensor

from tests.judge.by_hand import Mixed

SHAPES = {  # vocabulary, draft tokens
    "pairs": (4, 1),
    "chains": (3, 2),
    "threes": (2, 3),
    "sixteen": (16, 1),
    "five": (2, 5),
    "eight": (2, 8),
    "sixty-four": (64, 1),
    "equal pairs": (4, 1),
    "equal chains": (3, 2),
    "none": (4, 0),
    "rare": (16, 0),
    "certain pairs": (4, 1),
    "certain chains": (3, 2),
}


def two(name: str = "two") -> Group:
    """One draft token of two: p = (.7, .3) and (.9, .1), q = (.2, .8) and (.6, .4)."""
    return Group(name, cases.turned(1, 2, cases.TWOS))


def test_drafts_of_0_to_8_tokens_in_vocabularies_of_2_to_64() -> None:
    made = groups()
    assert {name: (group.V, group.K) for name, group in made.items()} == SHAPES
    for name in ("equal pairs", "equal chains"):
        group = made[name]
        assert torch.allclose(group.draft, within(group, group.target, (0, group.K)))
    for name in kernel_distribution.DISAGREE:
        group = made[name]
        off = (group.draft - within(group, group.target, (0, group.K))).abs().sum(1) / 2
        assert float(off.min()) > 0.03, "the draft is to disagree with the target in every case"
    assert {
        *kernel_distribution.DISAGREE,
        *kernel_distribution.EQUAL,
        *kernel_distribution.CERTAIN,
    } == {*made}
    assert {*made["chains"].tables.names} == {"opposed", "zeros", "weighed"}
    assert {name for name, group in made.items() if group.certain} == {*kernel_distribution.CERTAIN}


def test_32_outcomes_are_looked_at_as_one_distribution_and_longer_texts_window_by_window() -> None:
    assert {name: windows(group) for name, group in groups().items()} == {
        "pairs": [(0, 2)],
        "chains": [(0, 3)],
        "threes": [(0, 4)],
        "sixteen": [(0, 1), (1, 2)],
        "five": [(0, 5), (5, 6), (0, 2, 3, 6)],
        "eight": [(0, 5), (5, 9), (0, 2, 6, 9)],
        "sixty-four": [(0, 1), (1, 2)],
        "equal pairs": [(0, 2)],
        "equal chains": [(0, 3)],
        "none": [(0, 1)],
        "rare": [(0, 1)],
        "certain pairs": [(0, 2)],
        "certain chains": [(0, 3)],
    }


def test_windows_are_as_wide_as_32_outcomes_allow() -> None:
    assert windows(Group("x", cases.turned(2, 4, {"opposed": cases.PAIRS["opposed"]}))) == [
        (0, 2),
        (2, 3),
        (0, 1, 2, 3),
    ]
    assert windows(Group("x", cases.turned(5, 3, {"opposed": cases.CHAINS["opposed"]}))) == [
        (0, 3),
        (3, 6),
        (0, 1, 4, 6),
    ]


def test_the_places_of_a_window_are_those_of_its_one_run_or_two() -> None:
    assert places((1, 3)) == [1, 2]
    assert places((0, 2, 6, 9)) == [0, 1, 6, 7, 8]


def test_a_window_sums_over_all_other_tokens() -> None:
    group = Group("threes", cases.turned(3, 2, cases.TWOS))
    texts = list(itertools.product(range(2), repeat=4))
    for window, kept in (
        ((0, 1), [0]),
        ((1, 3), [1, 2]),
        ((2, 4), [2, 3]),
        ((0, 4), [0, 1, 2, 3]),
        ((0, 1, 3, 4), [0, 3]),
        ((0, 1, 2, 4), [0, 2, 3]),
    ):
        assert kernel_distribution.places(window) == kept
        for case, row in enumerate(within(group, group.target, window).tolist()):
            for wanted, mass in zip(
                itertools.product(range(2), repeat=len(kept)), row, strict=True
            ):
                right = 0.0
                for text, probability in zip(texts, group.target[case].tolist(), strict=True):
                    if tuple(text[place] for place in kept) == wanted:
                        right += probability
                assert mass == pytest.approx(right, abs=1e-14)


def test_what_can_be_detected_is_known_to_two_digits_of_the_draws() -> None:
    for n, rounded in ((7, 7), (99, 99), (100, 100), (12_345, 12_000), (19_999, 19_000)):
        assert detectable(n, 4, 1e-7, 0.02) == power.mde(rounded, 4, 1e-7, plan=0.02)


def filled(group: Group, *slices: Tensor) -> Group:
    """A group whose slices hold these counts of every case."""
    accepted = torch.zeros(group.cases, group.K + 1)
    group.slices = [Slice(counts.double().expand(group.cases, -1), accepted) for counts in slices]
    return group


def a_test(
    group: Group, case: int = 0, alpha: float = 1e-6, window: tuple[int, int] = (0, 1)
) -> DistributionTest:
    return DistributionTest(
        group, case, window, OneSample(within(group, group.target[case], window), alpha, [], 0.01)
    )


def test_a_distribution_is_read_slice_by_slice_until_it_would_have_shown_what_matters() -> None:
    fits = torch.tensor([700, 0, 0, 300])
    test = a_test(filled(two(), *[fits] * 200))
    assert not test.go_on(0.0, until=2)
    assert (test.read, test.test.n) == (2, 2000)
    assert test.test.counts.tolist() == [[1400, 600]]
    assert not test.go_on(0.05)
    assert test.mde() <= 0.05 < power.mde(1000 * (test.read - 1), 2, 1e-6, plan=0.01)
    before = test.read
    test.go_on(0.05)
    assert test.read == before  # and no further
    test.go_on(0.0)
    assert test.read == 200
    test = a_test(filled(two(), *[fits] * 9))
    test.go_on(detectable(3000, 2, 1e-6, 0.01))
    assert test.read == 3  # there is enough


def test_a_distribution_that_is_rejected_is_read_no_further() -> None:
    test = a_test(filled(two(), *[torch.tensor([200, 0, 0, 800])] * 20))
    assert test.go_on(0.0)
    assert test.test.rejected
    assert test.read < 20
    assert test.go_on(0.0)
    fine = a_test(filled(two(), torch.tensor([700, 0, 0, 300])))
    assert fine.go_on(0.99) is False
    assert fine.read == 1  # whatever the goal, one slice is looked at


def found(kernel: object, session: Session, *groups: Group) -> SampleStream:
    return SampleStream(kernel, session, {group.name: group for group in groups})  # type: ignore[arg-type]


def test_each_test_has_its_distribution_the_draft_as_alternative_and_its_share_of_alpha() -> None:
    session = Session("x", "kernel", mde=0.03)
    draws = found(None, session, two("a"), two("b"), Group("c", cases.turned(2, 2, cases.TWOS)))
    tests = distribution_tests(draws, ["a", "c"], session, lambda group: [(0, 1), (1, 2)])
    assert [(t.group.name, t.case, t.window) for t in tests] == [
        (name, case, window)
        for name in ("a", "c")
        for window in ((0, 1), (1, 2))
        for case in (0, 1)
    ]
    for t in tests:
        assert t.test.alpha == pytest.approx(1e-6 / 8)
        assert t.test.plan == 0.03
        assert t.test.p.tolist() == pytest.approx(
            within(t.group, t.group.target[t.case], t.window).tolist()
        )
        draft = within(t.group, t.group.followed[t.case], t.window)
        assert any(torch.allclose(row, draft) for row in t.test.towards)
    assert {t.test.plan for t in distribution_tests(draws, ["a"], session, windows, 0.2)} == {0.2}


def test_a_right_kernel_is_inconclusive_until_every_case_is_begun_and_passes_at_the_goal() -> None:
    session = Session("x", "kernel", mde=0.1)
    said = list(
        distribution(found(Rejection(), session, two("a"), two("b")), session, ["a", "b"], windows)
    )
    assert [v.verdict for v in said] == ["INCONCLUSIVE"] + ["PASS"] * (len(said) - 1)
    assert said[0].what == "2 cases, 2 not reached"
    assert said[-1].what == "4 cases"
    assert all(v.method == "e-process" and v.alpha == pytest.approx(1e-6 / 4) for v in said)
    assert said[-1].mde is not None
    assert said[-2].mde is not None
    assert said[-1].mde <= 0.1 < said[-2].mde
    assert said[-1].n > said[0].n


def test_a_single_wrong_row_fails_where_no_other_check_would_tell_and_only_there() -> None:
    session = Session("x", "kernel", mde=0.3)
    for stray in ("", "a token that nobody drafted"):
        for given in ({}, {"alone": True}):
            group = two("a")
            group.stray = stray
            *_, said = distribution(
                found(Rejection(), session, group), session, ["a"], windows, **given
            )
            assert said.verdict == ("FAIL" if stray and given else "PASS")
    assert (said.method, said.what, said.n) == ("deterministic", stray, group.drawn)


def test_the_case_that_is_hardest_to_see_has_to_reach_the_goal() -> None:
    """A target of one possible token needs a few draws, one of four many more."""
    session = Session("x", "kernel", mde=0.1)
    group = Group("mixed", cases.chosen(("certain target", "opposed", "certain both")), call=256)
    *_, said = distribution(found(Rejection(), session, group), session, ["mixed"], first)
    assert said.verdict == "PASS"
    assert said.mde is not None
    assert said.mde <= 0.1


def test_the_group_that_has_seen_least_is_drawn_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two cases of two tokens and one of sixteen, as many draws see least among sixteen."""
    session, seen = Session("x", "kernel", mde=0.05), []
    few, many = two("few"), Group("many", cases.chosen(("close of 16",)))
    draws = found(Rejection(), session, few, many)
    tests: list[DistributionTest] = []
    made = distribution_tests

    def making(*given: Any) -> list[DistributionTest]:
        tests.extend(made(*given))
        return tests

    monkeypatch.setattr(kernel_distribution, "distribution_tests", making)
    reach = SampleStream.reach

    def noted(self: SampleStream, name: str, number: int) -> Slice:
        least: dict[str, float] = {"few": 0.0, "many": 0.0}
        for test in tests:
            least[test.group.name] = max(least[test.group.name], test.mde())
        seen.append((name, max(least, key=lambda group: least[group])))
        return reach(self, name, number)

    monkeypatch.setattr(SampleStream, "reach", noted)
    *_, said = distribution(draws, session, ["few", "many"], first)
    assert all(name == least for name, least in seen)
    assert {name for name, _ in seen} == {"few", "many"}
    assert said.mde is not None
    assert said.mde <= 0.05


def test_a_wrong_kernel_fails_with_the_case_that_shows_it() -> None:
    session = Session("x", "kernel", mde=0.1)
    right = Group("right", cases.turned(1, 2, {"equal": ((9, 1), (9, 1))}))
    *_, said = distribution(
        found(Mixed(1), session, right, two("b")), session, ["right", "b"], first
    )
    assert said.verdict == "FAIL"
    assert said.case in {"opposed (V = 2, K = 1)", "likely (V = 2, K = 1)"}
    assert said.what.startswith("the first token: ")
    assert said.what.endswith("tokens that your draft likes come out too often")


def test_slices_that_are_there_already_are_read_before_a_verdict_is_said() -> None:
    """Another check has drawn them: this one looks at all of them at once."""
    session = Session("x", "kernel", mde=0.2)
    draws = found(Rejection(), session, two("a"))
    said = list(distribution(draws, session, ["a"], windows))
    again = list(distribution(draws, session, ["a"], windows))
    assert len(draws.groups["a"].slices) >= 1
    assert again == said[-1:]


def test_a_pass_tells_the_least_power_the_oddest_case_and_counts_every_draw_once() -> None:
    group, other = filled(two("a"), 1000 * two().target[0]), two("b")
    tests = [a_test(group, window=window) for window in ((0, 1), (1, 2))] + [
        a_test(group, 1),
        a_test(other),
    ]
    for test in tests:
        test.go_on(0.0)
    said = passed(tests)
    assert said.verdict == "INCONCLUSIVE"
    assert said.what == "2 cases, 1 not reached"
    assert said.n == 2000  # of two cases; the second window sees the same draws
    assert said.mde == 1  # in a case that was not reached it has seen nothing
    assert said.case == "likely (V = 2, K = 1)"  # .7 instead of .9
    assert said.tv == pytest.approx(0.2, abs=1e-6)
    assert said.interval is not None
    assert 0 < said.interval[0] < 0.2 < said.interval[1]
    assert passed(tests[:3]).verdict == "PASS"
    assert passed(tests[:3]).what == "2 cases"
    assert passed(tests[:3]).mde == max(test.mde() for test in tests[:3]) < 1
    few = a_test(filled(two("few"), torch.tensor([7, 0, 0, 3])))
    few.go_on(0.0)
    assert passed([*tests[:3], few]).mde == few.mde()


def test_a_failure_counts_only_what_the_test_has_read(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def looking(group: Group, case: int, counts: Tensor) -> str:
        seen.append((case, counts.tolist()))
        return "a cause"

    monkeypatch.setattr(kernel_distribution, "cause", looking)
    group = filled(
        two(),
        torch.tensor([100, 0, 0, 900]),
        torch.tensor([1, 2, 3, 4]),
        torch.tensor([5, 5, 5, 5]),
    )
    test = a_test(group, 1)
    test.go_on(0.0, until=2)
    said = failed(test)
    assert seen == [(1, [101, 2, 3, 904] if test.read == 2 else [100, 0, 0, 900])]
    assert said.what.startswith("the first token: 0 comes out with probability 0.1")
    assert "instead of 0.900" in said.what
    (picture,) = said.pictures
    assert picture.title == "the first token, likely (V = 2, K = 1)"
    assert picture.expected == pytest.approx((0.9, 0.1))
    assert picture.draft == pytest.approx((0.6, 0.4))
    assert (said.alpha, said.mde) == (1e-6, test.mde())


def test_the_outcome_that_is_furthest_off_is_told() -> None:
    """.6, .3, .1 is expected, and .5, .25, .25 seen: it is the third."""
    group = Group("threes", cases.turned(1, 3, {"opposed": cases.CHAINS["opposed"]}))
    test = a_test(filled(group, torch.tensor([500, 0, 0, 250, 0, 0, 250, 0, 0])))
    test.go_on(0.0)
    assert failed(test).what.startswith(
        "the first token: 2 comes out with probability 0.250 instead of 0.100"
    )
    both = a_test(group, window=(0, 2))
    both.go_on(0.0)
    assert failed(both).what.startswith(
        "tokens 1 to 2: 0 0 comes out with probability 0.500 instead of"
    )


def test_of_many_outcomes_the_32_that_are_furthest_off_are_drawn() -> None:
    group = filled(Group("wide", cases.wide(64)), torch.ones(64 * 64))
    test = a_test(group)
    test.go_on(0.9, until=1)
    (picture,) = failed(test).pictures
    # p falls in equal steps from 64/2080 to 1/2080, and 1/64 was seen
    off = [abs(i - 31.5) for i in range(64)]
    assert picture.outcomes == tuple(str(i) for i in range(64) if off[i] > 15.5)
    assert len(picture.outcomes) == 32


def test_texts_are_told_token_by_token() -> None:
    group = groups()["chains"]
    assert [kernel_distribution.outcome(group, (0, 3), n) for n in (0, 5, 26)] == [
        "0 0 0",
        "0 1 2",
        "2 2 2",
    ]
    assert kernel_distribution.outcome(group, (1, 2), 2) == "2"
    assert kernel_distribution.outcome(group, (0, 1, 2, 3), 5) == "1 2"
    assert [
        kernel_distribution.named(window)
        for window in ((0, 1), (1, 2), (1, 3), (0, 2, 6, 9), (0, 1, 5, 6))
    ] == [
        "the first token",
        "token 2",
        "tokens 2 to 3",
        "tokens 1 to 2 and 7 to 9",
        "tokens 1 and 6",
    ]


@pytest.mark.parametrize(
    ("check", "names", "look"),
    [
        ("first_token", kernel_distribution.DISAGREE, first),
        ("joint", kernel_distribution.DISAGREE, windows),
        ("bonus", kernel_distribution.EQUAL, windows),
        ("certain_draft", kernel_distribution.CERTAIN, windows),
    ],
)
def test_which_groups_and_places_a_check_looks_at(
    monkeypatch: pytest.MonkeyPatch, check: str, names: tuple[str, ...], look: Callable
) -> None:
    asked = []

    def asking(found: Any, session: Session, names: Any, look: Any) -> Iterator[Verdict]:
        asked.append((names, look))
        return iter(())

    monkeypatch.setattr(kernel_distribution, "distribution", asking)
    list(getattr(kernel_distribution, check)(None, Session("x", "kernel")))
    assert asked == [(names, look)]
    assert first(groups()["chains"]) == [(0, 1)]


def test_what_takes_a_share_of_the_false_alarms_is_what_tests_distributions_by_chance() -> None:
    known = {item.id.removeprefix("kernel."): item for item in checks("kernel")}
    assert {name for name, item in known.items() if item.statistical} == {
        "first-token",
        "token-bets",
        "half-inputs",
        "joint",
        "bonus",
        "certain-draft",
        "directed",
        "accepted",
        "tree-first-token",
        "tree-joint",
        "tree-independence",
        "tree-seeds",
        "independence",
        "seeds",
    }
    assert {name for name, item in known.items() if item.distribution} == {
        "exact-law",
        *(name for name, item in known.items() if item.statistical),
    }


def told_places(chosen: list[Window], group: Group) -> list[Window]:
    return chosen


def test_a_distribution_that_is_off_is_told_with_its_place_its_numbers_and_its_pictures() -> None:
    session = Session("x", "kernel")
    group = groups()["chains"]
    for window, place in (
        ((0, 1), "the first token"),
        ((1, 2), "token 2:"),
        ((0, 3), "tokens 1 to 3"),
    ):
        test, *_ = distribution_tests(
            type("D", (), {"groups": {"chains": group}})(),
            ["chains"],
            session,
            partial(told_places, [window]),
        )
        counts = torch.zeros_like(test.test.p)
        counts[-1] = 500
        counts[0] = 500
        test.test.update(counts)
        group.slices, test.read = [group.empty()], 1
        said = failed(test)
        assert said.what.startswith(place)
        assert said.n == 1000
        assert said.tv is not None
        assert said.interval is not None
        assert said.interval[0] <= said.tv <= said.interval[1]
        (picture,) = said.pictures
        assert (
            len(picture.outcomes)
            == min(len(counts), 32)
            == len(picture.expected)
            == len(picture.observed)
        )
        assert picture.observed[-1] == 0.5
        assert sum(picture.draft) == pytest.approx(1)


def test_what_can_be_detected_is_never_said_to_be_less_than_it_is() -> None:
    for n in (7, 99, 1234, 98_765):
        assert (
            power.mde(n, 8, 1e-8, plan=0.01)
            <= detectable(n, 8, 1e-8, 0.01)
            <= 1.1 * power.mde(n, 8, 1e-8, plan=0.01)
        )


def test_distributions_depend_on_every_token_before_them() -> None:
    """Of the first two tokens each changes the distribution of the third, in p; a judge without
    that would miss a wrong row.
    """
    for name in ("chains", "threes", "five", "eight"):
        group = groups()[name]
        third = group.tables.p[2][0].view(group.V, group.V, -1)
        assert not torch.equal(third[0], third[1])
        assert not torch.equal(third[:, 0], third[:, 1])
    last = groups()["chains"].tables.p[2][0]
    assert len({tuple(row) for row in last.tolist()}) == 3


class _WithoutReplacement(Kernel):
    """Right in every row that is asked alone. The rows of one batch take the quantiles of p in
    turn, as draws without replacement do; drafts are never kept."""

    def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
        g = torch.Generator().manual_seed(seed)
        u = torch.rand(len(p), 1, generator=g)
        if len(p) > 1:
            u = u / 2 + (torch.arange(len(p)) % 2 == 0)[:, None] / 2 * (u < 0.9)
        first = (p[:, 0].cumsum(1) < u * p[:, 0].sum(1, keepdim=True)).sum(1, keepdim=True)
        rest = torch.full((len(p), draft.shape[1]), -1)
        return torch.cat((first.clamp(max=p.shape[2] - 1), rest), 1)


def test_a_distribution_that_is_off_in_batches_alone_is_told_as_the_batchs_fault() -> None:
    """And the owner is not sent to search the rule."""
    check = next(item for item in checks("kernel") if item.id == "kernel.first-token")
    *_, said = check.run(_WithoutReplacement(), Session("x", "kernel"))
    assert (said.verdict, said.cause) == ("FAIL", kernel_distribution.IN_BATCHES)
    assert "passes row by row" in said.scenario
    *_, rule = check.run(
        adapter(bugs("kernel")["residual-reversed"].subject), Session("x", "kernel")
    )
    assert rule.verdict == "FAIL"
    assert rule.cause != kernel_distribution.IN_BATCHES
