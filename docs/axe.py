"""Contrast, labels and names of the built pages, by axe-core (npm, MPL-2.0), in both schemes.

`npm install --no-save axe-core@4.14.1` brings it; AXE in the environment names another file.
Without it nothing is known, and `make docs` says so.
"""

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from docs.browser import Browser

ROOT = Path(__file__).resolve().parents[1]
SCHEMES = ("light", "dark")
SERIOUS = ("serious", "critical")

_RUN = """\
axe.run(document, {resultTypes: ["violations"]}).then(found => JSON.stringify(
  found.violations.map(({id, impact, nodes}) => ({
    id, impact, nodes: nodes.map(node => [node.html.slice(0, 120), node.failureSummary])
  }))))"""


def axe_path() -> Path | None:
    """axe.min.js of this machine, or None."""
    named = os.environ.get("AXE")
    path = Path(named) if named else ROOT / "node_modules" / "axe-core" / "axe.min.js"
    return path if path.is_file() else None


def main_pages(site: Path) -> list[Path]:
    """The course, and the pages of the top level."""
    return [*sorted(site.glob("*.html")), *sorted((site / "course").glob("*.html"))]


def violations(browser: Browser, script: str) -> list[dict[str, Any]]:
    """What axe finds in the open page that is serious or worse."""
    browser.evaluate(script + "\n; 0")
    found: list[dict[str, Any]] = json.loads(browser.evaluate(_RUN))
    return [one for one in found if one["impact"] in SERIOUS]


def inaccessible(pages: Sequence[Path], path: str, axe: Path) -> Iterable[str]:
    """One line for each rule that a page breaks. path: of Chromium."""
    script = axe.read_text(encoding="utf-8")
    with Browser(path) as browser:
        for scheme in SCHEMES:
            feature = {"name": "prefers-color-scheme", "value": scheme}
            browser.command("Emulation.setEmulatedMedia", features=[feature])
            for page in pages:
                browser.open(page)
                browser.evaluate("localStorage.clear()")  # the theme keeps the first scheme
                browser.open(page)
                for one in violations(browser, script):
                    html, why = one["nodes"][0]
                    yield (
                        f"{page.name}, {scheme}: {one['id']}, {len(one['nodes'])} times, first"
                        f" {html!r}: {' '.join(why.split())}"
                    )
