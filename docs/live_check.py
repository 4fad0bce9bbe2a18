"""Grades exercises in a page, as a reader does: Chromium, a page from file://, text and a click."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from docs.browser import Browser
from docs.live import MISTAKES

# Sets the text of one block, clicks, and waits for the block's event.
_GRADE = """\
new Promise(done => {
  const block = document.querySelectorAll(".live-rule")[%d];
  block.addEventListener("live-verdict", event => done(event.detail), {once: true});
  const field = block.querySelector(".live-text");
  if (%s !== null) field.value = %s;
  field.dispatchEvent(new Event("input"));
  block.querySelector(".live-grade").click();
})"""

_BLOCKS = "[...document.querySelectorAll('.live-rule')].map(block => block.dataset.exercise)"


def graded(browser: Browser, number: int, text: str | None = None) -> dict[str, Any]:
    """The verdict on a text in block `number` of the open page; None: on what stands there."""
    said = json.dumps(text)
    return browser.evaluate(_GRADE % (number, said, said))


def blocks(browser: Browser) -> list[str]:
    """The exercises of the open page."""
    return browser.evaluate(_BLOCKS)


def wrong_in_pages(site: Path, path: str) -> Iterable[str]:
    """Exercises in the built site whose skeleton does not get the verdict `wrong`, or a link that
    leads nowhere.

    path: of Chromium.
    """
    pages = [page for page in sorted(site.rglob("*.html")) if _has_blocks(page)]
    if not pages:
        yield "no page has an exercise to edit"
        return
    with Browser(path) as browser:
        for page in pages:
            browser.open(page)
            for number, id in enumerate(blocks(browser)):
                verdict = graded(browser, number)
                if verdict["verdict"] != "wrong":
                    yield f"{page.relative_to(site)}: {id}: {verdict['text'].splitlines()[0]}"
                elif not _is_explained(site, verdict["mistake_id"]):
                    yield f"{page.relative_to(site)}: {id}: {MISTAKES} has no mistake of this name"


def _is_explained(site: Path, mistake: str) -> bool:
    """Whether the page of mistakes has a row for this one."""
    page = site / MISTAKES
    return page.is_file() and f'id="{mistake}"' in page.read_text(encoding="utf-8")


def _has_blocks(page: Path) -> bool:
    return re.search(r'<div class="live-rule"', page.read_text(encoding="utf-8")) is not None
