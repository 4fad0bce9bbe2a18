"""Large vocabularies: which are asked for, when their tests end, and what in them is a failure."""

import pytest
import torch
from specref.adapters.reference import Tree
from specref.judge import session
from specref.judge.session import Session
from specref.judge.suite import kernel_wide
from specref.judge.suite.kernel_group import Group
from specref.judge.zoo.kernels import Coins
from torch import Tensor

from tests.judge.by_hand import Mixed


def test_large_vocabularies_end_with_a_token_or_with_a_tail_of_zeros() -> None:
    assert [(size, last, rows) for size, last, _, rows in kernel_wide.LARGE] == [
        (4097, 4096, 0),
        (32_768, 32_500, 500),
        (131_072, 131_071, 60),
    ]


def large(monkeypatch: pytest.MonkeyPatch, kernel: object, mde: float | None = 0.3) -> list:
    """Vocabularies of 20, 30 and 40 in place of the large ones."""
    monkeypatch.setattr(kernel_wide, "LARGE", ((20, 19, 64, 0), (30, 18, 16, 200), (40, 39, 4, 30)))
    monkeypatch.setattr(
        kernel_wide, "far_apart", lambda last: torch.tensor([last, 0, 1, 2, 3, 4, 5, 6])
    )
    return list(kernel_wide.large_vocabulary(kernel, Session("x", "kernel", mde=mde)))


class Wide(Mixed):
    def __init__(self, size: int = 0, token: int | None = None):
        super().__init__(0)
        self.size, self.token, self.sizes = size, token, []  # type: ignore[var-annotated]

    def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
        self.sizes.append(p.shape[2])
        out = super().verify(p, q, draft, seed)
        if p.shape[2] == self.size:
            out[:, 0] = p[:, 0].argmax(-1) if self.token is None else self.token
        return out


def test_all_large_vocabularies_are_drawn_and_the_smallest_to_the_goal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kernel = Wide()
    said = large(monkeypatch, kernel, mde=0.15)
    assert {*kernel.sizes} == {20, 30, 40}
    assert said[-1].verdict == "PASS"
    rows = said[-1].what.replace(",", "").split()
    first, second, third = int(rows[0]), int(rows[5]), int(rows[10])
    assert (
        said[-1].what
        == f"{first:,} rows of 20 tokens, {second:,} rows of 30 tokens, {third:,} rows of 40 tokens"
    )
    assert 30 <= third < 60
    assert second >= 200
    assert first >= 200
    assert second < 400 < first  # the largest vocabulary is slow: its support is seen in few rows
    assert said[-1].n == first
    assert said[-1].mde <= 0.15
    assert said[-2].mde > 0.15
    for one in (large(monkeypatch, Wide(), mde=0.95), said):
        few = one[0].what.replace(",", "").split()
        assert min(int(few[0]), int(few[5]), int(few[10])) > 0, (
            "nothing is said before all were drawn"
        )
        few = one[-1].what.replace(",", "").split()
        assert int(few[5]) >= 200
        assert int(few[10]) >= 30


@pytest.mark.parametrize("size", [20, 30, 40])
def test_tokens_of_no_probability_in_a_large_vocabulary_are_a_failure(
    monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    said = large(monkeypatch, Wide(size, 10))[-1]
    assert said.verdict == "FAIL"
    assert 0 < said.n <= 256, "in the first slice"
    assert said.what == f"reversed of 8 (V = {size}, K = 1): a token of probability 0 comes out"


@pytest.mark.parametrize("name", ["four of 37", "one of 300", "three of 100, certain"])
def test_a_token_of_no_probability_in_one_size_is_a_failure_however_rare(name: str) -> None:
    group = kernel_wide.sizes()[name]

    class Stray(Coins):
        def verify_with(
            self, p: Tensor, q: Tensor | None, draft: Tensor, accept_u: Tensor, final_u: Tensor
        ) -> Tensor:
            out = super().verify_with(p, q, draft, accept_u, final_u)
            if (p.shape[1] - 1, p.shape[2]) == (group.K, group.size):
                out[0] = torch.tensor([1, *[-1] * group.K])  # one row of a call
            return out

    *_, said = kernel_wide.other_sizes(Stray(), Session("x", "kernel", mde=0.3))
    assert (said.verdict, said.method) == ("FAIL", "deterministic")
    assert said.what == f"{group.label(0)}: a token of probability 0 comes out"


def test_a_distribution_that_is_off_in_a_large_vocabulary_is_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = large(monkeypatch, Wide(20))[-1]
    assert said.verdict == "FAIL"
    assert said.what.startswith(
        "the first token: 0 comes out with probability 1.000 instead of 0.222"
    )
    assert said.case == "reversed of 8 (V = 20, K = 1)"


def test_large_vocabularies_end_at_their_own_goal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "SLOW_GOAL", 0.25)
    assert 0.2 < large(monkeypatch, Wide(), mde=None)[-1].mde <= 0.25


