"""Exercise of part 6: several guesses for one place.

candidates holds draft tokens for the same place, tried in turn. q[i] is the distribution that
candidates[i] was drawn from, given those before it. Emit one token whose distribution is p. Ask
chance.accept(probability) and chance.draw(weights), as in part 3.

The second guess is judged against what is left of p when the first one was rejected.
(Miao et al. 2023, SpecInfer, arXiv:2305.09781; Chen et al. 2024, Sequoia, arXiv:2402.12374.)
"""

from collections.abc import Hashable, Mapping
from fractions import Fraction
from typing import Any

from .grading.exercise import Answer, Exercise, Row, row, token_of
from .grading.forks import Forks


class Siblings(Exercise):
    """A case has p, the drafter's row, how many guesses it makes, and whether a token may come
    twice. An outcome is (candidates, emitted token).
    """

    def run(self, rule: Answer, case: Mapping[str, Any], chance: Forks) -> Hashable:
        candidates: list[int] = []
        rows: list[Row] = []
        left = list(case["drafter"])
        for _ in range(case["guesses"]):
            total = sum(left, Fraction(0))
            rows.append([weight / total for weight in left])
            candidates.append(chance.draw(left))
            if not case["replacement"]:
                left[candidates[-1]] = Fraction(0)
        token = token_of(rule(list(case["p"]), rows, list(candidates), chance), len(case["p"]))
        return tuple(candidates), token

    def seen(self, outcome: Any) -> Hashable:
        return outcome[1]

    def wanted(self, case: Mapping[str, Any]) -> dict[Hashable, Fraction]:
        return {token: share for token, share in enumerate(case["p"]) if share}


NAMES = ("p", "drafter", "guesses", "replacement")
GUESSES = [
    (row("1/2", "3/10", "1/5"), row("1/10", "3/10", "3/5"), 2, True),
    (row("1/2", "3/10", "1/5"), row("1/10", "3/10", "3/5"), 2, False),
    (row("2/5", "3/10", "1/5", "1/10"), row("1/5", "1/10", "1/10", "3/5"), 2, False),
    (row("1/8", "1/8", "1/4", "1/2"), row("1/4", "1/4", "1/4", "1/4"), 3, False),
    (row("1/8", "3/8", "1/2"), row("1/2", "1/4", "1/4"), 3, True),
]

EXERCISE = Siblings(
    id="sibling-rejection",
    part=6,
    cases=[dict(zip(NAMES, guess)) for guess in GUESSES],
    right="In every case the emitted token has exactly the distribution p.",
)
EXERCISE.worth = (
    "it keeps a candidate less often than it could",
    lambda outcome: Fraction(outcome[1] in outcome[0]),
)


def attempt(p: Row, q: list[Row], candidates: list[int], chance: Forks) -> int:
    """p: V fractions. q: a row for each candidate. Returns the emitted token."""
    for i, x in enumerate(candidates):
        if chance.accept(min(1, p[x] / q[i][x])):  # every candidate is judged against p itself
            return x
    return chance.draw(p)


@EXERCISE.solution
def solution(p: Row, q: list[Row], candidates: list[int], chance: Forks) -> int:
    rest = p
    for i, x in enumerate(candidates):
        if chance.accept(min(1, rest[x] / q[i][x])):
            return x
        left = [max(a - b, 0) for a, b in zip(rest, q[i])]
        rest = [weight / sum(left) for weight in left]
    return chance.draw(rest)


@EXERCISE.also_right
def first_candidate_only(p: Row, q: list[Row], candidates: list[int], chance: Forks) -> int:
    """It judges one candidate and ignores the others."""
    x = candidates[0]
    if chance.accept(min(1, p[x] / q[0][x])):
        return x
    return chance.draw([max(a - b, 0) for a, b in zip(p, q[0])])


@EXERCISE.also_right
def sampler_match(p: Row, q: list[Row], candidates: list[int], chance: Forks) -> int:
    """It draws from p; the candidates may hold the token or not."""
    return chance.draw(p)


