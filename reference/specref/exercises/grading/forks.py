"""Every outcome of a rule's random choices, in fractions.

A rule asks `chance.accept(probability)` and `chance.draw(weights)`. `Forks` takes the first
possible answer and remembers the others; the rule runs again for each of them. So the probability
of every outcome is a finite sum of fractions. This is `exact/enumerate.py` for lists of fractions:
it needs no PyTorch, and therefore runs in a browser too.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from fractions import Fraction
from numbers import Rational
from typing import Any

QUESTIONS = 100  # the most that a rule may ask in one run
WORLDS = 20_000  # the most runs of one case
DENOMINATOR = 10**6


class MisuseError(Exception):
    """A rule asks chance for something that is not possible."""


class EndlessError(Exception):
    """A rule that does not end."""


def exact(number: Any) -> Fraction:
    """A number as a fraction. A float is the simplest fraction near it: 1 / 3 is one third.

    Errors:
        MisuseError when it is no finite number.
    """
    if type(number) is Fraction:
        return number
    if isinstance(number, Rational):
        return Fraction(number)
    try:
        return Fraction(number).limit_denominator(DENOMINATOR)
    except (TypeError, ValueError, OverflowError):
        raise MisuseError(f"{number!r} is not a finite number") from None


class Forks:
    """Answers of one run: first those of its script, then always the first possible one.

    script: answers to the first questions. weight: the probability of all answers so far.
    untaken: (script, weight) of the answers that were possible too.
    """

    def __init__(self, script: Sequence[int] = (), weight: Fraction = Fraction(1)):
        self.script = tuple(script)
        self.weight = weight
        self.answers: tuple[int, ...] = ()
        self.untaken: list[tuple[tuple[int, ...], Fraction]] = []

    def accept(self, probability: Any) -> bool:
        """Yes with this probability; above 1 counts as 1."""
        if self._is_replay():
            return self._replayed() == 0
        yes = min(exact(probability), Fraction(1))
        if yes < 0:
            raise MisuseError(f"chance.accept was asked with a negative probability, {yes}")
        return self._fork([yes, 1 - yes]) == 0

    def draw(self, weights: Sequence[Any]) -> int:
        """A place in the list, with probability in proportion to its weight."""
        if self._is_replay():
            return self._replayed()
        row = [exact(weight) for weight in weights]
        total = sum(row, Fraction(0))
        if any(weight < 0 for weight in row):
            raise MisuseError(f"chance.draw was given a negative weight: {written(row)}")
        if not total:
            raise MisuseError(f"chance.draw was given weights whose sum is 0: {written(row)}")
        return self._fork(row if total == 1 else [weight / total for weight in row])

    def _is_replay(self) -> bool:
        """Whether the next answer is that of an earlier run."""
        if len(self.answers) == QUESTIONS:
            raise EndlessError(f"it asks chance more than {QUESTIONS} times")
        return len(self.answers) < len(self.script)

    def _replayed(self) -> int:
        self.answers = (*self.answers, self.script[len(self.answers)])
        return self.answers[-1]

    def _fork(self, chances: Sequence[Fraction]) -> int:
        """Take the first possible answer, and leave the others to other runs."""
        first, *others = [answer for answer, share in enumerate(chances) if share]
        for other in others:
            self.untaken.append(((*self.answers, other), self.weight * chances[other]))
        self.answers = (*self.answers, first)
        self.weight *= chances[first]
        return first


def exact_distribution(program: Callable[[Forks], Hashable]) -> dict[Hashable, Fraction]:
    """Outcome -> probability, over all runs of a program.

    Errors:
        EndlessError when there are more than WORLDS runs.
    """
    found: dict[Hashable, Fraction] = {}
    pending: list[tuple[tuple[int, ...], Fraction]] = [((), Fraction(1))]
    runs = 0
    while pending:
        runs += 1
        if runs > WORLDS:
            raise EndlessError(
                f"it has more than {WORLDS} outcomes; a rule that draws again has no end"
            )
        chance = Forks(*pending.pop())
        outcome = program(chance)
        found[outcome] = found.get(outcome, Fraction(0)) + chance.weight
        pending += chance.untaken
    return found


def exact_distance(a: Mapping[Any, Fraction], b: Mapping[Any, Fraction]) -> Fraction:
    """Total variation, half the L1 distance."""
    keys = {**a, **b}
    gaps = [abs(a.get(key, Fraction(0)) - b.get(key, Fraction(0))) for key in keys]
    return sum(gaps, Fraction(0)) / 2


def written(value: Any) -> str:
    """Numbers and lists as a reader writes them: (1/2, 3/10)."""
    if isinstance(value, list | tuple):
        return "(" + ", ".join(map(written, value)) + ")"
    return str(value)
