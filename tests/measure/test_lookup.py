"""Drafters that look in the text, on texts that they are to guess.

Protects: what a step counts, what the two lookups that stand beside ours propose, and that ours is
no worse than either where each is good: loops and ordinary text.
"""

import pytest
from specref.measure.acceptance.lookup import (
    LookupSettings,
    Steps,
    compare_lookups,
    first_occurrence,
    most_recent,
    replay,
)


def counts(seen: Steps) -> tuple[int, int, int, int]:
    return seen.steps, seen.tokens, seen.drafted, seen.accepted


def test_a_step_emits_what_is_right_and_one_token_more() -> None:
    """Drafts of two: both right; the second wrong; none wanted, as one token is left."""
    seen, asked = Steps(), []

    def lookup(text: list[int], most: int) -> list[int]:
        asked.append((text, most))
        return [text[-1] + 1, text[-1] + 2][:most]

    text = [0, 1, 2, 3, 4, 9, 9]
    replay(lookup, text, 1, 2, seen)
    assert asked == [(text[:1], 2), (text[:4], 2), (text[:6], 0)]
    assert counts(seen) == (3, 6, 4, 3)
    assert seen.row() == {
        "tokens_per_step": 2.0,
        "drafted_per_step": 4 / 3,
        "accepted_of_drafted": 3 / 4,
    }


@pytest.mark.parametrize("lookup", [first_occurrence, most_recent])
def test_a_lookup_copies_to_the_end_of_the_text(lookup) -> None:
    assert lookup([1, 2, 3, 7, 8, 1, 2, 3], 6) == [7, 8, 1, 2, 3]
    assert lookup([1, 2, 3, 7, 8, 1, 2, 3], 2) == [7, 8]
    assert lookup([1, 2, 3], 6) == []
    assert lookup([4], 6) == []


def test_the_longest_match_wins_then_the_first_or_the_most_recent() -> None:
    text = [1, 2, 5, 9, 1, 2, 6, 9, 8, 1, 2]
    assert first_occurrence(text, 2) == [5, 9]
    assert most_recent(text, 2) == [6, 9]
    longer = [8, 1, 2, 5, 9, 1, 2, 6, 9, 8, 1, 2]
    assert most_recent(longer, 2) == [5, 9]


def test_ours_is_as_good_on_loops_as_the_first_and_on_text_as_the_most_recent() -> None:
    rows = compare_lookups(LookupSettings(16, 256, 256))["drafters"]
    tokens: dict[str, dict[str, float]] = {}
    for name, worlds in rows.items():
        tokens[name] = {world: row["tokens_per_step"] for world, row in worlds.items()}
    for period in ("period 1", "period 2", "period 4"):
        whole = 256 / 37  # 36 drafts of six and the rest
        assert tokens["first occurrence"][period] == whole
        assert tokens["ngram"][period] == whole
        assert tokens["suffix"][period] == whole
        assert tokens["most recent"][period] < 5
    text = {name: worlds["held-out text"] for name, worlds in tokens.items()}
    assert text["ngram"] >= max(text["first occurrence"], text["most recent"]) > 1
    drafted = {name: worlds["held-out text"]["drafted_per_step"] for name, worlds in rows.items()}
    assert drafted["suffix"] < 0.8 * drafted["ngram"]
