"""Exercises in a page: the same verdicts as in Python, from file://, with keyboard and without
JavaScript.

Protects: what Brython may do otherwise than Python, what the trimmed library lacks, the worker that
a rule without an end must not stop, and the page's contract (docs/pages/assets/live.js).
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from specref.exercises.grading.catalogue import IDS, load_exercise
from specref.exercises.grading.grade import grade_text
from specref.exercises.grading.skeleton import student_function

from docs import live
from docs.browser import Browser, browser_path
from docs.live_check import blocks, graded, wrong_in_pages

CHROMIUM = browser_path()
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium here: install one, or name it by CHROMIUM"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    assert live.main([str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def browser(site: Path) -> Iterator[Browser]:
    assert CHROMIUM is not None
    with Browser(CHROMIUM) as opened:
        opened.open(site / "index.html")
        yield opened


@needs_chromium
@pytest.mark.parametrize("id", IDS)
def test_every_rule_gets_in_the_page_the_verdict_that_it_gets_here(
    id: str, browser: Browser
) -> None:
    """Every named mistake by its name, every unusual right answer, letter for letter."""
    exercise, number = load_exercise(id), IDS.index(id)
    for known in [*exercise.mistakes, *exercise.unusual]:
        text = student_function(id, known.rule.__name__)
        said = graded(browser, number, text)
        assert said["text"] == grade_text(text, id).text
        if known in exercise.mistakes:
            assert (said["verdict"], said["mistake"]) == ("wrong", known.name)
            assert said["mistake_id"] == known.id
        else:
            assert said["verdict"] == "right"


@needs_chromium
def test_the_page_has_every_exercise_and_each_skeleton_is_wrong(
    site: Path, browser: Browser
) -> None:
    assert blocks(browser) == [*IDS]
    assert CHROMIUM is not None
    (site / live.MISTAKES).write_text(live.mistakes())
    assert not list(wrong_in_pages(site, CHROMIUM))
    (site / live.MISTAKES).write_text(live.mistakes().replace('id="tree-mask--', 'id="'))
    assert list(wrong_in_pages(site, CHROMIUM)) == [
        "index.html: tree-mask: mistakes.html has no mistake of this name"
    ]


@needs_chromium
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("def attempt(p, q, x, chance):\n    y = x\n    return z\n", "Line 3: NameError"),
        ("def attempt(p, q, x, chance)\n    return x\n", "Line 1: this is not Python"),
        (
            "def helper(x):\n    return x + 9\n\nattempt = lambda p, q, x, chance: helper(x)\n",
            "token",
        ),
        ("import nowhere\n", "Line 1: ModuleNotFoundError: nowhere"),
        ("", "It has no function attempt."),
        ("def attempt(p, q, x, chance):\n    return chance.draw([0, 0])\n", "whose sum is 0"),
    ],
)
def test_what_cannot_be_graded_gets_its_reason_and_line(
    text: str, told: str, browser: Browser
) -> None:
    said = graded(browser, IDS.index("rejection-step"), text)
    assert said["verdict"] == "broken"
    assert said["text"].startswith("BROKEN. It cannot be graded. ")
    assert told in said["text"]


@needs_chromium
def test_what_a_student_imports_is_there(browser: Browser) -> None:
    text = (
        "import bisect, collections, functools, heapq, itertools, math, operator, re\n"
        "from fractions import Fraction\n" + student_function("rejection-step", "solution")
    )
    assert graded(browser, IDS.index("rejection-step"), text)["verdict"] == "right"


@needs_chromium
def test_a_rule_that_does_not_end_is_stopped_and_the_next_one_is_graded(browser: Browser) -> None:
    number = IDS.index("rejection-step")
    browser.evaluate(f"document.querySelectorAll('.live-rule')[{number}].dataset.limit = 1500")
    said = graded(browser, number, "def attempt(p, q, x, chance):\n    while True:\n        pass\n")
    browser.evaluate(f"delete document.querySelectorAll('.live-rule')[{number}].dataset.limit")
    assert said["verdict"] == "broken"
    assert "It does not end: it was stopped after 1.5 seconds." in said["text"]
    said = graded(browser, number, student_function("rejection-step", "solution"))
    assert said["verdict"] == "right"


@needs_chromium
def test_with_the_keyboard_alone_and_said_to_a_screen_reader(site: Path, browser: Browser) -> None:
    browser.open(site / "index.html")
    block = "document.querySelectorAll('.live-rule')[0]"
    browser.press("Tab", 9)
    focus = "document.activeElement.className"
    assert browser.evaluate(focus) == "live-text"
    assert browser.evaluate("document.activeElement.labels[0].textContent").startswith("Your rule")
    browser.evaluate("document.activeElement.select()")
    browser.type("def attempt(*given):\n    return 7\n")
    browser.press("Enter", 13, modifiers=2)
    waiting = f"new Promise(done => {block}.addEventListener('live-verdict', done, {{once: true}}))"
    browser.evaluate(f"{waiting}.then(() => 1)")
    status = f"{block}.querySelector('[role=status][aria-live=polite]')"
    assert browser.evaluate(f"{status}.textContent").startswith("WRONG.")
    # Tab leaves the field for the buttons
    browser.press("Tab", 9)
    assert browser.evaluate(focus) == "live-grade"
    browser.press("Tab", 9)
    assert browser.evaluate(focus) == "live-again"
    browser.evaluate("document.activeElement.click()")
    skeleton = browser.evaluate(f"{block}.querySelector('.live-text').value")
    assert skeleton == student_function(IDS[0])


@needs_chromium
def test_a_text_is_kept_for_the_next_visit(site: Path, browser: Browser) -> None:
    number = IDS.index("judge-plan")
    graded(browser, number, "def attempt(fault, miss):\n    return 4\n")
    browser.open(site / "index.html")
    field = f"document.querySelectorAll('.live-text')[{number}].value"
    assert browser.evaluate(field) == "def attempt(fault, miss):\n    return 4\n"


def test_without_javascript_there_is_code_and_a_way() -> None:
    html = live.block("tree-mask", "course")
    assert 'data-exercise="tree-mask"' in html
    assert 'data-assets="../assets/live"' in html
    assert 'src="../assets/live.js"' in html
    code = re.search("<code>(.*?)</code>", html, re.DOTALL)
    assert code is not None
    assert code[1].startswith("def attempt(parents, length):")
    assert "specref grade FOLDER/tree_mask.py" in html


def test_the_page_of_mistakes_has_each_with_its_distance() -> None:
    text = live.mistakes()
    rows = re.findall(r'^\| <span id="([\w-]+)">.*?</span> \| .* \|$', text, re.MULTILINE)
    known = [one.id for id in IDS for one in load_exercise(id).mistakes]
    assert rows == known
    assert len(set(known)) == len(known)
    # by hand, in test_grade
    assert re.search(r"rejection-step--redraw-from-p.*\| 15/64 \|$", text, re.MULTILINE)


def test_an_unknown_exercise_fails_the_build() -> None:
    with pytest.raises(LookupError, match="has the exercise 'nothing', which is not one of"):
        live.block("nothing")


def test_the_assets_are_small_and_carry_their_notice(site: Path) -> None:
    files = sorted((site / live.ASSETS).iterdir())
    assert [file.name for file in files] == ["brython.js", "grader.js", "library.js"]
    assert sum(file.stat().st_size for file in files) < 3_000_000
    assert "BSD-3-Clause" in files[0].read_text()[:200]
