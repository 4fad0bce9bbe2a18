"""A target and a draft with known distributions, and speculation over them in plain Python.

To be judged, a server must answer tens of thousands of requests. This one takes microseconds for a
token where a transformer takes milliseconds. It uses nothing of the reference: to the judge it is
another project's engine. Wrong variants replace one method, and `exact` gives the distribution of
any of them.
"""

import math
import random
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import cache

LETTERS = "abcdefgh"  # the vocabulary: id 0 is "a"
ToyDistribution = list[float]


@dataclass(frozen=True)
class ToyRequest:
    """The parameters of a request."""

    prompt: tuple[int, ...]
    max_tokens: int = 16
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    bias: tuple[tuple[int, float], ...] = ()
    seed: int | None = None
    stop: tuple[str, ...] = ()


@dataclass
class ToyAnswer:
    """The tokens of an answer and what is reported with them."""

    tokens: list[int] = field(default_factory=list)
    # of all letters, before temperature and filters
    logprobs: list[ToyDistribution] = field(default_factory=list)
    blocks: list[int] = field(default_factory=list)  # how many tokens each step gave
    finish: str = ""
    drafted: int = 0
    accepted: int = 0

    @property
    def text(self) -> str:
        return "".join(LETTERS[token] for token in self.tokens)


@cache
def toy_logits(who: str, context: tuple[int, ...]) -> ToyDistribution:
    """Logits after the last two tokens, [V]. The draft's logits are the target's, scaled by 0.4,
    plus noise.
    """
    if who == "target":
        rng = random.Random(f"target {context}")
        return [rng.gauss(0, 1.3) for _ in LETTERS]
    rng = random.Random(f"draft {context}")
    return [0.4 * score + rng.gauss(0, 1.0) for score in toy_logits("target", context)]


@cache
def toy_distribution(
    who: str,
    context: tuple[int, ...],
    temperature: float,
    top_k: int,
    top_p: float,
    min_p: float,
    bias: tuple[tuple[int, float], ...],
) -> ToyDistribution:
    """The distribution of the next token, in the usual order: bias, temperature, top-k, top-p,
    min-p.
    """
    logits = list(toy_logits(who, context))
    for token, value in bias:
        logits[token] += value
    if temperature == 0:
        return [float(i == logits.index(max(logits))) for i in range(len(logits))]
    weights = normal([math.exp((score - max(logits)) / temperature) for score in logits])
    order = sorted(range(len(weights)), key=lambda i: -weights[i])
    if top_k:
        weights = normal([w if i in order[:top_k] else 0.0 for i, w in enumerate(weights)])
    mass, kept = 0.0, set()
    for i in order:
        if mass < top_p:
            kept.add(i)
        mass += weights[i]
    floor = min_p * max(weights)
    return normal([w if i in kept and w >= floor else 0.0 for i, w in enumerate(weights)])


def normal(weights: Sequence[float]) -> ToyDistribution:
    total = sum(weights)
    return [w / total for w in weights]


class ToyCoins:
    """A request's source of randomness: a seeded generator."""

    def __init__(self, seed: int | None):
        self.rng = random.Random(seed)  # None: fresh entropy

    def accept(self, probability: float) -> bool:
        return self.rng.random() < probability

    def draw(self, weights: ToyDistribution) -> int:
        u, mass = self.rng.random() * sum(weights), 0.0
        for token, weight in enumerate(weights):
            mass += weight
            if u < mass:
                return token
        return max(i for i, weight in enumerate(weights) if weight)


class Script(ToyCoins):
    """A source of randomness that answers from a list, then with the first possible answer. It
    keeps the lists of the other possible answers.
    """

    def __init__(self, answers: list[int]):
        self.answers, self.asked, self.mass = answers, 0, 1.0
        self.others: list[list[int]] = []

    def draw(self, weights: ToyDistribution) -> int:
        possible = [i for i, weight in enumerate(weights) if weight > 0]
        if self.asked == len(self.answers):
            self.others += [[*self.answers, i] for i in possible[1:]]
            self.answers.append(possible[0])
        answer = self.answers[self.asked]
        self.asked += 1
        self.mass *= weights[answer] / sum(weights)
        return answer

    def accept(self, probability: float) -> bool:
        coin = min(max(probability, 0.0), 1.0)
        return self.draw([1 - coin, coin]) == 1


