"""Looks at the built site and says what is wrong with it: `python -m docs.check [SITE]`, after the
build.

Nothing may come from another host; every link and anchor must lead somewhere; code that a page
shows must be the code that is in the repository now; every room must show some, and every file must
have a page; commands must be possible.
"""

import json
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from docs import axe, lesson
from docs.browser import browser_path
from docs.hooks import fences, generated, source
from docs.live_check import wrong_in_pages
from docs.parsed import Shown, external, read, urls

ROOT = Path(__file__).resolve().parents[1]
# What people of the field search for
FIELD = (
    "bandwidth",
    "roofline",
    "rejection sampling",
    "paged attention",
    "continuous batching",
    "EAGLE",
    "Leviathan",
    "exercise",
    "first-token time",
    "acceptance rate",
)


def other_hosts(site: Path, pages: dict[str, Shown]) -> Iterable[str]:
    """What a browser would fetch from elsewhere. A link that a reader may follow is no fetch."""
    for name, page in pages.items():
        yield from (f"{name}: loads {address}" for address in page.loads if external(address))
        yield from (f"{name}: the theme would fetch {what}" for what in page.fetching)
    for path in sorted(site.rglob("*.css")):
        found = urls(path.read_text())
        yield from (
            f"{path.relative_to(site)}: loads {address}" for address in found if external(address)
        )
    theme = set((site / "assets").rglob("*.js"))
    for path in sorted(set(site.rglob("*.js")) - theme):
        yield from (
            f"{path.relative_to(site)}: imports {address}"
            for address in re.findall(
                r"(?:import|fetch|importScripts)\(?\s*[\"']((?:https?:)?//[^\"']+)",
                path.read_text(),
            )
        )


def dead_ends(site: Path, pages: dict[str, Shown]) -> Iterable[str]:
    """Links, anchors and files that lead nowhere."""
    for name, page in pages.items():
        for address in page.links + page.loads:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            target = (site / name).parent / unquote(parts.path) if parts.path else site / name
            target = target / "index.html" if target.is_dir() else target
            if not target.exists():
                yield f"{name}: {address} does not exist"
            elif parts.fragment and target.suffix == ".html":
                other = pages[target.resolve().relative_to(site.resolve()).as_posix()]
                if unquote(parts.fragment) not in other.anchors:
                    yield f"{name}: {address} has no such anchor"


def drifted(pages: dict[str, Shown], root: Path) -> Iterable[str]:
    """Code that is not, letter by letter, what the repository holds."""
    for name, page in pages.items():
        for path, names, text in page.code:
            try:
                now = source.shown(root, path, tuple(names.split()))
            except (LookupError, OSError) as error:
                now = str(error)
            if text.strip() != now.strip():
                yield f"{name}: shows {path} {names} as it is not"


def missing(pages: dict[str, Shown], root: Path) -> Iterable[str]:
    """Rooms without code, and files without a page."""
    for room in generated.rooms(root):
        page = pages.get(f"rooms/{room}.html")
        if page is None or not page.code:
            yield f"rooms/{room}.html: is missing, or shows no code of {room}"
        elif not any(
            Path(path).parts[:3]
            in (("reference", "specref", room), ("reference", "specref", f"{room}.py"))
            for path, _, _ in page.code
        ):
            yield f"rooms/{room}.html: shows no code of reference/specref/{room}"
    yield from (
        f"{path}: has no page" for path in source.pages(root) if f"source/{path}.html" not in pages
    )
    yield from (
        f"{path}: is not brought in"
        for path in generated.proof_files(root)
        if path.replace("README.md", "index.md").replace(".md", ".html") not in pages
    )


def unexpanded(pages: dict[str, Shown]) -> Iterable[str]:
    """Calls and formulas that were left as they were written, outside source files."""
    for name, page in pages.items():
        if not name.startswith("source/"):
            text = "".join(page.texts)
            yield from (
                f"{name}: still has {found}"
                for found in re.findall(r"\{\{.{0,40}|\\\(.{0,40}", text)
            )


def examples(root: Path) -> Iterable[str]:
    """README fences that fail (those of the pages ran in the build), and commands that nobody could
    give.
    """
    names: dict[str, object] = {"__name__": "example"}
    for path in [root / "README.md", *sorted((root / "docs" / "pages").rglob("*.md"))]:
        name = path.relative_to(root).as_posix()
        yield from (
            f"{name}: {wrong}" for wrong in fences.impossible(path.read_text(), root / "Makefile")
        )
    for code in fences.fences((root / "README.md").read_text(), "python"):
        try:
            fences.run(code, names, "README.md")
        except RuntimeError as error:
            yield str(error)


def searchable(site: Path) -> Iterable[str]:
    """The search must have its index and the shim that lets it work from file://."""
    index = site / "search" / "search_index.js"
    entries = (
        json.loads(index.read_text().removeprefix("var __index = "))["docs"]
        if index.exists()
        else []
    )
    if not any(entry["location"].startswith("rooms/verify") for entry in entries):
        yield "search/search_index.js: does not know rooms/verify"
    known = " ".join(f"{entry['title']} {entry['text']}" for entry in entries).lower()
    yield from (
        f"search/search_index.js: no page has the words {words!r}"
        for words in FIELD
        if entries and words.lower() not in known
    )
    if "assets/iframe-worker.js" not in (site / "index.html").read_text():
        yield "index.html: lacks assets/iframe-worker.js, so search fails from file://"


def live_exercises(site: Path) -> Iterable[str]:
    """Exercises in the pages that Chromium cannot grade. Without Chromium nothing is known."""
    path = browser_path()
    if path is None:
        print("      no Chromium here: exercises in the pages were not tried", file=sys.stderr)
        return
    yield from wrong_in_pages(site, path)


def accessible(site: Path) -> Iterable[str]:
    """What axe finds in the main pages. Without axe or Chromium nothing is known."""
    path, axe_script = browser_path(), axe.axe_path()
    if path is None or axe_script is None:
        print(
            "      no axe-core or no Chromium here: contrast and labels not tried", file=sys.stderr
        )
        return
    yield from axe.inaccessible(axe.main_pages(site), path, axe_script)


def main(arguments: list[str]) -> int:
    site = Path(arguments[0]) if arguments else ROOT / "site"
    if not (site / "index.html").exists():
        print(f"{site} holds no built site: run make docs first", file=sys.stderr)
        return 2
    pages = read(site)
    checks: dict[str, Callable[[], Iterable[str]]] = {
        "nothing from other hosts": lambda: other_hosts(site, pages),
        "no dead ends": lambda: dead_ends(site, pages),
        "code as it is in the repository": lambda: drifted(pages, ROOT),
        "nothing missing": lambda: missing(pages, ROOT),
        "everything expanded": lambda: unexpanded(pages),
        "examples and commands work": lambda: examples(ROOT),
        "search works offline": lambda: searchable(site),
        "lesson map complete": lambda: lesson.faults(lesson.lines(), site, pages, ROOT),
        "contrast and labels": lambda: accessible(site),
        "exercises are graded in their pages": lambda: live_exercises(site),
    }
    wrong = 0
    for what, check in checks.items():
        found = list(check())
        wrong += len(found)
        print(f"{'FAIL' if found else 'ok':4}  {what}")
        for line in found:
            print(f"      {line}")
    blocks, links = (
        sum(len(p.code) for p in pages.values()),
        sum(len(p.links) for p in pages.values()),
    )
    print(f"{len(pages)} pages, {blocks} blocks of real code, {links} links looked at in {site}")
    return 1 if wrong or not blocks or not links else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
