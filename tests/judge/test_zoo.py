"""Every planted bug is convicted by the check it names, every control by none, and every check
convicts something.
"""

from collections import Counter

import pytest
from specref.judge.exact import EXACT_CHECKS, compare, exact_check, exact_checks
from specref.judge.subjects import RuleStep
from specref.judge.zoo import level_of
from specref.judge.zoo.run import BUGS, CONTROLS, acquit, convict
from specref.verify.rejection import rejection

ASKED_FOR = {1, 2, 3, 5, 7, 8, 10, 12, 13, 15, 17, 34, 36, 39, 40, 42, 49}
TREE_KINDS = {
    "node-sees-cousin",
    "positions-by-index",
    "missing-leaf-is-token-0",
    "siblings-independent",
    "siblings-q-with-replacement",
    "heads-tied",
    "heads-one-off",
    "typical-called-lossless",
}


@pytest.mark.parametrize("name", BUGS)
def test_bug_is_convicted_by_the_check_it_names(name: str) -> None:
    conviction = convict(BUGS[name])
    assert conviction.convicted, f"{BUGS[name].caught_by} found {conviction.findings}"
    if conviction.tv is not None:
        assert 0 <= conviction.tv <= 1 + 1e-12


@pytest.mark.parametrize("name", CONTROLS)
def test_control_passes_every_check(name: str) -> None:
    assert acquit(CONTROLS[name]).findings == {}


def test_every_check_convicts_a_bug() -> None:
    named = Counter(bug.caught_by for bug in BUGS.values())
    assert not [name for name in EXACT_CHECKS if not named[name]]


def test_bugs_name_checks_of_their_level() -> None:
    for bug in BUGS.values():
        assert EXACT_CHECKS[bug.caught_by].level == level_of(bug.subject), bug.name


def test_the_kinds_asked_for_are_there() -> None:
    assert {bug.number for bug in BUGS.values()} >= ASKED_FOR
    assert BUGS.keys() >= TREE_KINDS
    assert not BUGS.keys() & CONTROLS.keys()


def test_every_level_has_controls() -> None:
    assert {level_of(control.subject) for control in CONTROLS.values()} == {
        item.level for item in EXACT_CHECKS.values()
    }


def test_a_crash_convicts_only_where_it_is_the_symptom() -> None:
    def crashes(*_: object) -> None:
        raise RuntimeError("for a reason of its own")

    for item in exact_checks("rule"):
        findings = item(RuleStep(crashes))  # type: ignore[arg-type]
        assert findings, item.id
        assert all(finding.crash for finding in findings)


def test_a_check_needs_its_own_name() -> None:
    with pytest.raises(KeyError):
        exact_check("rule.joint")(lambda subject: iter(()))


def test_compare_sees_a_distance_and_ignores_rounding() -> None:
    assert not list(compare("", {"a": 0.5, "b": 0.5}, {"a": 0.5 + 1e-13, "b": 0.5 - 1e-13}))
    (finding,) = compare("", {"a": 0.4, "b": 0.6}, {"a": 0.5, "b": 0.5})
    assert finding.tv == pytest.approx(0.1)
    (finding,) = compare("", {"a": float("nan")}, {"a": 1.0})
    assert "a" in finding.what


def test_the_right_step_is_known_exactly() -> None:
    assert all(not item(RuleStep(rejection)) for item in exact_checks("rule"))
