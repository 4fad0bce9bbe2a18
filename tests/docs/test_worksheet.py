"""The worksheet: every field stands on its page, and what is written is kept and can be saved.

Protects: an answer that is lost when the page is closed; a field without a place to write.
"""

from pathlib import Path

import pytest

from docs import worksheet
from docs.browser import Browser, browser_path

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = browser_path()


def test_each_field_stands_on_the_page_once() -> None:
    text = (ROOT / "docs" / "pages" / "course" / "worksheet.md").read_text(encoding="utf-8")
    for id in worksheet.FIELDS:
        assert text.count(f'{{{{ field("{id}") }}}}') == 1, id


def test_an_unknown_field_is_an_error() -> None:
    with pytest.raises(LookupError, match="no field 'colour'"):
        worksheet.field("colour")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_what_is_written_is_kept_and_saved(tmp_path: Path) -> None:
    (tmp_path / "assets").symlink_to(ROOT / "docs" / "pages" / "assets")
    page = tmp_path / "index.html"
    body = "\n".join(map(worksheet.field, worksheet.FIELDS)) + worksheet.page()
    page.write_text('<!doctype html><meta charset="utf-8">' + body, encoding="utf-8")
    shown = "document.querySelector('[data-worksheet-shown=verdict]').textContent"
    assert CHROMIUM is not None
    with Browser(CHROMIUM) as opened:
        opened.open(page)
        assert opened.evaluate(shown) == ""
        opened.evaluate("document.querySelector('[data-worksheet=verdict]').focus()")
        opened.type("PASS | TV .05\nfound")
        assert opened.evaluate(shown) == "PASS | TV .05\nfound"
        opened.open(page)
        assert opened.evaluate(shown) == "PASS | TV .05\nfound"
        rows = opened.evaluate("specrefWorksheet.markdown()").splitlines()
        unnamed = "area => !area.labels.length"
        areas = "[...document.querySelectorAll('textarea')]"
        assert opened.evaluate(f"{areas}.filter({unnamed}).length") == 0
    assert len(rows) == 4 + len(worksheet.FIELDS)
    assert rows[4 + list(worksheet.FIELDS).index("verdict")].endswith(
        r"| PASS \| TV .05<br>found |"
    )
