"""One list of terms: hover texts on every page (Markdown abbreviations), and the glossary page."""

import re
from dataclasses import dataclass
from pathlib import Path

ENTRY = re.compile(r"^(\*?)\[(.+?)\]: (.+)$")


@dataclass(frozen=True)
class Term:
    meaning: str
    # whether other pages explain it under the pointer; too common a word is only listed
    hover: bool


def terms(path: Path) -> dict[str, Term]:
    """Terms from lines `*[term]: meaning`, or `[term]: meaning` for one without a hover text.

    Errors:
        ValueError for a line that is no entry, and for a term given twice.
    """
    found: dict[str, Term] = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip():
            continue
        match = ENTRY.match(line)
        if match is None or match.group(2) in found:
            raise ValueError(f"{path.name}, line {number}: give *[term]: meaning, each term once")
        found[match.group(2)] = Term(match.group(3), bool(match.group(1)))
    return found


def page(known: dict[str, Term]) -> str:
    """The glossary page's list, in alphabetical order."""
    return "\n\n".join(
        f"`{name}`\n:   {known[name].meaning}" for name in sorted(known, key=str.lower)
    )


def abbreviations(known: dict[str, Term]) -> str:
    """Markdown that gives a page the hover texts; they are plain text, so formula marks go."""
    return "\n".join(
        f"*[{name}]: {term.meaning.replace('`', '')}" for name, term in known.items() if term.hover
    )
