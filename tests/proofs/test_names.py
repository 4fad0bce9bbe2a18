"""One name, three forms: what the written proofs and the table of proofs/README.md cite must exist
where they say.
"""

import re
from importlib import import_module
from pathlib import Path

import pytest

from proofs.exact.cases import CASES

PROOFS = Path(__file__).resolve().parents[2] / "proofs"
PAGES = sorted((PROOFS / "written").glob("*.md"))
MODULES = [
    import_module(f"proofs.exact.{file.stem}")
    for file in sorted((PROOFS / "exact").glob("[a-z]*.py"))
]
LIST = r"((?:`\w+`(?:, |,\n| and )?\s*)+)"


def cited(text: str, language: str) -> set[str]:
    """The names of a list such as: Coq `a`, `b`."""
    return {
        name
        for names in re.findall(rf"\b{language}\s+{LIST}", text)
        for name in re.findall(r"`(\w+)`", names)
    }


def defined_in_coq() -> set[str]:
    kinds = "Definition|Fixpoint|Inductive|Lemma|Theorem|Corollary"
    text = "\n".join(file.read_text(encoding="utf-8") for file in (PROOFS / "coq").glob("*.v"))
    constructors = re.findall(r"^\s*\| (\w+)", text, re.M)
    return set(re.findall(rf"^\s*(?:{kinds})\s+(\w+)", text, re.M)) | set(constructors)


def table() -> list[list[str]]:
    text = (PROOFS / "README.md").read_text(encoding="utf-8")
    lines = [line.strip("| ") for line in text.splitlines() if line.startswith("|")]
    rows = [[*map(str.strip, line.split(" | "))] for line in lines]
    return [row for row in rows if len(row) == 5 and "written/" in row[1]]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_page_cites_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    python, coq = cited(text, "Python"), cited(text, "Coq")
    assert python, "a page cites the specification"
    unknown = python - {name for module in MODULES for name in vars(module)}
    assert not unknown, f"no such name in proofs/exact: {unknown}"
    assert coq <= defined_in_coq(), f"no such name in proofs/coq: {coq - defined_in_coq()}"


def test_every_claim_has_a_row_and_every_page_too() -> None:
    rows = table()
    exact = {name for row in rows for name in re.findall(r"`(\w+)`", row[2])}
    assert {claim.__name__ for claim in CASES} | {"lossless"} == exact
    assert {re.findall(r"written/(\w+)\.md", row[1])[0] for row in rows} == {
        page.stem for page in PAGES
    }
    coq = {name for row in rows for name in re.findall(r"`(\w+)`", row[3])}
    assert coq <= defined_in_coq(), f"no such name in proofs/coq: {coq - defined_in_coq()}"
    for row in rows:
        assert (PROOFS.parent / row[4]).exists(), f"{row[4]} does not exist"


def test_the_pages_cite_the_claim_they_are_about() -> None:
    for row in table():
        page = (PROOFS / re.findall(r"\((written/\w+\.md)\)", row[1])[0]).read_text(
            encoding="utf-8"
        )
        wanted = set(re.findall(r"`(\w+)`", row[2] + row[3]))
        if "candidates are one" not in row[0]:
            assert wanted <= cited(page, "Python") | cited(page, "Coq"), row
