"""What one exercise is: its cases, what is right, and the answers that are known."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from .forks import Forks, MisuseError, exact

Answer = Callable[..., Any]  # a function of the student's: `attempt`
Row = list[Any]  # a distribution: fractions, one for each token


class KnownAnswer:
    """An answer with a name. The docstring of the rule says why it is wrong, or what it does.

    id: the exercise's and the rule's, as in chain-verify--keep-behind.
    """

    def __init__(self, exercise: str, name: str, rule: Answer):
        self.name = name
        self.id = f"{exercise}--{rule.__name__.replace('_', '-')}"
        self.rule = rule
        self.why = " ".join((rule.__doc__ or "").split())


class Exercise:
    """One exercise.

    id: as in `specref grade`. part: of the course. cases: each a mapping from the names of what
    the rule is given, and of more that the grader needs. run(rule, case, chance): one run of the
    rule, to its whole outcome. seen(outcome): the part of it that must be right. wanted(case): what
    is right, seen -> probability. right: the sentence for a right answer. shown: names of what a
    verdict shows of a case. worth: (words, value of an outcome) of what a right answer may do less
    well than `solution`, or None; where worth_counts, less is wrong. label: of
    an answer that is one value, in a verdict.
    """

    def __init__(self, id: str, part: int, cases: Sequence[Mapping[str, Any]], right: str):
        self.id, self.part, self.cases, self.right = id, part, cases, right
        self.mistakes: list[KnownAnswer] = []
        self.unusual: list[KnownAnswer] = []
        self.shown: Sequence[str] = tuple(cases[0])
        self.worth: tuple[str, Callable[[Any], Fraction]] | None = None
        self.worth_counts = False
        self.label = ""
        self.answer: Answer | None = None
        self.right_outcomes: dict[int, dict[Hashable, Fraction]] = {}  # of each case, once found
        self.findings: dict[tuple[Answer, int], Any] = {}  # of the rules below, once found

    def run(self, rule: Answer, case: Mapping[str, Any], chance: Forks) -> Hashable:
        raise NotImplementedError

    def seen(self, outcome: Any) -> Hashable:
        return outcome

    def wanted(self, case: Mapping[str, Any]) -> dict[Hashable, Fraction]:
        raise NotImplementedError

    def wrong(self, name: str) -> Callable[[Answer], Answer]:
        """A decorator: this rule is wrong, and `name` completes "It looks as if ..."."""

        def keep(rule: Answer) -> Answer:
            self.mistakes.append(KnownAnswer(self.id, name, rule))
            return rule

        return keep

    def also_right(self, rule: Answer) -> Answer:
        """A decorator: this rule is right too."""
        self.unusual.append(KnownAnswer(self.id, rule.__name__, rule))
        return rule

    def solution(self, rule: Answer) -> Answer:
        """A decorator: the answer that a teacher sees."""
        self.answer = rule
        return rule


class Numbers(Exercise):
    """An exercise whose answer is a value: the rule must return what the solution returns."""

    def run(self, rule: Answer, case: Mapping[str, Any], chance: Forks) -> Hashable:
        return frozen(rule(*case.values()))

    def wanted(self, case: Mapping[str, Any]) -> dict[Hashable, Fraction]:
        assert self.answer is not None
        return {frozen(self.answer(**case)): Fraction(1)}


def token_of(value: Any, size: int) -> int:
    """A token that a rule emitted.

    Errors:
        MisuseError when it is none of the vocabulary.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < size:
        raise MisuseError(f"{value!r} is no token: tokens are 0 to {size - 1}")
    return value


def tokens_of(value: Any, size: int) -> tuple[int, ...]:
    """A list of tokens that a rule emitted."""
    if not isinstance(value, list | tuple):
        raise MisuseError(f"{value!r} is no list of tokens")
    return tuple(token_of(one, size) for one in value)


def frozen(value: Any) -> Hashable:
    """A returned value in a form that can be compared: tuples for lists, fractions for numbers."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        return tuple(frozen(one) for one in value)
    return exact(value)


def row(*numbers: int | str) -> Row:
    """A distribution, in fractions."""
    return [Fraction(number) for number in numbers]