@EXERCISE.also_right
def as_certain(p: Row, q: list[Row], candidates: list[int], chance: Forks) -> int:
    """It judges each candidate as if it had been certain. That is right for any candidates, and
    keeps fewer.
    """
    rest = p
    for x in candidates:
        if chance.accept(rest[x]):
            return x
        left = [0 if token == x else weight for token, weight in enumerate(rest)]
        rest = [weight / sum(left) for weight in left] if any(left) else rest
    return chance.draw(rest)


@EXERCISE.also_right
def recursive(p: Row, q: list[Row], candidates: list[int], chance: Forks) -> int:
    """It calls itself with what is left."""

    def judge(rest: list[Fraction], place: int) -> int:
        if place == len(candidates):
            return chance.draw(rest)
        x = candidates[place]
        if chance.accept(min(1, rest[x] / q[place][x])):
            return x
        left = [max(a - b, 0) for a, b in zip(rest, q[place])]
        return judge([weight / sum(left) for weight in left], place + 1)

    return judge(p, 0)


@EXERCISE.wrong("you judge every candidate against p itself")
def judged_against_p(p: Row, q: list[Row], candidates: list[int], chance: Forks) -> int:
    """After a rejection the target is owed another distribution: max(p - q, 0), normalised. Judge
    the next candidate against that.
    """
    for i, x in enumerate(candidates):
        if chance.accept(min(1, p[x] / q[i][x])):
            return x
    return chance.draw(p)


@EXERCISE.wrong("you judge each against p, and draw from the last one's residual")
def p_then_last_residual(p: Row, q: list[Row], candidates: list[int], chance: Forks) -> int:
    """Only one rejection is then taken off p."""
    rest = p
    for i, x in enumerate(candidates):
        if chance.accept(min(1, p[x] / q[i][x])):
            return x
        rest = [max(a - b, 0) for a, b in zip(p, q[i])]
    return chance.draw(rest if any(rest) else p)


@EXERCISE.wrong("you do not normalise what is left before the next candidate")
def rest_not_normalised(p: Row, q: list[Row], candidates: list[int], chance: Forks) -> int:
    """The ratio compares two distributions. What is left sums to the rejected mass."""
    rest = p
    for i, x in enumerate(candidates):
        if chance.accept(min(1, rest[x] / q[i][x])):
            return x
        left = [max(a - b, 0) for a, b in zip(rest, q[i])]
        rest = left if any(left) else p
    return chance.draw(rest)


@EXERCISE.wrong("you judge every candidate with the q of the first")
def first_q_for_all(p: Row, q: list[Row], candidates: list[int], chance: Forks) -> int:
    """Without replacement the second candidate has another distribution: q without the first,
    normalised.
    """
    rest = p
    for x in candidates:
        if chance.accept(min(1, rest[x] / q[0][x])):
            return x
        left = [max(a - b, 0) for a, b in zip(rest, q[0])]
        rest = [weight / sum(left) for weight in left] if any(left) else rest
    return chance.draw(rest)


@EXERCISE.wrong("when all candidates are rejected you draw from p")
def draw_from_p(p: Row, q: list[Row], candidates: list[int], chance: Forks) -> int:
    """Draw from what is left after all of them."""
    rest = p
    for i, x in enumerate(candidates):
        if chance.accept(min(1, rest[x] / q[i][x])):
            return x
        left = [max(a - b, 0) for a, b in zip(rest, q[i])]
        rest = [weight / sum(left) for weight in left]
    return chance.draw(p)


@EXERCISE.wrong("when all candidates are rejected you draw from the residual of the first")
def first_residual(p: Row, q: list[Row], candidates: list[int], chance: Forks) -> int:
    """Each rejection takes its part. The last draw is from what is left after all of them."""
    rest = p
    for i, x in enumerate(candidates):
        if chance.accept(min(1, rest[x] / q[i][x])):
            return x
        left = [max(a - b, 0) for a, b in zip(rest, q[i])]
        rest = [weight / sum(left) for weight in left]
    return chance.draw([max(a - b, 0) for a, b in zip(p, q[0])])


@EXERCISE.wrong("you take the candidate that p likes most")
def best_candidate(p: Row, q: list[Row], candidates: list[int], chance: Forks) -> int:
    """Then p is not sampled: the likeliest candidate comes out too often."""
    return max(candidates, key=lambda x: (p[x], -x))
