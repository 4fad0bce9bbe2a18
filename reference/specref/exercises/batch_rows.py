"""Exercise of part 7: one step for a batch.

Row b of the batch is one request: p[b], q[b] and the draft token draft[b], drawn from q[b]. Emit
one token for each row. Each must have its own p, and no row may know of another: the distribution
of all tokens together must be the product. Ask chance.accept(probability) and
chance.draw(weights), as in part 3.
"""

from collections.abc import Hashable, Mapping
from fractions import Fraction
from itertools import product
from typing import Any

from .grading.exercise import Answer, Exercise, Row, row, tokens_of
from .grading.forks import Forks, MisuseError


class Batch(Exercise):
    """A case has rows of p and q. An outcome is (draft tokens, emitted tokens)."""

    def run(self, rule: Answer, case: Mapping[str, Any], chance: Forks) -> Hashable:
        p, q = case["p"], case["q"]
        draft = [chance.draw(weights) for weights in q]
        tokens = tokens_of(rule(p, q, list(draft), chance), len(p[0]))
        if len(tokens) != len(p):
            raise MisuseError(f"it emits {len(tokens)} tokens for {len(p)} rows")
        return tuple(draft), tokens

    def seen(self, outcome: Any) -> Hashable:
        return outcome[1]

    def wanted(self, case: Mapping[str, Any]) -> dict[Hashable, Fraction]:
        found = {}
        for tokens in product(range(len(case["p"][0])), repeat=len(case["p"])):
            share = Fraction(1)
            for weights, token in zip(case["p"], tokens):
                share *= weights[token]
            found[tokens] = share
        return {tokens: share for tokens, share in found.items() if share}


EXERCISE = Batch(
    id="batch-rows",
    part=7,
    cases=[
        {
            "p": [row("1/3", "2/3"), row("1/2", "1/2")],
            "q": [row("3/4", "1/4"), row("4/5", "1/5")],
        },
        {
            "p": [row("1/2", "3/10", "1/5"), row("1/6", "1/3", "1/2")],
            "q": [row("1/10", "3/10", "3/5"), row("1/2", "1/4", "1/4")],
        },
        {
            "p": [row("1/4", "3/4"), row("1/4", "3/4"), row("9/10", "1/10")],
            "q": [row("1/2", "1/2"), row("1/2", "1/2"), row("1/2", "1/2")],
        },
    ],
    right="Every row has its own distribution, and the rows are independent.",
)
EXERCISE.worth = (
    "it keeps fewer draft tokens than it could",
    lambda outcome: Fraction(sum(x == y for x, y in zip(*outcome))),
)


def attempt(p: list[Row], q: list[Row], draft: list[int], chance: Forks) -> list[int]:
    """p, q: B rows. draft: B tokens. Returns B tokens."""
    ratios = [min(1, p[b][x] / q[b][x]) for b, x in enumerate(draft)]
    if chance.accept(min(ratios)):  # one coin for the whole batch
        return draft
    out = []
    for target, drafter in zip(p, q):
        residual = [max(c - d, 0) for c, d in zip(target, drafter)]
        out.append(chance.draw(residual if any(residual) else target))
    return out


@EXERCISE.solution
def solution(p: list[Row], q: list[Row], draft: list[int], chance: Forks) -> list[int]:
    out: list[int] = []
    for b, x in enumerate(draft):
        if chance.accept(min(1, p[b][x] / q[b][x])):
            out.append(x)
        else:
            out.append(chance.draw([max(c - d, 0) for c, d in zip(p[b], q[b])]))
    return out


@EXERCISE.also_right
def last_row_first(p: list[Row], q: list[Row], draft: list[int], chance: Forks) -> list[int]:
    """It judges the rows from the last to the first."""
    out = list(draft)
    for b in reversed(range(len(draft))):
        x = draft[b]
        if not chance.accept(min(1, p[b][x] / q[b][x])):
            out[b] = chance.draw([max(c - d, 0) for c, d in zip(p[b], q[b])])
    return out


@EXERCISE.also_right
def all_coins_first(p: list[Row], q: list[Row], draft: list[int], chance: Forks) -> list[int]:
    """All coins, then all replacements, as a batched kernel does."""
    coins = [chance.accept(min(1, p[b][x] / q[b][x])) for b, x in enumerate(draft)]
    out = list(draft)
    for b, kept in enumerate(coins):
        if not kept:
            out[b] = chance.draw([max(c - d, 0) for c, d in zip(p[b], q[b])])
    return out


