"""The exact checks of a kernel: what they ask, what they call wrong, and what they say."""

import itertools

import pytest
import torch
from specref.judge.session import MisbehavedError, Session
from specref.judge.suite import kernel_exact
from specref.judge.suite.kernel_distribution import groups
from specref.judge.suite.kernel_exact import impossible
from specref.judge.suite.kernel_group import Group
from specref.judge.suite.kernel_stream import SampleStream
from torch import Tensor

from tests.judge.by_hand import Given, empty, pair


def exact_checks(
    monkeypatch: pytest.MonkeyPatch, session: Session, kernel: object, *groups: Group
) -> list:
    """What kernel.exact-law says over these groups alone."""
    session.kept["kernel.draws"] = SampleStream(
        kernel,  # type: ignore[arg-type]
        session,
        {group.name: group for group in groups},
    )
    monkeypatch.setattr(kernel_exact, "GROUPS", tuple(group.name for group in groups))
    return list(kernel_exact.exact_distribution(kernel, session))


def sure(p: tuple[float, float], shift: float) -> Given:
    """Never keeps a draft; token 0 comes out with probability p(0) + shift."""

    def answer(_: Tensor, draft: Tensor, u: Tensor) -> Tensor:
        return torch.nn.functional.pad(
            (u[:, -1:] >= p[0] + shift).long(), (0, draft.shape[1]), value=-1
        )

    return Given(answer)


@pytest.mark.parametrize(
    ("shift", "verdict"),
    [
        (1e-8, "PASS"),
        (-1e-8, "PASS"),
        (9.9e-6, "PASS"),
        (1.01e-5, "FAIL"),
        (-1.01e-5, "FAIL"),
        (0.01, "FAIL"),
    ],
)
def test_a_kernel_that_is_off_by_1e_5_is_seen_and_one_that_is_off_by_1e_8_is_not(
    monkeypatch: pytest.MonkeyPatch, shift: float, verdict: str
) -> None:
    group = pair((0.5, 0.5), (0.25, 0.75), [(0.75, 0.25), (0.125, 0.875)])
    (said,) = exact_checks(monkeypatch, Session("x", "kernel"), sure((0.5, 0.5), shift), group)
    assert said.verdict == verdict
    assert said.method == "exact"
    assert said.tv == pytest.approx(abs(shift), abs=2e-10)
    low, high = said.interval
    assert low == pytest.approx(max(abs(shift) - 1e-6, 0), abs=1e-9)
    assert high == pytest.approx(abs(shift) + 1e-6, abs=1e-9)
    assert said.case.startswith("pair (V = 2, K = 1")
    assert said.n == 4  # two drafts, two boxes each


