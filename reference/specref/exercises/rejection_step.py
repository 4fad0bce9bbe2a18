"""Exercise of part 3: one step of speculative sampling.

The draft token x was drawn from q. Emit one token whose distribution is p, and emit x as often as
you can. Ask chance.accept(probability) for a yes or no, and chance.draw(weights) for a token; the
weights need not sum to 1. p and q are lists of fractions, one for each token.

Your rule is run over every outcome of its random choices. So the verdict says exactly what it
emits. (Leviathan et al. 2023, arXiv:2211.17192, Algorithm 1.)
"""

from collections.abc import Hashable, Mapping
from fractions import Fraction
from typing import Any

from .grading.exercise import Answer, Exercise, Row, row, token_of
from .grading.forks import Forks


class OneToken(Exercise):
    """A case has p and q. An outcome is (draft token, emitted token)."""

    def run(self, rule: Answer, case: Mapping[str, Any], chance: Forks) -> Hashable:
        x = chance.draw(case["q"])
        return x, token_of(rule(case["p"], case["q"], x, chance), len(case["p"]))

    def seen(self, outcome: Any) -> Hashable:
        return outcome[1]

    def wanted(self, case: Mapping[str, Any]) -> dict[Hashable, Fraction]:
        return {token: share for token, share in enumerate(case["p"]) if share}


# Opposed, overlapping, zeros on both sides, p = q, two likely tokens, and four tokens, with
# residuals of more than one token: "take the largest of the residual" is right where it has one.
PAIRS = [
    (row("1/2", "3/10", "1/5"), row("1/10", "3/10", "3/5")),
    (row("7/10", "1/5", "1/10"), row("1/5", "1/2", "3/10")),
    (row(0, "3/8", "5/8"), row("1/2", "1/2", 0)),
    (row("1/4", "1/2", "1/4"), row("1/4", "1/2", "1/4")),
    (row("5/8", "1/4", "1/8"), row("1/4", "5/8", "1/8")),
    (row("2/5", "3/10", "1/5", "1/10"), row("1/5", "1/10", "1/10", "3/5")),
    (row("3/20", "1/4", "2/5", "1/5"), row("1/20", "3/20", "3/5", "1/5")),
]

EXERCISE = OneToken(
    id="rejection-step",
    part=3,
    cases=[{"p": p, "q": q} for p, q in PAIRS],
    right="In every case the emitted token has exactly the distribution p.",
)
EXERCISE.worth = (
    "it keeps the draft token less often than it could",
    lambda outcome: Fraction(outcome[0] == outcome[1]),
)


def attempt(p: Row, q: Row, x: int, chance: Forks) -> int:
    """p, q: lists of V fractions. x: the draft token, drawn from q. Returns the emitted token."""
    return x  # this believes the draft: the emitted token has the distribution q


@EXERCISE.solution
def solution(p: Row, q: Row, x: int, chance: Forks) -> int:
    if chance.accept(min(1, p[x] / q[x])):
        return x
    residual = [max(a - b, 0) for a, b in zip(p, q)]
    return chance.draw(residual)


@EXERCISE.also_right
def never_speculate(p: Row, q: Row, x: int, chance: Forks) -> int:
    """It ignores the draft: right, and no faster than plain decoding."""
    return chance.draw(p)


@EXERCISE.also_right
def sampler_match(p: Row, q: Row, x: int, chance: Forks) -> int:
    """It draws from p and compares, as some engines do. It keeps less than it could."""
    y = chance.draw(p)
    return x if y == x else y


@EXERCISE.also_right
def without_the_min(p: Row, q: Row, x: int, chance: Forks) -> int:
    """It asks with the ratio itself: a coin above 1 always says yes."""
    if chance.accept(p[x] / q[x]):
        return x
    return chance.draw([max(a - b, 0) for a, b in zip(p, q)])


@EXERCISE.also_right
def half_hearted(p: Row, q: Row, x: int, chance: Forks) -> int:
    """It accepts half as often, and draws from exactly what is then left."""
    if chance.accept(min(1, p[x] / q[x]) / 2):
        return x
    return chance.draw([a - min(a, b) / 2 for a, b in zip(p, q)])


@EXERCISE.also_right
def in_floats(p: Row, q: Row, x: int, chance: Forks) -> int:
    """The solution in floats."""
    if chance.accept(min(1.0, float(p[x]) / float(q[x]))):
        return x
    residual = [max(float(a) - float(b), 0.0) for a, b in zip(p, q)]
    total = sum(residual)
    return chance.draw([left / total for left in residual])


