"""The exercises: graded by everything that an answer can emit.

Protects: that skeletons fail, that right rules pass however unusual, and that every named mistake
is refused by its own name. Rules are graded as text, as a student hands them in.
"""

from importlib import import_module

import pytest
from specref.exercises.grading.catalogue import IDS, load_exercise, module_name
from specref.exercises.grading.grade import RIGHT, WRONG, grade_text
from specref.exercises.grading.skeleton import HOME, student_file

EXERCISES = {id: load_exercise(id) for id in IDS}
MISTAKES = [(id, known) for id in IDS for known in EXERCISES[id].mistakes]
UNUSUAL = [(id, known) for id in IDS for known in EXERCISES[id].unusual]


def named(pairs) -> list[str]:
    return [f"{id}:{known.rule.__name__}" for id, known in pairs]


@pytest.mark.parametrize("id", IDS)
def test_the_skeleton_fails(id: str) -> None:
    assert grade_text(student_file(id)).status == WRONG


@pytest.mark.parametrize("id", IDS)
def test_the_solution_passes_and_nothing_better_is_possible(id: str) -> None:
    report = grade_text(student_file(id, "solution"))
    assert report.status == RIGHT
    assert report.text == f"RIGHT. {EXERCISES[id].right}"


@pytest.mark.parametrize(("id", "known"), UNUSUAL, ids=named(UNUSUAL))
def test_an_unusual_right_answer_passes(id: str, known) -> None:
    report = grade_text(student_file(id, known.rule.__name__))
    assert report.status == RIGHT, report.text


@pytest.mark.parametrize(("id", "known"), MISTAKES, ids=named(MISTAKES))
def test_every_mistake_is_refused_by_its_own_name(id: str, known) -> None:
    report = grade_text(student_file(id, known.rule.__name__))
    assert report.status == WRONG, report.text
    assert report.mistake == known.name
    assert report.distance is not None
    assert report.distance > 0 or "What comes out is right.\nBut it " in report.text
    assert f"It looks as if {known.name}.\n{known.why}" in report.text


def test_there_are_enough_of_each() -> None:
    assert len(MISTAKES) >= 100
    assert len(UNUSUAL) >= 30
    assert {exercise.part for exercise in EXERCISES.values()} == {1, 2, 3, 4, 5, 6, 7, 8}


def test_every_file_is_an_exercise_and_names_itself() -> None:
    files = {file.stem for file in HOME.glob("[!_]*.py")}
    assert files == set(map(module_name, IDS))
    for id in IDS:
        assert import_module(f"specref.exercises.{module_name(id)}").EXERCISE.id == id


def test_mistakes_have_reasons_and_names_of_their_own() -> None:
    for id, exercise in EXERCISES.items():
        names = [known.name for known in exercise.mistakes]
        assert len(names) == len(set(names)), id
        assert all(known.why for known in exercise.mistakes), id
