"""Exercise of part 4: judge a chain of draft tokens.

draft holds K tokens. q[i] is the distribution that draft[i] was drawn from. p[i] is the target's
distribution at the place of draft[i], and p[K] the one behind the last; there are K + 1 rows, from
one forward of the target. Return the tokens to emit, at least one and at most K + 1. The text must
have the target's distribution, and should be long.

Ask chance.accept(probability) and chance.draw(weights), as in part 3. After your tokens the grader
goes on with the target, and compares all texts of K + 1 tokens.
(Leviathan et al. 2023, arXiv:2211.17192, Algorithm 1; Chen et al. 2023, arXiv:2302.01318.)
"""

from collections.abc import Hashable, Mapping, Sequence
from fractions import Fraction
from itertools import product
from typing import Any

from .grading.exercise import Answer, Exercise, Row, row, tokens_of
from .grading.forks import Forks, MisuseError


class Chain(Exercise):
    """A case has two Markov chains: the distribution of the first token, then that after each
    token. An outcome is (draft, emitted tokens, text of K + 1 tokens).
    """

    def run(self, rule: Answer, case: Mapping[str, Any], chance: Forks) -> Hashable:
        target, drafter, count = case["target"], case["drafter"], case["K"]
        draft: list[int] = []
        for _ in range(count):
            draft.append(chance.draw(_next(drafter, draft)))
        p = [list(_next(target, draft[:i])) for i in range(count + 1)]
        q = [list(_next(drafter, draft[:i])) for i in range(count)]
        emitted = self.emitted(rule, p, q, draft, chance)
        text = list(emitted)
        while len(text) <= count:
            text.append(chance.draw(_next(target, text)))
        return tuple(draft), emitted, tuple(text)

    def emitted(
        self, rule: Answer, p: list[Row], q: list[Row], draft: list[int], chance: Forks
    ) -> tuple[int, ...]:
        """What the rule emits for one draft."""
        tokens = tokens_of(rule(p, q, list(draft), chance), len(p[0]))
        if not 1 <= len(tokens) <= len(draft) + 1:
            raise MisuseError(
                f"it emits {len(tokens)} tokens for a draft of {len(draft)}: give 1 to"
                f" {len(draft) + 1}"
            )
        return tokens

    def seen(self, outcome: Any) -> Hashable:
        return outcome[2]

    def wanted(self, case: Mapping[str, Any]) -> dict[Hashable, Fraction]:
        size, found = len(case["target"][0]), {}
        for text in product(range(size), repeat=case["K"] + 1):
            share = Fraction(1)
            for i, token in enumerate(text):
                share *= _next(case["target"], text[:i])[token]
            found[text] = share
        return {text: share for text, share in found.items() if share}


def _next(chain: Sequence[Row], text: Sequence[int]) -> Row:
    """The distribution of the token behind a text."""
    return chain[text[-1] + 1] if text else chain[0]


# Two tokens, so that a verdict is short; then certain tokens; then residuals of several tokens.
CHAINS = [
    {
        "target": [row("1/3", "2/3"), row("1/4", "3/4"), row("4/5", "1/5")],
        "drafter": [row("3/4", "1/4"), row("2/3", "1/3"), row("1/2", "1/2")],
        "K": 2,
    },
    {
        "target": [row("1/2", "1/2"), row(1, 0), row("1/4", "3/4")],
        "drafter": [row("1/2", "1/2"), row("1/2", "1/2"), row(0, 1)],
        "K": 2,
    },
    {
        "target": [
            row("1/5", "1/5", "3/5"),
            row("1/10", "3/10", "3/5"),
            row("1/2", "2/5", "1/10"),
            row("1/2", "1/3", "1/6"),
        ],
        "drafter": [
            row("2/5", "2/5", "1/5"),
            row("1/2", "1/4", "1/4"),
            row("1/10", "1/10", "4/5"),
            row("1/5", "2/5", "2/5"),
        ],
        "K": 2,
    },
    {
        "target": [row("3/5", "2/5"), row("1/2", "1/2"), row("1/5", "4/5")],
        "drafter": [row("1/2", "1/2"), row("4/5", "1/5"), row("1/3", "2/3")],
        "K": 3,
    },
]

EXERCISE = Chain(
    id="chain-verify",
    part=4,
    cases=CHAINS,
    right="In every case the text has exactly the target's distribution.",
)
EXERCISE.worth = (
    "it emits fewer tokens a cycle than it could",
    lambda outcome: Fraction(len(outcome[1])),
)


def attempt(p: list[Row], q: list[Row], draft: list[int], chance: Forks) -> list[int]:
    """p: K + 1 rows, q: K rows, draft: K tokens. Returns the tokens to emit."""
    return draft  # this believes the whole draft, and emits no bonus token


@EXERCISE.solution
def solution(p: list[Row], q: list[Row], draft: list[int], chance: Forks) -> list[int]:
    out: list[int] = []
    for i, x in enumerate(draft):
        if not chance.accept(min(1, p[i][x] / q[i][x])):
            residual = [max(a - b, 0) for a, b in zip(p[i], q[i])]
            return [*out, chance.draw(residual)]
        out.append(x)
    out.append(chance.draw(p[-1]))
    return out