@EXERCISE.also_right
def two_rules(p: list[Row], q: list[Row], draft: list[int], chance: Forks) -> list[int]:
    """It speculates in the first row alone."""
    out = [chance.draw(weights) for weights in p]
    x = draft[0]
    if chance.accept(min(1, p[0][x] / q[0][x])):
        out[0] = x
    else:
        out[0] = chance.draw([max(c - d, 0) for c, d in zip(p[0], q[0])])
    return out


@EXERCISE.wrong("one coin, with the smallest ratio, decides for the whole batch")
def one_coin(p: list[Row], q: list[Row], draft: list[int], chance: Forks) -> list[int]:
    """Rows that would have been accepted are rejected with the others, and their residual does not
    know of it.
    """
    ratios = [min(1, p[b][x] / q[b][x]) for b, x in enumerate(draft)]
    if chance.accept(min(ratios)):
        return draft
    out = []
    for target, drafter in zip(p, q):
        residual = [max(c - d, 0) for c, d in zip(target, drafter)]
        out.append(chance.draw(residual if any(residual) else target))
    return out


@EXERCISE.wrong("all rows share one uniform number")
def shared_uniform(p: list[Row], q: list[Row], draft: list[int], chance: Forks) -> list[int]:
    """Each row alone has its distribution, so a look at one row sees nothing. Together they are not
    independent: requests rise and fall as one.
    """
    ratios = [min(1, p[b][x] / q[b][x]) for b, x in enumerate(draft)]
    steps = sorted({Fraction(0), Fraction(1), *ratios})
    u = steps[chance.draw([steps[i + 1] - steps[i] for i in range(len(steps) - 1)])]
    out = []
    for b, x in enumerate(draft):
        residual = [max(c - d, 0) for c, d in zip(p[b], q[b])]
        out.append(x if u < ratios[b] else chance.draw(residual))
    return out


@EXERCISE.wrong("you judge every row with p and q of the first")
def first_row_for_all(p: list[Row], q: list[Row], draft: list[int], chance: Forks) -> list[int]:
    """Each request has its own distributions."""
    out: list[int] = []
    for x in draft:
        if chance.accept(min(1, p[0][x] / q[0][x])):
            out.append(x)
        else:
            residual = [max(c - d, 0) for c, d in zip(p[0], q[0])]
            out.append(chance.draw(residual))
    return out


@EXERCISE.wrong("rows that are rejected share one replacement")
def shared_replacement(p: list[Row], q: list[Row], draft: list[int], chance: Forks) -> list[int]:
    """Draw for each row, from its own residual."""
    out: list[int] = []
    shared = None
    for b, x in enumerate(draft):
        if chance.accept(min(1, p[b][x] / q[b][x])):
            out.append(x)
            continue
        if shared is None:
            shared = chance.draw([max(c - d, 0) for c, d in zip(p[b], q[b])])
        out.append(shared)
    return out


@EXERCISE.wrong("a rejection in one row rejects the whole batch")
def reject_all(p: list[Row], q: list[Row], draft: list[int], chance: Forks) -> list[int]:
    """A row then depends on its company, and pays out of a residual that was made for its own
    rejections.
    """
    coins = [chance.accept(min(1, p[b][x] / q[b][x])) for b, x in enumerate(draft)]
    if all(coins):
        return draft
    out = []
    for target, drafter in zip(p, q):
        residual = [max(c - d, 0) for c, d in zip(target, drafter)]
        out.append(chance.draw(residual if any(residual) else target))
    return out


@EXERCISE.wrong("when one row is rejected, the others are drawn from p anew")
def rest_redrawn_from_p(p: list[Row], q: list[Row], draft: list[int], chance: Forks) -> list[int]:
    """Whether a draft token counts then depends on the other rows: kept tokens are those beside
    kept tokens, and are paid again.
    """
    coins = [chance.accept(min(1, p[b][x] / q[b][x])) for b, x in enumerate(draft)]
    out = []
    for b, x in enumerate(draft):
        if not coins[b]:
            out.append(chance.draw([max(c - d, 0) for c, d in zip(p[b], q[b])]))
        else:
            out.append(x if all(coins) else chance.draw(p[b]))
    return out


@EXERCISE.wrong("you replace a rejected token from the residual of the next row")
def residual_of_next_row(p: list[Row], q: list[Row], draft: list[int], chance: Forks) -> list[int]:
    """An index is off by one: row b is paid from row b."""
    out: list[int] = []
    for b, x in enumerate(draft):
        if chance.accept(min(1, p[b][x] / q[b][x])):
            out.append(x)
        else:
            other = (b + 1) % len(p)
            out.append(chance.draw([max(c - d, 0) for c, d in zip(p[other], q[other])]))
    return out
