"""What the judge hands to a kernel, what it takes back, and the words in which it says what was wrong."""

import pytest
import torch
from torch import Tensor

from reference.conformance.adapters.reference import Rejection
from reference.conformance.session import MisbehavedError, Session, judge
from reference.conformance.suite import checks, kernel_tree
from reference.conformance.suite.kernel_call import answer, called
from reference.conformance.suite.kernel_cause import lean
from reference.conformance.suite.kernel_exact import impossible
from reference.conformance.suite.kernel_group import Group
from reference.conformance.suite.kernel_law import CERTAIN, detectable, failed, groups, law_tests, windows
from reference.conformance.verdict import Verdict
from reference.law import power

GOOD = [[3, -1, -1], [0, 7, -1], [1, 2, 3]]


@pytest.mark.parametrize(("row", "said"), [
    ([-1, -1, -1], "emits no token"), ([0, -1, 2], "-1 stands only behind"), ([-1, 3, -1], "emits no token"),
    ([8, -1, -1], "token 8, outside 0..7"), ([0, 1, 8], "token 8"), ([-2, -1, -1], "token -2"), ([0, -3, -1], "token -3")])
def test_one_bad_row_among_good_ones_is_enough(row: list[int], said: str) -> None:
    for place in range(4):
        rows = [*GOOD[:place], row, *GOOD[place:]]
        with pytest.raises(MisbehavedError, match=said):
            answer(torch.tensor(rows), 4, 3, 8)


def test_a_good_answer_is_taken_in_any_integer_type() -> None:
    for dtype in (torch.int64, torch.int32, torch.int16):
        assert answer(torch.tensor(GOOD, dtype=dtype), 3, 3, 8).tolist() == GOOD
    assert answer(torch.tensor([[0], [7]]), 2, 1, 8).tolist() == [[0], [7]]


@pytest.mark.parametrize(("out", "said"), [
    (GOOD, "returns a list"), (None, "returns a NoneType"), (torch.tensor(GOOD).float(), "returns float32"),
    (torch.tensor(GOOD) > 0, "returns bool"), (torch.tensor(GOOD)[:2], r"shape \[2, 3\]"),
    (torch.tensor(GOOD)[:, :2], r"shape \[3, 2\]"), (torch.tensor(GOOD).T[:, :2], r"shape \[3, 2\]")])
def test_what_is_no_answer_is_named(out: object, said: str) -> None:
    with pytest.raises(MisbehavedError, match=said):
        answer(out, 3, 3, 8)


@pytest.mark.parametrize("name", ["p", "q", "draft"])
def test_an_input_that_is_changed_is_named(name: str) -> None:
    class Writes(Rejection):
        def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
            out = super().verify(p, q, draft, seed)
            {"p": p, "q": q, "draft": draft}[name].view(-1)[-1:].add_(1)  # type: ignore[union-attr]
            return out

    p, draft = torch.full((2, 2, 2), 0.5), torch.zeros(2, 1, dtype=torch.int64)
    with pytest.raises(MisbehavedError, match=f"its input {name}:"):
        called(Writes(), Session("x", "kernel"), p, p[:, :1].clone(), draft, 0)


