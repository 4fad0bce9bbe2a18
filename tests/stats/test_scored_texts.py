"""Cells, contexts and directions of texts that are scored by name, and bets on them.

Protects: what `http.scored-law` says of a server.
"""

import math

import pytest
import torch
from specref.stats.betting import Bettor
from specref.stats.questions import Observed
from specref.stats.rehearse import rehearse
from specref.stats.scored_texts import (
    FLOOR,
    FOLDS,
    LEAST_NAMED,
    ScoredBatch,
    ScoredShape,
    followers,
    read_scored,
    recent_tokens,
    scored_classes,
    scored_questions,
    slackened,
)

NAMED, ROWS, PLACES, V = 6, 16, 64, 40
SHAPE = ScoredShape(NAMED, ROWS, PLACES, 4, True)
RIGHT_ALPHA, ALPHA = 0.05, 1e-7


class Markov:
    """A target and a draft over V tokens, each by the token before. lean: how much of the draft is
    in what comes out.
    """

    def __init__(self, seed: int, lean: float = 0.0):
        self.g = torch.Generator().manual_seed(seed)
        world = torch.Generator().manual_seed(5)
        scores = 2 * torch.randn(V, V, generator=world, dtype=torch.float64)
        other = torch.randn(V, V, generator=world, dtype=torch.float64)
        self.p, self.q = scores.softmax(1), (scores + other).softmax(1)
        self.written = (1 - lean) * self.p + lean * self.q

    def batch(self, slack: float = 1e-5, cut: bool = True) -> ScoredBatch:
        before = torch.randint(V, (ROWS,), generator=self.g)
        names = torch.zeros(ROWS, PLACES, NAMED, dtype=torch.int64)
        p, q = torch.zeros(2, ROWS, PLACES, NAMED, dtype=torch.float64)
        tokens, last = torch.zeros(ROWS, PLACES, dtype=torch.int64), before
        for place in range(PLACES):
            best = self.p[last].topk(NAMED)
            names[:, place], p[:, place] = best.indices, best.values
            q[:, place] = self.q[last].gather(1, best.indices)
            last = torch.multinomial(self.written[last], 1, generator=self.g)[:, 0]
            tokens[:, place] = last
        lengths = torch.full((ROWS,), PLACES)
        if cut:  # ragged, whatever the tokens are
            lengths = torch.randint(1, PLACES + 1, (ROWS,), generator=self.g)
        prompts = [[int(token)] for token in before]
        return ScoredBatch(
            names, p, q, tokens, lengths, prompts, torch.arange(ROWS) % SHAPE.prompts, slack
        )


def run(seed: int, lean: float, alpha: float, calls: int) -> Bettor:
    bettor, source = Bettor(scored_questions(SHAPE), alpha), Markov(seed, lean)
    for _ in range(calls):
        if bettor.update(read_scored(SHAPE, source.batch())):
            break
    bettor.look()
    return bettor


def one_text(names: list[list[int]], p: list[list[float]], tokens: list[int]) -> Observed:
    shape = ScoredShape(len(names[0]), 1, len(tokens), 1, False)
    batch = ScoredBatch(
        torch.tensor([names]),
        torch.tensor([p], dtype=torch.float64),
        None,
        torch.tensor([tokens]),
        torch.tensor([len(tokens)]),
        [[7, 3]],
        torch.tensor([0]),
        0.0,
    )
    return read_scored(shape, batch).checked(scored_questions(shape))


def test_named_tokens_are_cells_by_rank_and_the_rest_is_the_last_one() -> None:
    seen = one_text([[3, 35], [9, 1]], [[0.5, 0.25], [0.75, 0.2]], [35, 2])
    assert seen.p["rank"].tolist() == [
        pytest.approx([0.5, 0.25, 0.25]),
        pytest.approx([0.75, 0.2, 0.05]),
    ]
    assert seen.token["rank"].tolist() == [1, 2]
    # 3 and 35 are the same modulo 32
    assert seen.p["token"][0, 3] == pytest.approx(0.75)
    assert seen.token["token"].tolist() == [3, FOLDS]
    assert seen.direction["token before"].tolist() == [[1, 0, 0], [0, 0, 0]]
    assert seen.direction["distribution before"][1].tolist() == [0, 0, 0]


