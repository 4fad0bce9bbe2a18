"""The page of checks has all of them, each under its id, and each asks something."""

from specref.judge.suite import CHECKS

from docs.hooks import checks


def test_every_check_has_its_place() -> None:
    page = checks.page()
    assert len(CHECKS) > 30
    for name, item in CHECKS.items():
        assert page.count(f"{{ #{name} }}") == 1, name
        assert f"[`{name}`](#{name})" in page
        assert item.question.endswith("?"), f"{name} has no question in its first line"