class Dense(Mixed):
    """Right; or it draws from the likeliest tokens alone; notes what it is handed."""

    def __init__(self, kept: int = 0):
        super().__init__(0)
        self.kept, self.seen = kept, []  # type: ignore[var-annotated]

    def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
        assert q is not None
        self.seen.append(
            (len(p), float(p.min()), float(q.min()), p[0, 0, :8].argsort(descending=True).tolist())
        )
        if self.kept:
            p = p.masked_fill(p < p.topk(self.kept).values[..., -1:], 0)
        return super().verify(p, q, draft, seed)


def test_in_a_dense_vocabulary_every_id_is_likely_and_neighbours_stand_for_other_tokens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session, "SLOW_GOAL", 0.3)
    kernel = Dense()
    said = list(kernel_wide.dense_vocabulary(kernel, Session("x", "kernel")))
    assert {v.verdict for v in said} == {"PASS"}
    assert [v.mde is not None and v.mde <= 0.3 for v in said] == [False] * (len(said) - 1) + [True]
    # of eight tokens with 1/36 to 8/36 each has a 320th part
    assert all(
        least == pytest.approx(1 / 36 / 320, rel=1e-5)
        for _, *both, _ in kernel.seen
        for least in both
    )
    assert all(order == [*range(8)] for *_, order in kernel.seen)
    assert said[-1].case == "reversed of 8 (V = 2560, K = 1, a token stands for 320 ids)"
    coarse = list(kernel_wide.dense_vocabulary(Dense(), Session("x", "kernel", mde=0.5)))
    assert coarse[-1].mde is not None
    assert 0.3 < coarse[-1].mde <= 0.5
    assert kernel_wide.DENSE == 8 * 320


def test_the_likeliest_thousand_alone_are_not_the_distribution_of_a_dense_vocabulary() -> None:
    *_, said = kernel_wide.dense_vocabulary(Dense(1000), Session("x", "kernel", mde=0.1))
    assert said.verdict == "FAIL"
    assert said.what.startswith("the first token: ")


def test_a_tile_that_gets_more_than_its_part_shows_in_a_dense_vocabulary() -> None:
    class Tile(Dense):
        def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
            first, second, last = p.split((1024, 1024, 512), 2)
            return super().verify(torch.cat((first, 2 * second, last), 2), q, draft, seed)

    *_, said = kernel_wide.dense_vocabulary(Tile(), Session("x", "kernel", mde=0.1))
    assert said.verdict == "FAIL"
    places = next(iter(kernel_wide.dense().values())).ids
    assert places is not None
    assert sorted(places.flatten().tolist()) == [*range(2560)]


def test_the_sizes_that_are_tried_and_no_others_are() -> None:
    drafts, guesses = kernel_wide.sizes(), kernel_wide.trees()
    assert [(g.K, g.size or g.V, g.V, g.certain) for g in drafts.values()] == [
        (4, 2, 2, False),
        (6, 2, 2, False),
        (7, 2, 2, False),
        (12, 2, 2, False),
        (4, 37, 3, False),
        (6, 129, 3, False),
        (7, 3, 3, False),
        (12, 2, 2, False),
        (1, 300, 8, False),
        (3, 100, 3, True),
    ]
    assert [(g.K, g.nodes, g.size or g.V, g.certain) for g in guesses.values()] == [
        (1, 4, 4, False),
        (4, 9, 2, False),
        (2, 5, 3, True),
        (2, 3, 300, False),
    ]
    # at the ends of tiles
    assert [g.ids.tolist() for g in (*drafts.values(), *guesses.values()) if g.ids is not None] == [
        [36, 0, 33],
        [128, 64, 31],
        [299, 0, 255, 256, 31, 288, 32, 63],
        [99, 32, 64],
        [299, 32, 256],
    ]
    assert [g.parents for g in guesses.values()] == [  # type: ignore[attr-defined]
        (-1, -1, -1, -1),
        (-1, -1, 0, 0, 1, 2, 4, 5, 6),
        (-1, -1, 0, 0, 1),
        (-1, -1, 0),
    ]
    for group in (*drafts.values(), *guesses.values()):
        if group.ids is not None:
            assert int(group.ids.max()) == group.size - 1, "the last token is possible"
        rows = group.rows(8, torch.Generator().manual_seed(0))
        p, q, tokens = group.inputs(rows)
        assert p.shape == (8, group.nodes + 1, group.size or group.V)
        assert torch.allclose(p.sum(-1), torch.ones(8, group.nodes + 1))
        assert (q is None) == group.certain
        assert q is None or bool((q.gather(2, tokens[..., None]) > 0).all())


