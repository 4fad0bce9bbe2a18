"""Boxes of uniforms by bisection, against kernels made by hand whose walls and distributions are
known.
"""

import itertools

import pytest
import torch
from specref.judge import cases
from specref.judge.cases import Tables
from specref.judge.session import MisbehavedError, Session
from specref.judge.suite import kernel_cells as kernel_boxes
from specref.judge.suite.kernel_cells import Cells, Cube, NoCellsError, exact_distributions
from specref.judge.suite.kernel_group import Group
from torch import Tensor

from tests.judge.by_hand import Answer, Given, empty, pair


def steps(*boundaries: float) -> Answer:
    """Token i in the i-th part of the last uniform."""
    ends = torch.tensor(boundaries, dtype=torch.float64)
    return lambda p, draft, u: torch.bucketize(u[:, -1:].contiguous(), ends, right=True)


def cube(answer: Answer, group: Group) -> Cube:
    return Cube(Given(answer), Session("x", "kernel"), group)  # type: ignore[arg-type]


def middle(group: Group, rows: int = 1) -> Tensor:
    return torch.full((rows, group.K + 1), 0.5, dtype=torch.float64)


FOUR = (0.25,) * 4


def test_walls_are_found_to_2_40_however_close_they_are_to_each_other_and_to_the_ends() -> None:
    for boundaries in ((0.1, 0.1 + 2**-30, 0.9), (2.0**-39, 0.5, 1 - 2.0**-39), (0.1, 0.11, 0.12)):
        made = cube(steps(*boundaries), empty(FOUR))
        lines, places = made.boundaries(torch.tensor([0]), middle(made.group), 0)
        assert lines.tolist() == [0] * 3
        assert (
            max(abs(a - b) for a, b in zip(sorted(places.tolist()), boundaries, strict=True))
            < 2**-40
        )


def test_walls_are_those_of_their_own_line_and_axis() -> None:
    """The coin's wall is 1/4 where the last uniform is below .6, and there is none above; the row's
    distribution moves the other.
    """

    def answer(p: Tensor, draft: Tensor, u: Tensor) -> Tensor:
        kept = (u[:, 0] < 0.25) & (u[:, 1] < 0.6)
        last = (u[:, 1] >= p[:, 0, 0]).long()
        return torch.stack((torch.where(kept, draft[:, 0], last), torch.where(kept, last, -1)), 1)

    made = cube(answer, pair((0.7, 0.3), (0.2, 0.8), [(0.5, 0.5), (0.5, 0.5)]))
    base = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.1, 0.65], [0.1, 0.9]], dtype=torch.float64)
    lines, places = made.boundaries(torch.tensor([0, 1, 1, 1]), base, 0)
    assert lines.tolist() == [0, 1]
    assert places.tolist() == pytest.approx([0.25, 0.25], abs=2**-40)
    lines, places = made.boundaries(torch.tensor([0, 1, 1, 1]), base, 1)
    assert sorted(zip(lines.tolist(), [round(place, 6) for place in places.tolist()])) == [
        (0, 0.7),
        (1, 0.7),
        (2, 0.6),
        (2, 0.7),
        (3, 0.6),
        (3, 0.7),
    ]


def test_an_answer_without_end_is_given_up() -> None:
    made = cube(
        lambda p, draft, u: ((u * 2e9).floor().sin() * 1e4).long() % 16, empty((1 / 16,) * 16)
    )
    with pytest.raises(NoCellsError, match="more walls"):
        made.boundaries(torch.tensor([0]), middle(made.group), 0)


def test_as_many_walls_in_one_cell_of_the_grid_as_there_are_tokens_are_found() -> None:
    boundaries = [0.1 + i / 1000 for i in range(8)]
    made = cube(steps(*boundaries), empty((1 / 9,) * 9))
    assert sorted(
        made.boundaries(torch.tensor([0]), middle(made.group), 0)[1].tolist()
    ) == pytest.approx(boundaries, abs=2**-40)


def test_answers_are_told_apart_by_every_place_and_by_their_length() -> None:
    said = [(0, -1), (1, -1), (0, 0), (0, 1), (1, 0), (1, 1)]
    made = cube(
        lambda p, draft, u: torch.tensor(said)[: len(u)],
        pair((0.5, 0.5), (0.5, 0.5), [(0.5, 0.5)] * 2),
    )
    numbers = made.ask(torch.zeros(6, dtype=torch.int64), middle(made.group, 6)).tolist()
    assert numbers == [(a + 1) * 3 + b + 1 for a, b in said]


