"""Exercise of part 2: guess and check at temperature 0.

target(tokens) is one forward: it returns a row of scores for each of the tokens, and row i scores
the token behind tokens[i]. The target's choice is the highest score; of equal ones, the lowest id.
drafter(tokens) returns the drafter's guess of the next token.

Continue the prompt by count tokens. They must be, letter for letter, those that the target alone
would write. Each cycle drafts gamma tokens and calls target once. Call it as seldom as that allows.
(Stern et al. 2018, arXiv:1811.03115.)
"""

from collections.abc import Callable, Hashable, Mapping
from fractions import Fraction
from typing import Any

from .grading.exercise import Answer, Exercise, tokens_of
from .grading.forks import Forks

Scores = list[list[int]]
SIZE = 5


class GreedyLoop(Exercise):
    """An outcome is (the new tokens, forwards of the target)."""

    def run(self, rule: Answer, case: Mapping[str, Any], chance: Forks) -> Hashable:
        forwards = 0

        def target(tokens: list[int]) -> Scores:
            nonlocal forwards
            forwards += 1
            return [scores(case["seed"], tokens[: i + 1]) for i in range(len(tokens))]

        def drafter(tokens: list[int]) -> int:
            return guess(case["seed"], case["every"], tokens)

        prompt, gamma, count = case["prompt"], case["gamma"], case["count"]
        return tokens_of(rule(target, drafter, prompt, gamma, count), SIZE), forwards

    def wanted(self, case: Mapping[str, Any]) -> dict[Hashable, Fraction]:
        assert self.answer is not None
        return {self.run(self.answer, case, Forks()): Fraction(1)}


def scores(seed: int, tokens: list[int]) -> list[int]:
    """The target's scores behind a text: small integers, so that ties happen."""
    state = seed
    for token in tokens[-3:]:
        state = (state * 31 + token * 7 + 11) % 1009
    return [(state * (token + 3) ** 2 + token) % 13 % 6 for token in range(SIZE)]


def guess(seed: int, every: int, tokens: list[int]) -> int:
    """The drafter's guess: the target's choice, but for one text in `every`."""
    row = scores(seed, tokens)
    choice = row.index(max(row))
    return (choice + 1) % SIZE if sum(tokens) % every == 0 else choice


EXERCISE = GreedyLoop(
    id="greedy-loop",
    part=2,
    cases=[
        {"prompt": [1, 2], "gamma": 3, "count": 12, "seed": 5, "every": 3},
        {"prompt": [0, 4, 2], "gamma": 5, "count": 17, "seed": 71, "every": 4},
        {"prompt": [3, 3], "gamma": 1, "count": 9, "seed": 8, "every": 2},
        {"prompt": [2, 1], "gamma": 4, "count": 10, "seed": 33, "every": 10**6},
    ],
    right="The text is the target's own, and no forward of the target could be saved.",
)
EXERCISE.shown = ("prompt", "gamma", "count")
EXERCISE.label = " (tokens, forwards of the target)"


def attempt(
    target: Callable[[list[int]], Scores],
    drafter: Callable[[list[int]], int],
    prompt: list[int],
    gamma: int,
    count: int,
) -> list[int]:
    """Returns the count tokens behind the prompt."""
    text = list(prompt)
    while len(text) < len(prompt) + count:  # this is right, and drafts nothing
        row = target(text)[-1]
        text.append(row.index(max(row)))
    return text[len(prompt) :]


@EXERCISE.solution
def solution(
    target: Callable[[list[int]], Scores],
    drafter: Callable[[list[int]], int],
    prompt: list[int],
    gamma: int,
    count: int,
) -> list[int]:
    text = list(prompt)
    while len(text) < len(prompt) + count:
        draft: list[int] = []
        for _ in range(gamma):
            draft.append(drafter(text + draft))
        rows = target(text + draft)
        choices = [row.index(max(row)) for row in rows[len(text) - 1 :]]
        kept = 0
        while kept < gamma and draft[kept] == choices[kept]:
            kept += 1
        text += [*draft[:kept], choices[kept]]
    return text[len(prompt) :][:count]


