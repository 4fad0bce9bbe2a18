"""Exercise of part 7: what stays in the cache.

Before a cycle the cache holds length tokens. The newest token of the text is pending: it is
emitted, and not yet in the cache. The cycle's forward runs over the pending token and the drafted
ones, and puts them all into the cache. Then accepted of the drafted tokens are kept, and the target
adds one token, which is the new pending one. Return how many tokens of the cache are kept.
"""

from .grading.exercise import Numbers

CYCLES = [(10, 4, 2), (10, 4, 4), (10, 4, 0), (7, 1, 1), (7, 1, 0), (0, 3, 1), (5, 0, 0)]

EXERCISE = Numbers(
    id="cache-rollback",
    part=7,
    cases=[{"length": a, "drafted": b, "accepted": c} for a, b, c in CYCLES],
    right="After every cycle the cache holds the text, but for its newest token.",
)


def attempt(length: int, drafted: int, accepted: int) -> int:
    """Returns the number of tokens that stay in the cache."""
    return length + 1 + drafted  # nothing is taken back


@EXERCISE.solution
def solution(length: int, drafted: int, accepted: int) -> int:
    return length + 1 + accepted


@EXERCISE.also_right
def what_is_taken_back(length: int, drafted: int, accepted: int) -> int:
    """It takes back what was rejected."""
    after = length + 1 + drafted
    return after - (drafted - accepted)


@EXERCISE.wrong("you take nothing back")
def no_rollback(length: int, drafted: int, accepted: int) -> int:
    """Keys and values of rejected tokens stay, and later tokens attend to them."""
    return length + 1 + drafted


@EXERCISE.wrong("you forget the pending token, which the forward put into the cache")
def pending_forgotten(length: int, drafted: int, accepted: int) -> int:
    """The forward ran over it: it is one of the entries."""
    return length + accepted


@EXERCISE.wrong("you count the new token, which no forward has seen")
def new_token_counted(length: int, drafted: int, accepted: int) -> int:
    """It is pending until the next cycle. A cache that counts it holds an entry of garbage."""
    return length + accepted + 2


@EXERCISE.wrong("you take back the whole cycle")
def all_taken_back(length: int, drafted: int, accepted: int) -> int:
    """What was accepted would have to be computed again."""
    return length


@EXERCISE.wrong("after a draft that was accepted whole you go one too far")
def only_when_rejected(length: int, drafted: int, accepted: int) -> int:
    """The bonus token is pending too, as a replacement is."""
    return length + 1 + accepted + (accepted == drafted)


@EXERCISE.wrong("you keep the first rejected token too")
def rejected_one_kept(length: int, drafted: int, accepted: int) -> int:
    """The cache must not hold a token that is not in the text."""
    return length + 1 + min(accepted + 1, drafted)
