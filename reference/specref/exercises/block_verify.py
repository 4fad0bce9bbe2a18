"""Exercise of part 4: block verification, which keeps more tokens than a judge of single ones.

The arguments are those of chain-verify. Write w[0] = 1 and w[i] = min(1, w[i-1] p(x_i) / q(x_i))
for the draft tokens x_1 to x_K. A prefix of n < K tokens is kept with probability
S / (S + 1 - w[n]), where S is the sum of max(w[n] p - q, 0) over the tokens of the place behind it;
1 where that is 0/0. The whole draft is kept with probability w[K]. Emit the longest prefix whose
coin says yes, and one more token: from p[K] behind a whole draft, else from max(w[n] p - q, 0).

The text must have the target's distribution, and a cycle as many tokens as block verification has.
(Sun et al. 2024, arXiv:2403.10444.)
"""

from fractions import Fraction

from .chain_verify import CHAINS, Chain
from .grading.exercise import Row
from .grading.forks import Forks

EXERCISE = Chain(
    id="block-verify",
    part=4,
    cases=CHAINS,
    right="The text has exactly the target's distribution, and no cycle could be longer.",
)
EXERCISE.worth = (
    "it emits fewer tokens a cycle than block verification",
    lambda outcome: Fraction(len(outcome[1])),
)
EXERCISE.worth_counts = True


def attempt(p: list[Row], q: list[Row], draft: list[int], chance: Forks) -> list[int]:
    """p: K + 1 rows, q: K rows, draft: K tokens. Returns the tokens to emit."""
    out: list[int] = []
    for i, x in enumerate(draft):  # this judges token by token: right, and shorter than it could be
        if not chance.accept(min(1, p[i][x] / q[i][x])):
            residual = [max(a - b, 0) for a, b in zip(p[i], q[i])]
            return [*out, chance.draw(residual)]
        out.append(x)
    return [*out, chance.draw(p[-1])]


@EXERCISE.solution
def solution(p: list[Row], q: list[Row], draft: list[int], chance: Forks) -> list[int]:
    weight = [Fraction(1)]
    for i, x in enumerate(draft):
        weight.append(min(1, weight[-1] * p[i][x] / q[i][x]))
    kept, last = 0, len(draft)
    for n in range(1, last + 1):
        keep = weight[n]
        if n < last:
            left = sum(max(weight[n] * a - b, 0) for a, b in zip(p[n], q[n]))
            total = left + 1 - weight[n]
            keep = left / total if total else Fraction(1)
        if chance.accept(keep):
            kept = n
    if kept == last:
        return [*draft, chance.draw(p[last])]
    residual = [max(weight[kept] * a - b, 0) for a, b in zip(p[kept], q[kept])]
    return [*draft[:kept], chance.draw(residual)]


@EXERCISE.also_right
def longest_first(p: list[Row], q: list[Row], draft: list[int], chance: Forks) -> list[int]:
    """It asks from the whole draft backwards, and stops at the first yes."""
    weight = [Fraction(1)]
    for i, x in enumerate(draft):
        weight.append(min(1, weight[-1] * p[i][x] / q[i][x]))
    if chance.accept(weight[-1]):
        return [*draft, chance.draw(p[-1])]
    for n in range(len(draft) - 1, 0, -1):
        residual = [max(weight[n] * a - b, 0) for a, b in zip(p[n], q[n])]
        left = sum(residual)
        if left and chance.accept(left / (left + 1 - weight[n])):
            return [*draft[:n], chance.draw(residual)]
    return [chance.draw([max(a - b, 0) for a, b in zip(p[0], q[0])])]


@EXERCISE.wrong("you judge token by token")
def token_by_token(p: list[Row], q: list[Row], draft: list[int], chance: Forks) -> list[int]:
    """That is lossless, and keeps fewer tokens: it cuts a prefix at its first no, where the weight
    of the whole prefix may still be high.
    """
    out: list[int] = []
    for i, x in enumerate(draft):
        if not chance.accept(min(1, p[i][x] / q[i][x])):
            residual = [max(a - b, 0) for a, b in zip(p[i], q[i])]
            return [*out, chance.draw(residual)]
        out.append(x)
    return [*out, chance.draw(p[-1])]


@EXERCISE.wrong("you draw the last token from the plain residual max(p - q, 0)")
def plain_residual(p: list[Row], q: list[Row], draft: list[int], chance: Forks) -> list[int]:
    """In block verification the target at the place behind the prefix still counts w[n], not 1: the
    residual is max(w[n] p - q, 0).
    """
    weight = [Fraction(1)]
    for i, x in enumerate(draft):
        weight.append(min(1, weight[-1] * p[i][x] / q[i][x]))
    kept, last = 0, len(draft)
    for n in range(1, last + 1):
        keep = weight[n]
        if n < last:
            left = sum(max(weight[n] * a - b, 0) for a, b in zip(p[n], q[n]))
            total = left + 1 - weight[n]
            keep = left / total if total else Fraction(1)
        if chance.accept(keep):
            kept = n
    if kept == last:
        return [*draft, chance.draw(p[last])]
    residual = [max(a - b, 0) for a, b in zip(p[kept], q[kept])]
    return [*draft[:kept], chance.draw(residual if any(residual) else p[kept])]


