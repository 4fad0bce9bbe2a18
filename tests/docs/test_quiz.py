"""The quiz: its file, its numbers, its pages and its exports.

Protects: that every option has its reason, that a number in an answer is right, that no order gives
the answer away, that an export loses nothing, and that progress is kept.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from html import unescape
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree
from zipfile import ZipFile

import pytest

from docs import quiz_export, quiz_page
from docs.browser import Browser, browser_path

CHROMIUM = browser_path()
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium here: install one, or name it by CHROMIUM"
)
PAGES = Path(__file__).parents[2] / "docs" / "pages"
ITEMS = quiz_page.items()


def right_option(item: quiz_page.Item) -> quiz_page.Option:
    return next(option for option in item.options if option.right)


def right(id: str) -> str:
    return right_option(ITEMS[id]).text


def test_fifteen_for_the_lesson_and_fifteen_more() -> None:
    assert Counter(item.set for item in ITEMS.values()) == {"lesson": 15, "bank": 15}
    assert {item.part for item in ITEMS.values()} == {1, 2, 3, 4, 5, 6, 7, 8}
    assert len({item.misconception for item in ITEMS.values()}) == 30


def test_the_place_of_the_right_option_says_nothing() -> None:
    places = [item.options.index(right_option(item)) for item in ITEMS.values()]
    assert set(Counter(places).values()) == {7, 8}
    following = Counter(pairwise(places))  # nor does the place before
    assert max(following.values()) <= 5


def test_the_length_of_the_right_option_says_nothing() -> None:
    """The longest of four is the right one in a quarter of the items, by chance."""
    longest = 0
    for item in ITEMS.values():
        lengths = {len(option.text): option.right for option in item.options}
        longest += lengths[max(lengths)]
    assert longest <= 10


def test_every_item_leads_to_a_page() -> None:
    """That its anchor is there, docs.check finds in the built site."""
    for item in ITEMS.values():
        assert (PAGES / item.anchor.partition("#")[0]).is_file(), item.id


def test_numbers_in_the_answers() -> None:
    p = [Fraction(1, 2), Fraction(3, 10), Fraction(1, 5)]
    q = [Fraction(1, 10), Fraction(3, 10), Fraction(3, 5)]
    alpha = sum(map(min, p, q))
    assert right("acceptance-and-overlap") == str(alpha) == "3/5"
    assert right("redraw-from-p") == f"{min(p[0], q[0]) + (1 - alpha) * p[0]} of the time"
    tokens = sum(0.6**i for i in range(5))
    assert right("speedup-by-hand") == f"about {tokens / 1.4:.2f}"
    assert right("acceptance-in-a-log") == str(Fraction(4 + 0, 4 + 1))
    assert right("no-finding") == str(next(n for n in range(99) if 0.9**n <= 0.05))
    others = {option.text for option in ITEMS["speedup-by-hand"].options}
    assert {f"about {(1 + 4 * 0.6) / 1.4:.2f}", f"about {tokens:.2f}"} < others
    assert f"about {(tokens - 1) / 1.4:.2f}" in others


B = {"text": "b", "why": "w"}
BAD: dict[str, dict[str, object]] = {
    "no right one": {"options": [{"text": str(n), "why": "w"} for n in range(3)]},
    "two alike": {"options": [{"text": "a", "why": "w", "right": True}, B, B]},
    "no reason": {"options": [{"text": "a", "right": True}]},
    "an empty text": {"stem": " "},
    "another set": {"set": "exam"},
    "another part": {"part": 9},
    "another key": {"hint": "h"},
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_item_is_refused_by_its_id(case: str) -> None:
    options = [{"text": "a", "why": "w", "right": True}, *({"text": t, "why": "w"} for t in "bc")]
    good: dict[str, object] = {
        "id": "one", "set": "bank", "part": 1, "stem": "s", "misconception": "m", "anchor": "a.md",
        "options": options,
    }  # fmt: skip
    assert quiz_page.read_item(good).id == "one"
    with pytest.raises(ValueError, match="quiz item one: "):
        quiz_page.read_item(good | BAD[case])


def test_a_page_chooses_by_id_set_and_part() -> None:
    assert [item.id for item in quiz_page.chosen("coin", "ties")] == ["coin", "ties"]
    assert len(quiz_page.chosen("lesson", "bank", "part-3", "coin")) == 30
    assert {item.part for item in quiz_page.chosen("part-3")} == {3}
    with pytest.raises(LookupError, match="has the quiz 'part-9', which is no item"):
        quiz_page.chosen("part-9")


def test_without_javascript_everything_can_be_read() -> None:
    html = quiz_page.block("lesson", "bank", here="course")
    plain = ElementTree.fromstring(re.sub(r"<script.*?</script>|<input[^>]*>", "", html))
    text = " ".join("".join(plain.itertext()).split())
    for item in ITEMS.values():
        assert item.stem in text
        assert item.misconception in text
        for option in item.options:
            assert option.text in text
            assert option.why in text
    assert 'href="../rooms/verify.html#rejection"' in html
    assert 'src="../assets/quiz.js"' in html


def test_gift_has_every_option_with_its_reason() -> None:
    text = quiz_export.gift(ITEMS.values())
    entries = re.findall(r"^::([\w-]+)::(.*?)^\}$", text, re.MULTILINE | re.DOTALL)
    assert [id for id, _ in entries] == list(ITEMS)
    for id, body in entries:
        stem, *lines = body.splitlines()
        assert unescaped(stem).removesuffix(" {") == ITEMS[id].stem
        found = [re.fullmatch(r"  ([=~])(.*?) (?<!\\)#(.*)", line) for line in lines[:-1]]
        options = [(m[1] == "=", unescaped(m[2]), unescaped(m[3])) for m in found if m]
        assert options == [(o.right, o.text, o.why) for o in ITEMS[id].options]
        assert unescaped(lines[-1]) == f"  ####A common mistake: {ITEMS[id].misconception}"


def unescaped(text: str) -> str:
    """What GIFT reads. A sign without a backslash would mean something."""
    assert not re.search(r"(?<!\\)[~={}:]", text.removesuffix(" {"))
    return re.sub(r"\\(.)", r"\1", text)


def test_gift_escapes_what_would_mean_something() -> None:
    option = quiz_page.Option("a = {b}", "c: d ~ #", True)
    item = quiz_page.Item("x", "bank", 1, "e\\f", "g", "h", (option,))
    assert r"=a \= \{b\} #c\: d \~ \#" in quiz_export.gift([item])
    assert r"::x::e\\f {" in quiz_export.gift([item])


def test_qti_has_every_item_and_option_and_marks_the_right_one(tmp_path: Path) -> None:
    file = tmp_path / "quiz.zip"
    assert quiz_export.main(["--qti", str(file)]) == 0
    with ZipFile(file) as package:
        names = [name for name in package.namelist() if name.endswith(".xml")]
        trees = {name: ElementTree.fromstring(package.read(name)) for name in names}
    manifest = trees.pop("imsmanifest.xml")
    listed = {element.get("href") for element in manifest.iter() if element.get("href")}
    assert set(trees) <= listed
    name = "{http://www.imsglobal.org/xsd/ims_qtiasiv1p2}"
    items = [item for tree in trees.values() for item in tree.iter(f"{name}item")]
    assert [item.get("title") for item in items] == list(ITEMS)
    for element, item in zip(items, ITEMS.values()):
        labels = list(element.iter(f"{name}response_label"))
        texts = [shown("".join(label.itertext())) for label in labels]
        assert texts == [option.text for option in item.options]
        scored = [one for one in element.iter(f"{name}respcondition") if gives_all(one, name)]
        (right_one,) = {value.text for one in scored for value in one.iter(f"{name}varequal")}
        assert [label.get("ident") == right_one for label in labels] == [
            option.right for option in item.options
        ]
        everything = shown("".join(element.itertext()))
        assert item.stem in everything
        assert all(option.why in everything for option in item.options)


def gives_all(condition: ElementTree.Element, name: str) -> bool:
    """Whether this condition gives 100 of 100 points."""
    return any(setvar.text == "100" for setvar in condition.iter(f"{name}setvar"))


def shown(html: str) -> str:
    """The text of a piece of HTML inside XML."""
    plain = unescape(re.sub(r"<[^>]*>", "", html)).replace("\u2019", "'")
    return " ".join(plain.split())


def test_an_export_of_nothing_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for words, told in (([], "nothing to write"), (["--gift", "x", "--only", "y"], "is no item")):
        with pytest.raises(SystemExit) as stop:
            quiz_export.main(words)
        assert stop.value.code == 2
        assert told in capsys.readouterr().err


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("quiz")
    (folder / "assets").mkdir()
    script = (PAGES / "assets" / "quiz.js").read_text()
    (folder / "assets" / "quiz.js").write_text(script)
    html = f'<!doctype html><meta charset="utf-8">{quiz_page.block("lesson")}'
    (folder / "index.html").write_text(html)
    return folder / "index.html"


@pytest.fixture(scope="module")
def browser(page: Path) -> Iterator[Browser]:
    assert CHROMIUM is not None
    with Browser(CHROMIUM) as opened:
        opened.open(page)
        yield opened


COUNT = "document.querySelector('.quiz-count').textContent"


def answer(browser: Browser, id: str, is_right: bool) -> str:
    """Choose an option and check it; the verdict."""
    options = ITEMS[id].options
    number = next(i for i, option in enumerate(options) if option.right == is_right)
    form = f"document.querySelector('#quiz-{id}')"
    browser.evaluate(f"{form}.querySelector('input[value=\"{number}\"]').click()")
    browser.evaluate(f"{form}.querySelector('.quiz-check').click()")
    return browser.evaluate(f"{form}.querySelector('.quiz-verdict').textContent")


@needs_chromium
def test_score_progress_and_their_file(page: Path, browser: Browser) -> None:
    wrong = next(option for option in ITEMS["coin"].options if not option.right)
    said = answer(browser, "coin", is_right=False)
    assert said == f"Wrong: {wrong.text}. {wrong.why}"
    assert answer(browser, "coin", is_right=True).startswith("Right: ")
    assert answer(browser, "less-compute", is_right=True).startswith("Right: ")
    counted = "1 right at the first try, of 2 answered; 15 in all."
    assert browser.evaluate(COUNT) == counted
    # after a new visit
    browser.open(page)
    assert browser.evaluate(COUNT) == counted
    assert browser.evaluate("document.querySelectorAll('.quiz-item input:checked').length") == 2
    # saved, forgotten, loaded
    browser.evaluate(
        "{ const make = URL.createObjectURL;"
        " URL.createObjectURL = blob => { window.saved = blob; return make.call(URL, blob); };"
        " document.querySelector('.quiz-save').click(); URL.createObjectURL = make; }"
    )
    text = browser.evaluate("window.saved.text()")
    kept = json.loads(json.loads(text)["kept"]["specref.quiz"])
    assert kept["coin"]["first"] == "wrong"
    assert kept["coin"]["last"] == "right"
    assert kept["coin"]["tries"] == 2
    browser.evaluate("localStorage.clear()")
    browser.open(page)
    assert browser.evaluate(COUNT) == "0 right at the first try, of 0 answered; 15 in all."
    load(browser, "no progress")
    assert browser.evaluate(COUNT) == "This file holds no progress of this site."
    load(browser, text)
    browser.open(page)
    assert browser.evaluate(COUNT) == counted


def load(browser: Browser, text: str) -> None:
    """Give the page a file, as its file chooser does, and wait until it has answered."""
    browser.evaluate(
        "new Promise(done => {"
        " const files = new DataTransfer();"
        f" files.items.add(new File([{json.dumps(text)}], 'progress.json'));"
        " const field = document.querySelector('.quiz-score input');"
        " field.files = files.files;"
        " new MutationObserver(() => done(1)).observe("
        "document.querySelector('.quiz-count'), {childList: true});"
        " field.dispatchEvent(new Event('change')); })"
    )


@needs_chromium
def test_with_the_keyboard_alone(page: Path, browser: Browser) -> None:
    browser.evaluate("localStorage.clear()")
    browser.open(page)
    browser.press("Tab", 9)
    assert browser.evaluate("document.activeElement.type") == "radio"
    browser.press(" ", 32)
    browser.press("Enter", 13)
    browser.evaluate("document.activeElement.form.requestSubmit()")
    first = next(iter(ITEMS.values()))
    word = "Right" if first.options[0].right else "Wrong"
    said = "document.querySelector('.quiz-verdict[role=status]').textContent"
    assert browser.evaluate(said).startswith(f"{word}: {first.options[0].text}.")


@needs_chromium
def test_nothing_chosen_is_said(page: Path, browser: Browser) -> None:
    browser.evaluate("localStorage.clear()")
    browser.open(page)
    browser.evaluate("document.querySelector('.quiz-check').click()")
    said = "document.querySelector('.quiz-verdict').textContent"
    assert browser.evaluate(said) == "Choose an answer first."