@EXERCISE.also_right
def no_bonus(p: list[Row], q: list[Row], draft: list[int], chance: Forks) -> list[int]:
    """It emits no bonus token after a draft that was accepted whole."""
    out: list[int] = []
    for i, x in enumerate(draft):
        if not chance.accept(min(1, p[i][x] / q[i][x])):
            return [*out, chance.draw([max(a - b, 0) for a, b in zip(p[i], q[i])])]
        out.append(x)
    return out


@EXERCISE.also_right
def first_token_only(p: list[Row], q: list[Row], draft: list[int], chance: Forks) -> list[int]:
    """It judges one token and throws the rest of the draft away."""
    x = draft[0]
    if chance.accept(min(1, p[0][x] / q[0][x])):
        return [x]
    return [chance.draw([max(a - b, 0) for a, b in zip(p[0], q[0])])]


@EXERCISE.also_right
def sampler_match(p: list[Row], q: list[Row], draft: list[int], chance: Forks) -> list[int]:
    """It draws from p and goes on while the draw is the draft token."""
    out: list[int] = []
    for i, weights in enumerate(p):
        out.append(chance.draw(weights))
        if i == len(draft) or out[-1] != draft[i]:
            break
    return out


@EXERCISE.also_right
def coins_first(p: list[Row], q: list[Row], draft: list[int], chance: Forks) -> list[int]:
    """All coins first, as a batched kernel asks them; what lies behind a no is not used."""
    coins = [chance.accept(min(1, p[i][x] / q[i][x])) for i, x in enumerate(draft)]
    kept = [*coins, False].index(False)
    if kept == len(draft):
        return [*draft, chance.draw(p[kept])]
    residual = [max(a - b, 0) for a, b in zip(p[kept], q[kept])]
    return [*draft[:kept], chance.draw(residual)]


@EXERCISE.wrong("you believe the draft: no token is judged")
def believe_the_draft(p: list[Row], q: list[Row], draft: list[int], chance: Forks) -> list[int]:
    """The text is the drafter's, but for its last token."""
    return [*draft, chance.draw(p[-1])]


@EXERCISE.wrong("you believe the whole draft, and emit no bonus token")
def no_judge_no_bonus(p: list[Row], q: list[Row], draft: list[int], chance: Forks) -> list[int]:
    """The first K tokens are the drafter's. Judge each of them."""
    return draft


@EXERCISE.wrong("you keep the tokens behind a rejection")
def keep_behind(p: list[Row], q: list[Row], draft: list[int], chance: Forks) -> list[int]:
    """They were drafted, and judged, after the token that you replaced. Everything behind a
    rejection must go.
    """
    out: list[int] = []
    for i, x in enumerate(draft):
        if not chance.accept(min(1, p[i][x] / q[i][x])):
            out.append(chance.draw([max(a - b, 0) for a, b in zip(p[i], q[i])]))
            continue
        out.append(x)
    out.append(chance.draw(p[-1]))
    return out


@EXERCISE.wrong("you leave out a rejected token and keep those behind it")
def skip_the_rejected(p: list[Row], q: list[Row], draft: list[int], chance: Forks) -> list[int]:
    """The tokens behind it were drawn for a text that does not exist now. End the cycle at the
    first rejection.
    """
    out: list[int] = []
    for i, x in enumerate(draft):
        if not chance.accept(min(1, p[i][x] / q[i][x])):
            continue
        out.append(x)
    out.append(chance.draw(p[-1]))
    return out


@EXERCISE.wrong("after a rejection you draw from p")
def redraw_from_p(p: list[Row], q: list[Row], draft: list[int], chance: Forks) -> list[int]:
    """Draw from max(p - q, 0): p pays the tokens that q proposed a second time."""
    out: list[int] = []
    for i, x in enumerate(draft):
        if not chance.accept(min(1, p[i][x] / q[i][x])):
            return [*out, chance.draw(p[i])]
        out.append(x)
    out.append(chance.draw(p[-1]))
    return out


@EXERCISE.wrong("you draw the replacement from the row behind the rejected token")
def replace_from_next_row(p: list[Row], q: list[Row], draft: list[int], chance: Forks) -> list[int]:
    """That row is the target's after the token that was just rejected. The replacement stands in
    its place: row i.
    """
    out: list[int] = []
    for i, x in enumerate(draft):
        if not chance.accept(min(1, p[i][x] / q[i][x])):
            return [*out, chance.draw(p[i + 1])]
        out.append(x)
    out.append(chance.draw(p[-1]))
    return out


@EXERCISE.wrong("you draw the bonus token from the row before")
def bonus_from_row_before(p: list[Row], q: list[Row], draft: list[int], chance: Forks) -> list[int]:
    """p has K + 1 rows. The bonus token stands behind the last draft token: row K."""
    out: list[int] = []
    for i, x in enumerate(draft):
        if not chance.accept(min(1, p[i][x] / q[i][x])):
            return [*out, chance.draw([max(a - b, 0) for a, b in zip(p[i], q[i])])]
        out.append(x)
    out.append(chance.draw(p[-2]))
    return out


