"""The lesson, line by line, and where this project shows each line: docs/lesson.yaml.

`table` renders it as a page; `faults` holds it against the built site, and `make docs` fails on
what it finds.
"""

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from docs.parsed import Shown

FILE = Path(__file__).parent / "lesson.yaml"
WANTED = ("page", "module", "exercise", "result")


@dataclass(frozen=True)
class Line:
    """One line of the lesson. reason: why something of WANTED is not there."""

    line: int
    says: str
    page: str = ""
    module: str = ""
    exercise: str = ""
    result: str = ""
    reason: str = ""

    @property
    def lacks(self) -> list[str]:
        return [name for name in WANTED if not getattr(self, name)]


def read_lines(entries: Iterable[Mapping[str, Any]]) -> list[Line]:
    """Errors:
    ValueError for an entry that has another key, or lacks its line or words.
    """
    lines = []
    for entry in entries:
        try:
            lines.append(Line(**entry))
        except TypeError as error:
            raise ValueError(f"docs/lesson.yaml, line {entry.get('line')}: {error}") from None
    return lines


@cache
def lines() -> tuple[Line, ...]:
    return tuple(read_lines(yaml.safe_load(FILE.read_text(encoding="utf-8"))))


def table(source_link: Mapping[str, str]) -> str:
    """Markdown. source_link: path of a source file -> the link to its page."""
    rows = ["| line | the lesson's point | page | code | exercise | measured |"]
    rows += ["| ---: | --- | --- | --- | --- | --- |"]
    for one in lines():
        page = f"[{_words(one.page)}]({one.page})" if one.page else "–"
        name = posixpath.basename(one.module)
        code = f"[`{name}`]({source_link[one.module]})" if one.module else "–"
        exercise = f"`{one.exercise}`" if one.exercise else "–"
        measured = f"`{one.result}.json`" if one.result else "–"
        says = f"{one.says} *{one.reason}*" if one.reason else one.says
        rows.append(f"| {one.line} | {says} | {page} | {code} | {exercise} | {measured} |")
    return "\n".join(rows) + "\n"


def _words(page: str) -> str:
    """course/5-how-fast.md#by-hand -> Part 5: by hand"""
    path, _, anchor = page.partition("#")
    name = posixpath.basename(path).removesuffix(".md")
    if not path.startswith("course/"):
        return name.replace("-", " ")
    return f"Part {name[0]}: {anchor.replace('-', ' ')}"


def faults(
    found: Sequence[Line], site: Path, pages: Mapping[str, Shown], root: Path
) -> Iterable[str]:
    """What is wrong with the lines, held against the built site."""
    if [one.line for one in found] != list(range(1, len(found) + 1)):
        yield "lesson.yaml: the lines are not numbered 1, 2, 3 without a gap"
    for one in found:
        if one.lacks and not one.reason:
            yield f"lesson.yaml, line {one.line}: has no {', no '.join(one.lacks)}, and no reason"
        for wrong in _wrong(one, site, pages, root):
            yield f"lesson.yaml, line {one.line}: {wrong}"


def _wrong(one: Line, site: Path, pages: Mapping[str, Shown], root: Path) -> Iterable[str]:
    if not one.page:
        return
    path, _, anchor = one.page.partition("#")
    name = path.removesuffix(".md") + ".html"
    if name not in pages:
        yield f"there is no page {path}"
        return
    if anchor and anchor not in pages[name].anchors:
        yield f"{path} has no anchor {anchor}"
    if one.module and one.module not in {shown for shown, _, _ in pages[name].code}:
        yield f"{path} shows no code of {one.module}"
    html = (site / name).read_text(encoding="utf-8")
    if one.exercise and f'data-exercise="{one.exercise}"' not in html:
        yield f"{path} has no exercise {one.exercise}"
    if one.result and f'data-result="{one.result}"' not in html:
        yield f"{path} renders nothing of docs/results/{one.result}.json"
    if one.result and not (root / "docs" / "results" / f"{one.result}.json").is_file():
        yield f"docs/results/{one.result}.json does not exist"