def test_an_exact_failure_tells_the_text_that_is_furthest_off_with_both_probabilities(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """0 comes out with .8 instead of .6: 1 1, which has to follow a 1, is missing most."""
    group = pair((0.6, 0.4), (0.75, 0.25), [(0.5, 0.5), (0, 1)])
    (said,) = exact_checks(monkeypatch, Session("x", "kernel"), sure((0.6, 0.4), 0.2), group)
    assert said.what.startswith("1 1 comes out with probability 0.200000 instead of 0.400000")
    assert said.what.endswith("tokens that your draft likes come out too often")
    (picture,) = said.pictures
    assert picture.title == "all tokens, pair (V = 2, K = 1)"
    assert picture.outcomes == ("0 0", "0 1", "1 0", "1 1")
    assert picture.expected == pytest.approx((0.3, 0.3, 0, 0.4))
    assert picture.observed == pytest.approx((0.4, 0.4, 0, 0.2), abs=1e-9)
    assert picture.draft == pytest.approx((0.375, 0.375, 0, 0.25))


def test_the_exact_verdict_waits_for_the_last_group_and_shows_the_worst_case(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = (
        empty((0.5, 0.5), (0.5 + 4e-6, 0.5 - 4e-6)),
        pair((0.5, 0.5), (0.25, 0.75), [(0.5, 0.5)] * 2),
    )
    said = exact_checks(monkeypatch, Session("x", "kernel"), sure((0.5, 0.5), 1e-6), first, second)
    assert [(v.verdict, v.n) for v in said] == [("INCONCLUSIVE", 4), ("PASS", 8)]
    assert [v.what for v in said] == ["2 cases, 4 boxes", "3 cases, 8 boxes"]
    assert all(v.case.startswith("case 1 ") for v in said)
    # p is handed over in float32
    assert [v.tv for v in said] == pytest.approx([3e-6] * 2, rel=1e-2)


def test_other_answers_for_the_same_uniforms_are_misbehaviour(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = itertools.count()
    kernel = Given(lambda p, draft, u: torch.full((len(u), 1), next(calls) % 2))
    with pytest.raises(MisbehavedError, match="no coin of its own"):
        exact_checks(monkeypatch, Session("x", "kernel"), kernel, empty((0.5, 0.5)))
    assert len(kernel.coins[0]) == 64
    assert torch.equal(*kernel.coins)
    assert len(kernel.coins[0].unique()) == 64


def test_slanted_walls_are_inconclusive_and_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(p: Tensor, draft: Tensor, u: Tensor) -> Tensor:
        return torch.stack(
            (((u[:, 0] + u[:, 1]) % 1 > 0.5).long(), torch.full_like(draft[:, 0], -1)), 1
        )

    (said,) = exact_checks(
        monkeypatch,
        Session("x", "kernel"),
        Given(answer),
        pair((0.5, 0.5), (0.5, 0.5), [(0.5, 0.5)] * 2),
    )
    assert (said.verdict, said.method) == ("INCONCLUSIVE", "exact")
    assert (
        said.what
        == "judged by sampling alone: pair (V = 2, K = 1): the answer changes with the uniforms in"
        " more ways than boxes show"
    )


def test_the_largest_distance_is_that_of_the_worst_group(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, kernel, session = (
        empty((0.5, 0.5), (0.8, 0.2)),
        empty((0.25, 0.75)),
        sure((0.5, 0.5), 0),
        Session("x", "kernel"),
    )
    second.name = "another"
    exact_checks(monkeypatch, session, kernel, first, second)
    assert kernel_exact.distances(kernel, session) == pytest.approx(0.3, abs=1e-7)  # type: ignore[arg-type]


def test_every_coin_and_the_last_draw_are_asked_at_0_and_at_the_largest_uniform_below_1() -> None:
    """Every combination, in float32 and in float64, for every draft that can be drawn; a vocabulary
    of 8,193 too.
    """
    sizes = set()

    def answer(p: Tensor, draft: Tensor, u: Tensor) -> Tensor:
        sizes.add(p.shape[2])
        return torch.nn.functional.pad(
            p[:, 0].argmax(-1, keepdim=True), (0, draft.shape[1]), value=-1
        )

    kernel, session = Given(answer), Session("x", "kernel")
    session.kept["kernel.draws"] = SampleStream(
        kernel,  # type: ignore[arg-type]
        session,
        {
            name: pair((0.5, 0.5), (0.25, 0.75) if name == "pairs" else (0, 1), [(0.5, 0.5)] * 2)
            for name in kernel_exact.GROUPS
        },
    )
    said = list(kernel_exact.edges(kernel, session))
    assert [v.verdict for v in said] == ["PASS"] * (2 + len(kernel_exact.GROUPS))
    assert said[-1].n == sum(len(call) for call in kernel.coins)
    small, large = {0.0, 0.5, 1 - 2**-24}, {0.0, 0.5, 1 - 2**-24, 1 - 2**-53}
    assert 8193 in sizes
    for call in kernel.coins:
        assert {*call.flatten().tolist()} <= (small if call.dtype == torch.float32 else large)
    for dtype, ends in ((torch.float32, small), (torch.float64, large)):
        asked = torch.cat([call for call in kernel.coins if call.dtype == dtype]).tolist()
        assert {tuple(row) for row in asked} == {*itertools.product(ends, repeat=2)}
    drafts = [v.n for v in said[2:]]
    # one draft each
    assert [b - a for a, b in itertools.pairwise(drafts)] == [9 + 16] * (len(drafts) - 1)
    assert drafts[0] - said[1].n == 2 * (9 + 16)  # two in the first


@pytest.mark.parametrize(
    ("dtype", "axis", "u", "told"),
    [
        (torch.float32, 0, 0.0, "float32 uniforms 0, 0"),
        (torch.float32, 1, 1 - 2**-24, "float32 uniforms 0, 1 - 2^-24"),
        (torch.float64, 0, 1 - 2**-53, "float64 uniforms 1 - 2^-53, 0"),
        (torch.float64, 1, 0.5, "float64 uniforms 0, 0.5"),
    ],
)
def test_a_token_of_probability_0_at_one_end_of_one_uniform_is_a_failure(
    dtype: torch.dtype, axis: int, u: float, told: str
) -> None:
    group = pair((0.6, 0.4, 0), (0.3, 0.3, 0.4), [(0.5, 0.5, 0)] * 3)

    def answer(p: Tensor, draft: Tensor, coins: Tensor) -> Tensor:
        wrong = (
            (coins[:, axis] == u) & (coins.dtype == dtype) & (draft[:, 0] == 1) & (p.shape[2] == 3)
        )
        # 0, then 2 or nothing
        return torch.nn.functional.pad(torch.where(wrong, 2, -1)[:, None], (draft.shape[1], 0))

    kernel, session = Given(answer), Session("x", "kernel")
    session.kept["kernel.draws"] = SampleStream(
        kernel,  # type: ignore[arg-type]
        session,
        dict.fromkeys(kernel_exact.GROUPS, group),
    )
    *before, said = kernel_exact.edges(kernel, session)
    assert [v.verdict for v in before] == ["PASS", "PASS"]
    assert said.verdict == "FAIL"
    assert said.what == f"emits [0, 2], which has probability 0, at the {told}"
    assert said.case.startswith("pair (V = 3, K = 1")


def test_what_is_impossible_is_told_by_the_target_alone() -> None:
    """The second token's distribution depends on the first: 1 is possible behind 0, and not behind
    2; 1 comes never first.
    """
    group = pair((0.5, 0, 0.5), (0.2, 0.4, 0.4), [(0, 1, 0), (1, 0, 0), (0.5, 0, 0.5)])
    said = torch.tensor(
        [[0, -1], [1, -1], [2, -1], [0, 1], [0, 0], [2, 1], [2, 2], [1, 0], [3, -1], [0, 3]]
    )
    rows = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1, 0, 0])
    assert kernel_exact.impossible(group, rows, said).tolist() == [
        False,
        True,
        False,
        False,
        True,
        True,
        False,
        True,
        True,
        True,
    ]


def test_impossible_answers_are_seen_to_their_last_token() -> None:
    group = groups()["pairs"]
    zeros = group.tables.names.index("zeros") * group.drafts  # p = (5, 3, 0, 2), then (2, 5, 3, 0)
    said = torch.tensor([[2, -1], [0, -1], [0, 1], [0, 2], [1, 3], [3, 0]])
    assert impossible(group, torch.full((6,), zeros), said).tolist() == [
        True,
        False,
        False,
        False,
        True,
        False,
    ]
    wide = Group("wide", group.tables, ids=torch.tensor([5, 6, 7, 9]), size=12)
    assert wide.inside(torch.tensor([[5, -1], [9, 8], [0, 11]])).tolist() == [
        [0, -1],
        [3, 4],
        [4, 4],
    ]
    assert impossible(wide, torch.full((1,), zeros), torch.tensor([[3, 4]])).tolist() == [True]