@EXERCISE.also_right
def compare_behind(
    target: Callable[[list[int]], Scores],
    drafter: Callable[[list[int]], int],
    prompt: list[int],
    gamma: int,
    count: int,
) -> list[int]:
    """It compares from the first difference on."""
    text = list(prompt)
    while len(text) < len(prompt) + count:
        draft: list[int] = []
        for _ in range(gamma):
            draft.append(drafter(text + draft))
        rows = target(text + draft)
        choices = [row.index(max(row)) for row in rows[len(text) - 1 :]]
        same = [a == b for a, b in zip(draft, choices)] + [False]
        text += choices[: same.index(False) + 1]
    return text[len(prompt) :][:count]


@EXERCISE.also_right
def shorter_last_draft(
    target: Callable[[list[int]], Scores],
    drafter: Callable[[list[int]], int],
    prompt: list[int],
    gamma: int,
    count: int,
) -> list[int]:
    """It drafts no more than can still be used."""
    text = list(prompt)
    end = len(prompt) + count
    while len(text) < end:
        draft: list[int] = []
        while len(draft) < min(gamma, end - len(text) - 1):
            draft.append(drafter(text + draft))
        rows = target(text + draft)[len(text) - 1 :]
        for token, row in zip([*draft, -1], rows):
            choice = row.index(max(row))
            text.append(choice)
            if token != choice:
                break
    return text[len(prompt) :]


@EXERCISE.wrong("you draft nothing: one forward for each token")
def plain_decoding(
    target: Callable[[list[int]], Scores],
    drafter: Callable[[list[int]], int],
    prompt: list[int],
    gamma: int,
    count: int,
) -> list[int]:
    """The text is right, and no forward is saved."""
    text = list(prompt)
    while len(text) < len(prompt) + count:
        row = target(text)[-1]
        text.append(row.index(max(row)))
    return text[len(prompt) :]


@EXERCISE.wrong("you throw away the target's own token behind the accepted ones")
def no_bonus(
    target: Callable[[list[int]], Scores],
    drafter: Callable[[list[int]], int],
    prompt: list[int],
    gamma: int,
    count: int,
) -> list[int]:
    """The forward has computed it already: behind the last accepted token the target's choice is
    known. Each cycle gives one token more than were accepted.
    """
    text = list(prompt)
    while len(text) < len(prompt) + count:
        draft: list[int] = []
        for _ in range(gamma):
            draft.append(drafter(text + draft))
        rows = target(text + draft)
        choices = [row.index(max(row)) for row in rows[len(text) - 1 :]]
        kept = 0
        while kept < gamma and draft[kept] == choices[kept]:
            kept += 1
        text += draft[:kept] if kept else [choices[0]]
    return text[len(prompt) :][:count]


@EXERCISE.wrong("you keep draft tokens behind a mismatch")
def accept_past_a_mismatch(
    target: Callable[[list[int]], Scores],
    drafter: Callable[[list[int]], int],
    prompt: list[int],
    gamma: int,
    count: int,
) -> list[int]:
    """Behind a mismatch the target has scored a text that does not exist. Everything from there on
    must go.
    """
    text = list(prompt)
    while len(text) < len(prompt) + count:
        draft: list[int] = []
        for _ in range(gamma):
            draft.append(drafter(text + draft))
        rows = target(text + draft)
        choices = [row.index(max(row)) for row in rows[len(text) - 1 :]]
        text += [a for a, b in zip(draft, choices) if a == b] + [choices[-1]]
    return text[len(prompt) :][:count]


@EXERCISE.wrong("you take the token behind the accepted ones from the row before")
def bonus_from_row_before(
    target: Callable[[list[int]], Scores],
    drafter: Callable[[list[int]], int],
    prompt: list[int],
    gamma: int,
    count: int,
) -> list[int]:
    """Behind kept accepted tokens the choice is row kept: there are gamma + 1 rows for gamma draft
    tokens.
    """
    text = list(prompt)
    while len(text) < len(prompt) + count:
        draft: list[int] = []
        for _ in range(gamma):
            draft.append(drafter(text + draft))
        rows = target(text + draft)
        choices = [row.index(max(row)) for row in rows[len(text) - 1 :]]
        kept = 0
        while kept < gamma and draft[kept] == choices[kept]:
            kept += 1
        text += [*draft[:kept], choices[max(kept - 1, 0)]]
    return text[len(prompt) :][:count]


