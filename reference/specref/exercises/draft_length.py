"""Exercise of part 4: how many of the draft tokens are verified.

Verification of a token costs time, so an engine cuts a draft that is unlikely to be accepted. draft
holds K tokens, and q[i] is the distribution that draft[i] was drawn from. Return how many of them
are verified, 0 to K: cut where the drafter becomes unsure.

The grader verifies the tokens that are left, by the right rule. The text must have the target's
distribution. So whether token i is verified may depend on the tokens before it and on q[i], never
on token i itself or on what follows.
"""

from fractions import Fraction

from .chain_verify import CHAINS, Chain
from .chain_verify import solution as judge
from .grading.exercise import Answer, Row
from .grading.forks import Forks, MisuseError


class Admission(Chain):
    """The rule gives a length; the draft is judged up to there."""

    def emitted(
        self, rule: Answer, p: list[Row], q: list[Row], draft: list[int], chance: Forks
    ) -> tuple[int, ...]:
        count = rule([list(weights) for weights in q], list(draft))
        if not isinstance(count, int) or not 0 <= count <= len(draft):
            raise MisuseError(f"it returns {count!r} for a draft of {len(draft)}")
        return tuple(judge(p[: count + 1], q[:count], draft[:count], chance))


EXERCISE = Admission(
    id="draft-length",
    part=4,
    cases=CHAINS,
    right="In every case the text has exactly the target's distribution.",
)


def attempt(q: list[Row], draft: list[int]) -> int:
    """q: K rows, draft: K tokens. Returns how many of them are verified, 0 to K."""
    for i, x in enumerate(draft):
        if q[i][x] < Fraction(1, 2):  # this cuts where the drawn token is unlikely
            return i
    return len(draft)


@EXERCISE.solution
def solution(q: list[Row], draft: list[int]) -> int:
    for i, weights in enumerate(q):
        if max(weights) < Fraction(2, 3):
            return i
    return len(draft)


@EXERCISE.also_right
def always_all(q: list[Row], draft: list[int]) -> int:
    """It never cuts."""
    return len(draft)


@EXERCISE.also_right
def never_any(q: list[Row], draft: list[int]) -> int:
    """It never verifies: right, and no faster than plain decoding."""
    return 0


@EXERCISE.also_right
def behind_an_unlikely_token(q: list[Row], draft: list[int]) -> int:
    """It cuts behind an unlikely token: that token itself is still verified."""
    for i, x in enumerate(draft):
        if q[i][x] < Fraction(1, 2):
            return i + 1
    return len(draft)


@EXERCISE.also_right
def by_collision(q: list[Row], draft: list[int]) -> int:
    """It cuts where two draws would seldom agree."""
    for i, weights in enumerate(q):
        if sum(share * share for share in weights) < Fraction(1, 2):
            return i
    return len(draft)


@EXERCISE.also_right
def by_the_token_before(q: list[Row], draft: list[int]) -> int:
    """It looks at the token before."""
    return 1 + (len(draft) - 1) * (draft[0] == 0)


@EXERCISE.wrong("you cut at a token by its own probability")
def own_probability(q: list[Row], draft: list[int]) -> int:
    """Unlikely tokens are then never verified, and the target draws in their place: they come out
    less often. Look at the distribution q[i], not at what was drawn from it.
    """
    for i, x in enumerate(draft):
        if q[i][x] < Fraction(1, 2):
            return i
    return len(draft)


@EXERCISE.wrong("you cut by the product of the drawn tokens' probabilities, the last included")
def product_of_own(q: list[Row], draft: list[int]) -> int:
    """The product up to token i - 1 may decide about token i; with token i in it, the token decides
    about itself.
    """
    share = Fraction(1)
    for i, x in enumerate(draft):
        share *= q[i][x]
        if share < Fraction(2, 5):
            return i
    return len(draft)


@EXERCISE.wrong("you verify a token only if it is the likeliest of its row")
def only_likeliest(q: list[Row], draft: list[int]) -> int:
    """Whether it is depends on the token itself."""
    for i, x in enumerate(draft):
        if q[i][x] < max(q[i]):
            return i
    return len(draft)


@EXERCISE.wrong("you cut at a certain token, such as a full stop")
def by_token(q: list[Row], draft: list[int]) -> int:
    """The token decides whether it is itself verified. Cut behind it."""
    return draft.index(1) if 1 in draft else len(draft)


@EXERCISE.wrong("you let the row behind a token decide about the token")
def later_rows(q: list[Row], draft: list[int]) -> int:
    """q[i + 1] was computed after token i, and so depends on it."""
    for i in range(len(draft) - 1):
        if max(q[i + 1]) < Fraction(3, 5):
            return i
    return len(draft)


@EXERCISE.wrong("you drop the whole draft when any of it is unlikely")
def whole_draft(q: list[Row], draft: list[int]) -> int:
    """A later token then decides about the first."""
    unlikely = [q[i][x] < Fraction(2, 5) for i, x in enumerate(draft)]
    return 0 if any(unlikely) else len(draft)


@EXERCISE.wrong("you cut behind the likeliest token of the draft")
def best_of_all(q: list[Row], draft: list[int]) -> int:
    """Which one is likeliest depends on all of them, those behind the cut too."""
    shares = [q[i][x] for i, x in enumerate(draft)]
    return shares.index(max(shares)) + 1
