"""Whether rows, calls and small batches are independent: which rows are held against which, and
under which distribution.
"""

from collections.abc import Callable

import pytest
import torch
from specref.adapters.reference import Rejection
from specref.judge import cases
from specref.judge.kernel import pairs
from specref.judge.kernel.pairs import NEAR_ROWS, NEXT_CALL, SAME_CALL, PairBets
from specref.judge.kernel.texts import continued_texts, token_laws
from specref.judge.session import Session
from specref.judge.suite import checks, kernel_rows
from specref.judge.suite.kernel_group import Group
from torch import Tensor

from tests.judge.by_hand import Mixed


def test_strides_are_round_numbers_powers_of_two_primes_and_a_hash_s_constant() -> None:
    """What a row's number is multiplied by, in code that makes a seed of the call's and the
    row's.
    """
    assert set(pairs.STRIDES) == {
        100,
        1_000,
        10_000,
        1_000_000,
        2**2 * 6300,
        2**10,
        2**12,
        2**16,
        2**20,
        1009,
        1013,
        7919,
        10_007,
        2**16 + 1,
        999_983,
        1_000_003,
        1_000_000_007,
        2_654_435_761,
    }


class Draw:
    """Keeps nothing; the first token comes from p by coins of the test's making."""

    def __init__(self, coins: Callable[[int, torch.Generator, int], Tensor]):
        self.coins = coins
        # rows, draft tokens, seed, whether q is told
        self.calls: list[tuple[int, int, int, bool]] = []

    def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
        self.calls.append((len(draft), draft.shape[1], seed, q is not None))
        assert 0 <= seed < 2**63  # an int64, for whoever keeps it in a tensor
        u = self.coins(len(draft), torch.Generator().manual_seed(seed), seed)
        token = torch.searchsorted(p[:, 0].double().cumsum(-1), u[:, None], right=True).clamp(
            max=p.shape[2] - 1
        )
        return torch.nn.functional.pad(token, (0, draft.shape[1]), value=-1)


def own(batch: int, generator: torch.Generator, seed: int) -> Tensor:
    return torch.rand(batch, dtype=torch.float64, generator=generator)