def test_many_rows_are_asked_in_calls_that_end_and_answered_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kernel_boxes, "MOST", 4)
    made = cube(steps(0.25, 0.5, 0.75), empty(FOUR))
    u = torch.rand(10, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert made.ask(torch.zeros(10, dtype=torch.int64), u).tolist() == [
        int(4 * x) + 1 for x in u[:, 0].tolist()
    ]
    assert [len(call) for call in made.kernel.coins] == [4, 4, 2]  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["accept_u", "final_u", "draft"])
def test_uniforms_that_are_written_into_are_named(name: str) -> None:
    class Writes(Given):
        def verify_with(
            self, p: Tensor, q: Tensor | None, draft: Tensor, accept_u: Tensor, final_u: Tensor
        ) -> Tensor:
            out = super().verify_with(p, q, draft, accept_u, final_u)
            {"accept_u": accept_u, "final_u": final_u, "draft": draft}[name].view(-1)[-1:].add_(1)
            return out

    group = pair((0.5, 0.5), (0.5, 0.5), [(0.5, 0.5)] * 2)
    with pytest.raises(MisbehavedError, match=f"verify_with changes its input {name}"):
        kernel_boxes.ask(
            Writes(lambda p, draft, u: draft.expand(-1, 2)),  # type: ignore[arg-type]
            Session("x", "kernel"),
            group,
            torch.tensor([0]),
            middle(group),
        )


def test_tokens_of_a_larger_vocabulary_come_back_as_the_tables_number_them() -> None:
    group = Group("wide", empty(FOUR).tables, ids=torch.tensor([7, 2, 9, 0]), size=10)
    answers = torch.tensor([[9], [0], [5], [7]])
    assert kernel_boxes.ask(
        Given(lambda p, draft, u: answers),  # type: ignore[arg-type]
        Session("x", "kernel"),
        group,
        torch.zeros(4, dtype=torch.int64),
        middle(group, 4),
    ).tolist() == [[2], [3], [4], [0]]
    with pytest.raises(MisbehavedError, match=r"verify_with emits token 10, outside 0\.\.9"):
        kernel_boxes.ask(
            Given(lambda p, draft, u: answers + 1),  # type: ignore[arg-type]
            Session("x", "kernel"),
            group,
            torch.zeros(4, dtype=torch.int64),
            middle(group, 4),
        )


def test_walls_in_one_place_are_one() -> None:
    places = torch.tensor([0.5, 0.25, 0.5 + 2**-38, 0.25 + 2**-34, 0.5], dtype=torch.float64)
    assert kernel_boxes._distinct(places).tolist() == [0.25, 0.25 + 2**-34, 0.5]
    assert kernel_boxes._distinct(places[:0]).tolist() == []


def test_a_box_that_no_first_line_crosses_is_found_by_the_random_points() -> None:
    """Another answer in one corner of the square alone, far from the lines that are looked at
    first.
    """

    def answer(p: Tensor, draft: Tensor, u: Tensor) -> Tensor:
        inside = (u[:, 0] > 0.3) & (u[:, 0] < 0.4) & (u[:, 1] > 0.7) & (u[:, 1] < 0.8)
        return torch.stack((inside.long(), torch.full_like(draft[:, 0], -1)), 1)

    made = cube(answer, pair((1, 0), (0.5, 0.5), [(0.5, 0.5)] * 2))
    boxes = Cells(made, torch.tensor([0, 1]))
    for boundaries, said, volume in zip(boxes.boundaries, boxes.said, boxes.volume, strict=True):
        assert [w.tolist() for w in boundaries] == [
            pytest.approx([0.3, 0.4], abs=2**-40),
            pytest.approx([0.7, 0.8], abs=2**-40),
        ]
        assert float(volume.sum()) == pytest.approx(1, abs=1e-12)
        # token 1, then none: 2 * 3 + 0
        assert float(volume[said == 6].sum()) == pytest.approx(0.01, abs=1e-9)
    points = torch.tensor(
        [[[0.35, 0.75], [0.35, 0.65], [0.45, 0.75]], [[0.1, 0.1], [0.39, 0.71], [0.9, 0.9]]]
    ).double()
    assert boxes._at(points).tolist() == [6, 3, 3, 3, 6, 3]


