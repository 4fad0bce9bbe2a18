"""The draws that all checks of a kernel share: how many, in which calls, and in which order each
check reads them.
"""

import pytest
import torch
from specref.judge import cases
from specref.judge.session import Session
from specref.judge.suite.kernel_group import CALL, Group
from specref.judge.suite.kernel_stream import SampleStream, StreamReader
from torch import Tensor


class Echo:
    """A kernel that takes its first choice and nothing else; notes rows and seed of every call."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []

    def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
        self.calls.append((len(draft), seed))
        return torch.nn.functional.pad(
            p[:, 0].argmax(-1, keepdim=True), (0, draft.shape[1]), value=-1
        )


def found(**calls: int) -> tuple[SampleStream, Echo]:
    kernel = Echo()
    return (
        SampleStream(
            kernel,  # type: ignore[arg-type]
            Session("x", "kernel"),
            {
                name: Group(name, cases.turned(2, 2, cases.TWOS), call=call)
                for name, call in calls.items()
            },
        ),
        kernel,
    )


def test_a_slice_is_as_many_rows_as_were_drawn_before_within_bounds() -> None:
    """2,000 first; at most seven rows a call are left out, so that batches differ in size."""
    draws, kernel = found(g=CALL)
    totals = []
    for i in range(4):
        part = draws.reach("g", i)
        totals.append(int(part.accepted.sum()))
        assert int(part.counts.sum()) == totals[-1]
    assert sum(totals) == draws.groups["g"].drawn == sum(rows for rows, _ in kernel.calls)
    for n, wanted in zip(totals, (2000, 2000, 4000, 8000), strict=True):
        assert wanted - 60 <= n <= wanted
    # two calls of each slice: what one leaves behind shows in the next
    assert len(kernel.calls) == 8
    assert len({rows for rows, _ in kernel.calls}) >= 6
    assert len({seed for _, seed in kernel.calls}) == 8


def test_large_slices_are_many_calls_and_end_somewhere() -> None:
    draws, kernel = found(g=16)
    draws.groups["g"].drawn = 10**6
    draws.more(["g"])
    # eight calls' worth, however many came before
    assert 128 - 8 * 6 <= sum(rows for rows, _ in kernel.calls) <= 128
    assert len(kernel.calls) == 8
    assert max(rows for rows, _ in kernel.calls) == 16


def test_the_last_call_of_a_slice_takes_what_is_left() -> None:
    draws, kernel = found(g=100)
    draws.groups["g"].drawn = 456
    draws.more(["g"])
    assert [94 <= n <= 100 for n, _ in kernel.calls[:4]] == [True] * 4
    assert [50 <= n <= 56 for n, _ in kernel.calls[4:]] == [True]


@pytest.mark.parametrize(
    ("call", "rows"),
    [(1, 4), (5, 20), (50, 200), (64, 256), (100, 400), (1024, 2000), (4096, 2000)],
)
def test_where_calls_are_small_so_is_the_first_slice(call: int, rows: int) -> None:
    draws, kernel = found(g=call)
    draws.more(["g"])
    assert max(rows - 24, 1) <= sum(n for n, _ in kernel.calls) <= rows
    assert len(kernel.calls) == max(2, -(-rows // call))
    assert all(1 <= n <= call for n, _ in kernel.calls)


def test_a_slice_does_not_depend_on_who_asks_for_it_and_when() -> None:
    alone, among = found(g=64)[0], found(other=64, g=64)[0]
    among.more(["other"])
    among.more(["other"])
    among.more(["g"])
    for i in range(3):
        assert torch.equal(alone.reach("g", i).counts, among.reach("g", i).counts)
    assert alone.reach("g", 1) is alone.groups["g"].slices[1]
    assert [len(g.slices) for g in among.groups.values()] == [2, 3]
    assert float(among.groups["g"].fresh.accepted.sum()) == 0


def test_the_group_with_the_fewest_draws_a_case_is_next() -> None:
    draws, _ = found(a=64, b=64, c=64)
    a, b, c = draws.groups.values()
    a.drawn, b.drawn, c.drawn = 90, 80, 0
    b.cases, c.cases = 1, 1  # 45, 80 and 0 a case
    draws.more(["a", "b"])
    assert [len(g.slices) for g in (a, b, c)] == [1, 0, 0]


def test_a_reader_takes_the_slices_in_an_order_of_its_own() -> None:
    draws, _ = found(a=64, b=64)
    draws.reach("b", 4)
    reader = StreamReader(draws, ["a", "b"])
    assert not reader.ready(["a", "b"])  # a is first and was not drawn
    assert reader.ready(["b"])
    assert not reader.ready([])
    order = [reader.next(["a", "b"])[0].name for _ in range(6)]
    assert order[:2] == ["a", "b"]
    assert reader.read == {"a": order.count("a"), "b": order.count("b")}
    assert reader.rows["a"] == sum(
        float(s.accepted.sum()) for s in draws.groups["a"].slices[: reader.read["a"]]
    )
    group, part = reader.next(["b"])
    assert part is group.slices[reader.read["b"] - 1]
    reader.rows.update(a=900, b=500)
    draws.groups["a"].cases, draws.groups["b"].cases = 2, 1
    assert reader.next(["a", "b"])[0].name == "a"  # 450 a case against 500