@EXERCISE.also_right
def coin_by_halves(p: Row, q: Row, x: int, chance: Forks) -> int:
    """Two coins in place of one, and a residual drawn token by token."""
    overpaid = max(q[x] - p[x], 0)
    if not chance.accept(overpaid / q[x]):
        return x
    left = sum(max(a - b, 0) for a, b in zip(p, q))
    for token in range(len(p)):
        owed = max(p[token] - q[token], 0)
        if left and chance.accept(owed / left):
            return token
        left -= owed
    return x


@EXERCISE.also_right
def from_the_mixture(p: Row, q: Row, x: int, chance: Forks) -> int:
    """It writes p as kept part plus residual, and draws which part is paid from."""
    kept = [min(a, b) for a, b in zip(p, q)]
    if chance.accept(sum(kept)):
        return chance.draw(kept)
    return chance.draw([a - b for a, b in zip(p, kept)])


@EXERCISE.wrong("you believe the draft: it is never rejected")
def always_accept(p: Row, q: Row, x: int, chance: Forks) -> int:
    """What comes out is q, the distribution of the draft. Accept x with probability min(1,
    p(x)/q(x)).
    """
    return x


@EXERCISE.wrong("after a rejection you draw from p")
def redraw_from_p(p: Row, q: Row, x: int, chance: Forks) -> int:
    """A token that p likes more than q has been paid by its own draft, and is paid again out of
    every rejection. Draw from what is still owed: max(p - q, 0).
    """
    if chance.accept(min(1, p[x] / q[x])):
        return x
    return chance.draw(p)


@EXERCISE.wrong("after a rejection you draw from q")
def redraw_from_q(p: Row, q: Row, x: int, chance: Forks) -> int:
    """The token that was rejected because q proposes it too often comes back out of q."""
    if chance.accept(min(1, p[x] / q[x])):
        return x
    return chance.draw(q)


@EXERCISE.wrong("after a rejection you draw from p without the rejected token")
def p_without_x(p: Row, q: Row, x: int, chance: Forks) -> int:
    """That is right only for a token that was proposed with certainty, where q is 1 at x. Else the
    other tokens that q proposes too often are paid again.
    """
    if chance.accept(min(1, p[x] / q[x])):
        return x
    return chance.draw([0 if token == x else a for token, a in enumerate(p)])


@EXERCISE.wrong("after a rejection you draw from |p - q|")
def absolute_difference(p: Row, q: Row, x: int, chance: Forks) -> int:
    """Where q is above p nothing is owed. The absolute value pays it once more."""
    if chance.accept(min(1, p[x] / q[x])):
        return x
    return chance.draw([abs(a - b) for a, b in zip(p, q)])


@EXERCISE.wrong(
    "you draw from the residual before it is normalised, so that the last token gets the rest"
)
def rest_to_the_last(p: Row, q: Row, x: int, chance: Forks) -> int:
    """The residual sums to the rejected mass, less than 1. A search over its cumulative sum with u
    in [0, 1) runs past the end. Divide it by its sum.
    """
    if chance.accept(min(1, p[x] / q[x])):
        return x
    residual = [max(a - b, 0) for a, b in zip(p, q)]
    residual[-1] += 1 - sum(residual)
    return chance.draw(residual)


@EXERCISE.wrong("you smooth the residual, as a softmax over it does")
def smoothed_residual(p: Row, q: Row, x: int, chance: Forks) -> int:
    """A token to which nothing is owed must have probability 0 in the residual. A softmax has no
    zeros.
    """
    if chance.accept(min(1, p[x] / q[x])):
        return x
    residual = [max(a - b, 0) for a, b in zip(p, q)]
    return chance.draw([left + Fraction(1, len(p)) for left in residual])


@EXERCISE.wrong("after a rejection you draw from max(q - p, 0), with p and q swapped")
def swapped_residual(p: Row, q: Row, x: int, chance: Forks) -> int:
    """That pays the rejected mass to the tokens it was taken from: what comes out is q."""
    if chance.accept(min(1, p[x] / q[x])):
        return x
    return chance.draw([max(b - a, 0) for a, b in zip(p, q)])


@EXERCISE.wrong("after a rejection you take the token with the largest p - q")
def largest_residual(p: Row, q: Row, x: int, chance: Forks) -> int:
    """The residual is a distribution to draw from. The largest entry is right only where it is the
    only one.
    """
    if chance.accept(min(1, p[x] / q[x])):
        return x
    residual = [max(a - b, 0) for a, b in zip(p, q)]
    return residual.index(max(residual))


