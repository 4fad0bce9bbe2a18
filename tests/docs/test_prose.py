"""No number in the prose of a page without something that holds it, and no table without its
sentence.

Protects: a number that was typed once and is wrong after the next measurement; a table that says
something bad in silence.
"""

import re
from pathlib import Path

import pytest

from docs import prose

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "pages").rglob("*.md"))


def test_every_number_in_prose_is_held() -> None:
    assert list(prose.unheld()) == []


@pytest.mark.parametrize(
    ("page", "left"),
    [
        ("It is 2.59 times as fast.", {"2.59"}),
        ("Sampled 1,234 texts, and .95 of them.", {"1,234", ".95"}),
        ("It took 37 ms in 2024 (arXiv:2211.17192, equation 1), issue 4321 and #77.", {"37"}),
        ("A draft of 5 tokens in part 3.", set()),
        ("`seed 1234`, [a link](page.md#1234) and <b id='1234'>words</b>", set()),
        ('{{ number("bench", "speedup.sampled", "{:.77f}") }}', set()),
        ("\\(x = 1234\\) and\n\\[\ny = 5678\n\\]", set()),
        ("It prints 408.\n\n```python\nprint(17 * 24)\n```\n", set()),
        ("It prints 409.\n\n```python\nprint(17 * 24)\n```\n", {"409"}),
        ("It starts from 24.\n\n```python\nprint(17 * 24)\n```\n", set()),
        ("Not run: 99.\n\n```text\n98\n```\n", {"99"}),
    ],
)
def test_typed_numbers_are_found(page: str, left: set[str]) -> None:
    assert prose.typed(page, "page") == left


def test_a_holder_has_to_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one.md").write_text("It takes 37 and 38 and 39 steps.")
    (tmp_path / "two.md").write_text("Nothing.")
    monkeypatch.setattr(prose, "PAGES", tmp_path)
    reasons = {
        "one.md": {"37": "Makefile", "38": "no/such/file", "39": "a reason in words"},
        "two.md": {"40": "a reason in words"},
    }
    monkeypatch.setattr(prose, "allowed", lambda: reasons)
    assert list(prose.unheld(tmp_path)) == [
        "one.md: Makefile does not hold 37",
        "one.md: no/such/file does not hold 38",
        "two.md: 40 needs no reason in typed_numbers.yaml any more",
    ]


def test_no_line_begins_with_the_number_of_an_issue() -> None:
    """Markdown would make a heading of it."""
    for page in PAGES:
        assert not re.findall(r"^#+\d.*", page.read_text(encoding="utf-8"), re.M), page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_table_has_its_sentence(page: Path) -> None:
    assert prose.silent_tables(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("page", "silent"),
    [
        ('{{ result("bench") }}\n\nWhat it shows: little.\n', []),
        ('{{ result("bench") }}\n\n![plot](a.svg)\n\nWhat it shows: little.\n', []),
        ('{{ result("bench") }}\n\n## Next\n\nWhat it shows: little.\n', ["bench"]),
        (
            '{{ result("bench", "a") }}\n\n{{ result("zoo") }}\n\nWhat they show: little.\n',
            ["bench"],
        ),
        ('{{ result("bench") }}\n', ["bench"]),
    ],
)
def test_silent_tables_are_found(page: str, silent: list[str]) -> None:
    assert prose.silent_tables(page) == silent
