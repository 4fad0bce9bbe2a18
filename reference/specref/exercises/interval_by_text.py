"""Exercise of part 5: how sure an acceptance rate is.

Each text gives (accepted, judged) tokens. The rate r is all accepted over all judged tokens. Tokens
of one text are not independent: a hard text rejects many in a row. So the text is the unit. Return
the variance of r,

    n / (n - 1) * sum over texts of (accepted - r judged)^2 / (all judged)^2,

for n texts. The 95 % interval is about r plus and minus twice its square root.
(Cochran 1977, Sampling Techniques, section 6.)
"""

from fractions import Fraction

from .grading.exercise import Numbers

Texts = list[tuple[int, int]]

TEXTS: list[Texts] = [
    [(8, 10), (2, 10), (9, 10), (1, 10)],
    [(5, 10), (5, 10), (5, 10)],
    [(30, 40), (3, 10), (1, 5), (20, 20)],
    [(0, 4), (7, 8), (6, 9), (2, 2), (10, 17)],
]

EXERCISE = Numbers(
    id="interval-by-text",
    part=5,
    cases=[{"texts": texts} for texts in TEXTS],
    right="In every case this is the variance by texts.",
)


def attempt(texts: Texts) -> Fraction:
    """texts: (accepted, judged) of each. Returns the variance of the pooled rate."""
    all_judged = sum(judged for accepted, judged in texts)
    rate = Fraction(sum(accepted for accepted, judged in texts), all_judged)
    return rate * (1 - rate) / Fraction(all_judged)  # as if all tokens were independent


@EXERCISE.solution
def solution(texts: Texts) -> Fraction:
    n = len(texts)
    all_judged = sum(judged for accepted, judged in texts)
    rate = Fraction(sum(accepted for accepted, judged in texts), all_judged)
    spread = sum((accepted - rate * judged) ** 2 for accepted, judged in texts)
    return Fraction(n, n - 1) * spread / Fraction(all_judged) ** 2


@EXERCISE.also_right
def by_residuals(texts: Texts) -> Fraction:
    """It sums the variance of the residuals."""
    n = len(texts)
    all_judged = sum(judged for accepted, judged in texts)
    rate = Fraction(sum(accepted for accepted, judged in texts), all_judged)
    residuals = [accepted - rate * judged for accepted, judged in texts]
    squares = [residual * residual for residual in residuals]
    variance = sum(squares, Fraction(0)) / (n - 1)
    return variance * n / Fraction(all_judged * all_judged)


@EXERCISE.wrong("you treat tokens as independent: r (1 - r) / tokens")
def by_token(texts: Texts) -> Fraction:
    """The interval is then too short: tokens of one text rise and fall together."""
    all_judged = sum(judged for accepted, judged in texts)
    rate = Fraction(sum(accepted for accepted, judged in texts), all_judged)
    return rate * (1 - rate) / Fraction(all_judged)


@EXERCISE.wrong("you treat each text as one coin: r (1 - r) / texts")
def texts_as_coins(texts: Texts) -> Fraction:
    """A text is more than one yes or no. Take the spread between the texts."""
    n = len(texts)
    all_judged = sum(judged for accepted, judged in texts)
    rate = Fraction(sum(accepted for accepted, judged in texts), all_judged)
    return rate * (1 - rate) / n


@EXERCISE.wrong("you leave out n / (n - 1)")
def no_correction(texts: Texts) -> Fraction:
    """The rate was fitted to these texts, so their spread around it is a little too small."""
    all_judged = sum(judged for accepted, judged in texts)
    rate = Fraction(sum(accepted for accepted, judged in texts), all_judged)
    spread = sum((accepted - rate * judged) ** 2 for accepted, judged in texts)
    return spread / Fraction(all_judged) ** 2


@EXERCISE.wrong("you return the spread of single texts, not of their mean")
def spread_of_one_text(texts: Texts) -> Fraction:
    """More texts make the rate surer. Divide by their number once more."""
    n = len(texts)
    all_judged = sum(judged for accepted, judged in texts)
    rate = Fraction(sum(accepted for accepted, judged in texts), all_judged)
    spread = sum((accepted - rate * judged) ** 2 for accepted, judged in texts)
    return Fraction(n, n - 1) * spread * n / Fraction(all_judged) ** 2


@EXERCISE.wrong("you take the variance of the texts' own rates")
def unweighted(texts: Texts) -> Fraction:
    """Long and short texts then count alike, and the variance belongs to another estimate."""
    n = len(texts)
    rates = [Fraction(accepted, judged) for accepted, judged in texts]
    mean = sum(rates, Fraction(0)) / n
    return sum(((rate - mean) ** 2 for rate in rates), Fraction(0)) / (n * (n - 1))
