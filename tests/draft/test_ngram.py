"""The n-gram drafter proposes what followed the latest earlier occurrence of the last tokens, the
longest n-gram first, and goes on through its own proposal.

Protects: the index that grows with the text against a search of the whole text, loops, budgets,
rows that leave.
"""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from specref.chance import Injected
from specref.data import SamplingParams, SpecrefError
from specref.draft.base import Drafter, Text
from specref.draft.ngram import NGramDrafter
from specref.measure.acceptance.lookup import NGRAM_SIZES

NONE = Injected(torch.zeros(3, 0))  # a chance that has nothing to give: n-grams ask no questions


def text_of(rows: list[list[int]]) -> Text:
    return Text(rows, [1] * len(rows), [SamplingParams()] * len(rows), 3)


def proposed(drafter: Drafter, text: Text, budget: list[int]) -> list[list[int]]:
    draft = drafter.propose(text, torch.tensor(budget), NONE)
    assert draft.q is None
    return [
        row[:count]
        for row, count in zip(draft.tokens.tolist(), draft.lengths.tolist(), strict=True)
    ]


def searched(text: list[int], longest: int, shortest: int, budget: int) -> list[int]:
    """The same by search: compare the last n tokens with every earlier place, latest first."""
    for n in range(longest, shortest - 1, -1):
        for end in range(len(text) - 1, n - 1, -1):
            if text[end - n : end] == text[len(text) - n :]:
                written = list(text)
                for place in range(end, end + max(0, budget)):
                    written.append(written[place])
                return written[len(text) :]
    return []


def test_it_proposes_what_followed_the_latest_occurrence():
    drafter, text = NGramDrafter(2, 1), text_of([[1, 2, 0, 0, 1, 2, 1, 1, 0, 1, 2]])
    drafter.begin(text, 32)
    assert proposed(drafter, text, [3]) == [[1, 1, 0]]


def test_a_longer_match_wins_over_a_later_one():
    text = text_of([[0, 1, 2, 0, 0, 2, 1, 0, 1, 2]])
    short, long = NGramDrafter(1, 1), NGramDrafter(3, 1)
    short.begin(text, 32)
    long.begin(text, 32)
    assert proposed(short, text, [2]) == [[1, 0]]
    assert proposed(long, text, [2]) == [[0, 0]]


@pytest.mark.parametrize("period", [1, 2, 3])
def test_a_loop_fills_the_draft(period):
    loop = [i % period for i in range(40)]
    drafter, text = NGramDrafter(), text_of([loop[:12]])
    drafter.begin(text, 32)
    assert proposed(drafter, text, [9]) == [loop[12:21]]


def test_nothing_is_proposed_without_a_match_or_a_budget():
    drafter, text = NGramDrafter(3, 2), text_of([[0, 1, 2], [0, 1, 0, 1], [0, 1, 0, 1], [2]])
    drafter.begin(text, 32)
    assert proposed(drafter, text, [4, 4, 0, 4]) == [[], [0, 1, 0, 1], [], []]
    assert proposed(drafter, text, [4, 1, -1, 4]) == [[], [0], [], []]


@given(
    st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=12), min_size=3, max_size=3),
    st.lists(st.tuples(*[st.lists(st.integers(0, 2), min_size=1, max_size=4)] * 3), max_size=5),
    st.tuples(st.integers(1, 4), st.integers(1, 4)).map(sorted),
    st.integers(0, 6),
)
def test_the_index_finds_what_a_search_finds_while_the_text_grows(rows, growth, sizes, leaving):
    (shortest, longest), alive = sizes, [0, 1, 2]
    text = text_of([list(row) for row in rows])
    drafter = NGramDrafter(longest, shortest)
    drafter.begin(text, 64)
    for turn, more in enumerate([([], [], []), *growth]):
        for row, number in enumerate(alive):
            text.tokens[row] += more[number]
        budget = [3, 0, 5][: len(alive)]
        assert proposed(drafter, text, budget) == [
            searched(tokens, longest, shortest, most)
            for tokens, most in zip(text.tokens, budget, strict=True)
        ]
        drafter.commit(torch.zeros(len(alive), dtype=torch.int64))
        if turn == leaving and len(alive) == 3:
            alive = [2, 0]
            text = text.rows(alive)
            drafter.rows(alive)


@pytest.mark.parametrize("sizes", [(2, 3), (2, 0), (0, 0)])
def test_sizes_that_make_no_sense_are_refused(sizes):
    with pytest.raises(SpecrefError, match="give 1 <= shortest <= longest"):
        NGramDrafter(*sizes)


def test_the_sizes_are_those_of_the_lookups_that_it_is_compared_with():
    assert NGramDrafter().sizes == NGRAM_SIZES
