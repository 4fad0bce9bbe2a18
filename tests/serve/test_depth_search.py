"""The depths of a batch are the best of all, by trying all of them.

Protects: the greedy search, which adds the likeliest token next, and what it counts as cost.
"""

from itertools import product

from hypothesis import given
from hypothesis import strategies as st
from specref.serve.depth_policy import AcceptanceHistory, DepthPolicy


def rate(alphas, depths, forward, draft) -> float:
    """Expected tokens a time: one forward over all tokens, and a draft step a level for the rows
    that reach it.
    """
    expected = 0.0
    for alpha, depth in zip(alphas, depths, strict=True):
        expected += 1 + sum(alpha**i for i in range(1, depth + 1))
    time = forward(len(alphas), len(alphas) + sum(depths))
    for level in range(1, max(depths) + 1):
        time += draft(sum(depth >= level for depth in depths))
    return expected / time


@given(
    alphas=st.lists(st.floats(0.02, 0.98), min_size=1, max_size=3),
    most=st.integers(0, 3),
    start=st.floats(0.1, 9),
    token=st.floats(0, 1),
    step=st.floats(0, 0.5),
)
def test_no_other_depths_give_more_tokens_a_time(alphas, most, start, token, step):
    """With a draft step's time in proportion to its rows the greedy search misses nothing."""

    def forward(rows, tokens):
        return start + token * tokens

    def draft(rows):
        return step * rows

    tracks = {row: AcceptanceHistory(start=alpha) for row, alpha in enumerate(alphas)}
    chosen = DepthPolicy(forward, draft).depths(tracks, most)
    assert list(chosen) == list(tracks)
    got = rate(alphas, list(chosen.values()), forward, draft)
    best = max(
        rate(alphas, depths, forward, draft)
        for depths in product(range(most + 1), repeat=len(alphas))
    )
    assert got >= best * (1 - 1e-9)


def test_without_rows_there_is_nothing_to_choose():
    assert DepthPolicy(lambda rows, tokens: 1.0).depths({}, 3) == {}
