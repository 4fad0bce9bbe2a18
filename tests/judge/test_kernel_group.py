"""What a kernel is handed and how its answers are counted, against plain loops over small
tables.
"""

import itertools
import math

import pytest
import torch
from specref.adapters.reference import Rejection
from specref.judge.cases import Tables
from specref.judge.session import Session
from specref.judge.suite.kernel_distribution import groups
from specref.judge.suite.kernel_group import Group, far_apart
from specref.stats.sequential import OneSample
from torch import Tensor

V, K, CASES = 3, 2, 2
DRAFTS = list(itertools.product(range(V), repeat=K))
TEXTS = list(itertools.product(range(V), repeat=K + 1))


def tables() -> Tables:
    """Two cases whose every distribution is another one; token 2 never begins a text of the second,
    nor a draft of the first.
    """
    generator = torch.Generator().manual_seed(0)

    def drawn(count: int) -> list[Tensor]:
        shapes = [(CASES, V**i, V) for i in range(count)]
        return [torch.rand(s, generator=generator, dtype=torch.float64) + 0.1 for s in shapes]

    p, q = drawn(K + 1), drawn(K)
    p[0][1, 0, 2] = q[0][0, 0, 2] = 0
    # exact in float32 and in sums: what is checked is which distribution goes where, not its last
    # bits
    return Tables(
        ("one, first", "two"),
        tuple(map(rounded, p)),
        tuple(map(rounded, q)),
        torch.full((CASES,), K),
    )


def rounded(weights: Tensor) -> Tensor:
    """The distributions of weights [...,V], exact in float32."""
    return (weights / weights.sum(-1, keepdim=True)).float().double()


def number(tokens: tuple[int, ...]) -> int:
    return sum(token * V**i for i, token in enumerate(reversed(tokens)))


def distribution(distributions: tuple[Tensor, ...], case: int, text: tuple[int, ...]) -> float:
    """The probability of a text."""
    rows = [distributions[i][case, number(text[:i])] for i in range(len(text))]
    return math.prod(float(row[token] / row.sum()) for row, token in zip(rows, text, strict=True))


def test_a_row_holds_the_distributions_along_its_own_draft() -> None:
    group, t = Group("g", tables()), tables()
    for case, draft in itertools.product(range(CASES), DRAFTS):
        row = torch.tensor([case * len(DRAFTS) + number(draft)])
        p, q, tokens = group.inputs(row)
        assert tokens.tolist() == [list(draft)]
        assert q is not None
        assert (p.dtype, q.dtype, tokens.dtype) == (torch.float32, torch.float32, torch.int64)
        assert p[0].tolist() == [t.p[i][case, number(draft[:i])].tolist() for i in range(K + 1)]
        assert q[0].tolist() == [t.q[i][case, number(draft[:i])].tolist() for i in range(K)]


def test_texts_drafts_and_kept_drafts_have_the_distributions_of_the_tables() -> None:
    group, t = Group("g", tables()), tables()
    for case in range(CASES):
        assert group.target[case].tolist() == pytest.approx(
            [distribution(t.p, case, text) for text in TEXTS], abs=1e-14
        )
        assert group.draft[case].tolist() == pytest.approx(
            [distribution(t.q, case, draft) for draft in DRAFTS], abs=1e-14
        )
        last = [t.p[K][case, number(text[:K])] for text in TEXTS]
        assert group.followed[case].tolist() == pytest.approx(
            [
                distribution(t.q, case, text[:K]) * float(row[text[K]] / row.sum())
                for text, row in zip(TEXTS, last, strict=True)
            ],
            abs=1e-14,
        )


def test_distributions_that_are_rounded_are_made_distributions_again() -> None:
    """Float32 rows that sum to a hair more than 1 must not push the distribution of texts above
    1.
    """
    t = tables()
    off = Tables(t.names, tuple(p * 1.001 for p in t.p), tuple(q * 0.999 for q in t.q), t.lengths)
    group = Group("off", off)
    for made in (group.target, group.draft, group.followed):
        assert made.sum(1).tolist() == pytest.approx([1, 1], abs=1e-12)


def test_rows_are_drawn_by_the_distribution_of_their_draft_and_every_case_alike() -> None:
    group, t = Group("g", tables()), tables()
    rows = group.rows(500, torch.Generator().manual_seed(3)).tolist()
    ends = list(
        itertools.accumulate(
            distribution(t.q, case, draft) / CASES for case in range(CASES) for draft in DRAFTS
        )
    )
    for row, u in zip(
        rows,
        torch.rand(500, dtype=torch.float64, generator=torch.Generator().manual_seed(3)).tolist(),
    ):
        assert ([0.0, *ends][row]) <= u * ends[-1] < ends[row]


