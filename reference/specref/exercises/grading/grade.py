"""The verdict on an answer: for pytest, for `specref grade` and for a page in a browser."""

from collections.abc import Callable, Hashable, Iterable, Mapping
from contextlib import nullcontext, redirect_stdout
from fractions import Fraction
from io import StringIO
from typing import Any

from .catalogue import IDS, load_exercise
from .exercise import Answer, Exercise, KnownAnswer
from .forks import Forks, exact_distance, exact_distribution, written
from .student_file import BadFileError, bounded, load_answer, one_line

RIGHT, WRONG, BROKEN = "right", "wrong", "broken"
ROWS = 6  # outcomes that a verdict shows


class Report:
    """A verdict. status: RIGHT, WRONG, or BROKEN for an answer that cannot be graded.

    exercise: its id. text: the verdict in plain words, several lines. distance: the total variation
    of the worst case, or None. mistake: the name of the known mistake, or None, and mistake_id its
    id. printed: what the answer printed, its beginning.
    """

    def __init__(self, status: str, exercise: str | None, text: str):
        self.status, self.exercise, self.text = status, exercise, text
        self.distance: Fraction | None = None
        self.mistake: str | None = None
        self.mistake_id: str | None = None
        self.printed = ""

    @classmethod
    def of_json(cls, said: Mapping[str, Any]) -> "Report":
        """The report that `as_json` came from."""
        report = cls(said["verdict"], said["exercise"], said["text"])
        report.distance = None if said["tv"] is None else Fraction(said["tv"])
        report.mistake, report.mistake_id = said["mistake"], said["mistake_id"]
        report.printed = said["printed"]
        return report

    def as_json(self) -> dict[str, str | None]:
        distance = None if self.distance is None else str(self.distance)
        return {
            "verdict": self.status,
            "exercise": self.exercise,
            "text": self.text,
            "tv": distance,
            "mistake": self.mistake,
            "mistake_id": self.mistake_id,
            "printed": self.printed,
        }


class Finding:
    """What a rule does in one case: outcome -> probability, or the error that it ends with.

    number: of the case, from 0. ours: the rule is one of the exercise's own, and ends. seen: what
    is graded of the outcomes.
    """

    def __init__(self, exercise: Exercise, rule: Answer, number: int, ours: bool = False):
        self.number = number
        case = exercise.cases[number]
        self.error: str | None = None
        self.outcomes: dict[Hashable, Fraction] = {}

        def program(chance: Forks) -> Hashable:
            with nullcontext() if ours else bounded():
                return exercise.run(rule, _copied(case), chance)

        try:
            self.outcomes = exact_distribution(program)
        except (Exception, SystemExit) as error:
            self.error = one_line(error)
        self.seen: dict[Hashable, Fraction] = {}
        for outcome, share in self.outcomes.items():
            seen = exercise.seen(outcome)
            self.seen[seen] = self.seen.get(seen, Fraction(0)) + share


def grade_text(text: str, wanted: str | None = None) -> Report:
    """Grade the text of a student's file.

    wanted: the exercise's id, where the place of the text says it; else the file's own EXERCISE.
    """
    printed = StringIO()
    with redirect_stdout(printed):
        report = _grade_text(text, wanted)
    report.printed = "\n".join(printed.getvalue().splitlines()[:10])
    return report


def _grade_text(text: str, wanted: str | None) -> Report:
    try:
        id, attempt = load_answer(text, wanted)
    except BadFileError as error:
        return Report(BROKEN, wanted, f"BROKEN. It cannot be graded. {_sentence(str(error))}")
    if id not in IDS or wanted not in (None, id):
        known = wanted or ", ".join(IDS)
        told = f"BROKEN. It cannot be graded. It is for {id!r}, and this is about {known}."
        return Report(BROKEN, wanted, told)
    return grade_rule(load_exercise(id), attempt)


def grade_rule(exercise: Exercise, rule: Answer) -> Report:
    """Grade a function."""
    findings = [Finding(exercise, rule, number) for number in range(len(exercise.cases))]
    distances = [_distance(exercise, finding) for finding in findings]
    worst = max(range(len(findings)), key=lambda number: distances[number])
    if distances[worst]:
        return _wrong(exercise, findings, worst, distances[worst])
    for number, finding in enumerate(findings):
        if finding.error is not None:
            told = f"BROKEN. It cannot be graded. {_sentence(finding.error)}\n"
            return Report(BROKEN, exercise.id, told + _case(exercise, number))
    less = _worth(exercise, findings)
    if less and exercise.worth_counts:
        return _named(exercise, findings, ["WRONG. What comes out is right.", less], Fraction(0))
    report = Report(RIGHT, exercise.id, "\n".join([f"RIGHT. {exercise.right}", less]).rstrip())
    report.distance = Fraction(0)
    return report


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def _distance(exercise: Exercise, finding: Finding) -> Fraction:
    """Total variation from what is right; 0 for a case that ended with an error."""
    if finding.error is not None:
        return Fraction(0)
    return exact_distance(finding.seen, wanted_of(exercise, finding.number))