@EXERCISE.wrong("you compare each draft token with the row one too early")
def rows_one_early(
    target: Callable[[list[int]], Scores],
    drafter: Callable[[list[int]], int],
    prompt: list[int],
    gamma: int,
    count: int,
) -> list[int]:
    """Row i scores the token behind tokens[i]. The first draft token is judged by the row of the
    last token before it.
    """
    text = list(prompt)
    while len(text) < len(prompt) + count:
        draft: list[int] = []
        for _ in range(gamma):
            draft.append(drafter(text + draft))
        rows = target(text + draft)
        choices = [row.index(max(row)) for row in rows[len(text) - 2 :]]
        kept = 0
        while kept < gamma and draft[kept] == choices[kept]:
            kept += 1
        text += [*draft[:kept], choices[kept]]
    return text[len(prompt) :][:count]


@EXERCISE.wrong("of equal scores you take the highest id")
def ties_to_the_highest(
    target: Callable[[list[int]], Scores],
    drafter: Callable[[list[int]], int],
    prompt: list[int],
    gamma: int,
    count: int,
) -> list[int]:
    """The target takes the lowest. Two rules for ties give two texts, and each looks right."""
    text = list(prompt)
    while len(text) < len(prompt) + count:
        draft: list[int] = []
        for _ in range(gamma):
            draft.append(drafter(text + draft))
        rows = target(text + draft)[len(text) - 1 :]
        choices = [len(row) - 1 - row[::-1].index(max(row)) for row in rows]
        kept = 0
        while kept < gamma and draft[kept] == choices[kept]:
            kept += 1
        text += [*draft[:kept], choices[kept]]
    return text[len(prompt) :][:count]


@EXERCISE.wrong("you believe the whole draft")
def believe_the_draft(
    target: Callable[[list[int]], Scores],
    drafter: Callable[[list[int]], int],
    prompt: list[int],
    gamma: int,
    count: int,
) -> list[int]:
    """A guess that the target would not have made changes the text."""
    text = list(prompt)
    while len(text) < len(prompt) + count:
        draft: list[int] = []
        for _ in range(gamma):
            draft.append(drafter(text + draft))
        rows = target(text + draft)
        choices = [row.index(max(row)) for row in rows[len(text) - 1 :]]
        text += [*draft, choices[gamma]]
    return text[len(prompt) :][:count]


@EXERCISE.wrong("you keep the draft token that differs")
def keep_the_mismatch(
    target: Callable[[list[int]], Scores],
    drafter: Callable[[list[int]], int],
    prompt: list[int],
    gamma: int,
    count: int,
) -> list[int]:
    """The first token that differs is replaced by the target's choice."""
    text = list(prompt)
    while len(text) < len(prompt) + count:
        draft: list[int] = []
        for _ in range(gamma):
            draft.append(drafter(text + draft))
        rows = target(text + draft)
        choices = [row.index(max(row)) for row in rows[len(text) - 1 :]]
        kept = 0
        while kept < gamma and draft[kept] == choices[kept]:
            kept += 1
        text += draft[: kept + 1]
    return text[len(prompt) :][:count]


@EXERCISE.wrong("you call the target once for each draft token")
def a_forward_for_each_token(
    target: Callable[[list[int]], Scores],
    drafter: Callable[[list[int]], int],
    prompt: list[int],
    gamma: int,
    count: int,
) -> list[int]:
    """One forward scores all of them: that is what is saved."""
    text = list(prompt)
    while len(text) < len(prompt) + count:
        for _ in range(gamma):
            token = drafter(text)
            row = target(text)[-1]
            text.append(row.index(max(row)))
            if token != text[-1]:
                break
    return text[len(prompt) :][:count]


@EXERCISE.wrong("you return more than count tokens")
def too_long(
    target: Callable[[list[int]], Scores],
    drafter: Callable[[list[int]], int],
    prompt: list[int],
    gamma: int,
    count: int,
) -> list[int]:
    """The last cycle may give more than are asked for. Cut the text."""
    text = list(prompt)
    while len(text) < len(prompt) + count:
        draft: list[int] = []
        for _ in range(gamma):
            draft.append(drafter(text + draft))
        rows = target(text + draft)
        choices = [row.index(max(row)) for row in rows[len(text) - 1 :]]
        kept = 0
        while kept < gamma and draft[kept] == choices[kept]:
            kept += 1
        text += [*draft[:kept], choices[kept]]
    return text[len(prompt) :]
