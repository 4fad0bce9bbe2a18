"""The quiz of docs/quiz/quiz.yaml in a page.

Every item can be read without JavaScript, with its answer behind a click; docs/pages/assets/quiz.js
marks choices and keeps the score.
"""

import posixpath
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).parent / "quiz" / "quiz.yaml"
SETS = ("lesson", "bank")

_ITEM = """\
<form class="quiz-item" id="quiz-{id}" data-quiz="{id}">
<fieldset>
<legend>{stem}</legend>
{options}
</fieldset>
<details class="quiz-reasons">
<summary>Answer and reasons</summary>
<ul>
{reasons}
</ul>
<p>A common mistake: {misconception} <a href="{anchor}">Read more</a>.</p>
</details>
</form>
"""
_OPTION = '<label><input type="radio" name="{id}" value="{number}"> <span>{text}</span></label>'
_REASON = '<li data-option="{number}"{right}><b>{word}: {text}.</b> {why}</li>'


@dataclass(frozen=True)
class Option:
    text: str
    why: str
    right: bool


@dataclass(frozen=True)
class Item:
    """One question. anchor: the page that answers it, below docs/pages."""

    id: str
    set: str
    part: int
    stem: str
    misconception: str
    anchor: str
    options: tuple[Option, ...]


def read_item(entry: dict[str, Any]) -> Item:
    """One entry of the file.

    Errors:
        ValueError that names the item and what is wrong with it.
    """
    try:
        options = tuple(
            Option(option["text"], option["why"], option.get("right", False))
            for option in entry["options"]
        )
        item = Item(**(entry | {"options": options}))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"quiz item {entry.get('id')}: {error} is missing or wrong") from None
    wrong = {
        f"its set is {item.set!r}": item.set not in SETS,
        f"its part is {item.part!r}": item.part not in range(1, 9),
        "it needs exactly one right option": sum(option.right for option in options) != 1,
        "it needs three options or more": len(options) < 3,
        "two options are alike": len({option.text for option in options}) < len(options),
        "a text is empty or no text": not _texts_are_good(item),
    }
    for told, holds in wrong.items():
        if holds:
            raise ValueError(f"quiz item {item.id}: {told}")
    return item


def _texts_are_good(item: Item) -> bool:
    texts = [item.id, item.stem, item.misconception, item.anchor]
    for option in item.options:
        texts += [option.text, option.why]
    return all(isinstance(text, str) and text.strip() for text in texts)


@cache
def items(file: Path = FILE) -> dict[str, Item]:
    """All items by id, with their options in an order that says nothing about the right one."""
    found: dict[str, Item] = {}
    for entry in yaml.safe_load(file.read_text(encoding="utf-8")):
        item = read_item(entry)
        if item.id in found:
            raise ValueError(f"quiz item {item.id}: there are two of it")
        found[item.id] = item
    rank = {id: place for place, id in enumerate(sorted(found, key=_hash))}
    return {id: _shuffled(item, rank[id]) for id, item in found.items()}


def _shuffled(item: Item, rank: int) -> Item:
    """The same in every build: the right option at each place equally often, the others by hash."""
    (right,) = [option for option in item.options if option.right]
    wrong = [option for option in item.options if not option.right]
    order = sorted(wrong, key=lambda option: _hash(item.id + option.text))
    order.insert(rank % len(item.options), right)
    parts = vars(item) | {"options": tuple(order)}
    return Item(**parts)


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def chosen(*names: str) -> list[Item]:
    """Items by id, by set ("lesson", "bank") or by part ("part-3", both sets).

    Errors:
        LookupError for a name that means none.
    """
    known = items()
    result: list[Item] = []
    for name in names:
        if name in known:
            found = [known[name]]
        else:
            found = [item for item in known.values() if name in (item.set, f"part-{item.part}")]
        if not found:
            raise LookupError(f"a page has the quiz {name!r}, which is no item, set or part")
        result += [item for item in found if item not in result]
    return result


def block(*names: str, here: str = "") -> str:
    """Items in a page of the site. here: the page's folder."""
    parts = ['<div class="quiz">', *(_html(item, here) for item in chosen(*names)), "</div>"]
    script = posixpath.relpath("assets/quiz.js", here or ".")
    return "\n".join([*parts, f'<script src="{script}" defer></script>', ""])


def _html(item: Item, here: str) -> str:
    options, reasons = [], []
    for number, option in enumerate(item.options):
        text = escape(option.text)
        options.append(_OPTION.format(id=item.id, number=number, text=text))
        reasons.append(
            _REASON.format(
                number=number,
                right=' data-right="yes"' if option.right else "",
                word="Right" if option.right else "Wrong",
                text=text.rstrip("."),
                why=escape(option.why),
            )
        )
    page, _, place = item.anchor.partition("#")
    address = posixpath.relpath(page.removesuffix(".md") + ".html", here or ".")
    return _ITEM.format(
        id=item.id,
        stem=escape(item.stem),
        options="\n".join(options),
        reasons="\n".join(reasons),
        misconception=escape(item.misconception),
        anchor=f"{address}#{place}" if place else address,
    )
