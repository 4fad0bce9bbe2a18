"""The source that pages show is found by name and cannot drift."""

from pathlib import Path

import pytest

from docs.hooks import generated, source

ROOT = Path(__file__).parents[2]
TEXT = '''"""Says what it is. Then more.

Second paragraph.
"""

import os

# why the limit
LIMIT: int = 3
NAMES = ("a",)


@decorated
# a comment between
def twice(x):
    return 2 * x


class Thing:
    """A thing."""

    # above the method
    @property
    def half(self):
        return "```"

    other = 1
'''


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("LIMIT", "# why the limit\nLIMIT: int = 3\n"),
        ("NAMES", 'NAMES = ("a",)\n'),
        ("twice", "@decorated\n# a comment between\ndef twice(x):\n    return 2 * x\n"),
        ("Thing.half", '# above the method\n@property\ndef half(self):\n    return "```"\n'),
    ],
)
def test_extract(name: str, expected: str) -> None:
    assert source.extract(TEXT, name) == expected


@pytest.mark.parametrize("name", ["thrice", "Thing.whole", "Thing.half.x", "os"])
def test_a_name_that_is_gone_is_an_error(name: str) -> None:
    with pytest.raises(LookupError, match=name):
        source.extract(TEXT, name)


def test_a_file_that_is_gone_is_an_error() -> None:
    with pytest.raises(FileNotFoundError, match=r"reference/nowhere\.py"):
        source.read(ROOT, "reference/nowhere.py")


def test_block_holds_the_real_code_and_survives_backticks(tmp_path: Path) -> None:
    (tmp_path / "room.py").write_text(TEXT)
    block = source.block(tmp_path, "room.py", ("twice", "Thing"), "link.md")
    assert 'data-path="room.py" data-names="twice Thing"' in block
    assert "def twice(x):\n    return 2 * x" in block
    assert block.count("````") == 2, "the fence must be longer than the backticks inside"
    assert "[the whole file](link.md)" in block


def test_summary_is_the_first_sentence() -> None:
    assert source.summary(TEXT) == "Says what it is."
    assert (
        source.summary('"""As in Stern et al. 2018, at first."""')
        == "As in Stern et al. 2018, at first."
    )
    assert source.summary('"""The order:\n\n    a -> b\n"""') == "The order."


# What pages call besides code() and room()
SILENT = """
batch_ratio best_draft bug_tv explore field figure first_token_ratio glossary lesson_map live
lowest_tv mistakes mistakes_of museum number predict predicted proofs quiz result worksheet
"""


def test_every_included_name_is_in_the_source_now() -> None:
    """What the build would refuse, without MkDocs: every code() and room() call of every page."""
    from docs.hooks import macros

    seen = []

    def code(path: str, *names: str) -> str:
        seen.append(path)
        return source.shown(ROOT, path, names)

    def room(folder: str) -> str:
        paths = source.modules(ROOT, folder)
        assert paths, folder
        return source.room(ROOT, folder, dict.fromkeys(paths, "x.md"))

    silent = dict.fromkeys(SILENT.split(), lambda *_: "")
    for page in sorted((ROOT / "docs" / "pages").rglob("*.md")):
        macros.expand(page.read_text(), {"code": code, "room": room, **silent})
    assert len(set(seen)) > 10


def test_rooms_and_pages_cover_the_reference() -> None:
    rooms = generated.rooms(ROOT)
    assert {
        "data",
        "probs",
        "chance",
        "decode",
        "verify",
        "draft",
        "model",
        "exact",
        "stats",
        "measure",
        "cli",
    } <= rooms.keys()
    api = generated.api_pages(ROOT)
    for path in (path for paths in rooms.values() for path in paths):
        assert f"source/{path}.md" in generated.source_pages(ROOT)
        assert any(f"::: {generated.module(path)}\n" in page + "\n" for page in api.values()), path
        assert (
            ROOT / "docs" / "pages" / "rooms" / f"{Path(path).parts[2].removesuffix('.py')}.md"
        ).exists(), path


def test_links_of_the_proofs_lead_to_pages_or_nowhere() -> None:
    text = (
        "[a](../exact/step.py) [b](../coq/gone.v#x) [c](other.md#t1) [d](https://example.org/x)"
        " ![e](p.svg)"
    )
    page, sources, known = (
        "proofs/written/one.md",
        {"proofs/exact/step.py"},
        {"proofs/written/other.md"},
    )
    assert (
        generated.relink(text, page, sources, known)
        == "[a](../../source/proofs/exact/step.py.md) b [c](other.md#t1) [d](https://example.org/x)"
        " ![e](p.svg)"
    )


def test_proofs_are_listed_as_they_are(tmp_path: Path) -> None:
    assert "No written proof" in generated.proofs(tmp_path)
    (tmp_path / "proofs" / "written").mkdir(parents=True)
    (tmp_path / "proofs" / "written" / "t1.md").write_text("# One step is lossless\n\nText.\n")
    (tmp_path / "proofs" / "written" / "t2.md").write_text("# Two\n")
    (tmp_path / "proofs" / "written" / "a.md").write_text("# Not named\n")
    (tmp_path / "proofs" / "README.md").write_text(
        "# All proofs\n[two](written/t2.md) before [one](written/t1.md)\n"
    )
    written = ["proofs/written/t2.md", "proofs/written/t1.md", "proofs/written/a.md"]
    assert generated.proof_files(tmp_path) == [
        "proofs/README.md",
        *written,
    ], "in the order of the README"
    assert (
        generated.proofs(tmp_path).splitlines()[1]
        == "- [One step is lossless](proofs/written/t1.md)"
    )