class Recording(Rejection):
    """Notes every call: rows, draft tokens, vocabulary, whether q is given, and the seed."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int, int, bool, int]] = []

    def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
        assert p.dtype == torch.float32
        assert p.shape == (len(draft), draft.shape[1] + 1, p.shape[2])
        assert draft.dtype == torch.int64
        assert q is None or (q.shape == (len(draft), draft.shape[1], p.shape[2]) and q.dtype == torch.float32)
        assert q is None or bool((q.gather(2, draft[..., None]) > 0).all())
        self.calls.append((len(draft), draft.shape[1], p.shape[2], q is not None, seed))
        return super().verify(p, q, draft, seed)


def recorded(check: str, mde: float = 0.1) -> tuple[list[tuple[int, int, int, bool, int]], Verdict]:
    kernel = Recording()
    (said,) = judge(kernel, Session("x", "kernel", budget=60, mde=mde), [c for c in checks("kernel") if c.id == check])
    return kernel.calls, said


def test_small_batches_are_of_one_row_and_of_five_with_their_q_and_other_seeds() -> None:
    calls, said = recorded("kernel.small-batches")
    assert {(rows, count, told) for rows, count, _, told, _ in calls} == {(1, 1, True), (5, 1, True)}
    assert len({seed for *_, seed in calls}) > 0.9 * len(calls) / 2
    assert said.n == sum(rows for rows, *_ in calls)
    assert said.mde is not None
    assert said.mde <= 0.1


def test_a_certain_draft_comes_without_its_q_and_others_with_it() -> None:
    assert {told for *_, told, _ in recorded("kernel.certain-draft")[0]} == {False}
    assert {told for *_, told, _ in recorded("kernel.first-token")[0]} == {True}
    assert {count for _, count, *_ in recorded("kernel.first-token")[0]} == {1, 2, 3, 5, 8}
    assert {group.name for group in groups().values() if group.certain} == {*CERTAIN}


def test_equal_rows_come_in_pairs_of_calls_with_seeds_in_a_row() -> None:
    for check in ("kernel.seeds", "kernel.independence"):
        calls, _ = recorded(check)
        assert all(a[:4] == b[:4] and b[4] == a[4] + 1 for a, b in zip(calls[::2], calls[1::2]))
        assert {(count, told) for _, count, _, told, _ in calls} == {(0, True), (1, True), (4, True), (1, False)}


def test_large_vocabularies_are_large() -> None:
    calls, said = recorded("kernel.large-vocabulary", mde=0.3)
    assert {size for _, _, size, *_ in calls} == {4097, 32768}
    assert "of 32,768" in said.what


def test_batches_have_many_sizes() -> None:
    assert len({rows for rows, *_ in recorded("kernel.joint")[0]}) >= 5


def test_a_law_that_is_off_is_told_with_its_place_its_numbers_and_its_pictures() -> None:
    session = Session("x", "kernel")
    group = groups()["chains"]
    for window, place in (((0, 1), "the first token"), ((1, 2), "token 2:"), ((0, 3), "tokens 1 to 3")):
        (test, *_) = law_tests(type("D", (), {"groups": {"chains": group}})(), ["chains"], session, lambda g, w=window: [w])
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
        assert len(picture.outcomes) == min(len(counts), 32) == len(picture.expected) == len(picture.observed)
        assert picture.observed[-1] == 0.5
        assert sum(picture.draft) == pytest.approx(1)


def test_a_lean_is_told_only_where_there_is_one() -> None:
    p, q = torch.tensor([0.4, 0.3, 0.2, 0.1]).double(), torch.tensor([0.1, 0.2, 0.3, 0.4]).double()
    assert "too often" in lean(p, 0.9 * p + 0.1 * q, q)
    assert "too seldom" in lean(p, 1.1 * p - 0.1 * q, q)
    assert lean(p, torch.tensor([0.4, 0.2, 0.3, 0.1]).double(), torch.tensor([0.5, 0.3, 0.2, 0.0]).double()) == ""
    assert lean(p, 0.9 * p + 0.1 * q, p) == ""


def test_what_can_be_detected_is_never_said_to_be_less_than_it_is() -> None:
    for n in (7, 99, 1234, 98_765):
        assert power.mde(n, 8, 1e-8, plan=0.01) <= detectable(n, 8, 1e-8, 0.01) <= 1.1 * power.mde(n, 8, 1e-8, plan=0.01)


def test_impossible_answers_are_seen_to_their_last_token() -> None:
    group = groups()["pairs"]
    zeros = group.tables.names.index("zeros") * group.drafts  # p = (5, 3, 0, 2), then (2, 5, 3, 0)
    said = torch.tensor([[2, -1], [0, -1], [0, 1], [0, 2], [1, 3], [3, 0]])
    assert impossible(group, torch.full((6,), zeros), said).tolist() == [True, False, False, False, True, False]
    wide = Group("wide", group.tables, ids=torch.tensor([5, 6, 7, 9]), size=12)
    assert wide.inside(torch.tensor([[5, -1], [9, 8], [0, 11]])).tolist() == [[0, -1], [3, 4], [4, 4]]
    assert impossible(wide, torch.full((1,), zeros), torch.tensor([[3, 4]])).tolist() == [True]


def test_answers_astray_are_told_from_those_that_follow_the_draft() -> None:
    group = groups()["threes"]
    draft = torch.tensor([[0, 1, 1]] * 5)
    said = torch.tensor([[1, -1, -1, -1], [0, 0, -1, -1], [1, 1, -1, -1], [0, 1, 1, 0], [0, 1, 0, 1]])
    assert group.astray(draft, said, (said >= 0).sum(1)).tolist() == [False, False, True, False, True]


def test_a_path_down_a_tree_is_one() -> None:
    group = kernel_tree.groups()["two and two"]  # nodes 0 and 1 below the context, 2 below 0, 3 below 1
    assert isinstance(group, kernel_tree.TreeGroup)
    nodes = torch.tensor([[0, 1, 2, 0]] * 6)
    said = torch.tensor([[2, -1, -1], [0, 1, -1], [2, 1, -1], [0, 2, 1], [1, 0, 2], [1, 2, 0]])
    assert group.astray(nodes, said, (said >= 0).sum(1)).tolist() == [False, False, True, False, False, True]
    assert windows(group) == [(0, 3)]


def test_siblings_without_replacement_never_repeat_and_the_best_are_certain() -> None:
    found = kernel_tree.groups()
    apart, best = found["three of a kind"], found["three best"]
    tokens = apart._tokens[(apart.draft > 0).any(0)]
    assert all(len(set(row)) == 3 for row in tokens.tolist())
    assert (best.draft > 0).sum(1).tolist() == [1] * best.cases
    assert best.certain
    assert not apart.certain
    assert apart.q[0, :, 0].sum(-1).tolist() == pytest.approx([1.0] * apart.drafts)


def test_laws_depend_on_every_token_before_them() -> None:
    """Of the first two tokens each changes the law of the third, in p; a judge without that would miss a wrong row."""
    for name in ("chains", "threes", "five", "eight"):
        group = groups()[name]
        third = group.tables.p[2][0].view(group.V, group.V, -1)
        assert not torch.equal(third[0], third[1])
        assert not torch.equal(third[:, 0], third[:, 1])
    last = groups()["chains"].tables.p[2][0]
    assert len({tuple(row) for row in last.tolist()}) == 3
