"""What any kernel must do, whatever its distribution: which answers are taken, which are named and
how.
"""

import itertools
from typing import Any

import pytest
import torch
from specref.adapters.reference import Rejection
from specref.judge import session as session_of_a_run
from specref.judge.session import MisbehavedError, Session
from specref.judge.suite import kernel as suite
from specref.judge.suite.kernel_call import answer, called
from torch import Tensor

GOOD = [[3, -1, -1], [0, 7, -1], [1, 2, 3]]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ([-1, -1, -1], "emits no token"),
        ([0, -1, 2], "-1 stands only behind"),
        ([-1, 3, -1], "emits no token"),
        ([8, -1, -1], "token 8, outside 0..7"),
        ([0, 1, 8], "token 8"),
        ([-2, -1, -1], "token -2"),
        ([0, -3, -1], "token -3"),
    ],
)
def test_one_bad_row_among_good_ones_is_enough(row: list[int], said: str) -> None:
    for place in range(4):
        rows = [*GOOD[:place], row, *GOOD[place:]]
        with pytest.raises(MisbehavedError, match=said):
            answer(torch.tensor(rows), 4, 3, 8)


def test_a_good_answer_is_taken_in_any_integer_type() -> None:
    for dtype in (torch.int64, torch.int32, torch.int16):
        assert answer(torch.tensor(GOOD, dtype=dtype), 3, 3, 8).tolist() == GOOD
    assert answer(GOOD, 3, 3, 8).tolist() == GOOD
    assert answer(torch.tensor([[0], [7]]), 2, 1, 8).tolist() == [[0], [7]]


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ([GOOD[0], GOOD[1][:2], GOOD[2]], "returns rows of several lengths"),
        (None, "returns a NoneType"),
        (torch.tensor(GOOD).float(), "returns float32"),
        (torch.tensor(GOOD) > 0, "returns bool"),
        (torch.tensor(GOOD)[:2], r"shape \[2, 3\]"),
        (torch.tensor(GOOD)[:, :2], r"shape \[3, 2\]"),
        (torch.tensor(GOOD).T[:, :2], r"shape \[3, 2\]"),
    ],
)
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


class Series:
    """Answers with what it was handed, all calls in one buffer; may write over an input of one
    call.
    """

    def __init__(self, changes: int = -1, kind: str = "tensor"):
        self.changes, self.calls, self.out = changes, [], torch.zeros(2, 3, dtype=torch.int64)  # type: ignore[var-annotated]
        self.answer: Any = {
            "tensor": self.out,
            "array": self.out.numpy(),
            "rows": [*self.out],
            "lists": [[0] * 3, [0] * 3],
            # but for lists all are the same memory
            "rows of arrays": (*self.out.numpy(),),
        }[kind]

    def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> object:
        self.calls.append((p.tolist(), None if q is None else q.tolist(), draft.tolist(), seed))
        self.out[:, :2], self.out[:, 2] = draft[:1], seed
        if seed == self.changes:
            p[0, 0, 0] = 0.75
        if isinstance(self.answer, list) and isinstance(self.answer[0], list):
            for row, now in zip(self.answer, self.out.tolist(), strict=True):
                row[:] = now
        return self.answer[: len(draft)]


