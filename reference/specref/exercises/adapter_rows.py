"""Exercise of part 8: an adapter for an engine.

The engine gives, for each row of a batch, the draft tokens, how many of them it accepted, and the
token that it added. The judge's contract wants one row of K + 1 numbers for each: the emitted
tokens from the left, then -1 to the end. K is the length of the drafts.
"""

from .grading.exercise import Numbers

Rows = list[list[int]]

OUTPUTS = [
    ([[3, 1, 4]], [2], [5]),
    ([[3, 1, 4], [2, 7, 1], [8, 2, 8]], [0, 3, 1], [5, 9, 0]),
    ([[0], [0]], [1, 0], [0, 6]),
    ([[6, 6], [6, 6]], [2, 1], [6, 6]),
]

EXERCISE = Numbers(
    id="adapter-rows",
    part=8,
    cases=[{"drafts": a, "accepted": b, "added": c} for a, b, c in OUTPUTS],
    right="Every row is as the contract wants it.",
)


def attempt(drafts: Rows, accepted: list[int], added: list[int]) -> Rows:
    """drafts: B rows of K. accepted, added: B numbers. Returns B rows of K + 1."""
    return [
        [*draft, token] for draft, token in zip(drafts, added)
    ]  # what was rejected is still there


@EXERCISE.solution
def solution(drafts: Rows, accepted: list[int], added: list[int]) -> Rows:
    rows = []
    for draft, count, token in zip(drafts, accepted, added):
        rows.append([*draft[:count], token] + [-1] * (len(draft) - count))
    return rows


@EXERCISE.also_right
def fill_in(drafts: Rows, accepted: list[int], added: list[int]) -> Rows:
    """It fills a row of -1."""
    rows = []
    for draft, count, token in zip(drafts, accepted, added):
        row = [-1] * (len(draft) + 1)
        row[:count] = draft[:count]
        row[count] = token
        rows.append(row)
    return rows


@EXERCISE.wrong("you leave the rejected tokens in")
def rejected_kept(drafts: Rows, accepted: list[int], added: list[int]) -> Rows:
    """The judge would take them for emitted ones."""
    rows = []
    for draft, token in zip(drafts, added):
        rows.append([*draft, token])
    return rows


@EXERCISE.wrong("you put the added token into the last place always")
def added_at_the_end(drafts: Rows, accepted: list[int], added: list[int]) -> Rows:
    """It follows the accepted tokens at once. A -1 ends the row."""
    rows = []
    for draft, count, token in zip(drafts, accepted, added):
        rows.append(draft[:count] + [-1] * (len(draft) - count) + [token])
    return rows


@EXERCISE.wrong("you pad with 0, which is a token")
def padded_with_zero(drafts: Rows, accepted: list[int], added: list[int]) -> Rows:
    """Nothing but -1 is no token."""
    rows = []
    for draft, count, token in zip(drafts, accepted, added):
        rows.append([*draft[:count], token] + [0] * (len(draft) - count))
    return rows


@EXERCISE.wrong("you pad by repeating the last token")
def padded_with_last(drafts: Rows, accepted: list[int], added: list[int]) -> Rows:
    """The judge would read the repetitions as emitted tokens."""
    rows = []
    for draft, count, token in zip(drafts, accepted, added):
        rows.append([*draft[:count], token] + [token] * (len(draft) - count))
    return rows


@EXERCISE.wrong("you leave out the token that the target added")
def no_added_token(drafts: Rows, accepted: list[int], added: list[int]) -> Rows:
    """A cycle emits the accepted tokens and one more."""
    rows = []
    for draft, count in zip(drafts, accepted):
        rows.append(draft[:count] + [-1] * (len(draft) + 1 - count))
    return rows


@EXERCISE.wrong("your rows have different lengths")
def ragged(drafts: Rows, accepted: list[int], added: list[int]) -> Rows:
    """Every row has K + 1 places. Fill it up with -1."""
    rows = []
    for draft, count, token in zip(drafts, accepted, added):
        rows.append([*draft[:count], token])
    return rows


@EXERCISE.wrong("you cut every row where the first one is cut")
def one_count_for_all(drafts: Rows, accepted: list[int], added: list[int]) -> Rows:
    """Rows are ragged: each has its own number of accepted tokens."""
    rows = []
    for draft, token in zip(drafts, added):
        rows.append([*draft[: accepted[0]], token] + [-1] * (len(draft) - accepted[0]))
    return rows
