"""The test by betting: validity by enumeration of all outcomes, formulas by hand, refusals, and a
bounded simulation of right and of wrong engines.
"""

import copy
import math
from collections.abc import Callable, Iterator
from functools import cache

import pytest
import torch
from specref.errors import SpecrefError
from specref.stats import betting
from specref.stats.betting import Bettor, Surprise, Table, betting_slices, log_shares
from specref.stats.questions import (
    EVERYWHERE,
    Context,
    Direction,
    LagQuestions,
    Observed,
    OutcomeCells,
    Questions,
    named_cells,
    ranked_cells,
)
from specref.stats.texts import read_texts, text_questions
from torch import Tensor

from .betting_run import interval, tokens_to_conviction
from .right_streams import right_stream
from .simulated import Model, Simulated, shape_of

EDGE = 1e-9  # of float64 sums


def double(*rows: object) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


# --- every outcome of short streams ---

SMALL = Questions(
    outcomes=(OutcomeCells("token", 2),),
    contexts=(Context("row", 2, "in row {}", "by row"), Context("last", 2, "after {}", "by last")),
    directions=(Direction("up", "tokens 1"),),
    tables=(("token", EVERYWHERE), ("token", "last")),
    scores=(("up", EVERYWHERE), ("up", "row")),
    lags=LagQuestions(2, 2, (1, 2), (-1, 3), (("token", 1), ("token", 2)), ("up",)),
)
Error = Callable[[int], float]  # the number of a token -> by how much its p(1) is misreported


def chance_of_one(history: tuple[int, ...]) -> float:
    """The true probability of token 1: it follows everything before."""
    return (0.5, 0.15, 0.8, 0.35)[(len(history) + sum(history)) % 4]


def calls(history: tuple[int, ...]) -> Iterator[tuple[float, list[int], list[int], list[int]]]:
    """Every outcome of the next call: its probability, tokens, rows, places.

    Two rows of two tokens. Token 0 ends a row in a call whose number is even, and a call after many
    ones has one row only: lengths and batches follow what came before.
    """
    shapes = [1, 0] if sum(history) < 5 else [0]

    def grow(
        rows: list[int], done: list[tuple[int, int, int]], weight: float
    ) -> Iterator[tuple[float, list[tuple[int, int, int]]]]:
        if not rows:
            yield weight, done
            return
        place = sum(row == rows[-1] for _, row, _ in done)
        p = chance_of_one(history + tuple(token for token, _, _ in done))
        for token, share in ((0, 1 - p), (1, p)):
            ends = place == 1 or (token == 0 and len(history) % 2 == 0)
            rest = rows[:-1] if ends else rows
            yield from grow(rest, [*done, (token, rows[-1], place)], weight * share)

    for weight, done in grow(sorted(shapes, reverse=True), [], 1.0):
        tokens, rows, places = (list(part) for part in zip(*done))
        yield weight, tokens, rows, places


def observed(
    history: tuple[int, ...],
    tokens: list[int],
    rows: list[int],
    places: list[int],
    error: Error | None,
) -> Observed:
    """A call as the bettor sees it. error: the report is off by so much, and tol says .04."""
    before = [history + tuple(tokens[:i]) for i in range(len(tokens))]
    p = double(*[chance_of_one(one) for one in before])
    tol = None
    if error is not None:
        p = p + double(*[error(len(one)) for one in before])
        tol = {"token": torch.full((len(p), 2), 0.04, dtype=torch.float64)}
    last = torch.tensor([one[-1] if one else 0 for one in before])
    up = torch.stack((torch.full_like(p, 0.2), 0.2 + 0.8 * last.double()), 1)
    return Observed(
        {"token": torch.stack((1 - p, p), 1)},
        {"token": torch.tensor(tokens)},
        {"row": torch.tensor(rows), "last": last},
        {"up": up},
        tol,
        torch.tensor(rows),
        torch.tensor(places),
        seed=len(history),
    )