def exact(program: Callable[[ToyCoins], Hashable]) -> dict[Hashable, float]:
    """The exact distribution of a program's outcome. The program runs once for every sequence of
    answers that its coins can give.
    """
    found: dict[Hashable, float] = {}
    scripts: list[list[int]] = [[]]
    while scripts:
        script = Script(scripts.pop())
        outcome = program(script)
        found[outcome] = found.get(outcome, 0.0) + script.mass
        scripts += script.others
    return found


class Speculator:
    """Speculative decoding as in Leviathan et al., Algorithm 1, one request at a time."""

    gamma = 3

    def p(self, text: tuple[int, ...], wish: ToyRequest) -> ToyDistribution:
        return toy_distribution(
            "target", text[-2:], wish.temperature, wish.top_k, wish.top_p, wish.min_p, wish.bias
        )

    def q(self, text: tuple[int, ...], wish: ToyRequest) -> ToyDistribution:
        return toy_distribution(
            "draft", text[-2:], wish.temperature, wish.top_k, wish.top_p, wish.min_p, wish.bias
        )

    def propose(
        self, text: tuple[int, ...], wish: ToyRequest, coins: ToyCoins
    ) -> tuple[int, ToyDistribution]:
        """A draft token, and the distribution that it was drawn from."""
        q = self.q(text, wish)
        return coins.draw(q), q

    def accept(self, token: int, p: ToyDistribution, q: ToyDistribution, coins: ToyCoins) -> bool:
        return coins.accept(p[token] / q[token])

    def residual(self, p: ToyDistribution, q: ToyDistribution, wish: ToyRequest) -> ToyDistribution:
        return [max(a - b, 0.0) for a, b in zip(p, q)]

    def row(self, text: tuple[int, ...], wish: ToyRequest) -> ToyDistribution:
        """The target's distribution that a draft token is judged by."""
        return self.p(text, wish)

    def bonus(self, text: tuple[int, ...], wish: ToyRequest) -> ToyDistribution:
        return self.p(text, wish)

    def step(
        self, text: tuple[int, ...], wish: ToyRequest, room: int, coins: ToyCoins
    ) -> tuple[list[int], int]:
        """The tokens of one step, and how many were drafted. room: tokens that still fit."""
        drafted: list[tuple[int, ToyDistribution]] = []
        for _ in range(min(self.gamma, room - 1)):
            drafted.append(self.propose((*text, *(token for token, _ in drafted)), wish, coins))
        given: list[int] = []
        for token, q in drafted:
            p = self.row((*text, *given), wish)
            if not self.accept(token, p, q, coins):
                return [*given, coins.draw(self.residual(p, q, wish))], len(drafted)
            given.append(token)
        return [*given, coins.draw(self.bonus((*text, *given), wish))], len(drafted)

    def room(self, wish: ToyRequest, count: int) -> int:
        """Tokens that still fit."""
        return wish.max_tokens - count

    def write(self, wish: ToyRequest, coins: ToyCoins) -> ToyAnswer:
        out = ToyAnswer()
        while not out.finish:
            tokens, drafted = self.step(
                (*wish.prompt, *out.tokens), wish, self.room(wish, len(out.tokens)), coins
            )
            self.take(out, tokens, wish)
            out.drafted += drafted
        return out

    def take(self, out: ToyAnswer, tokens: list[int], wish: ToyRequest) -> None:
        """Append until a stop or the length."""
        before = len(out.tokens)
        for token in tokens:
            out.logprobs.append(self.logprobs((*wish.prompt, *out.tokens)))
            out.tokens.append(token)
            out.finish = self.ends(out, wish)
            if out.finish:
                break
        out.blocks.append(len(out.tokens) - before)
        out.accepted += min(len(out.tokens) - before, len(tokens) - 1)

    def ends(self, out: ToyAnswer, wish: ToyRequest) -> str:
        if any(out.text.endswith(stop) for stop in wish.stop):
            return "stop"
        return "length" if len(out.tokens) >= wish.max_tokens else ""

    def logprobs(self, text: tuple[int, ...]) -> ToyDistribution:
        return [
            math.log(weight)
            for weight in toy_distribution("target", text[-2:], 1.0, 0, 1.0, 0.0, ())
        ]


class Plain(Speculator):
    """The target without a draft."""

    gamma = 0