@pytest.mark.parametrize("u", [0.0, 1 - 2**-53])
def test_no_draft_of_probability_0_is_drawn_at_the_ends(
    monkeypatch: pytest.MonkeyPatch, u: float
) -> None:
    """The first case's first drafts, and the second's last, cannot be: neither end of the uniforms
    may give one.
    """
    t = tables()
    t.q[0][:, 0] = torch.tensor([[0, 0.4, 0.6], [0.4, 0.6, 0]]).double()
    monkeypatch.setattr(torch, "rand", lambda n, **_: torch.full((n,), u, dtype=torch.float64))
    rows = Group("g", t).rows(3, torch.Generator())
    assert rows.tolist() == [number((1, 0)) if u == 0 else len(DRAFTS) + number((1, 2))] * 3


def test_without_a_draft_there_is_one_row_a_case() -> None:
    t = tables()
    group = Group("empty", Tables(t.names, t.p[:1], (), torch.zeros(CASES, dtype=torch.int64)))
    p, q, draft = group.inputs(torch.tensor([1, 0]))
    assert q is not None
    assert (p.shape, q.shape, draft.shape) == ((2, 1, V), (2, 0, V), (2, 0))
    assert p[:, 0].tolist() == [t.p[0][1, 0].tolist(), t.p[0][0, 0].tolist()]
    for made in (group.target, group.followed):
        assert torch.allclose(made, t.p[0][:, 0])
    assert group.draft.tolist() == [[1], [1]]


def test_in_a_larger_vocabulary_all_else_has_no_probability() -> None:
    ids = torch.tensor([5, 0, 7])
    group, small = Group("wide", tables(), ids=ids, size=9), Group("small", tables())
    rows = torch.tensor([1, 5, 13])
    p, q, draft = group.inputs(rows)
    assert q is not None
    assert p.shape == (3, K + 1, 9)
    assert q.shape == (3, K, 9)
    for wide, narrow in zip((p, q), small.inputs(rows)[:2], strict=True):
        assert torch.equal(wide[..., ids], narrow)  # type: ignore[arg-type]
        assert float(wide.sum()) == pytest.approx(float(narrow.sum()))  # type: ignore[union-attr]
    assert torch.equal(draft, ids[small.tokens(rows)])
    assert group.inside(torch.tensor([[5, 0, 7], [1, 8, -1]])).tolist() == [[0, 1, 2], [3, 3, -1]]
    assert group.label(0) == "one (V = 9, K = 2)"


def test_a_kernel_that_is_not_told_q_gets_none() -> None:
    group = Group("g", tables(), certain=True)
    assert group.inputs(torch.tensor([0]))[1] is None
    assert group.label(1) == "two (V = 3, K = 2, q = None)"


def taken(group: Group, rows: list[int], answers: list[list[int]], generator: int = 0) -> Group:
    group.take(torch.tensor(rows), torch.tensor(answers), torch.Generator().manual_seed(generator))
    return group


@pytest.mark.parametrize(("size", "calls"), [(0, [4]), (3, [3, 1])])
def test_rows_are_asked_for_in_one_call_or_in_calls_of_a_size(size: int, calls: list[int]) -> None:
    class Watched(Rejection):
        def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
            seen.append(len(draft))
            return super().verify(p, q, draft, seed)

    seen: list[int] = []
    given = [size] if size else []
    Group("g", tables()).ask(
        Watched(), Session("x", "kernel"), torch.tensor([0, 1, 2, 9]), 0, *given
    )
    assert seen == calls


def test_whole_answers_are_counted_as_they_are() -> None:
    group = taken(
        Group("g", tables()), [0, 9 + 4, 0, 1], [[0, 0, 1], [1, 1, 2], [0, 0, 1], [0, 1, 0]]
    )
    expected: dict[tuple[int, tuple[int, ...]], int] = {
        (0, (0, 0, 1)): 2,
        (1, (1, 1, 2)): 1,
        (0, (0, 1, 0)): 1,
    }
    for case, text in itertools.product(range(CASES), TEXTS):
        assert float(group.fresh.counts[case, number(text)]) == expected.get((case, text), 0)
    assert group.fresh.accepted.tolist() == [[0, 0, 3], [0, 0, 1]]
    assert (group.impossible, group.stray) == ("", "")


