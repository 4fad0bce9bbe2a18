"""Rows that differ, in every size, layout and company; bad rows beside right ones; and how large a
call may be.
"""

import time
from dataclasses import replace
from itertools import islice

import pytest
import torch
from specref.adapters.reference import Rejection, Tree
from specref.judge.contract import Kernel, TreeKernel
from specref.judge.kernel.answers import asked_once, continued_rows, wrong_in
from specref.judge.kernel.pace import measure_pace
from specref.judge.kernel.rows import LAYOUTS, RowKind, chain_parents, laid_out, mixed_rows
from specref.judge.kernel.scenarios import (
    DRAFT_LENGTHS,
    VOCABULARY_SIZES,
    Scenario,
    covering,
    covering_trees,
    shrunk,
)
from specref.judge.schedule import judge
from specref.judge.session import MisbehavedError, Session
from specref.judge.suite import checks
from specref.judge.verdict import Verdict
from torch import Tensor


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def said_of(kernel: Kernel | TreeKernel, check: str, budget: float = 60) -> Verdict:
    (said,) = judge(
        kernel,
        Session("x", "kernel", budget=budget),
        [c for c in checks("kernel") if c.id == check],
    )
    return said


class Wrapped(Kernel):
    """The right rule, on inputs that a bug changes."""

    def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
        return Rejection().verify(*self.read(p, q, draft), seed)

    def read(
        self, p: Tensor, q: Tensor | None, draft: Tensor
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        return p, q, draft


class WrongBatchStride(Wrapped):
    """From 300 tokens on each row is judged by the one before it."""

    def read(
        self, p: Tensor, q: Tensor | None, draft: Tensor
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        if p.shape[2] < 300:
            return p, q, draft
        return p.roll(1, 0), None if q is None else q.roll(1, 0), draft


class TakenAsContiguous(Wrapped):
    """Reads a tensor's memory as if it were contiguous."""

    def read(
        self, p: Tensor, q: Tensor | None, draft: Tensor
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        def flat(t: Tensor) -> Tensor:
            # two rows of a buffer behind the last would be read beyond its end
            sizes = t.shape
            memory = torch.empty(0, dtype=t.dtype).set_(t.untyped_storage())
            read = memory[: t.numel()].view(sizes)
            return read / read.sum(-1, keepdim=True).clamp(min=1e-9)

        return flat(p), q, draft


class NeedsContiguous(Wrapped):
    """Refuses what it cannot read."""

    def read(
        self, p: Tensor, q: Tensor | None, draft: Tensor
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        if not p.is_contiguous():
            raise ValueError("p is not contiguous")
        return p, q, draft


class WithoutNine(Wrapped):
    """With nine draft tokens or more the last one is judged by the q before it."""

    def read(
        self, p: Tensor, q: Tensor | None, draft: Tensor
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        if draft.shape[1] >= 9:
            p = torch.cat((p[:, :-1], p[:, -2:-1]), 1)
        return p, q, draft


class FirstTree(Tree):
    """Takes every tree for the first one of its size that it met."""

    def __init__(self) -> None:
        self.met: dict[int, Tensor] = {}

    def verify_tree(
        self, p: Tensor, q: Tensor | None, tokens: Tensor, parents: Tensor, seed: int
    ) -> Tensor:
        parents = self.met.setdefault(len(parents), parents.clone())
        return super().verify_tree(p, q, tokens, parents, seed)


class ZeroForNan(Wrapped):
    """A row of q that is NaN gets token 0."""

    def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
        if q is None or not bool(q.isnan().any()):
            return super().verify(p, q, draft, seed)
        bad = q.isnan().flatten(1).any(1)
        out = super().verify(p, q.nan_to_num(0.0) + 1e-9, draft, seed) if not bad.any() else None
        good = super().verify(p, torch.where(bad[:, None, None], p[:, :-1], q), draft, seed)
        assert out is None
        zero = torch.full_like(good, -1)
        zero[:, 0] = 0
        return torch.where(bad[:, None], zero, good)


class NoRowsIsOne(Wrapped):
    def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
        if len(p):
            return super().verify(p, q, draft, seed)
        return torch.zeros(1, p.shape[1], dtype=torch.int64)


class ZeroToAll(Wrapped):
    """Of a bad row of p all rows get token 1."""

    def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
        if bool(p.isfinite().all()):
            return super().verify(p, q, draft, seed)
        out = torch.full(p.shape[:2], -1)
        out[:, 0] = 1
        return out


class Slow(Wrapped):
    """Takes a time for each row and for each call."""

    def __init__(self, row: float, call: float = 0.0):
        self.row, self.call, self.rows = row, call, [0]

    def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
        time.sleep(self.call + self.row * len(p))
        self.rows.append(len(p))
        return super().verify(p, q, draft, seed)


@pytest.mark.parametrize(
    ("kernel", "check", "said", "scenario"),
    [
        (WrongBatchStride, "kernel.mixed-rows", "probability 0", "V = 300, K = 0, 2 rows"),
        (TakenAsContiguous, "kernel.mixed-rows", "", "lie "),
        (WithoutNine, "kernel.mixed-rows", "probability 0", "K = 1"),
        (FirstTree, "kernel.tree-mixed-rows", "", "parents ["),
        (ZeroForNan, "kernel.bad-rows", "emits [0]", "q that is NaN"),
        (ZeroToAll, "kernel.bad-rows", "changes the rows beside it", "p that is NaN"),
        (NoRowsIsOne, "kernel.empty-batch", "shape", ""),
    ],
)
def test_each_check_fails_for_the_reason_it_is_there_for(
    kernel: type, check: str, said: str, scenario: str
) -> None:
    verdict = said_of(kernel(), check)
    assert verdict.verdict == "FAIL"
    assert said in verdict.what
    assert scenario in verdict.scenario


def test_a_failure_is_told_on_both_sides_of_its_edge() -> None:
    said = said_of(WrongBatchStride(), "kernel.mixed-rows").scenario
    assert said.startswith("V = 300, K = 0, 2 rows that differ")
    assert said.endswith("; passes with V = 299")


@pytest.mark.parametrize("kernel", [Wrapped, NeedsContiguous, Rejection, Tree])
def test_right_kernels_pass(kernel: type) -> None:
    for check in ("mixed-rows", "tree-mixed-rows", "bad-rows", "empty-batch"):
        assert said_of(kernel(), f"kernel.{check}").verdict in ("PASS", "UNSUPPORTED")


def test_scenarios_hold_every_value_and_most_pairs() -> None:
    made = list(islice(covering(0), 48))
    assert {one.vocabulary for one in made} == {*VOCABULARY_SIZES}
    assert {one.draft_tokens for one in made} == {*DRAFT_LENGTHS}
    assert {one.layout for one in made} == {*LAYOUTS}
    assert {one.told for one in made} == {one.own_ids for one in made} == {True, False}
    assert len({(one.vocabulary >= 300, one.layout, one.own_ids) for one in made}) == 16
    trees = {one.parents for one in islice(covering_trees(0), 48)}
    assert len(trees) > 20
    assert all(one is not None and max(one) < len(one) - 1 for one in trees)


def test_rows_differ_and_their_distributions_depend_on_what_came_before() -> None:
    rows = mixed_rows(200, RowKind((-1, 0, 0, 1), 300), generator())
    p, q, tokens = rows.inputs()
    assert q is not None
    assert p.shape == (200, 5, 300)
    assert torch.allclose(p.sum(-1), torch.ones(200, 5), atol=1e-6)
    assert torch.allclose(q.sum(-1), torch.ones(200, 4), atol=1e-6)
    assert len(p[:, 0].unique(dim=0)) > 190
    # node 3 is a child of node 1: its row of p is the law after node 1's token
    law = rows.law(2, rows.draft[:, 1])
    assert torch.allclose(p[:, 2].gather(1, rows.ids).double(), law, atol=1e-6)
    assert bool((q.gather(2, tokens[..., None]) > 0).all())
    assert {0, 299} <= {*rows.ids.flatten().tolist()}
    assert bool((rows.ids[:, 1:] > rows.ids[:, :-1]).all())


@pytest.mark.parametrize("vocabulary", [64, 300, 2053])
def test_where_rows_are_dense_each_token_stands_for_many_ids(vocabulary: int) -> None:
    """Which id stands for which token is another in blocks than in turns: both are drawn."""
    kind, strides = RowKind((-1, 0), vocabulary, dense=True), set()
    assert kind.width == {64: 8, 300: 32, 2053: 256}[vocabulary]
    for seed in range(6):
        rows = mixed_rows(20, kind, generator(seed))
        p, q, tokens = rows.inputs()
        assert q is not None
        strides.add(rows.stride)
        every = rows.cells(torch.arange(vocabulary).expand(20, -1))  # [20,V]
        for number in range(8):
            mine = torch.where(every[:, None] == number, p, torch.zeros(()))  # [20,3,V]
            own = rows.law(0, torch.zeros(20).long())[:, number]
            assert torch.allclose(mine[:, 0].sum(1).double(), own, atol=1e-6)
            held = (every == number).sum(1)
            assert held.tolist() == [kind.width] * 20
            assert torch.allclose(mine.max(2).values * kind.width, mine.sum(2), atol=1e-6)
        assert int((every == 8).sum()) == 20 * (vocabulary - 8 * kind.width)
        assert torch.equal(rows.cells(tokens), rows.draft)
        assert bool((q.gather(2, tokens[..., None]) > 0).all())
        assert len({*(tokens - rows.ids.gather(1, rows.draft)).flatten().tolist()}) > 4
    assert strides == {1, 8}


def test_siblings_that_are_drawn_without_replacement_differ_and_are_told_so() -> None:
    kind = RowKind((-1, -1, -1, 0, 0), 37, alone=True)
    rows = mixed_rows(400, kind, generator())
    _, q, tokens = rows.inputs()
    assert q is not None
    first = rows.draft_law(0, torch.zeros(400).long())  # [400,8]
    for node, earlier in ((1, [0]), (2, [0, 1]), (4, [3])):
        before = torch.zeros(400).long() if node < 3 else rows.draft[:, 0]
        law = first if node < 3 else rows.draft_law(1, before)
        left = law.scatter(1, rows.draft[:, earlier], 0.0)
        some = left.sum(1) > 0
        assert int(some.sum()) > 200
        told = q[:, node].gather(1, rows.ids).double()
        assert torch.allclose(told[some], (left / left.sum(1, keepdim=True))[some], atol=1e-6)
        assert torch.allclose(told[~some], law[~some], atol=1e-6)
        assert not bool((tokens[some][:, earlier] == tokens[some][:, node, None]).any())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_changes_no_number(layout: str) -> None:
    tensor = torch.rand(5, 3, 7, generator=generator())
    made = laid_out(tensor, layout)
    assert torch.equal(made, tensor)
    assert made.is_contiguous() == (layout == LAYOUTS[0])


def test_what_a_row_does_not_emit_is_drawn_from_the_target() -> None:
    rows = mixed_rows(4000, RowKind(chain_parents(2), 8), generator())
    answer = torch.full((4000, 3), -1)
    first = rows.ids.gather(1, torch.multinomial(rows.law(0, torch.zeros(4000).long()), 1))
    answer[:, :1] = first
    texts = continued_rows(rows, answer, generator(1))
    assert torch.equal(texts.tokens[:, :1], rows.cells(first))
    assert bool((texts.p.gather(2, texts.tokens[..., None]) > 0).all())
    assert torch.allclose(texts.p[:, 1], rows.law(1, texts.tokens[:, 0]))
    assert torch.equal(texts.p[:, 2], texts.q[:, 2])  # no draft behind the last draft token


def test_wrong_answers_are_told_apart() -> None:
    rows = mixed_rows(3, RowKind(chain_parents(2), 300), generator())
    tokens = rows.ids.gather(1, rows.draft)
    mass = rows.law(0, torch.zeros(3).long())
    best = rows.ids.gather(1, mass.argmax(1, keepdim=True))
    answer = torch.cat((best, torch.full((3, 2), -1)), 1)
    assert wrong_in(rows, answer) == ""
    elsewhere = torch.tensor([i for i in range(300) if i not in rows.ids[1].tolist()])[0]
    strange = answer.clone()
    strange[1, 0] = elsewhere
    assert wrong_in(rows, strange).startswith("a token of probability 0 comes out: row 1 of 3")
    law = rows.law(0, torch.zeros(3).long())[2]
    other = next(i for i in law.argsort(descending=True).tolist() if rows.ids[2, i] != tokens[2, 0])
    after = rows.law(1, torch.tensor([0, 0, other]))[2]
    stray = answer.clone()
    stray[2, :2] = rows.ids[2][torch.tensor([other, int(after.argmax())])]
    assert "is not its draft's" in wrong_in(rows, stray)


def test_inputs_that_change_are_noticed_in_every_layout() -> None:
    class Writes(Wrapped):
        def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
            out = super().verify(p, q, draft, seed)
            p.mul_(0.5)
            return out

    rows = mixed_rows(3, RowKind(chain_parents(1), 5), generator())
    for layout in LAYOUTS:
        with pytest.raises(MisbehavedError, match="changes its input p"):
            asked_once(Writes(), Session("x", "kernel"), rows, 0, layout)


def test_what_is_shrunk_is_one_of_the_smallest_that_fail() -> None:
    def fails(one: Scenario, tries: int = 3) -> bool:
        return one.vocabulary >= 77 and one.draft_tokens >= 3 and one.rows >= 2

    found, passing = shrunk(Scenario(4097, 9, 33, False, LAYOUTS[2]), fails)
    assert found == Scenario(77, 4, 2, True, LAYOUTS[0])
    assert passing == "with V = 76"
    only = Scenario(8, 1, 1)
    assert shrunk(only, lambda one, tries=3: one == only) == (only, "with K = 0")


def test_an_edge_that_is_not_sharp_is_not_told() -> None:
    """Below 2,000 tokens a batch in ten fails, which three batches may not show."""

    def fails(one: Scenario, tries: int = 3) -> bool:
        return one.vocabulary >= 2000 or (tries > 10 and one.vocabulary > 8)

    found, passing = shrunk(Scenario(4097, 0, 1), fails)
    assert found.vocabulary == 4097
    assert passing == ""


def test_a_fast_kernel_gets_all_rows_and_a_slow_one_few() -> None:
    fast, slow, late = (Session("x", "kernel") for _ in range(3))
    measure_pace(Wrapped(), fast)
    assert fast.most_rows is None
    assert fast.fit(16_384) == 16_384
    kernel = Slow(0.01)
    measure_pace(kernel, slow)
    assert 5 <= slow.fit(4096) <= 20
    assert max(kernel.rows) <= 64
    measure_pace(Slow(0.0, 0.15), late)  # a call takes as long, however few its rows
    assert late.fit(4096) <= 8


def test_a_kernel_that_raises_or_has_no_method_is_left_to_the_checks() -> None:
    class Raises(Kernel):
        def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
            raise ValueError("no")

    session = Session("x", "kernel")
    measure_pace(Raises(), session)
    measure_pace(Kernel(), session)
    assert session.most_rows is None
    assert session.raised == ""


def test_a_slow_kernel_is_not_convicted_and_the_budget_is_kept() -> None:
    """40 rows/s: what could not be asked is INCONCLUSIVE. 3 s, a fifth and 5 s at most."""
    began = time.monotonic()
    said = judge(Slow(1 / 40), Session("x", "kernel", budget=3), checks("kernel"))
    assert time.monotonic() - began < 3 * 1.2 + 5
    assert not [v for v in said if v.verdict == "FAIL"]
    waiting = [v for v in said if "budget" in v.what]
    assert waiting
    assert {v.verdict for v in waiting} == {"INCONCLUSIVE"}
    assert {v.verdict for v in said if "tree" in v.id} == {"UNSUPPORTED"}


def test_a_kernel_that_is_too_slow_for_bisection_is_judged_by_sampling() -> None:
    session = Session("x", "kernel")
    session.most_rows = 800
    (chosen,) = [item for item in checks("kernel") if item.id == "kernel.exact-law"]
    (said,) = chosen.run(Rejection(), session)
    assert (said.verdict, said.what) == (
        "UNSUPPORTED",
        "too slow for bisection: judged by sampling alone",
    )


def test_a_batch_is_as_large_as_memory_and_pace_allow() -> None:
    session = Session("x", "kernel")
    assert Scenario(131_072, 12, 129).within(session).rows == 2
    assert Scenario(64, 3, 129).within(session).rows == 129
    session.most_rows = 7
    assert Scenario(64, 3, 129).within(session) == replace(Scenario(64, 3, 129), rows=7)
