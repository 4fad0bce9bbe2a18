"""docs/check.py on a tiny site: silent when all is well, and loud about each thing that can be
wrong.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from docs import axe, check
from docs.browser import browser_path
from docs.parsed import Shown, read

PAGE = """<html><head><link rel="stylesheet" href="site.css"><script src="a.js"></script></head><body>
<h1 id="top">T</h1><a href="other.html#there">x</a><a href="https://example.org">may be followed</a>
<div class="source" data-path="code.py" data-names="f"><div><pre><code><span>def</span> f():
    return 1
</code></pre></div></div></body></html>"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "code.py").write_text("def f():\n    return 1\n")
    site = tmp_path / "site"
    site.mkdir()
    (site / "index.html").write_text(PAGE)
    (site / "other.html").write_text('<p id="there">y</p>')
    (site / "site.css").write_text("a { background: url(data:image/png;base64,AA) }")
    (site / "a.js").write_text("let a = 1")
    return site


def found(site: Path) -> list[str]:
    pages = read(site)
    return [
        *check.other_hosts(site, pages),
        *check.dead_ends(site, pages),
        *check.drifted(pages, site.parent),
        *check.unexpanded(pages),
    ]


def test_a_good_site_is_silent(site: Path) -> None:
    assert found(site) == []
    assert [text.strip() for _, _, text in read(site)["index.html"].code] == [
        "def f():\n    return 1"
    ]


def swap(old: str, new: str, name: str = "index.html") -> Callable[[Path], None]:
    def change(site: Path) -> None:
        path = site / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (swap('src="a.js"', 'src="https://cdn.example/a.js"'), "loads https://cdn.example/a.js"),
        (swap('src="a.js"', 'src="//cdn.example/a.js"'), "loads //cdn.example/a.js"),
        (
            swap('href="site.css"', 'href="https://fonts.example/x"'),
            "loads https://fonts.example/x",
        ),
        (
            swap("<h1", '<img srcset="a.js 1x, https://e.example/i.png 2x"><h1'),
            "loads https://e.example/i.png",
        ),
        (
            swap("<h1", '<p style="background:url(https://e.example/i)"></p><h1'),
            "loads https://e.example/i",
        ),
        (
            swap("<h1", "<style>@import 'https://e.example/c';</style><h1"),
            "loads https://e.example/c",
        ),
        (swap("<h1", '<pre class="mermaid"></pre><h1'), "the theme would fetch diagrams"),
        (
            swap("url(data:image/png;base64,AA)", "url('https://e.example/f.woff2')", "site.css"),
            "loads https://e.example/f",
        ),
        (swap("let a = 1", 'fetch("https://e.example/d")', "a.js"), "imports https://e.example/d"),
        (swap('src="a.js"', 'src="b.js"'), "b.js does not exist"),
        (swap("other.html#there", "gone.html"), "gone.html does not exist"),
        (swap("other.html#there", "other.html#nowhere"), "no such anchor"),
        (swap("return 1", "return 2"), "shows code.py f as it is not"),
        (swap(">T<", ">{{ code(1) }}<"), "still has {{ code(1) }}"),
        (swap(">T<", ">\\(p\\)<"), "still has \\(p"),
    ],
)
def test_each_fault_is_found(site: Path, change: Callable[[Path], None], said: str) -> None:
    change(site)
    assert [line for line in found(site) if said in line], found(site)


@pytest.mark.parametrize("gone", ["def g():\n    return 1\n", None])
def test_shown_code_that_is_gone_has_drifted(site: Path, gone: str | None) -> None:
    (
        (site.parent / "code.py").unlink()
        if gone is None
        else (site.parent / "code.py").write_text(gone)
    )
    assert found(site) == ["index.html: shows code.py f as it is not"]


def room(name: str, path: str) -> Shown:
    page = Shown(f"rooms/{name}.html")
    page.code = [(path, "", "")]
    return page


def test_missing_rooms_and_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "reference" / "specref" / "verify").mkdir(parents=True)
    (tmp_path / "reference" / "specref" / "verify" / "__init__.py").write_text("")
    (tmp_path / "reference" / "specref" / "verify" / "greedy.py").write_text('"""Greedy."""\n')
    path = "reference/specref/verify/greedy.py"
    source = Shown(f"source/{path}.html")
    good = {page.page: page for page in (room("verify", path), source)}
    assert list(check.missing(good, tmp_path)) == []
    assert "has no page" in " ".join(
        check.missing({"rooms/verify.html": room("verify", path)}, tmp_path)
    )
    assert "is missing" in " ".join(check.missing({source.page: source}, tmp_path))
    foreign = good | {"rooms/verify.html": room("verify", "reference/specref/probs.py")}
    assert "shows no code of reference/specref/verify" in " ".join(check.missing(foreign, tmp_path))


def test_an_empty_folder_is_no_site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main([str(tmp_path)]) == 2
    assert "make docs" in capsys.readouterr().err


def test_search_needs_its_index_and_its_shim(site: Path) -> None:
    assert len(list(check.searchable(site))) == 2
    (site / "search").mkdir()
    swap('src="a.js"', 'src="assets/iframe-worker.js"')(site)
    entry = {"location": "rooms/verify.html", "title": "", "text": " ".join(check.FIELD)}
    index = site / "search" / "search_index.js"
    index.write_text(f"var __index = {json.dumps({'docs': [entry]})}")
    assert list(check.searchable(site)) == []
    index.write_text(index.read_text().replace("roofline", "roof"))
    assert list(check.searchable(site)) == [
        "search/search_index.js: no page has the words 'roofline'"
    ]


AXE, CHROMIUM = axe.axe_path(), browser_path()


@pytest.mark.skipif(AXE is None or CHROMIUM is None, reason="no axe-core or no Chromium here")
def test_what_cannot_be_read_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    head = '<!doctype html><html lang="en"><title>T</title><body style="background:#fff">'
    page.write_text(head + '<p style="color:#bbb">pale</p><input type="range">')
    assert AXE is not None
    assert CHROMIUM is not None
    found = list(axe.inaccessible([page], CHROMIUM, AXE))
    for rule in ("color-contrast", "label"):
        assert [line for line in found if f"light: {rule}, 1 times" in line], found
    page.write_text(head + "<main><h1>T</h1><p>dark</p></main>")
    assert list(axe.inaccessible([page], CHROMIUM, AXE)) == []


def test_a_named_axe_that_is_not_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AXE", "no/such/file.js")
    assert axe.axe_path() is None