@pytest.mark.parametrize("rows", [5, 4, 2])
@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("kind", ["tensor", "array", "rows", "rows of arrays", "lists"])
def test_a_series_of_calls_has_every_row_once_and_seeds_that_follow_each_other(
    kind: str, told: bool, rows: int
) -> None:
    """All answers stand in one place, which the next call writes over."""
    p, q, draft = suite.inputs(Session("x", "kernel"), rows, 2, 9)
    kernel = Series(kind=kind)
    out = called(kernel, Session("x", "kernel"), p, q if told else None, draft, 3, 2)  # type: ignore[arg-type]
    parts = [slice(0, 2), slice(2, 4), slice(4, 5)][: (rows + 1) // 2]
    assert kernel.calls == [
        (p[part].tolist(), q[part].tolist() if told else None, draft[part].tolist(), 3 + i)
        for i, part in enumerate(parts)
    ]
    assert out.tolist() == [[*draft[row // 2 * 2].tolist(), 3 + row // 2] for row in range(rows)]


def test_in_a_series_an_input_that_is_changed_and_an_answer_that_is_none_are_named() -> None:
    session, given = Session("x", "kernel"), suite.inputs(Session("x", "kernel"), 5, 2, 9)
    for seed in (3, 4, 5):
        with pytest.raises(MisbehavedError, match="its input p:"):
            called(Series(seed), session, *given, 3, 2)  # type: ignore[arg-type]
    with pytest.raises(MisbehavedError, match="token 9"):
        called(Series(), session, *given, 7, 2)  # type: ignore[arg-type]


def test_the_watch_is_told_of_a_series_once_and_again_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = suite.inputs(Session("x", "kernel"), 5, 2, 9)
    for again, times in ((0.0, 4), (60.0, 1)):
        monkeypatch.setattr(session_of_a_run, "AGAIN", again)
        session, heard = Session("x", "kernel"), []  # type: ignore[var-annotated]
        session.watch = heard.append
        session.told = -100.0  # long ago
        called(Series(), session, *given, 3, 2)  # type: ignore[arg-type]
        assert heard == ["verify, 2 rows"] * times + [""]
    assert session.told > 0


def test_what_is_handed_over_are_distributions_and_drafts_that_are_possible() -> None:
    session = Session("x", "kernel")
    for batch, count, vocabulary in ((3, 2, 5), (4, 0, 7), (1, 8, 2)):
        p, q, draft = suite.inputs(session, batch, count, vocabulary)
        assert p.shape == (batch, count + 1, vocabulary)
        assert q.shape == (batch, count, vocabulary)
        assert draft.shape == (batch, count)
        assert (p.dtype, q.dtype, draft.dtype) == (torch.float32, torch.float32, torch.int64)
        for distribution in (p, q):
            assert torch.allclose(distribution.sum(-1), torch.ones(()))
            assert bool((distribution > 0).all())
        assert not torch.allclose(p[:, :count], q) or not count
        assert bool((q.gather(2, draft[..., None]) > 0).all())
    p, q, draft = suite.inputs(session, 2000, 2, 3)
    assert 1.5 < float(p.amax(-1).mean() / p.amin(-1).mean()) < 30  # unlike, and nothing is sure
    # drafts are drawn from q, row by row: 3,000 of a token's mean counts, +- 5 deviations
    for place in range(2):
        expected = q[:, place].sum(0)
        assert bool(
            (
                (torch.bincount(draft[:, place], minlength=3) - expected).abs() < 5 * 2000**0.5 / 2
            ).all()
        )
    likely = q.argmax(-1)
    assert float((draft == likely).float().mean()) == pytest.approx(
        float(q.amax(-1).mean()), abs=0.04
    )


def test_every_combination_of_sizes_is_asked_for() -> None:
    class Sizes(Rejection):
        def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
            seen.append((*draft.shape, p.shape[2]))
            return super().verify(p, q, draft, seed)

    seen: list[tuple[int, ...]] = []
    said = list(suite.shape(Sizes(), Session("x", "kernel")))
    assert seen == [*itertools.product((1, 17, 64), (0, 1, 4, 8), (2, 33, 64))]
    assert [v.n for v in said] == [*range(1, 37)]
    assert said[-1].what == "36 shapes"
    assert {v.verdict for v in said} == {"PASS"}


@pytest.mark.parametrize("token", [0, 1])
def test_a_token_behind_the_end_of_every_row_is_called_padding(token: int) -> None:
    class Padded(Rejection):
        def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
            out = super().verify(p, q, draft, seed)
            return out.where(out >= 0, token)

    *before, said = suite.shape(Padded(), Session("x", "kernel"))
    assert {v.verdict for v in before} == {"PASS"}
    assert said.verdict == "FAIL"
    assert said.what == f"all 64 rows end with {token}: behind a row's last token stands -1"
    assert said.case.startswith("8 draft tokens, ")


class Coins(Rejection):
    """Accepts nothing; the token of a row is a function of coins."""

    kind = "seed"

    def __init__(self) -> None:
        self.calls, self.last = 0, -1

    def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
        self.calls += 1
        generator = torch.Generator().manual_seed(
            {
                "seed": seed,
                "calls": self.calls,
                "global": 0,
                "seeds global": 0,
                "last": self.last,
                "one row": seed,
                "cut": seed & 255,
                "halved": seed // 2,
                "coinless": 0,
            }[self.kind]
        )
        self.last = seed
        if self.kind == "seeds global":
            torch.manual_seed(seed)
        size = (len(p), 1)
        token = (
            torch.randint(p.shape[2], size)
            if "global" in self.kind
            else torch.randint(p.shape[2], size, generator=generator)
        )
        if self.kind == "one row" and self.calls == 11:
            token[5] = (token[5] + 1) % p.shape[2]
        return torch.nn.functional.pad(token, (0, draft.shape[1]), value=-1)


@pytest.mark.parametrize(
    ("kind", "tries", "what"),
    [
        ("seed", 3, ""),
        ("seeds global", 3, ""),
        ("calls", 1, "the second time: draw every coin from a generator"),
        ("last", 1, "the second time"),
        ("global", 1, "follows torch's global generator and not the seed alone"),
        ("one row", 3, "the second time"),
    ],
)
def test_the_same_seed_is_to_give_the_same_answer(kind: str, tries: int, what: str) -> None:
    kernel = Coins()
    kernel.kind = kind
    state = torch.random.get_rng_state()
    said = list(suite.determinism(kernel, Session("x", "kernel")))
    assert torch.equal(torch.random.get_rng_state(), state)  # the caller's coins are left alone
    assert [v.n for v in said] == [*range(1, tries + 1), *([] if what else [3])]
    assert [v.verdict for v in said] == ["PASS"] * (len(said) - 1) + ["FAIL" if what else "PASS"]
    assert what in said[-1].what
    if what:
        rows = int(said[-1].case.split()[0])
        assert said[-1].case == f"{rows} of 64 rows differ"
        assert rows == 1 if kind == "one row" else 40 < rows <= 64
    else:
        assert said[-1].what == "3 calls repeated, 31 other seeds"


def test_every_bit_of_a_seed_is_to_count_unless_no_coin_is_drawn() -> None:
    kernel = Coins()
    kernel.kind = "cut"
    *before, said = suite.determinism(kernel, Session("x", "kernel"))
    assert [v.verdict for v in before] == ["PASS"] * 3
    assert (said.verdict, said.n) == ("FAIL", 3)
    assert said.what.startswith(
        "23 of the seed's low 31 bits change nothing, bit 8 the first of them"
    )
    kernel.kind = "halved"
    *_, said = suite.determinism(kernel, Session("x", "kernel"))
    assert said.what.startswith(
        "1 of the seed's low 31 bits change nothing, bit 0 the first of them"
    )
    kernel.kind = "coinless"
    assert [v.verdict for v in suite.determinism(kernel, Session("x", "kernel"))] == ["PASS"] * 4


class Overflown(Rejection):
    """Right but for what it does with a row of NaN."""

    def __init__(self, does: str, row: int = 1):
        self.does, self.row, self.calls = does, row, 0

    def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
        self.calls += 1
        nan = p.isnan().any(-1).any(-1)
        if not bool(nan.any()):
            return super().verify(p, q, draft, seed)
        assert nan.tolist() == [False, True, False, False]
        assert bool(p[1].isnan().all())
        if self.does == "raises":
            raise ValueError("NaN")
        out = super().verify(torch.where(p.isnan(), 1 / p.shape[2], p), q, draft, seed)
        out[1, 1:] = -1
        out[1, 0] = {"outside": p.shape[2], "nothing": -1}.get(self.does, 7)
        if self.does == "neighbour":
            out[self.row, 1:] = -1
            out[self.row, 0] = (out[self.row, 0] + 1) % p.shape[2]
        return out


def test_a_row_of_nan_may_be_refused_or_kept_to_itself() -> None:
    session = Session("x", "kernel")
    (said,) = suite.not_a_number(Overflown("raises"), session)
    assert (said.verdict, said.what, said.n) == ("PASS", "refused", 1)
    (said,) = suite.not_a_number(Overflown("a token"), session)
    assert (said.verdict, said.what, said.n) == ("PASS", "a token of the vocabulary", 1)


@pytest.mark.parametrize(
    ("does", "what"),
    [
        ("outside", "a row of NaN: verify emits token 8, outside 0..7"),
        ("nothing", "a row of NaN: verify emits no token for a row"),
    ],
)
def test_what_comes_of_nan_must_be_a_token(does: str, what: str) -> None:
    (said,) = suite.not_a_number(Overflown(does), Session("x", "kernel"))
    assert (said.verdict, said.n) == ("FAIL", 1)
    assert said.what.startswith(what)


@pytest.mark.parametrize("row", [0, 2, 3])
def test_nan_must_not_reach_any_row_beside_it(row: int) -> None:
    (said,) = suite.not_a_number(Overflown("neighbour", row), Session("x", "kernel"))
    assert (said.verdict, said.n) == ("FAIL", 1)
    assert said.what.startswith("a row of NaN changes the rows beside it")