@EXERCISE.wrong("after a rejection you take the likeliest token of p")
def likeliest_token(p: Row, q: Row, x: int, chance: Forks) -> int:
    """Every rejection goes to one token. Draw from the residual."""
    if chance.accept(min(1, p[x] / q[x])):
        return x
    return list(p).index(max(p))


@EXERCISE.wrong("you accept with q(x)/p(x)")
def inverted_ratio(p: Row, q: Row, x: int, chance: Forks) -> int:
    """The ratio is upside down: the tokens that q proposes too often are the ones that you always
    keep.
    """
    if chance.accept(min(1, q[x] / p[x]) if p[x] else 1):
        return x
    return chance.draw([max(a - b, 0) for a, b in zip(p, q)])


@EXERCISE.wrong("you accept with p(x), as if x had been certain")
def accept_with_p(p: Row, q: Row, x: int, chance: Forks) -> int:
    """The coin must know how often q proposes x: the ratio is p(x)/q(x). p(x) alone is right only
    where q is 1 at x.
    """
    if chance.accept(p[x]):
        return x
    return chance.draw([max(a - b, 0) for a, b in zip(p, q)])


@EXERCISE.wrong("you accept exactly where p(x) >= q(x)")
def accept_where_p_is_larger(p: Row, q: Row, x: int, chance: Forks) -> int:
    """Where q is larger, x must still be kept with probability p(x)/q(x). Never to keep it leaves
    it short.
    """
    if chance.accept(p[x] >= q[x]):
        return x
    return chance.draw([max(a - b, 0) for a, b in zip(p, q)])


@EXERCISE.wrong("you accept exactly the likeliest token of p")
def accept_the_likeliest(p: Row, q: Row, x: int, chance: Forks) -> int:
    """That is the rule for temperature 0. A sampled token is accepted by a coin."""
    if chance.accept(p[x] == max(p)):
        return x
    return chance.draw([max(a - b, 0) for a, b in zip(p, q)])


@EXERCISE.wrong("you accept with p(x) / (p(x) + q(x))")
def accept_by_share(p: Row, q: Row, x: int, chance: Forks) -> int:
    """The kept mass must be min(p, q). This keeps less where p is larger, and the residual does not
    know of it.
    """
    if chance.accept(p[x] / (p[x] + q[x])):
        return x
    return chance.draw([max(a - b, 0) for a, b in zip(p, q)])


@EXERCISE.wrong("you accept by a threshold on p(x)")
def threshold(p: Row, q: Row, x: int, chance: Forks) -> int:
    """A threshold is a lossy rule: how often a token is kept must depend on both p and q."""
    if chance.accept(p[x] > Fraction(1, 4)):
        return x
    return chance.draw([max(a - b, 0) for a, b in zip(p, q)])


@EXERCISE.wrong("you accept every token with the same probability, the acceptance rate")
def accept_with_alpha(p: Row, q: Row, x: int, chance: Forks) -> int:
    """alpha is the average over tokens. The coin for x is min(1, p(x)/q(x))."""
    alpha = sum(min(a, b) for a, b in zip(p, q))
    if chance.accept(alpha):
        return x
    return chance.draw([max(a - b, 0) for a, b in zip(p, q)])


@EXERCISE.wrong("you judge with another q than the one that x was drawn from")
def sharpened_q(p: Row, q: Row, x: int, chance: Forks) -> int:
    """q must be the distribution that the token was really drawn from, after temperature, top-k and
    top-p.
    """
    sharp = [b * b for b in q]
    judged = [b / sum(sharp) for b in sharp]
    if chance.accept(min(1, p[x] / judged[x])):
        return x
    residual = [max(a - b, 0) for a, b in zip(p, judged)]
    return chance.draw(residual if any(residual) else p)


@EXERCISE.wrong("you redraw until one is accepted, as in textbook rejection sampling")
def only_the_kept_part(p: Row, q: Row, x: int, chance: Forks) -> int:
    """With the coin min(1, p/q) that emits min(p, q), normalised. The textbook coin is p / (M q)
    with M at least the largest ratio.
    """
    return chance.draw([min(a, b) for a, b in zip(p, q)])


@EXERCISE.wrong("you take the likeliest token of p always")
def argmax_of_p(p: Row, q: Row, x: int, chance: Forks) -> int:
    """That is greedy decoding. It is right at temperature 0, where p is 1 at one token."""
    return list(p).index(max(p))
