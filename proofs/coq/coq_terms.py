"""Python values of the executable specification, written as Coq terms for bridge.v."""

from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from typing import Any

from proofs.exact.program import Context, Dist, Model
from proofs.exact.tree import NodeLaw, Shape


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


def text(size: int, c: Context) -> str:
    return f"(text {size} {ids(c)})"


def shape(s: Shape) -> str:
    return "Tip" if s is None else f"(Fork {shape(s.below)} {shape(s.next)})"


def optional(d: Dist | None) -> str:
    return "None" if d is None else f"Some {weights(d)}"


class Asked:
    """A function that remembers its answers, so that they can be written out as a table."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.answers: dict[tuple[Context, ...], Any] = {}

    def __call__(self, *arguments: Context) -> Any:
        if arguments not in self.answers:
            self.answers[arguments] = self.function(*arguments)
        return self.answers[arguments]

    def rows(self, answer: Callable[[Any], str]) -> str:
        return listed(f"({', '.join(ids(c) for c in key)}, {answer(value)})" for key, value in self.answers.items())


def model(size: int, asked: Asked) -> str:
    return f"(model {size} {asked.rows(weights)})"


def candidates(size: int, asked: Asked) -> str:
    return f"(candidates {size} {asked.rows(optional)})"


def node_law(size: int, asked: Asked) -> str:
    return f"(node_law {size} {asked.rows(optional)})"


def outcomes(law: Mapping[Any, Fraction]) -> str:
    """The law of a program: texts as lists, tokens as numbers, pairs as pairs."""
    def shown(value: Any) -> str:
        if isinstance(value, bool):
            return str(value).lower()
        return str(value) if isinstance(value, int) else ids(value)

    return listed(f"({shown(value)}, {frac(a)})" for value, a in law.items())


__all__ = ["Asked", "Model", "NodeLaw", "candidates", "frac", "ids", "listed", "model", "node_law", "outcomes", "row",
           "shape", "text", "weights"]