def paired(batch: int, generator: torch.Generator, seed: int) -> Tensor:
    return own(batch, generator, seed)[: (batch + 1) // 2].repeat_interleave(2)[:batch]


def halved(batch: int, generator: torch.Generator, seed: int) -> Tensor:
    return own((batch + 1) // 2, generator, seed).repeat(2)[:batch]


def even_seeds(batch: int, generator: torch.Generator, seed: int) -> Tensor:
    return own(batch, torch.Generator().manual_seed(seed // 2), seed)


def three_seeds(batch: int, generator: torch.Generator, seed: int) -> Tensor:
    """Two seeds of three that follow each other share their coins."""
    return own(batch, torch.Generator().manual_seed(seed // 3), seed)


def shifted(batch: int, generator: torch.Generator, seed: int) -> Tensor:
    """Row i of the next call has the coins of row i + 1: the second of two calls looks back by
    one.
    """
    return own(batch + 1, torch.Generator().manual_seed(seed // 2), seed)[
        seed % 2 : batch + seed % 2
    ]


def every(period: int) -> Callable:
    def coins(batch: int, generator: torch.Generator, seed: int) -> Tensor:
        return own(period, generator, seed).repeat(batch // period + 1)[:batch]

    return coins


def on(step: int) -> Callable:
    def coins(batch: int, generator: torch.Generator, seed: int) -> Tensor:
        """A stream is chosen by seed + step x row."""
        streams = own(step * batch + 4096, torch.Generator().manual_seed(seed // 4096), seed)
        return streams[seed % 4096 + step * torch.arange(batch)]

    return coins


def verdicts(check: str, coins: Callable, mde: float = 0.1) -> tuple[list, Draw]:
    kernel, session = Draw(coins), Session("x", "kernel", mde=mde)
    session.check = f"kernel.{check}"
    return list(getattr(kernel_rows, check.replace("-", "_"))(kernel, session)), kernel


@pytest.mark.parametrize(
    ("check", "coins", "told"),
    [
        ("independence", paired, "same call, row +1"),
        ("independence", halved, "same call, row +2048"),
        ("independence", every(1000), "same call, row +1000"),
        ("independence", every(7), "same call, row +7"),
        ("independence", every(1), "same call, row +"),
        ("seeds", three_seeds, "the next call, the same row and place"),
        ("seeds", shifted, "the next call, row -1"),
        ("seeds", on(2), "the call whose seed is +2, row -1"),
        ("seeds", on(4), "the call whose seed is +4, row -1"),
        ("seeds", on(7), "the call whose seed is +7, row -1"),
        ("seeds", on(63), "the call whose seed is +63, row -1"),
    ],
)
def test_shared_coins_are_named_by_who_shares_them(check: str, coins: Callable, told: str) -> None:
    (*_, said), _kernel = verdicts(check, coins)
    assert said.verdict == "FAIL"
    shared = kernel_rows.SHARED_ROWS if check == "independence" else kernel_rows.SHARED_CALLS
    assert said.what.startswith(f"{shared}: tokens at a fixed distance go together ({told}")
    assert said.alpha == pytest.approx(1e-6)


def test_what_the_other_check_convicts_is_no_failure_of_this_one() -> None:
    (*_, said), _kernel = verdicts("seeds", every(1))
    assert said.verdict == "INCONCLUSIVE"
    assert "same call, row +" in said.what
    (*_, said), _kernel = verdicts("independence", three_seeds)
    assert said.verdict == "INCONCLUSIVE"


def test_calls_at_far_seeds_are_of_the_one_draft_that_is_certain() -> None:
    _, kernel = verdicts("seeds", own)
    far = [(rows, count) for rows, count, *_ in kernel.calls if rows == pairs.FAR_ROWS]
    assert far == [(pairs.FAR_ROWS, 4)] * (3 + 64 + len(pairs.STRIDES))
    seeds = [seed for rows, _, seed, _ in kernel.calls if rows == pairs.FAR_ROWS]
    assert [seed - seeds[0] for seed in seeds[:33]] == [*range(33)]
    assert [seed - seeds[66] for seed in seeds[66:]] == [0, *pairs.STRIDES]


def test_coins_are_copies_where_the_last_draws_are_not() -> None:
    class Judged(Draw):
        """Keeps the first draft token by a coin that comes again after 1,000 rows."""

        def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
            out = super().verify(p, q, draft, seed)
            if draft.shape[1] == 4 and p.shape[2] == 2:
                coins = every(1000)(len(p), torch.Generator().manual_seed(seed + 12_345), seed)
                out[:, 0] = torch.where(coins < 0.5, draft[:, 0], 1 - draft[:, 0])
            return out

    session = Session("x", "kernel", mde=0.1)
    *_, said = kernel_rows.independence(Judged(own), session)
    assert said.verdict == "FAIL"
    assert "same call, row +" in said.what


class Coined(Draw):
    """The right rule for drafts that are told; coins [B,K+1] as the test says."""

    def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
        u = self.coins(len(draft), torch.Generator().manual_seed(seed), seed, draft.shape[1] + 1)  # type: ignore[call-arg]
        return Rejection().verify_with(p, q, draft, u[:, :-1], u[:, -1])


def stride(places: int, on: int = 1) -> Callable:
    """Draft token i of row r is judged by coin places x r + on x i."""

    def coins(batch: int, generator: torch.Generator, seed: int, width: int) -> Tensor:
        stream = own(places * batch + on * width, generator, seed)
        u = stream[places * torch.arange(batch)[:, None] + on * torch.arange(width)]
        return torch.cat((u[:, :-1], own(batch, generator, seed)[:, None]), 1)

    return coins


def seeded(step: int) -> Callable:
    """Draft token i is judged by coins seeded with seed + step x i."""

    def coins(batch: int, generator: torch.Generator, seed: int, width: int) -> Tensor:
        u = [
            own(batch, torch.Generator().manual_seed(seed + step * i), seed)
            for i in range(width - 1)
        ]
        return torch.stack((*u, own(batch, torch.Generator().manual_seed(seed + 10**6), seed)), 1)

    return coins


@pytest.mark.parametrize(
    ("check", "coins", "told"),
    [
        ("independence", stride(1), "same call, row +1 and place -1"),
        ("independence", stride(2), "same call, row +1 and place -2"),
        ("independence", stride(3), "same call, row +1 and place -3"),
        ("independence", stride(1, 64), "same call, row +64 and place -1"),
        ("independence", stride(1, 65), "same call, row +65 and place -1"),
        ("seeds", seeded(1), "place -1"),
        ("seeds", seeded(2), "the call whose seed is +2, place -1"),
        ("seeds", seeded(100), "the call whose seed is +100, place -1"),
    ],
)
def test_a_later_coin_that_is_the_first_one_of_another_row_is_seen(
    check: str, coins: Callable, told: str
) -> None:
    *_, said = getattr(kernel_rows, check)(Coined(coins), Session("x", "kernel", mde=0.1))
    assert said.verdict == "FAIL"
    assert told in said.what


@pytest.mark.parametrize(
    ("check", "coins"), [("independence", stride(13)), ("seeds", seeded(10**7))]
)
def test_a_later_coin_of_its_own_passes_and_so_does_one_that_is_shared_with_a_seed_not_asked(
    check: str, coins: Callable
) -> None:
    *waiting, said = getattr(kernel_rows, check)(Coined(coins), Session("x", "kernel", mde=0.1))
    assert said.verdict == "PASS"
    assert {v.verdict for v in waiting} == {"INCONCLUSIVE"}


def test_what_a_row_does_not_emit_is_drawn_from_the_target() -> None:
    group = Group("two", cases.turned(2, 2, {"opposed": cases.TWOS["opposed"]}))
    given = torch.tensor([[0, -1, -1], [1, -1, -1], [0, 1, -1], [1, 1, 0]]).repeat(20_000, 1)
    texts = continued_texts(group, given, torch.Generator().manual_seed(0))
    assert bool((texts >= 0).all())
    assert torch.equal(texts[given >= 0], given[given >= 0])
    for row, told in enumerate((1, 1, 2, 3)):
        distribution = group.target[0].view(2, 2, 2)[tuple(given[row, :told].tolist())].flatten()
        counts = torch.bincount(
            (texts[row::4] * torch.tensor([4, 2, 1])).sum(1) % 2 ** (3 - told),
            minlength=len(distribution),
        )
        # 5.6 deviations at least
        assert counts.double() / 20_000 == pytest.approx(
            distribution / distribution.sum(), abs=0.02
        )


def test_each_token_is_held_against_its_own_distribution() -> None:
    """The distribution of a token follows those before it."""
    group = Group("two", cases.turned(2, 3, {"cyclic": cases.CHAINS["cyclic"]}))
    texts = torch.tensor([[0, 1, 2], [2, 2, 0]])
    laws = token_laws(group, texts)
    tables = group.target[0].view(3, 3, 3)
    assert torch.allclose(laws[:, 0], tables.sum((1, 2)).expand(2, -1))
    for row, (first, second, _) in enumerate(texts.tolist()):
        after = tables[first].sum(1)
        assert torch.allclose(laws[row, 1], after / after.sum())
        assert torch.allclose(laws[row, 2], tables[first, second] / tables[first, second].sum())


@pytest.mark.parametrize("check", ["independence", "seeds"])
def test_rows_of_their_own_pass_at_the_goal_after_every_kind_of_draft(check: str) -> None:
    said, kernel = verdicts(check, own, 0.03)
    # the far seeds first: until then nothing else is more urgent
    assert [v.mde is None for v in said] == [i < 3 for i in range(len(said))]
    assert [v.verdict for v in said[:9]] == ["INCONCLUSIVE"] * 8 + ["PASS"]
    assert said[-1].verdict == "PASS"
    assert said[-1].mde <= 0.03
    assert all(v.mde > 0.03 for v in said[:-1] if v.verdict == "PASS")
    assert {(count, told) for _, count, _, told in kernel.calls} == {
        (0, True),
        (1, True),
        (4, True),
        (12, True),
        (1, False),
    }
    assert {rows for rows, *_ in kernel.calls} == {NEAR_ROWS, pairs.FAR_ROWS}
    assert said[-1].n == sum(rows for rows, *_ in kernel.calls)
    assert (said[-1].alpha, said[-1].method) == (pytest.approx(1e-6), "e-process")


def test_the_share_of_copies_that_is_claimed_is_found_and_half_of_it_is_not() -> None:
    """A part of the rows takes the coins of the row before it; the test is asked at the size that
    a run without them claims."""

    def partly(share: float) -> Callable:
        def coins(batch: int, generator: torch.Generator, seed: int) -> Tensor:
            u = own(batch, generator, seed)
            copied = own(batch, generator, seed) < share
            return torch.where(copied, u.roll(1), u)

        return coins

    groups = [kernel_rows._alike()[0]]

    def bets(coins: Callable, seed: int) -> PairBets:
        made = PairBets(Draw(coins), Session("x", "kernel", seed), groups, 1e-6)
        for _ in range(8):
            made.advance()
        return made

    claimed = bets(own, 0).least_share(SAME_CALL)
    assert 0.02 < claimed < 0.2
    assert all(bets(partly(claimed), seed).rejected for seed in range(4))
    assert not any(bets(partly(claimed / 2.5), seed).rejected for seed in range(4))


def test_next_calls_and_rows_have_shares_of_their_own() -> None:
    made = PairBets(Draw(own), Session("x", "kernel"), kernel_rows._alike(), 1e-6)
    assert made.least_share(SAME_CALL) == made.least_share(NEXT_CALL) == 1
    made.advance()
    first = [made.least_share(kind) for kind in (SAME_CALL, NEXT_CALL)]
    for _ in range(5):
        made.advance()
    later = [made.least_share(kind) for kind in (SAME_CALL, NEXT_CALL)]
    assert all(b < a for a, b in zip(first, later, strict=True))
    assert not made.begun
    made.advance()
    assert made.begun


def test_a_token_that_never_comes_is_a_failure_and_no_crash() -> None:
    class Last(Draw):
        def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
            out = super().verify(p, q, draft, seed)
            return out if p.shape[2] == 2 else torch.where(out == 2, 0, out)

    *_, said = kernel_rows.independence(Last(own), Session("x", "kernel", mde=0.1))
    assert (said.verdict, said.method) == ("FAIL", "e-process")


def test_calls_follow_each_other_by_their_seeds_and_draw_drafts_of_their_own() -> None:
    class Keeps(Draw):
        def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
            drafts.append(draft)
            return super().verify(p, q, draft, seed)

    drafts: list[Tensor] = []
    kernel = Keeps(own)
    made = PairBets(kernel, Session("x", "kernel"), [kernel_rows._alike()[1]], 1e-6)
    made.advance()
    (*_, first, _), (*_, second, _) = kernel.calls
    assert second == first + 1
    assert not torch.equal(drafts[0], drafts[1])


def test_a_slow_kernel_gets_calls_of_the_rows_that_fit() -> None:
    session = Session("x", "kernel")
    session.most_rows = 40
    kernel = Draw(own)
    made = PairBets(kernel, session, kernel_rows._alike(), 1e-6)
    for _ in range(8):
        made.advance()
    assert {rows for rows, *_ in kernel.calls} == {40}
    assert made.begun


def test_what_is_slow_to_draw_ends_at_a_tv_of_2_in_100_as_its_page_says() -> None:
    assert Session("x", "kernel").slow_goal == 0.02
    slow = [item for item in checks("kernel") if item.slow]
    assert [item.id for item in slow] == ["kernel.token-bets"]
    assert all("at a TV of .02" in " ".join(item.about.split()) for item in slow)


def test_both_checks_of_independence_look_at_the_same_calls() -> None:
    kernel, session = Draw(own), Session("x", "kernel", mde=0.05)
    first, second = (
        list(check(kernel, session))[-1] for check in (kernel_rows.independence, kernel_rows.seeds)
    )
    assert first.n < second.n == sum(rows for rows, *_ in kernel.calls)
    assert second.n - first.n < first.n


def near(monkeypatch: pytest.MonkeyPatch, kernel: object, rows: int) -> list:
    monkeypatch.setattr(kernel_rows, "NEAR", rows)
    return list(kernel_rows.near_equal(kernel, Session("x", "kernel")))


def test_enough_nearly_equal_rows_are_drawn_to_see_a_rejection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One case of three rejects 9e-5 of its draft tokens: nine are expected, and none comes with a
    probability of e^-9.
    """
    assert pytest.approx(9) == kernel_rows.NEAR * 9e-5 / 3
    said = near(monkeypatch, Rejection(), 20_000 * kernel_rows.NEAR_TOKENS)
    assert [v.verdict for v in said] == ["INCONCLUSIVE"] * (len(said) - 1) + ["PASS"]
    assert [v.n >= 20_000 for v in said] == [False] * (len(said) - 1) + [True]
    assert said[-1].what == f"{said[-1].n:,} rows"


def test_nearly_equal_distributions_that_break_a_kernel_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Odd(Mixed):
        told: Tensor

        def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
            out = super().verify(p, q, draft, seed)
            out[p[:, 0, 1] == 0, :2] = self.told
            out[p[:, 0, 1] == 0, 2:] = -1
            return out

    for told, what in (
        (torch.tensor([1, -1]), "probability 0"),
        (torch.tensor([1, 0]), "probability 0"),
    ):
        kernel = Odd(0)
        kernel.told = told
        (said,) = near(monkeypatch, kernel, 20_000 * kernel_rows.NEAR_TOKENS)
        assert said.verdict == "FAIL"
        assert what in said.what
        assert "one token certain" in said.what
