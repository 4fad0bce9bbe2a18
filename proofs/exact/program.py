# ruff: noqa: N802 - the claims' own names
"""Programs that draw at random, and what they yield: `Ret`, `Draw`, `bind`, `E`, `law`.

A program is done (`Ret`), or it draws t with probability d(t) and goes on with k(t) (`Draw`).
Nothing else is random, so every expectation is a finite sum of fractions. proofs/coq/definitions.v
has the same names over any ordered field.
"""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Generic, TypeAlias, TypeVar

A = TypeVar("A", bound=Hashable)
B = TypeVar("B", bound=Hashable)

# Dist[x] is the probability of token x; its length is the vocabulary's size
Dist: TypeAlias = tuple[Fraction, ...]
Context: TypeAlias = tuple[int, ...]  # the text so far
Model: TypeAlias = Callable[[Context], Dist]  # the law of the next token


@dataclass(frozen=True)
class Ret(Generic[A]):
    value: A


@dataclass(frozen=True)
class Draw(Generic[A]):
    d: Mapping[Any, Fraction]
    k: "Callable[[Any], Prog[A]]"


Prog: TypeAlias = Ret[A] | Draw[A]


def E(m: Prog[A], h: Callable[[A], Fraction]) -> Fraction:
    """Expectation of h(outcome). A branch of probability 0 is never entered."""
    if isinstance(m, Ret):
        return h(m.value)
    return sum((weight * E(m.k(t), h) for t, weight in m.d.items() if weight), Fraction(0))


def always(m: Prog[A], holds: Callable[[A], bool]) -> bool:
    """Whether every outcome of non-zero probability does."""
    if isinstance(m, Ret):
        return holds(m.value)
    return all(always(m.k(t), holds) for t, weight in m.d.items() if weight)


def bind(m: Prog[A], f: Callable[[A], Prog[B]]) -> Prog[B]:
    """Run m, then f of its outcome."""
    if isinstance(m, Ret):
        return f(m.value)
    return Draw(m.d, lambda t: bind(m.k(t), f))


def law(m: Prog[A]) -> dict[A, Fraction]:
    """Outcome -> probability, for the outcomes that can happen."""
    result: dict[A, Fraction] = {}

    def walk(node: Prog[A], weight: Fraction) -> None:
        if isinstance(node, Ret):
            result[node.value] = result.get(node.value, Fraction(0)) + weight
            return
        for t, share in node.d.items():
            if share:
                walk(node.k(t), weight * share)

    walk(m, Fraction(1))
    return result


def draw(d: Dist) -> Prog[int]:
    """One token from d."""
    return Draw(dict(enumerate(d)), Ret)


def coin(a: Fraction, heads: Callable[[], Prog[A]], tails: Callable[[], Prog[A]]) -> Prog[A]:
    """Heads with probability a."""
    return Draw({True: a, False: 1 - a}, lambda fell: heads() if fell else tails())


def is_law(d: Dist) -> bool:
    """Nothing negative, and the sum is 1."""
    return all(weight >= 0 for weight in d) and sum(d) == 1
