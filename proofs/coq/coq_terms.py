"""Calls of the executable specification, written as Coq terms: same name, same arguments, same
order.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any

from proofs.exact.program import Context, Dist
from proofs.exact.tree import Fork, Shape


def frac(a: Fraction) -> str:
    return f"frac ({a.numerator}) {a.denominator}"


def listed(parts: Iterable[str]) -> str:
    return "[::" + "; ".join(parts) + "]"


def ids(c: Iterable[int]) -> str:
    return listed(str(x) for x in c)


def weights(d: Dist) -> str:
    return listed(frac(a) for a in d)


def row(d: Dist) -> str:
    return f"(row {len(d)} {weights(d)})"


def shape(s: Shape) -> str:
    return "Tip" if s is None else f"(Fork {shape(s.below)} {shape(s.next)})"


def optional(d: Dist | None) -> str:
    return "None" if d is None else f"Some {weights(d)}"


@dataclass(frozen=True)
class Written:
    """A value with the Coq term that means it."""

    value: Any
    term: str


class Asked:
    """A function of texts that remembers its answers: the rows of a table for Coq's model,
    candidates or node_law.
    """

    def __init__(self, function: Callable[..., Any], size: int, kind: str = "model") -> None:
        self.function, self.size, self.kind = function, size, kind
        self.answers: dict[tuple[Context, ...], Any] = {}

    def __call__(self, *arguments: Context) -> Any:
        if arguments not in self.answers:
            self.answers[arguments] = self.function(*arguments)
        return self.answers[arguments]

    def term(self) -> str:
        answer = weights if self.kind == "model" else optional
        rows = []
        for texts, value in self.answers.items():
            rows.append(f"({', '.join(map(ids, texts))}, {answer(value)})")
        return f"({self.kind} {self.size} {listed(rows)})"


def term(argument: Any, size: int) -> str:
    """An argument; a tuple of fractions is a law, another tuple a text over `size` tokens, None an
    empty shape.
    """
    match argument:
        case Written() as written:
            return written.term
        case Asked() as asked:
            return asked.term()
        case partial() as function:
            return f"({applied(function.func, function.args, size)})"
        case Fraction() as a:
            return f"({frac(a)})"
        case Fork() | None as s:
            return shape(s)
        case tuple() as values if values and isinstance(values[0], Fraction):
            return row(values)
        case tuple() as c:
            return f"(text {size} {ids(c)})"
        case int() as number:
            return str(number)
    raise TypeError(f"no Coq term for {argument!r}: teach coq_terms.term this type")


# the Coq definitions that also take a token for the empty vocabulary
FIRST = ("argmax", "greedy_cycle", "greedy_text")


def applied(function: Callable[..., Any], arguments: Iterable[Any], size: int) -> str:
    """The call as a Coq term, after it has run: a table holds what was asked."""
    name = function.__name__
    first = [f"(zero {size - 1})"] if name in FIRST else []
    return " ".join([name, *first, *(term(argument, size) for argument in arguments)])


def called(function: Callable[..., Any], arguments: Iterable[Any]) -> Any:
    """The call's value."""

    def plain(argument: Any) -> Any:
        match argument:
            case Written() as written:
                return written.value
            case partial() as inner:
                return partial(inner.func, *map(plain, inner.args))
        return argument

    return function(*map(plain, arguments))


def outcomes(law: Mapping[Any, Fraction]) -> str:
    """The law of a program: texts and pairs as lists, tokens as numbers."""

    def shown(value: Any) -> str:
        if isinstance(value, bool):
            return str(value).lower()
        return str(value) if isinstance(value, int) else ids(value)

    return listed(f"({shown(value)}, {frac(a)})" for value, a in law.items())