def test_most_drafts_are_kept_so_that_late_tokens_are_reached() -> None:
    def kept(group: Group) -> float:
        p, q, _ = group.inputs(torch.tensor([0]))
        assert q is not None
        return float(torch.minimum(p[0, 0], q[0, 0]).sum())

    made = kernel_wide.sizes()
    for name in ("one draft of 4", "one draft of 6", "one draft of 7", "one draft of 12"):
        assert kept(made[name]) == pytest.approx(10 / 11)
    assert kept(made["twelve"]) == pytest.approx(0.9)
    for name in ("four of 37", "six of 129", "seven"):
        assert kept(made[name]) == pytest.approx(0.8)
        assert made[name].inputs(torch.tensor([0]))[0][0, 0].sort().values[
            -3:
        ].tolist() == pytest.approx([0.1, 0.4, 0.5])


@pytest.mark.parametrize("name", ["four of 37", "one draft of 12", "three of 100, certain"])
def test_a_distribution_that_is_off_in_one_size_alone_is_told_with_it(name: str) -> None:
    group = kernel_wide.sizes()[name]

    class One(Mixed):
        def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
            out = super().verify(p, q, draft, seed)
            if (p.shape[1] - 1, p.shape[2]) == (group.K, group.size or group.V):
                out[:, 0] = p[:, 0].argmax(-1)
            return out

    *_, said = kernel_wide.other_sizes(One(0), Session("x", "kernel", mde=0.3))
    assert (said.verdict, said.case) == ("FAIL", group.label(0))


def test_a_token_of_no_probability_in_one_size_of_trees_is_a_failure_however_rare() -> None:
    class Stray(Tree):
        def verify_tree(
            self, p: Tensor, q: Tensor | None, tokens: Tensor, parents: Tensor, seed: int
        ) -> Tensor:
            out = super().verify_tree(p, q, tokens, parents, seed)
            if p.shape[2] == 300:
                out[0] = torch.tensor([1, *[-1] * (out.shape[1] - 1)])  # one row of a call
            return out

    *_, said = kernel_wide.tree_sizes(Stray(), Session("x", "kernel", mde=0.3))
    assert (said.verdict, said.method) == ("FAIL", "deterministic")
    assert said.what.endswith(": a token of probability 0 comes out")


@pytest.mark.parametrize("place", [1, 6, 11])
def test_a_coin_that_comes_again_shows_where_all_rows_have_one_draft(place: int) -> None:
    """The draft token at `place` is kept by the first one's coin."""

    class Again(Coins):
        def uniforms(self, batch: int, width: int, seed: int) -> Tensor:
            own = super().uniforms(batch, width, seed)
            if width == 13:
                own[:, place] = own[:, 0]
            return own

    *_, said = kernel_wide.other_sizes(Again(), Session("x", "kernel", mde=0.05))
    assert (said.verdict, said.case) == ("FAIL", "kept (V = 2, K = 12)")
    assert said.what.startswith(f"tokens 1 and {place + 1}: ")


def test_the_first_token_is_looked_at_with_each_later_one_where_all_rows_have_one_draft() -> None:
    for group in kernel_wide.sizes().values():
        looked, one = kernel_wide.far_and_near(group), group.name.startswith("one draft")
        assert (
            {window[:3] for window in looked} == {(0, 1, i) for i in range(1, group.K + 1)}
        ) == one
        assert (int((group.draft > 0).sum()) == 1) == one