def test_a_short_answer_goes_on_as_the_target_does() -> None:
    """A thousand of each: their texts begin as they do, in their case, and go on by the target's
    distribution.
    """
    t = tables()
    rows, answers = [0, 2 * 3 + 1, 9 + 2 * 3], [[1, -1, -1], [2, 0, -1], [0, -1, -1]]
    group = taken(Group("g", t), 1000 * rows, 1000 * answers)
    for row, answer in zip(rows, answers, strict=True):
        said = tuple(token for token in answer if token >= 0)
        likely = [text for text in TEXTS if text[: len(said)] == said]
        after = torch.tensor([distribution(t.p, row // 9, text) for text in likely])
        counts = torch.tensor(
            [float(group.fresh.counts[row // 9, number(text)]) for text in likely]
        )
        assert counts.sum() == 1000
        assert not OneSample(after / after.sum(), 1e-6).update(counts)
    assert int(group.fresh.counts.sum()) == 3000
    assert group.fresh.accepted.tolist() == [[1000, 1000, 0], [1000, 0, 0]]


def test_a_text_of_probability_0_is_noted_and_counted_where_the_target_has_nothing() -> None:
    group = taken(Group("g", tables()), [9, 9 + 2 * 3, 0], [[1, -1, -1], [2, 0, -1], [2, -1, -1]])
    assert (
        group.impossible
        == "two (V = 3, K = 2): emits [2, 0] after the draft [2, 0], to which the target gives "
        "probability 0"
    )
    assert float(group.fresh.counts[1, 2 * 9 : 27].sum()) == 1
    assert float(group.fresh.counts[0, 2 * 9 : 27].sum()) == 1  # possible in the first case
    group = taken(group, [9], [[2, -1, -1]])
    assert "emits [2, 0]" in group.impossible  # the first of its kind stays


def test_tokens_that_the_tables_do_not_have_are_noted_and_stand_in_no_distribution() -> None:
    group = taken(
        Group("wide", tables(), ids=torch.tensor([5, 0, 7]), size=9),
        [9 + 8, 9, 0],
        [[7, 7, 8], [5, 5, 5], [5, -1, -1]],
    )
    assert group.impossible == "two (V = 9, K = 2): a token of probability 0 comes out"
    assert int(group.fresh.counts.sum()) == 2
    assert float(group.fresh.counts[1, 0]) == 1
    assert group.fresh.accepted.tolist() == [[1, 0, 0], [0, 0, 2]]
    group = taken(
        Group("wide", tables(), ids=torch.tensor([5, 0, 7]), size=9), [9 + 1], [[5, 0, 7]]
    )
    assert group.impossible == ""
    assert float(group.fresh.counts[1, number((0, 1, 2))]) == 1


def test_an_answer_that_leaves_its_draft_before_the_last_token_is_noted() -> None:
    group = taken(Group("g", tables()), [9, 3], [[0, 1, -1], [1, 1, 2]])  # drafts 0 0 and 1 0
    assert (
        group.stray
        == "one (V = 3, K = 2): emits [1, 1, 2] for the draft [1, 0]: what stands before the last"
        " token is not the draft's beginning"
    )
    assert "emits [1, 1, 2]" in taken(group, [9], [[1, 1, -1]]).stray


def test_one_answer_that_is_impossible_or_astray_is_wrong() -> None:
    assert taken(Group("g", tables()), [9, 3], [[0, 0, 1], [1, 1, -1]]).wrong == ""
    assert "gives probability 0" in taken(Group("g", tables()), [9], [[2, -1, -1]]).wrong
    assert "the draft's beginning" in taken(Group("g", tables()), [9], [[1, 1, -1]]).wrong


def test_answers_astray_are_told_from_those_that_follow_the_draft() -> None:
    group = groups()["threes"]
    draft = torch.tensor([[0, 1, 1]] * 5)
    said = torch.tensor(
        [[1, -1, -1, -1], [0, 0, -1, -1], [1, 1, -1, -1], [0, 1, 1, 0], [0, 1, 0, 1]]
    )
    assert group.astray(draft, said, (said >= 0).sum(1)).tolist() == [
        False,
        False,
        True,
        False,
        True,
    ]


def test_tokens_of_a_large_vocabulary_stand_at_both_sides_of_the_ends_of_tiles() -> None:
    """Of 32 and of 1,024, and at the first id; the likeliest where the caller says."""
    assert far_apart(4096).tolist() == [4096, 0, 31, 32, 1023, 1024, 2047, 4000]


def test_groups_are_themselves_whatever_they_hold() -> None:
    """Distributions are kept by group and case: two groups of equal cases are two."""
    one, other = Group("g", tables()), Group("g", tables())
    assert {one: 1, other: 2}[one] == 1
    assert one.drawn == 0
