"""How often a rule keeps each prefix of the draft: what the expected number of tokens is made
of.
"""

from fractions import Fraction

from .chain import block_weight, draft
from .program import Context, Model, Ret, bind, law
from .step import accept
from .text import Cycle


def kept_prefixes(rule: Cycle, q: Model, gamma: int, c: Context) -> dict[Context, Fraction]:
    """For every xs: the probability that the draft begins with xs and that all of xs is kept."""
    kept = law(
        bind(
            draft(q, gamma, c),
            lambda xs: bind(rule(xs), lambda longer: Ret(xs[: len(longer) - len(c) - 1])),
        )
    )
    result: dict[Context, Fraction] = {}
    for xs, weight in kept.items():
        for i in range(len(xs) + 1):
            result[xs[:i]] = result.get(xs[:i], Fraction(0)) + weight
    return result


def prefixes(
    p: Model, q: Model, gamma: int, c: Context
) -> dict[Context, tuple[Fraction, Fraction, Fraction]]:
    """Drafted prefix -> its probability, its weight w, the product of its acceptance
    probabilities.
    """
    result: dict[Context, tuple[Fraction, Fraction, Fraction]] = {
        (): (Fraction(1), Fraction(1), Fraction(1))
    }
    for i in range(gamma):
        for xs, (drafted, w, chance) in [item for item in result.items() if len(item[0]) == i]:
            here = (p(c + xs), q(c + xs))
            result |= {
                (*xs, x): (
                    drafted * here[1][x],
                    block_weight(w, *here, x),
                    chance * accept(*here, x),
                )
                for x in range(len(here[0]))
                if here[1][x]
            }
    return result
