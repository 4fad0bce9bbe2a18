"""The quiz for a learning platform: `python -m docs.quiz_export --qti FILE.zip --gift FILE.txt`.

QTI is made by text2qti, for Canvas and others; GIFT is Moodle's own text format. `--only` chooses
items as a page does: lesson, bank, part-3, or ids.
"""

import argparse
import re
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from docs.quiz_page import Item, Option, chosen

TITLE = "Speculative decoding"
LICENSE = "CC BY 4.0, specref"


def gift(items: Iterable[Item]) -> str:
    """Moodle's GIFT: every option with its reason, the misconception as general feedback."""
    parts = [f"// {TITLE}. {LICENSE}"]
    for item in items:
        lines = [f"::{_gift(item.id)}::{_gift(item.stem)} {{"]
        for option in item.options:
            sign = "=" if option.right else "~"
            lines.append(f"  {sign}{_gift(option.text)} #{_gift(option.why)}")
        lines += [f"  ####{_gift(_mistake(item))}", "}"]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _gift(text: str) -> str:
    """A text without meaning for GIFT."""
    return re.sub(r"([~=#{}:\\])", r"\\\1", text)


def qti_text(items: Iterable[Item]) -> str:
    """What text2qti reads: Markdown, with letters for options and `...` for feedback."""
    parts = [f"Quiz title: {TITLE}", f"Quiz description: {LICENSE}"]
    for number, item in enumerate(items, 1):
        lines = [f"Title: {item.id}", "Points: 1", f"{number}. {_markdown(item.stem)}"]
        lines.append(f"... {_markdown(_mistake(item))}")
        for letter, option in zip("abcdefgh", item.options):
            lines += _qti_option(letter, option)
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _qti_option(letter: str, option: Option) -> list[str]:
    star = "*" if option.right else ""
    return [f"{star}{letter}) {_markdown(option.text)}", f"... {_markdown(option.why)}"]


def _markdown(text: str) -> str:
    """A text without meaning for Markdown."""
    return re.sub(r"([\\`*_\[\]<>$^~])", r"\\\1", text)


def _mistake(item: Item) -> str:
    return f"A common mistake: {item.misconception}"


def qti(items: Iterable[Item]) -> bytes:
    """A QTI 1.2 package, as a zip."""
    from text2qti.config import Config
    from text2qti.qti import QTI
    from text2qti.quiz import Quiz

    quiz = Quiz(qti_text(items), config=Config(), source_name="quiz")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "quiz.zip"
        QTI(quiz).save(file)
        return file.read_bytes()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m docs.quiz_export", description=__doc__)
    parser.add_argument("--qti", type=Path, metavar="FILE", help="write a QTI package")
    parser.add_argument("--gift", type=Path, metavar="FILE", help="write Moodle GIFT")
    parser.add_argument("--only", nargs="+", default=["lesson", "bank"], metavar="NAME")
    args = parser.parse_args(arguments)
    if args.qti is None and args.gift is None:
        parser.error("nothing to write: give --qti, --gift or both")
    try:
        items = chosen(*args.only)
    except LookupError as error:
        parser.error(str(error))
    if args.gift is not None:
        args.gift.write_text(gift(items), encoding="utf-8")
    if args.qti is not None:
        args.qti.write_bytes(qti(items))
    print(f"{len(items)} items written")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
