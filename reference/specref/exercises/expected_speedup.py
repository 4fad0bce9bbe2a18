"""Exercise of part 5: the speedup that an acceptance rate gives.

Each draft token is accepted with probability alpha, independently; the first rejection ends the
cycle. A cycle drafts gamma tokens, and one forward of the target verifies them. It emits the
accepted tokens and one more. Costs are in plain decoding steps: draft_cost for each draft token,
verify_cost for the forward over gamma + 1 tokens.

Return the expected tokens of a cycle over its cost.
(Leviathan et al. 2023, arXiv:2211.17192, equation 1 and theorem 3.8.)
"""

from fractions import Fraction

from .grading.exercise import Numbers

NAMES = ("alpha", "gamma", "draft_cost", "verify_cost")
SETTINGS = [
    (Fraction(3, 5), 4, Fraction(1, 10), Fraction(1)),
    (Fraction(4, 5), 5, Fraction(1, 20), Fraction(6, 5)),
    (Fraction(1, 2), 1, Fraction(1, 4), Fraction(1)),
    (Fraction(1), 3, Fraction(1, 10), Fraction(1)),
    (Fraction(0), 2, Fraction(1, 5), Fraction(11, 10)),
    (Fraction(9, 10), 0, Fraction(1, 5), Fraction(1)),
]

EXERCISE = Numbers(
    id="expected-speedup",
    part=5,
    cases=[dict(zip(NAMES, setting)) for setting in SETTINGS],
    right="In every case this is the expected speedup.",
)


def attempt(alpha: Fraction, gamma: int, draft_cost: Fraction, verify_cost: Fraction) -> Fraction:
    """Returns the speedup over plain decoding."""
    tokens = alpha * gamma + 1  # as if a rejection did not end the cycle
    return tokens / (gamma * draft_cost + verify_cost)


@EXERCISE.solution
def solution(alpha: Fraction, gamma: int, draft_cost: Fraction, verify_cost: Fraction) -> Fraction:
    tokens = sum(alpha**i for i in range(gamma + 1))
    return tokens / (gamma * draft_cost + verify_cost)


@EXERCISE.also_right
def closed_form(
    alpha: Fraction, gamma: int, draft_cost: Fraction, verify_cost: Fraction
) -> Fraction:
    """The closed form, with its exception."""
    if alpha == 1:
        tokens = Fraction(gamma + 1)
    else:
        tokens = (1 - alpha ** (gamma + 1)) / (1 - alpha)
    return tokens / (gamma * draft_cost + verify_cost)


@EXERCISE.also_right
def by_length(alpha: Fraction, gamma: int, draft_cost: Fraction, verify_cost: Fraction) -> Fraction:
    """It sums over the numbers of accepted tokens."""
    tokens = (gamma + 1) * alpha**gamma
    for accepted in range(gamma):
        tokens += (accepted + 1) * alpha**accepted * (1 - alpha)
    return tokens / (gamma * draft_cost + verify_cost)


@EXERCISE.wrong("a rejection does not end your cycle: you count alpha gamma + 1 tokens")
def rejection_does_not_end(
    alpha: Fraction, gamma: int, draft_cost: Fraction, verify_cost: Fraction
) -> Fraction:
    """Token i counts only if all before it were accepted: alpha to the power i."""
    tokens = alpha * gamma + 1
    return tokens / (gamma * draft_cost + verify_cost)


@EXERCISE.wrong("you forget the token that the target adds")
def no_extra_token(
    alpha: Fraction, gamma: int, draft_cost: Fraction, verify_cost: Fraction
) -> Fraction:
    """Each cycle emits one token more than were accepted: a replacement or a bonus."""
    tokens = sum(alpha**i for i in range(1, gamma + 1))
    return tokens / (gamma * draft_cost + verify_cost)


@EXERCISE.wrong("you count 1 + K wrongly: gamma terms in place of gamma + 1")
def one_power_short(
    alpha: Fraction, gamma: int, draft_cost: Fraction, verify_cost: Fraction
) -> Fraction:
    """With gamma draft tokens a cycle emits up to gamma + 1 tokens: the sum runs from power 0 to
    power gamma.
    """
    tokens = sum(alpha**i for i in range(gamma))
    return tokens / (gamma * draft_cost + verify_cost)


@EXERCISE.wrong("you count a draft only if all of it is accepted")
def whole_or_nothing(
    alpha: Fraction, gamma: int, draft_cost: Fraction, verify_cost: Fraction
) -> Fraction:
    """A part that was accepted counts too."""
    tokens = 1 + gamma * alpha**gamma
    return tokens / (gamma * draft_cost + verify_cost)


@EXERCISE.wrong("you multiply all gamma + 1 tokens by alpha")
def extra_token_by_chance(
    alpha: Fraction, gamma: int, draft_cost: Fraction, verify_cost: Fraction
) -> Fraction:
    """The token that the target adds is certain."""
    tokens = alpha * (gamma + 1)
    return tokens / (gamma * draft_cost + verify_cost)


@EXERCISE.wrong("you forget what drafting costs")
def drafting_is_free(
    alpha: Fraction, gamma: int, draft_cost: Fraction, verify_cost: Fraction
) -> Fraction:
    """gamma draft tokens cost gamma draft steps. That decides whether speculation pays."""
    tokens = sum(alpha**i for i in range(gamma + 1))
    return tokens / (verify_cost)


@EXERCISE.wrong("you count one draft step for the whole draft")
def one_draft_step(
    alpha: Fraction, gamma: int, draft_cost: Fraction, verify_cost: Fraction
) -> Fraction:
    """A draft model writes its tokens one by one: gamma steps."""
    tokens = sum(alpha**i for i in range(gamma + 1))
    return tokens / (draft_cost + verify_cost)


@EXERCISE.wrong("you count gamma + 1 draft steps")
def one_draft_step_more(
    alpha: Fraction, gamma: int, draft_cost: Fraction, verify_cost: Fraction
) -> Fraction:
    """The last token of a cycle is the target's."""
    tokens = sum(alpha**i for i in range(gamma + 1))
    return tokens / ((gamma + 1) * draft_cost + verify_cost)


@EXERCISE.wrong("you take a verification to cost one plain step")
def verifying_costs_one(
    alpha: Fraction, gamma: int, draft_cost: Fraction, verify_cost: Fraction
) -> Fraction:
    """verify_cost says what a forward over gamma + 1 tokens costs here. At larger batches it is
    well above 1.
    """
    tokens = sum(alpha**i for i in range(gamma + 1))
    return tokens / (gamma * draft_cost + 1)


@EXERCISE.wrong("you return the tokens of a cycle, not the speedup")
def tokens_alone(
    alpha: Fraction, gamma: int, draft_cost: Fraction, verify_cost: Fraction
) -> Fraction:
    """Divide by what the cycle costs."""
    return sum((alpha**i for i in range(gamma + 1)), Fraction(0))
