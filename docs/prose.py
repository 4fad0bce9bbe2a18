"""Numbers that somebody typed into a page, and that nothing holds. `python -m docs.prose` lists
them.

A number in prose is held by a fence of its page that runs, or by what it prints; by the code that
the page shows; or by a kind of number that nothing measures, such as a year (HELD). What is left
has to stand in docs/typed_numbers.yaml with the file that holds it or a reason, or go into a result
file.
"""

import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml

from docs.hooks import fences, macros, source

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs" / "pages"
ALLOWED = Path(__file__).parent / "typed_numbers.yaml"

NUMBER = re.compile(r"(?<![\w.,#/^-])\d[\d,]*(?:\.\d+)?(?![\w])|(?<![\w.])\.\d+")
# Kind -> what it looks like. These are no measurements.
HELD = {
    "a year": r"\b(?:19|20)\d\d\b",
    "a paper": r"arXiv:\d{4}\.\d{5}",
    "an issue or a request": r"#\d+|\bissue \d+",
    "a part, section, line, theorem or equation": (
        r"(?i:part|section|algorithm|theorem|corollary|equation|line|proof|step|cycle|version|python|"
        r"symptom|node|position|head|row|slot|temperature|token|seed|TV) (?:T|S|C)?\d+(?:\.\d+)*"
    ),
    "the minutes that a part may take": r"About \d+ minutes",
    "a license": r"CC BY 4\.0|Apache-2\.0",
    "a type": r"\b(?:float|int|bfloat|uint|bf)\d+\b",
    "an exit code or a probability of certainty": r"\bexit(?:s|ed)?(?: code| with)* \d\b",
}
SMALL = 16  # counts of things up to here are read off the page, not measured


def held_by_page(markdown: str, where: str) -> str:
    """Everything on a page that holds numbers: fences with what they print, code, attributes."""
    written = "\n\n".join(match.group(0) for match in fences.FENCE.finditer(markdown))
    shown = [fences.with_output(written, where)]
    for call in macros.CALL.findall(markdown):
        name, values = macros.arguments(call)
        if name == "code":
            path, *names = map(str, values)
            shown.append(source.shown(ROOT, path, tuple(names)))
        elif name in ("predict", "figure"):
            shown.append(call)
    return "\n".join(shown)


def prose(markdown: str) -> str:
    """The words of a page: no fence, no call, no code, no formula, no address, no table."""
    text = fences.FENCE.sub("", markdown)
    text = macros.CALL.sub("", text)
    text = re.sub(r"\\\[.*?\\\]|\\\(.*?\\\)", "", text, flags=re.S)
    text = re.sub(r"`[^`]*`|\]\([^)]*\)|<[^>]*>|\{[^}]*\}", " ", text)
    for kind in HELD.values():
        text = re.sub(kind, " ", text)
    return text


def numbers(text: str) -> set[str]:
    return {found.rstrip(",") for found in NUMBER.findall(text)}


def is_small(number: str) -> bool:
    return number.isdigit() and int(number) <= SMALL


def typed(markdown: str, where: str) -> set[str]:
    """Numbers in the prose of a page that nothing holds."""
    left = {number for number in numbers(prose(markdown)) if not is_small(number)}
    if not left:
        return left
    held = {_plain(number) for number in numbers(held_by_page(markdown, where))}
    return {number for number in left if _plain(number) not in held}


def _plain(number: str) -> float:
    return float(number.replace(",", ""))


def _is_in(number: str, file: Path) -> bool:
    """Whether a file is there and has the number."""
    if not file.is_file():
        return False
    text = file.read_text(encoding="utf-8").replace("_", "")
    return _plain(number) in {_plain(found) for found in numbers(text)}


def allowed() -> Mapping[str, Mapping[str, str]]:
    """Page -> number as it is typed -> the reason why it may be."""
    read: Mapping[str, Mapping[str, str]] = yaml.safe_load(ALLOWED.read_text(encoding="utf-8"))
    return read


def unheld(pages: Path = PAGES) -> Iterable[str]:
    """One line for each number without a holder, and for each reason that is needed no more."""
    reasons = allowed() if pages == PAGES else {}
    for page in sorted(pages.rglob("*.md")):
        name = page.relative_to(pages).as_posix()
        given = reasons.get(name, {})
        found = typed(page.read_text(encoding="utf-8"), name)
        for number in sorted(found - given.keys(), key=_plain):
            yield f"{name}: {number} is typed, and no result file, fence or shown code holds it"
        for number in sorted(given.keys() - found):
            yield f"{name}: {number} needs no reason in typed_numbers.yaml any more"
        for number in sorted(found & given.keys()):
            if " " not in given[number] and not _is_in(number, ROOT / given[number]):
                yield f"{name}: {given[number]} does not hold {number}"


RESULT = re.compile(r"\{\{ *result\(\"([^\"]*)\"")
SENTENCE = re.compile(r"^(?:- )?What (?:it|they) shows?", re.M)


def silent_tables(markdown: str) -> list[str]:
    """The commands of tables that no sentence follows before the next table or heading."""
    silent = []
    for part in re.split(r"(?=\{\{ *result\()|^#+ ", markdown, flags=re.M):
        table = RESULT.match(part)
        if table and not SENTENCE.search(part):
            silent.append(table.group(1))
    return silent


def main() -> int:
    wrong = list(unheld())
    print("\n".join(wrong) or "every number in prose is held")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