def _wrong(exercise: Exercise, findings: list[Finding], worst: int, distance: Fraction) -> Report:
    finding = findings[worst]
    lines = [f"WRONG. {_case(exercise, worst)}"]
    lines += _table(finding.seen, wanted_of(exercise, worst), exercise.label)
    if not _is_value(finding.seen):
        lines.append(f"The total variation from what is right is {distance}.")
    errors = [one.error for one in findings if one.error is not None]
    if errors:
        lines.append(f"In another case it fails. {_sentence(errors[0])}")
    return _named(exercise, findings, lines, distance)


def _named(
    exercise: Exercise, findings: list[Finding], lines: list[str], distance: Fraction
) -> Report:
    """The report of a wrong answer, with the mistake's name."""
    known = name_mistake(exercise, findings)
    if known is None:
        lines.append("No mistake that we know does this. Look where it differs first.")
    else:
        lines.append(f"It looks as if {known.name}.")
        lines += [known.why] if known.why else []
    report = Report(WRONG, exercise.id, "\n".join(lines))
    report.distance = distance
    if known is not None:
        report.mistake, report.mistake_id = known.name, known.id
    return report


def known_distance(exercise: Exercise, known: KnownAnswer) -> Fraction:
    """How far a known answer is from what is right, in its worst case."""
    findings = [known_finding(exercise, known.rule, n) for n in range(len(exercise.cases))]
    return max(_distance(exercise, finding) for finding in findings)


def wanted_of(exercise: Exercise, number: int) -> dict[Hashable, Fraction]:
    """What is right in one case. It is computed once."""
    if number not in exercise.right_outcomes:
        exercise.right_outcomes[number] = exercise.wanted(exercise.cases[number])
    return exercise.right_outcomes[number]


def known_finding(exercise: Exercise, rule: Answer, number: int) -> Finding:
    """What one of the exercise's own rules does in one case. It is found once."""
    if (rule, number) not in exercise.findings:
        exercise.findings[rule, number] = Finding(exercise, rule, number, ours=True)
    return exercise.findings[rule, number]


def name_mistake(exercise: Exercise, findings: list[Finding]) -> KnownAnswer | None:
    """The known mistake that does exactly this in all cases that ran: with all that can be seen of
    a run, or else in what is emitted.
    """
    alike = []
    for known in exercise.mistakes:
        sameness = _sameness(exercise, known, findings)
        if sameness == "whole":
            return known
        if sameness == "emitted":
            alike.append(known)
    return alike[0] if alike else None


def _sameness(exercise: Exercise, known: KnownAnswer, findings: list[Finding]) -> str:
    whole = True
    ran = [finding for finding in findings if finding.error is None]
    for finding in ran:
        other = known_finding(exercise, known.rule, finding.number)
        if finding.seen != other.seen:
            return "none"
        whole = whole and finding.outcomes == other.outcomes
    return "whole" if whole else "emitted"


def _case(exercise: Exercise, number: int) -> str:
    case = exercise.cases[number]
    given = ", ".join(f"{name} = {written(case[name])}" for name in exercise.shown)
    return f"Case {number + 1} of {len(exercise.cases)}: {given}."


def _is_value(outcomes: Mapping[Any, Fraction]) -> bool:
    return len(outcomes) == 1


def _table(found: Mapping[Any, Fraction], right: Mapping[Any, Fraction], label: str) -> list[str]:
    """What comes out and what should, the largest differences first."""
    zero = Fraction(0)
    if _is_value(found) and _is_value(right):
        yours, wanted = [written(next(iter(one))) for one in (found, right)]
        return [f"yours{label}: {yours}", f"right{label}: {wanted}"]
    gaps = {key: abs(found.get(key, zero) - right.get(key, zero)) for key in {**found, **right}}
    order = sorted(gaps, key=lambda key: (-gaps[key], written(key)))[:ROWS]
    lines = [("emitted", "yours", "right")]
    for key in sorted(order, key=written):
        lines.append((written(key), written(found.get(key, zero)), written(right.get(key, zero))))
    first, second, _ = zip(*lines)
    form = f"  {{:{_width(first)}}}  {{:{_width(second)}}}  {{}}"
    text = [form.format(*line) for line in lines]
    left = len(gaps) - len(order)
    return [*text, f"  and {left} more"] if left else text


def _width(column: Iterable[str]) -> int:
    return max(map(len, column))


def _worth(exercise: Exercise, findings: list[Finding]) -> str:
    """A sentence when a right answer does less than it could."""
    if exercise.worth is None or exercise.answer is None:
        return ""
    words, value = exercise.worth
    for finding in findings:
        best = known_finding(exercise, exercise.answer, finding.number)
        mine, possible = _mean(finding, value), _mean(best, value)
        if mine < possible:
            return (
                f"But {words}: {mine} in case {finding.number + 1}, where {possible} is possible."
            )
    return ""


def _mean(finding: Finding, value: Callable[[Any], Fraction]) -> Fraction:
    return sum((value(key) * share for key, share in finding.outcomes.items()), Fraction(0))


def _copied(case: Mapping[str, Any]) -> dict[str, Any]:
    """A case that a rule may change without harm."""
    return {name: _copy(value) for name, value in case.items()}


def _copy(value: Any) -> Any:
    return [_copy(one) for one in value] if isinstance(value, list | tuple) else value
