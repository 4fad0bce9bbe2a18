"""The suffix drafter follows the most frequent token behind the longest suffix that was seen
before, while its own counts say that the draft is likely.

Protects: the table that grows with the text against counts of the whole text, the adaptive length,
loops, budgets, rows that leave.
"""

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from specref.data import SpecrefError
from specref.draft.suffix import SuffixDrafter

from .test_ngram import proposed, text_of

SURE = [0.0, 0.1234567, 0.456789, 0.987654]  # no product of shares of small counts but 0


def followers(text: list[int], suffix: list[int]) -> list[int]:
    """What stood behind every earlier place of this suffix, the latest first."""
    n = len(suffix)
    return [text[end] for end in range(len(text) - 1, n - 1, -1) if text[end - n : end] == suffix]


def counted(text: list[int], longest: int, factor: int, sure: float, budget: int) -> list[int]:
    """The same by search: the whole text is counted again for each drafted token, in fractions."""
    draft: list[int] = []
    likely, most = Fraction(1), 0
    while True:
        end = text + draft
        sizes = [n for n in range(1, min(longest, len(end)) + 1) if followers(text, end[-n:])]
        if not draft:
            most = min(budget, factor * max(sizes, default=0))
        if len(draft) >= most:
            return draft
        behind = followers(text, end[-max(sizes) :])
        token = max(behind, key=behind.count)  # the first of equals: the latest
        likely *= Fraction(behind.count(token), len(behind))
        if float(likely) < sure:
            return draft
        draft.append(token)


def test_the_most_frequent_follower_wins_and_of_equals_the_latest():
    text = text_of([[0, 1, 0, 2, 0, 1, 0], [0, 1, 0, 2, 0], [0, 2, 0, 1, 0]])
    drafter = SuffixDrafter(longest=1, sure=0)
    drafter.begin(text, 32)
    assert proposed(drafter, text, [1, 1, 1]) == [[1], [2], [1]]


def test_the_length_adapts_to_the_match_and_to_the_counts():
    twice, split = [0, 1, 2, 2, 1, 0, 1, 2], [0, 1, 0, 2, 0]
    text = text_of([twice, twice, split])

    def drafts(factor: float, sure: float) -> list[list[int]]:
        drafter = SuffixDrafter(2, factor, sure)
        drafter.begin(text, 32)
        return proposed(drafter, text, [3, 1, 3])

    assert drafts(1.0, 0.0) == [[2, 1], [2], [2]]  # a token for each of the match
    # behind 0 stood 1 and 2: a half each, and again behind the next 0
    assert drafts(9.0, 0.5) == [[2, 1, 0], [2], [2, 0]]
    assert drafts(9.0, 0.6) == [[2, 1, 0], [2], []]


@pytest.mark.parametrize("period", [1, 2, 3])
def test_a_loop_fills_the_draft(period):
    loop = [i % period for i in range(40)]
    drafter, text = SuffixDrafter(), text_of([loop[:16]])
    drafter.begin(text, 32)
    assert proposed(drafter, text, [6]) == [loop[16:22]]


@given(
    st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=12), min_size=3, max_size=3),
    st.lists(st.tuples(*[st.lists(st.integers(0, 2), min_size=1, max_size=4)] * 3), max_size=5),
    st.tuples(st.integers(1, 4), st.integers(1, 3), st.sampled_from(SURE)),
    st.integers(0, 6),
)
def test_the_table_counts_what_a_search_counts_while_the_text_grows(rows, growth, made, leaving):
    (longest, factor, sure), alive = made, [0, 1, 2]
    text = text_of([list(row) for row in rows])
    drafter = SuffixDrafter(longest, factor, sure)
    drafter.begin(text, 64)
    for turn, more in enumerate([([], [], []), *growth]):
        for row, number in enumerate(alive):
            text.tokens[row] += more[number]
        budget = [7, 0, 5][: len(alive)]
        assert proposed(drafter, text, budget) == [
            counted(tokens, longest, factor, sure, most)
            for tokens, most in zip(text.tokens, budget, strict=True)
        ]
        drafter.commit(torch.zeros(len(alive), dtype=torch.int64))
        if turn == leaving and len(alive) == 3:
            alive = [2, 0]
            text = text.rows(alive)
            drafter.rows(alive)


def test_a_new_row_begins_with_nothing():
    text = text_of([[0, 1, 0, 1]])
    drafter = SuffixDrafter()
    drafter.begin(text, 32)
    assert proposed(drafter, text, [2]) == [[0, 1]]
    drafter.rows([0, -1])
    assert proposed(drafter, text_of([[0, 1, 0, 1], [0, 1]]), [2, 2]) == [[0, 1], []]


@pytest.mark.parametrize("made", [(0, 1.0, 0.1), (4, 0.0, 0.1), (4, 1.0, -0.1), (4, 1.0, 1.5)])
def test_settings_that_make_no_sense_are_refused(made):
    with pytest.raises(SpecrefError, match="give longest >= 1, factor > 0 and sure from 0 to 1"):
        SuffixDrafter(*made)


def test_the_settings_are_those_that_the_published_comparison_was_made_with():
    drafter = SuffixDrafter()
    assert (drafter.longest, drafter.factor, drafter.sure) == (8, 1.0, 0.1)