@pytest.mark.parametrize("end", [0, 1])
def test_walls_that_stand_only_at_the_end_of_another_uniform_are_found(end: int) -> None:
    """Of the square's area 2^-18 * .7 is another answer: too little for the random points."""

    def answer(p: Tensor, draft: Tensor, u: Tensor) -> Tensor:
        corner = ((u[:, 0] - end).abs() < 2**-18) & (u[:, 1] < 0.7)
        return torch.stack((corner.long(), torch.full_like(draft[:, 0], -1)), 1)

    boxes = Cells(cube(answer, pair((1, 0), (0, 1), [(0.5, 0.5)] * 2)), torch.tensor([1]))
    assert float(boxes.volume[0][boxes.said[0] == 6].sum()) == pytest.approx(
        0.7 * 2**-18, abs=2**-40
    )


def test_the_first_case_whose_answers_have_no_boxes_is_named() -> None:
    """The first of three is right; the walls of the others are slanted."""

    def answer(p: Tensor, draft: Tensor, u: Tensor) -> Tensor:
        slanted = (p[:, 0, 0] > 0.8) & ((u[:, 0] + u[:, 1]) % 1 > 0.5)
        return torch.stack((slanted.long(), torch.full_like(draft[:, 0], -1)), 1)

    group = Group(
        "three",
        cases.turned(1, 2, {name: ((p, 1), (1, 1)) for name, p in (("a", 2), ("b", 9), ("c", 19))}),
    )
    with pytest.raises(NoCellsError, match=r"^b \(V = 2, K = 1\): the answer changes"):
        Cells(cube(answer, group), torch.arange(6))


def test_an_empty_draft_is_a_line_of_boxes() -> None:
    made = cube(steps(0.1, 0.3, 0.6), empty((0.1, 0.2, 0.3, 0.4), (0.4, 0.3, 0.2, 0.1)))
    distributions, count = exact_distributions(made)
    assert count == 8
    for distribution in distributions:
        assert distribution.tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4], abs=1e-11)


def test_a_distribution_is_summed_over_drafts_and_boxes_and_continued_by_the_target() -> None:
    """Kept while the coin is below .75 for token 0 and .1 for token 1; else token 2 and nothing
    more. After a kept token comes 0 or 1. q never drafts token 2."""

    def answer(p: Tensor, draft: Tensor, u: Tensor) -> Tensor:
        assert bool((draft < 2).all())
        kept = u[:, 0] < torch.tensor([0.75, 0.1])[draft[:, 0]]
        last = torch.where(kept, (u[:, 1] >= 0.3).long(), 2)
        return torch.stack((torch.where(kept, draft[:, 0], last), torch.where(kept, last, -1)), 1)

    after = [(0.5, 0.3, 0.2), (0.1, 0.1, 0.8), (0.6, 0.4, 0.0)]
    (distribution,), count = exact_distributions(
        cube(answer, pair((0.5, 0.3, 0.2), (0.4, 0.6, 0), after))
    )
    kept = [0.4 * 0.75, 0.6 * 0.1]
    rest = 1 - sum(kept)
    assert distribution.view(3, 3).tolist() == [
        pytest.approx(row, abs=1e-7)
        for row in (
            [kept[0] * 0.3, kept[0] * 0.7, 0],
            [kept[1] * 0.3, kept[1] * 0.7, 0],
            [rest * 0.6, rest * 0.4, 0],
        )
    ]
    assert count == 8


def test_what_can_not_be_continued_keeps_its_mass() -> None:
    """Token 1 has no probability, and none after it has: all of it counts against the kernel."""
    group = pair((1, 0), (0.5, 0.5), [(0.5, 0.5)] * 2)
    never = lambda p, draft, u: torch.tensor([[1, -1]]).repeat(len(u), 1)  # noqa: E731
    (distribution,), _ = exact_distributions(cube(never, group))
    assert distribution.tolist() == pytest.approx([0, 0, 0.5, 0.5])


def test_the_texts_that_begin_as_an_answer_says() -> None:
    group = Group(
        "two drafts",
        Tables(
            ("x",),
            tuple(torch.full((1, 3**i, 3), 1 / 3).double() for i in range(3)),
            tuple(torch.full((1, 3**i, 3), 1 / 3).double() for i in range(2)),
            torch.tensor([2]),
        ),
    )
    texts = list(itertools.product(range(3), repeat=3))
    for length in (1, 2, 3):
        for said in itertools.product(range(3), repeat=length):
            number = sum((token + 1) * 4 ** (2 - i) for i, token in enumerate(said))
            low, size = kernel_boxes._leaves(group, number)
            assert texts[low : low + size] == [text for text in texts if text[:length] == said]