def test_reports_that_add_up_to_more_than_one_are_divided_and_get_that_much_slack() -> None:
    p, tol = slackened(torch.tensor([[0.9, 0.2]], dtype=torch.float64), 0.01)
    assert p.sum() == pytest.approx(1)
    assert p[0, 2] == 0
    assert tol[0, 0] == pytest.approx(0.01 * 0.9 + 0.9 * (1 - 1 / 1.1) + LEAST_NAMED)
    assert tol[0, 2] == pytest.approx(0.01 * 1.1 + 0.1 + FLOOR)


def test_a_lookup_drafts_what_followed_the_last_two_tokens_else_the_last_one() -> None:
    told = followers([[1, 2, 3, 9, 2, 4]], torch.tensor([[1, 2, 5, 2, 9]]))
    #                   after 2 4, 4 1, 1 2 -> 3, 2 5, 5 2 -> after 2: 5
    assert told.tolist() == [[-1, 2, 3, -1, 5]]


def test_the_nearest_tokens_come_first_and_nothing_stands_before_the_prompt() -> None:
    told = recent_tokens([[1], [5, 6, 7]], torch.tensor([[2, 3], [8, 9]]), 3)
    assert told.tolist() == [[[1, -1, -1], [2, 1, -1]], [[7, 6, 5], [8, 7, 6]]]


def test_nothing_that_is_bet_with_depends_on_the_token_that_comes() -> None:
    batch = Markov(3).batch(cut=False)
    place = 20
    other = batch.tokens.clone()
    other[:, place:] = (other[:, place:] + 1) % V
    changed = ScoredBatch(**{**vars(batch), "tokens": other})
    one, two = read_scored(SHAPE, batch), read_scored(SHAPE, changed)
    assert one.place is not None
    until = one.place <= place
    for kind in ("p", "context", "direction", "tol"):
        for name, values in getattr(one, kind).items():
            assert torch.equal(values[until], getattr(two, kind)[name][until]), (kind, name)
    assert not torch.equal(one.token["rank"][until], two.token["rank"][until])


def test_right_texts_are_not_accused() -> None:
    """40 streams at alpha .05: more than 7 have a chance of .0014 at the bound itself."""
    wealth = [run(seed, 0.0, RIGHT_ALPHA, 4).largest for seed in range(40)]
    assert sum(value >= -math.log(RIGHT_ALPHA) for value in wealth) <= 7


def test_a_lean_to_the_draft_is_found_and_named() -> None:
    bettor = run(1, 0.3, ALPHA, 12)
    assert bettor.rejected
    assert "the draft prefers" in str(bettor.winners()[0]) or "q/p" in str(bettor.winners()[0])


def test_a_slack_as_large_as_the_fault_forgives_it() -> None:
    bettor, source = Bettor(scored_questions(SHAPE), ALPHA), Markov(1, 0.3)
    for _ in range(12):
        bettor.update(read_scored(SHAPE, source.batch(slack=0.4)))
    bettor.look()
    assert not bettor.rejected


def test_every_class_of_faults_is_one_that_is_asked_about() -> None:
    source = Markov(2)
    calls = [read_scored(SHAPE, source.batch(cut=False)) for _ in range(3)]
    found = rehearse(scored_questions(SHAPE), calls, ALPHA, scored_classes(SHAPE), 0)
    assert len(found) == len(scored_classes(SHAPE))
    assert found[0].tv is not None
    assert 0.02 < found[0].tv < 0.3
    alone = ScoredShape(NAMED, ROWS, PLACES, 4, False)
    asked = scored_questions(alone)
    assert {(one.what, one.context) for one in scored_classes(alone)} <= {
        *asked.tables,
        *asked.scores,
    }