Leaf = tuple[float, list[Tensor], float]  # probability, wealth of every expert, largest mixture


@cache
def every_stream(error: Error | None, depth: int) -> list[list[Leaf]]:
    """For each number of calls: the wealth at the end of every possible stream."""
    bettor = Bettor(SMALL, 0.3)
    level: list[tuple[float, tuple[int, ...], Bettor]] = [(1.0, (), bettor)]
    found: list[list[Leaf]] = []
    for _ in range(depth):
        following, leaves = [], []
        for weight, history, past in level:
            for share, tokens, rows, places in calls(history):
                now = copy.deepcopy(past)
                now.update(observed(history, tokens, rows, places, error))
                now.look()
                following.append((weight * share, history + tuple(tokens), now))
                wealth = [family.log_wealth.exp() for family in now.experts()]
                leaves.append((weight * share, wealth, math.exp(now.largest)))
        level = following
        found.append(leaves)
    return found


ERRORS: dict[str, Error | None] = {
    "exact": None,
    "reported too low": lambda t: -0.04,
    "reported too high": lambda t: 0.04,
    "by turns": lambda t: 0.04 * (-1) ** t,
}
DEPTH = {"exact": 3, "reported too low": 2, "reported too high": 2, "by turns": 3}  # calls


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables learn from every token, and no distance is given up."""
    monkeypatch.setattr(betting, "SLICE", (1, 1))
    monkeypatch.setattr("specref.stats.lags.ROOM_TO_WIN", 0.0)


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.usefixtures("eager")
def test_no_expert_gains_on_average_over_every_stream(name: str) -> None:
    """Each expert's mean wealth is at most its share at every time, and the mixture's at most 1."""
    error = ERRORS[name]
    start = [family.log_wealth.exp() for family in Bettor(SMALL, 0.3).experts()]
    shares = log_shares(SMALL)
    lags = shares["lag"] + Bettor(SMALL, 0.3).lags.log_share  # type: ignore[union-attr]
    for leaves in every_stream(error, DEPTH[name]):
        assert sum(leaf[0] for leaf in leaves) == pytest.approx(1)
        for number, first in enumerate(start):
            parts = [weight * wealth[number] for weight, wealth, _ in leaves]
            mean = sum(parts[1:], start=parts[0])
            most = lags.exp().expand_as(mean) if mean.dim() == 4 else first
            assert bool((mean <= most * (1 + EDGE)).all()), number
        whole = 0.0
        for weight, wealth, _ in leaves:
            whole += weight * sum(float(part.sum()) for part in wealth)
        assert whole <= 1 + EDGE
        if error is None:
            assert whole > 0.6, "hardly any wealth is left: a bet that cannot win says nothing"


@pytest.mark.usefixtures("eager")
def test_wealth_passes_a_level_as_seldom_as_ville_says() -> None:
    """Over every stream, looked at after each call: P(largest >= 1/a) <= a."""
    last = every_stream(None, 3)[-1]
    for level in (1.05, 1.2, 1.5, 2.0):
        assert sum(weight for weight, _, largest in last if largest >= level) <= 1 / level + EDGE
    assert any(largest > 1.2 for _, _, largest in last), "nobody ever wins"


# --- by hand ---


def test_a_table_pays_what_its_formula_says() -> None:
    """(a + observed)/(a + expected), made whole: after 3 zeros where 1.5 were due, with a = 1."""
    table = Table(1, 2)
    p = double([0.5, 0.5], [0.5, 0.5], [0.5, 0.5])
    table.update(p, torch.tensor([0, 0, 0]), torch.zeros(3, dtype=torch.int64), None)
    assert table.gain.abs().max() == 0, "nothing is known before the first slice"
    assert (table.observed.tolist(), table.expected.tolist()) == ([[3, 0]], [[1.5, 1.5]])
    table.update(p[:1], torch.tensor([0]), torch.zeros(1, dtype=torch.int64), None)
    zero, one = 4 / 2.5, 1 / 2.5
    assert float(table.gain[0, 0]) == pytest.approx(math.log(zero / ((zero + one) / 2)))
    table.update(p[:1], torch.tensor([1]), torch.zeros(1, dtype=torch.int64), double([0.1, 0.1]))
    zero, one = 5 / 3, 1 / 3
    f = one / ((zero + one) / 2)
    slack = 0.1 * abs(f - 1) + 0.1 * abs(2 - f - 1)
    before = math.log(4 / 2.5)
    assert float(table.gain[0, 0]) == pytest.approx(before + math.log(f / (1 + slack)))


def test_the_slack_of_a_score_is_by_how_much_its_mean_may_be_off() -> None:
    """sum tol |g - mean of g|, in each context: too small to show in short streams."""
    bettor = Bettor(SMALL, 0.3)
    p, g = double([0.75, 0.25], [0.5, 0.5]), double([0.2, 1.0], [0.0, 0.5])
    tol = {"token": double([0.1, 0.2], [0.0, 0.3])}
    groups = torch.tensor([0, 1])
    given = ({"token": p}, {"token": groups}, {"row": groups, "last": groups}, {"up": g})
    bettor.update(Observed(*given, tol, groups, torch.zeros(2), 0))
    each = [0.1 * 0.2 + 0.2 * 0.6, 0.3 * 0.25]
    assert bettor.scores["up", "row"].slack.tolist() == pytest.approx(each)
    assert bettor.scores["up", EVERYWHERE].slack.tolist() == pytest.approx([sum(each)])


def test_a_table_keeps_its_contexts_apart() -> None:
    """The rare form (1 - rho) + rho M_c keeps nearly 1 of a context that loses."""
    table = Table(3, 2)
    p = double(*[[0.5, 0.5]] * 4)
    context = torch.tensor([0, 0, 2, 2])
    for cells in ([0, 0, 0, 0], [0, 0, 1, 1]):
        table.update(p, torch.tensor(cells), context, None)
    assert table.gain[0, 1] == 0
    assert table.gain[0, 0] > 0 > table.gain[0, 2]
    M = table.gain[0].exp()
    expected = (0.9 + 0.1 * M).log().sum()
    assert float(table.log_wealth()[0, 1]) == pytest.approx(float(expected))
    assert float(table.log_wealth()[0, 0]) == pytest.approx(float(table.gain[0].sum()))


def test_one_surprising_token_is_enough() -> None:
    """f = p^(-1/2) / sum p^(1/2), staked 1/((t + 1)(t + 2)) of the first unit."""
    surprise = Surprise()
    assert float(surprise.log_wealth()) == 0
    p = double([0.25, 0.75], [0.04, 0.96])
    surprise.update(p, torch.tensor([1, 0]), None)
    first = 0.75**-0.5 / (0.25**0.5 + 0.75**0.5)
    second = 0.04**-0.5 / (0.2 + 0.96**0.5)
    assert float(surprise.log_wealth()) == pytest.approx(math.log(1 / 3 + first / 2 + second / 6))
    assert (surprise.at, surprise.p) == (1, pytest.approx(0.04))


TWO = Questions((OutcomeCells("token", 2),), (), tables=(("token", EVERYWHERE),))


def fed(p: Tensor, token: list[int], tol: Tensor | None = None) -> Bettor:
    bettor = Bettor(TWO, 1e-6)
    slack = None if tol is None else {"token": tol}
    bettor.update(Observed({"token": p}, {"token": torch.tensor(token)}, tol=slack))
    return bettor


def test_an_impossible_token_convicts_at_once_and_a_rounded_zero_does_not() -> None:
    p = double([0.5, 0.5], [1.0, 0.0])
    bettor = fed(p, [0, 1])
    assert bettor.rejected
    assert bettor.winners()[0].words == "a token came that is impossible (token 1 of the stream)"
    assert not fed(p, [0, 1], torch.full((2, 2), 1e-3)).rejected
    assert fed(p, [0, 1], torch.full((2, 2), 1e-18)).rejected, "too small a slack to explain it"
    assert not fed(p, [0, 0]).rejected


def test_what_is_bet_on_a_slice_was_learned_before_it() -> None:
    n = 5000
    call = Observed(
        {"token": torch.full((n, 2), 0.5)}, {"token": torch.zeros(n, dtype=torch.int64)}
    )
    sizes = [part.n for part in betting_slices(call, 0)]
    assert sizes[0] == 128
    assert sum(sizes) == n
    upto = 0
    for size in sizes[:-1]:
        assert size == min(max(128, upto // 8), 4096)
        upto += size
    assert [part.n for part in betting_slices(call, 10**6)] == [4096, 904]


@pytest.mark.parametrize(
    ("p", "token", "message"),
    [
        (double([math.nan, 0.5]), [0], "NaN"),
        (double([0.5, 0.6]), [0], "no distribution"),
        (double([-0.5, 1.5]), [0], "no distribution"),
        (double([0.2, 0.3, 0.5]), [0], "shape"),
        (double([0.5, 0.5]), [2], "outside 0 to 1"),
        (double([0.5, 0.5]), [-1], "outside 0 to 1"),
    ],
)
def test_what_cannot_be_bet_on_is_refused_and_nothing_is_counted(
    p: Tensor, token: list[int], message: str
) -> None:
    bettor = Bettor(TWO, 1e-6)
    with pytest.raises(SpecrefError, match=message):
        bettor.update(Observed({"token": p}, {"token": torch.tensor(token)}))
    assert bettor.n == 0
    assert bettor.look() == pytest.approx(0)


def test_questions_that_nothing_defines_are_refused() -> None:
    token = (OutcomeCells("token", 2),)
    with pytest.raises(SpecrefError, match="no row of the table defines"):
        Questions(token, (), tables=(("rank", EVERYWHERE),))
    with pytest.raises(SpecrefError, match="no row of the table defines"):
        Questions(token, (), tables=(("token", "row"),))
    with pytest.raises(SpecrefError, match="no question"):
        Questions(token, ())
    with pytest.raises(SpecrefError, match="false-alarm rate"):
        Bettor(TWO, 0.0)
    with pytest.raises(SpecrefError, match="nothing is given"):
        Bettor(TWO, 0.1).update(Observed({}, {"token": torch.tensor([0])}))
    row, half = torch.tensor([0]), double([0.5, 0.5])
    call = Observed({"token": half}, {"token": row}, {"row": row, "last": row}, {"up": half})
    with pytest.raises(SpecrefError, match="row and place"):
        Bettor(SMALL, 0.1).update(call)


def test_shares_of_all_experts_add_up_to_one() -> None:
    for one in (text_questions(shape_of(Model(5, 1), 3, 4)), SMALL, TWO):
        bettor = Bettor(one, 0.1)
        families = {family.kind: family.log_wealth for family in bettor.experts()}
        total = sum(
            float(family.log_wealth.exp().sum())
            for family in bettor.experts()
            if family.kind != "lag"
        )
        if bettor.lags is not None:
            share = bettor.lags.log_share.exp().expand_as(families["lag"])
            assert float(share.sum()) == pytest.approx(1)
            total += math.exp(bettor.shares["lag"])
        assert total == pytest.approx(1)


def test_named_tokens_and_the_rest() -> None:
    p, cell = named_cells(
        double([0.5, 0.2], [0.1, 0.3]), torch.tensor([[7, 3], [2, 9]]), torch.tensor([3, 4])
    )
    assert p.tolist() == [[0.5, 0.2, pytest.approx(0.3)], [0.1, 0.3, pytest.approx(0.6)]]
    assert cell.tolist() == [1, 2]


def test_ranks_fold_the_tail() -> None:
    p = double([0.1, 0.4, 0.2, 0.3])
    by_rank, cell = ranked_cells(p, p, torch.tensor([0]), 3)
    assert by_rank.tolist() == [[0.4, pytest.approx(0.3), pytest.approx(0.3)]]
    assert cell.tolist() == [2]
    assert ranked_cells(p, p, torch.tensor([3]), 3)[1].tolist() == [1]
    assert ranked_cells(p, -p, torch.tensor([0]), 4)[1].tolist() == [0]


def test_what_is_read_from_texts() -> None:
    """Contexts and directions of one text of three tokens beside one that ended after one."""
    model = Model(4, 2)
    shape = shape_of(model, 2, 3)
    answers = Simulated(model, "", 5).run(2, 3, torch.tensor([[0, 1, 2], [3, 3, 1]]))
    answers.tokens = torch.tensor([[2, 0, 3], [1, 1, 1]])
    answers.lengths = torch.tensor([3, 1])
    call = read_texts(shape, answers.texts()).checked(text_questions(shape))
    assert call.row is not None
    assert call.place is not None
    assert (call.row.tolist(), call.place.tolist()) == ([0, 0, 0, 1], [0, 1, 2, 0])
    assert call.token["token"].tolist() == [2, 0, 3, 1]
    assert call.context["previous token"].tolist() == [2, 2, 0, 1]
    assert call.context["last two tokens"].tolist() == [2 * 4 + 1, 2 * 4 + 2, 0 * 4 + 2, 1 * 4 + 3]
    assert call.context["place group"].tolist() == [0, 1, 2, 0]
    assert call.context["previous token and place"].tolist() == [6, 7, 2, 3]
    assert call.context["edge"].tolist() == [0, 0, 0, 1]
    assert call.direction["token before"].argmax(1).tolist() == [2, 2, 0, 1]
    p, q = answers.p[0, 1], answers.q[0, 1]
    assert call.direction["draft"][1].tolist() == pytest.approx((q / (p + q)).tolist())
    assert call.direction["distribution before"][1].tolist() == pytest.approx(
        (answers.p[0, 0] / (p + answers.p[0, 0])).tolist()
    )


def test_a_large_vocabulary_is_folded() -> None:
    model = Model(100, 2)
    shape = shape_of(model, 2, 3)
    call = read_texts(shape, Simulated(model, "", 5).run(2, 3).texts())
    checked = call.checked(text_questions(shape))
    assert all(p.shape == (6, 64) for p in checked.p.values())
    assert float(checked.p["rank"][:, 0].min()) > 0.01
    bettor = Bettor(text_questions(shape), 1e-6)
    assert not bettor.update(call)


# --- simulation, bounded: `python -m tests.stats.betting_run` is the full run ---


def test_right_streams_are_seldom_convicted() -> None:
    """100 ragged, adaptive, tied, rounded streams that are stopped at will, at alpha .1."""
    alpha, streams = 0.1, 100
    alarms = sum(
        right_stream(seed, alpha).log_wealth >= -math.log(alpha) for seed in range(streams)
    )
    assert interval(alarms, streams)[0] <= alpha


@pytest.mark.parametrize(
    ("fault", "most", "words"),
    [
        ("resample from p", 6_144, "q/p"),
        ("token 3 banned", 6_144, "token 3 came 0 times"),
        ("random numbers of 32 rows before", 6_144, "row +32"),
        ("the next call's, one row on", 9_216, "the next call, row +1"),
        ("previous token repeated, +.02", 40_000, "repetitions of the token before come too often"),
    ],
)
def test_a_fault_is_found_and_named(fault: str, most: int, words: str) -> None:
    tokens, _, said = tokens_to_conviction(Model(16, 7), fault, 100)
    assert tokens is not None
    assert tokens <= most
    assert words in said


def test_a_right_engine_is_not_convicted() -> None:
    assert tokens_to_conviction(Model(16, 7), "", 100)[0] is None
