"""The map of the lesson: complete, or it says why not, and true of the pages.

Protects: a line that lost its page, code, exercise or measurement without anybody noticing.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from docs import check, lesson
from docs.parsed import read

PAGE = """<h2 id="there">T</h2><div class="live-rule" data-exercise="coin"></div>
<p class="origin" data-result="bench">Written by</p>
<div class="source" data-path="code.py" data-names="f"><div><pre><code>x</code></pre></div></div>"""
GOOD = lesson.Line(1, "a point", "part.md#there", "code.py", "coin", "bench")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "part.html").write_text(PAGE)
    (tmp_path / "docs" / "results").mkdir(parents=True)
    (tmp_path / "docs" / "results" / "bench.json").write_text("{}")
    return tmp_path


def found(root: Path, *lines: lesson.Line) -> list[str]:
    site = root / "site"
    return list(lesson.faults(lines, site, read(site), root))


def test_a_good_map_is_silent(root: Path) -> None:
    bare = lesson.Line(2, "no page at all", reason="it is about something else")
    assert found(root, GOOD, bare) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"page": ""}, "has no page, and no reason"),
        ({"exercise": "", "result": ""}, "has no exercise, no result, and no reason"),
        ({"page": "gone.md"}, "there is no page gone.md"),
        ({"page": "part.md#gone"}, "part.md has no anchor gone"),
        ({"module": "other.py"}, "part.md shows no code of other.py"),
        ({"exercise": "other"}, "part.md has no exercise other"),
        ({"result": "serving"}, "part.md renders nothing of docs/results/serving.json"),
        ({"line": 2}, "not numbered"),
    ],
)
def test_each_fault_is_found(root: Path, change: dict[str, str], said: str) -> None:
    wrong = found(root, replace(GOOD, **change))  # type: ignore[arg-type]
    assert [line for line in wrong if said in line], wrong


def test_a_result_file_that_is_gone_is_found(root: Path) -> None:
    (root / "docs" / "results" / "bench.json").unlink()
    assert found(root, GOOD) == ["lesson.yaml, line 1: docs/results/bench.json does not exist"]


def test_an_unknown_key_names_its_line() -> None:
    with pytest.raises(ValueError, match="line 3"):
        lesson.read_lines([{"line": 3, "says": "x", "pages": "y"}])


def test_the_lesson_has_all_its_lines_and_few_reasons() -> None:
    lines = lesson.lines()
    assert len(lines) == 41
    assert sum(not one.lacks for one in lines) >= 28
    assert all(one.reason for one in lines if one.lacks)
    assert all(not one.reason for one in lines if not one.lacks)


def test_the_build_asks_for_it(
    capsys: pytest.CaptureFixture[str], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "live_exercises", lambda site: [])
    (root / "site" / "index.html").write_text("<p>a site without a course</p>")
    assert check.main([str(root / "site")]) == 1
    said = capsys.readouterr().out
    assert "FAIL  lesson map complete" in said
    assert "lesson.yaml, line 1: there is no page course/2-guess-and-check.md" in said