@EXERCISE.wrong("you draw the bonus token from q")
def bonus_from_q(p: list[Row], q: list[Row], draft: list[int], chance: Forks) -> list[int]:
    """No draft token is at stake there: the target alone decides."""
    out: list[int] = []
    for i, x in enumerate(draft):
        if not chance.accept(min(1, p[i][x] / q[i][x])):
            return [*out, chance.draw([max(a - b, 0) for a, b in zip(p[i], q[i])])]
        out.append(x)
    out.append(chance.draw(q[-1]))
    return out


@EXERCISE.wrong("the bonus token is the likeliest one")
def bonus_is_likeliest(p: list[Row], q: list[Row], draft: list[int], chance: Forks) -> list[int]:
    """It is drawn from p[K], as every token of the text."""
    out: list[int] = []
    for i, x in enumerate(draft):
        if not chance.accept(min(1, p[i][x] / q[i][x])):
            return [*out, chance.draw([max(a - b, 0) for a, b in zip(p[i], q[i])])]
        out.append(x)
    out.append(p[-1].index(max(p[-1])))
    return out


@EXERCISE.wrong("you keep the rejected token and add the replacement behind it")
def keep_the_rejected(p: list[Row], q: list[Row], draft: list[int], chance: Forks) -> list[int]:
    """The replacement takes the place of the rejected token."""
    out: list[int] = []
    for i, x in enumerate(draft):
        if not chance.accept(min(1, p[i][x] / q[i][x])):
            return [*out, x, chance.draw([max(a - b, 0) for a, b in zip(p[i], q[i])])]
        out.append(x)
    out.append(chance.draw(p[-1]))
    return out


@EXERCISE.wrong("you add a bonus token after a rejection too")
def bonus_after_rejection(p: list[Row], q: list[Row], draft: list[int], chance: Forks) -> list[int]:
    """The row behind was computed after the rejected token, not after its replacement. It says
    nothing about this text.
    """
    out: list[int] = []
    for i, x in enumerate(draft):
        if not chance.accept(min(1, p[i][x] / q[i][x])):
            return [
                *out,
                chance.draw([max(a - b, 0) for a, b in zip(p[i], q[i])]),
                chance.draw(p[i + 1]),
            ]
        out.append(x)
    out.append(chance.draw(p[-1]))
    return out


@EXERCISE.wrong("you judge every token with the first row of q")
def first_q_for_all(p: list[Row], q: list[Row], draft: list[int], chance: Forks) -> list[int]:
    """Each draft token has the q of its own place."""
    out: list[int] = []
    for i, x in enumerate(draft):
        if not chance.accept(min(1, p[i][x] / q[0][x]) if q[0][x] else 1):
            residual = [max(a - b, 0) for a, b in zip(p[i], q[0])]
            return [*out, chance.draw(residual if any(residual) else p[i])]
        out.append(x)
    out.append(chance.draw(p[-1]))
    return out


@EXERCISE.wrong("you draw every replacement from the first residual")
def replace_at_the_front(p: list[Row], q: list[Row], draft: list[int], chance: Forks) -> list[int]:
    """The replacement stands at the first rejected place: take p and q of that place."""
    out: list[int] = []
    for i, x in enumerate(draft):
        if not chance.accept(min(1, p[i][x] / q[i][x])):
            residual = [max(a - b, 0) for a, b in zip(p[0], q[0])]
            return [*out, chance.draw(residual if any(residual) else p[0])]
        out.append(x)
    out.append(chance.draw(p[-1]))
    return out


@EXERCISE.wrong("you judge the draft as a whole, with the product of the ratios")
def all_or_nothing(p: list[Row], q: list[Row], draft: list[int], chance: Forks) -> list[int]:
    """A draft that is refused as a whole leaves another residual than that of its first token.
    Judge token by token, or by block verification.
    """
    ratio = Fraction(1)
    for i, x in enumerate(draft):
        ratio *= p[i][x] / q[i][x]
    if chance.accept(min(1, ratio)):
        return [*draft, chance.draw(p[-1])]
    residual = [max(a - b, 0) for a, b in zip(p[0], q[0])]
    return [chance.draw(residual if any(residual) else p[0])]


@EXERCISE.wrong("you accept with p(x), as if the drafter had been certain")
def judge_as_certain(p: list[Row], q: list[Row], draft: list[int], chance: Forks) -> list[int]:
    """The coin is p(x)/q(x). Without q a likely token is rejected too often, and the residual does
    not know of it.
    """
    out: list[int] = []
    for i, x in enumerate(draft):
        if not chance.accept(p[i][x]):
            residual = [max(a - b, 0) for a, b in zip(p[i], q[i])]
            return [*out, chance.draw(residual if any(residual) else p[i])]
        out.append(x)
    out.append(chance.draw(p[-1]))
    return out