@EXERCISE.wrong("you keep every prefix with its weight w[n]")
def weight_as_coin(p: list[Row], q: list[Row], draft: list[int], chance: Forks) -> list[int]:
    """That is right for the whole draft only. A shorter prefix has the coin S / (S + 1 - w[n]):
    longer ones have had their chance.
    """
    weight = [Fraction(1)]
    for i, x in enumerate(draft):
        weight.append(min(1, weight[-1] * p[i][x] / q[i][x]))
    kept, last = 0, len(draft)
    for n in range(1, last + 1):
        keep = weight[n]
        if n < last:
            keep = weight[n]
        if chance.accept(keep):
            kept = n
    if kept == last:
        return [*draft, chance.draw(p[last])]
    residual = [max(weight[kept] * a - b, 0) for a, b in zip(p[kept], q[kept])]
    return [*draft[:kept], chance.draw(residual if any(residual) else p[kept])]


@EXERCISE.wrong("you stop at the first coin that says no")
def stop_at_first_no(p: list[Row], q: list[Row], draft: list[int], chance: Forks) -> list[int]:
    """A later coin may still say yes: the longest prefix with a yes is kept."""
    weight = [Fraction(1)]
    for i, x in enumerate(draft):
        weight.append(min(1, weight[-1] * p[i][x] / q[i][x]))
    kept, last = 0, len(draft)
    for n in range(1, last + 1):
        keep = weight[n]
        if n < last:
            left = sum(max(weight[n] * a - b, 0) for a, b in zip(p[n], q[n]))
            total = left + 1 - weight[n]
            keep = left / total if total else Fraction(1)
        if not chance.accept(keep):
            break
        kept = n
    if kept == last:
        return [*draft, chance.draw(p[last])]
    residual = [max(weight[kept] * a - b, 0) for a, b in zip(p[kept], q[kept])]
    return [*draft[:kept], chance.draw(residual)]


@EXERCISE.wrong("you do not cap the weight at 1")
def weight_not_capped(p: list[Row], q: list[Row], draft: list[int], chance: Forks) -> list[int]:
    """A likely token would save up credit for those behind it. w[i] is at most 1."""
    weight = [Fraction(1)]
    for i, x in enumerate(draft):
        weight.append(weight[-1] * p[i][x] / q[i][x])
    kept, last = 0, len(draft)
    for n in range(1, last + 1):
        keep = weight[n]
        if n < last:
            left = sum(max(weight[n] * a - b, 0) for a, b in zip(p[n], q[n]))
            total = left + max(1 - weight[n], 0)
            keep = left / total if total else Fraction(1)
        if chance.accept(keep):
            kept = n
    if kept == last:
        return [*draft, chance.draw(p[last])]
    residual = [max(weight[kept] * a - b, 0) for a, b in zip(p[kept], q[kept])]
    return [*draft[:kept], chance.draw(residual if any(residual) else p[kept])]


@EXERCISE.wrong("you cap each ratio at 1 before you multiply")
def ratio_capped_alone(p: list[Row], q: list[Row], draft: list[int], chance: Forks) -> list[int]:
    """min(1, w p/q) lets a ratio above 1 make up for a weight below 1. With each ratio capped alone
    the weight can only fall.
    """
    weight = [Fraction(1)]
    for i, x in enumerate(draft):
        weight.append(weight[-1] * min(1, p[i][x] / q[i][x]))
    kept, last = 0, len(draft)
    for n in range(1, last + 1):
        keep = weight[n]
        if n < last:
            left = sum(max(weight[n] * a - b, 0) for a, b in zip(p[n], q[n]))
            total = left + 1 - weight[n]
            keep = left / total if total else Fraction(1)
        if chance.accept(keep):
            kept = n
    if kept == last:
        return [*draft, chance.draw(p[last])]
    residual = [max(weight[kept] * a - b, 0) for a, b in zip(p[kept], q[kept])]
    return [*draft[:kept], chance.draw(residual)]


@EXERCISE.wrong("you draw the bonus token behind a whole draft from q")
def bonus_from_residual(p: list[Row], q: list[Row], draft: list[int], chance: Forks) -> list[int]:
    """Behind a whole draft nothing is owed or overpaid: draw from p[K]."""
    weight = [Fraction(1)]
    for i, x in enumerate(draft):
        weight.append(min(1, weight[-1] * p[i][x] / q[i][x]))
    kept, last = 0, len(draft)
    for n in range(1, last + 1):
        keep = weight[n]
        if n < last:
            left = sum(max(weight[n] * a - b, 0) for a, b in zip(p[n], q[n]))
            total = left + 1 - weight[n]
            keep = left / total if total else Fraction(1)
        if chance.accept(keep):
            kept = n
    if kept == last:
        return [*draft, chance.draw(q[-1])]
    residual = [max(weight[kept] * a - b, 0) for a, b in zip(p[kept], q[kept])]
    return [*draft[:kept], chance.draw(residual)]


@EXERCISE.wrong("you keep the shortest prefix with a yes")
def shortest_prefix(p: list[Row], q: list[Row], draft: list[int], chance: Forks) -> list[int]:
    """The coins are made for the longest."""
    weight = [Fraction(1)]
    for i, x in enumerate(draft):
        weight.append(min(1, weight[-1] * p[i][x] / q[i][x]))
    kept, last = 0, len(draft)
    for n in range(1, last + 1):
        keep = weight[n]
        if n < last:
            left = sum(max(weight[n] * a - b, 0) for a, b in zip(p[n], q[n]))
            total = left + 1 - weight[n]
            keep = left / total if total else Fraction(1)
        if chance.accept(keep):
            kept = n
            break
    if kept == last:
        return [*draft, chance.draw(p[last])]
    residual = [max(weight[kept] * a - b, 0) for a, b in zip(p[kept], q[kept])]
    return [*draft[:kept], chance.draw(residual)]
