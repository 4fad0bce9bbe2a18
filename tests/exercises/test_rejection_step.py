"""The first exercise: graded by the exact distribution.

Protects: that the skeleton fails, that right rules pass however unusual, and that every named
mistake is refused by its own name.
"""

import pytest
import torch
from specref.exercises import rejection_step as exercise


def solution(p, q, chance):
    x = chance.draw(q)
    if bool(chance.accept((p[:, x[0]] / q[:, x[0]]).clamp(max=1)[:, None])):
        return x
    rest = (p - q).clamp(min=0)
    return chance.draw(rest if bool(rest.sum() > 0) else p)


def half(p, q, chance):
    """Accepts half as often, with the exact remainder."""
    x = chance.draw(q)
    if bool(chance.accept((p[:, x[0]] / q[:, x[0]]).clamp(max=1)[:, None] / 2)):
        return x
    return chance.draw(p - torch.minimum(p, q) / 2)


def sampler_match(p, q, chance):
    chance.draw(q)
    return chance.draw(p)


@pytest.mark.parametrize("rule", [solution, half, sampler_match])
def test_right_rules_pass(rule):
    assert exercise.grade(rule).startswith("Right")


def test_the_skeleton_fails_and_is_told_why():
    assert exercise.grade(exercise.attempt).endswith("It looks as if you believe the draft.")


@pytest.mark.parametrize("mistake", exercise.MISTAKES)
def test_every_mistake_is_refused_by_its_own_name(mistake):
    said = exercise.grade(exercise.MISTAKES[mistake])
    assert said.startswith("Not yet")
    assert said.endswith(f"It looks as if {mistake}.")


def test_an_unknown_mistake_is_refused_without_a_name():
    said = exercise.grade(exercise.step(lambda p, q, x: p[0, x] ** 2, lambda p, q: q**2))
    assert said.startswith("Not yet")
    assert "looks as if" not in said
