"""Exercises that a reader edits and grades in the page: the block, and what it loads.

The grader of `specref grade` runs in the page by Brython, which is Python in JavaScript (BSD-3,
from the package `brython`). docs/pages/assets/live.js says how a page holds an exercise.

`python -m docs.live FOLDER` writes one page with all exercises, without the site.
"""

import json
import posixpath
import sys
from collections.abc import Iterable
from html import escape
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from specref.exercises.grading.catalogue import IDS, load_exercise, module_name
from specref.exercises.grading.exercise import Numbers
from specref.exercises.grading.grade import known_distance
from specref.exercises.grading.skeleton import student_function

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "reference" / "specref"
SCRIPT = ROOT / "docs" / "pages" / "assets" / "live.js"
ASSETS = "assets/live"  # in the site
MISTAKES = "mistakes.html"

# What the grader imports of Python's library, and the few modules that an answer may want. The test
# in Chromium fails when one is missing.
_LIBRARY = """
_ast _codecs _collections _collections_abc _colorize _frozen_importlib _functools _imp _io
_io_classes _json _locale _operator _py_abc _thread _tokenize _typing _weakref _weakrefset
abc annotationlib ast bisect browser builtins codecs collections contextlib copy copyreg
dataclasses dis enum errno fractions functools genericpath heapq importlib
importlib._bootstrap importlib._bootstrap_external importlib.machinery inspect io
itertools json json.encoder keyword linecache marshal math numbers operator os posix
posixpath python_re re reprlib stat sys time token tokenize types
typing weakref
"""

NOTICE = "/* Brython {version}, BSD-3-Clause, Copyright (c) Pierre Quentel and contributors. */\n"

_BLOCK = """\
<div class="live-rule" data-exercise="{id}" data-assets="{assets}" data-mistakes="{mistakes}">
<pre class="live-code"><code>{code}</code></pre>
<p class="live-without">To grade this rule outside the page: <code>specref copy {id} FOLDER</code>,
then <code>specref grade FOLDER/{module}.py</code>.</p>
</div>
<script src="{script}" defer></script>
"""


def block(id: str, here: str = "") -> str:
    """An exercise in a page of the site.

    id: of the exercise. here: the page's folder in the site.

    Errors:
        LookupError for an unknown exercise.
    """
    if id not in IDS:
        known = ", ".join(IDS)
        raise LookupError(f"a page has the exercise {id!r}, which is not one of {known}")
    return _BLOCK.format(
        id=id,
        module=module_name(id),
        code=escape(student_function(id)),
        assets=posixpath.relpath(ASSETS, here or "."),
        mistakes=posixpath.relpath(MISTAKES, here or "."),
        script=posixpath.relpath("assets/live.js", here or "."),
    )


def mistakes() -> str:
    """Every known mistake, in Markdown: a table for each exercise, an anchor for each mistake."""
    lines = []
    for id in IDS:
        lines += ["", f"## Part {load_exercise(id).part}: {id} {{ #{id} }}", ""]
        lines += _table(id)
    return "\n".join(lines) + "\n"


def mistakes_of(id: str) -> str:
    """The known mistakes of one exercise, in Markdown.

    Errors:
        LookupError for an unknown exercise.
    """
    return "\n".join(_table(id, prefix="here-")) + "\n"


def _table(id: str, prefix: str = "") -> list[str]:
    """A row for each mistake. Its anchor is its id behind the prefix."""
    exercise = load_exercise(id)
    has_distribution = not isinstance(exercise, Numbers) and exercise.label == ""
    lines = ["| mistake | why it is one |" + (" TV |" if has_distribution else "")]
    lines += ["| --- | --- |" + (" --- |" if has_distribution else "")]
    for known in exercise.mistakes:
        row = f'| <span id="{prefix}{known.id}">{_cell(known.name)}</span> | {_cell(known.why)} |'
        distance = f" {known_distance(exercise, known)} |" if has_distribution else ""
        lines.append(row + distance)
    return lines


def _cell(text: str) -> str:
    """A text in a cell of a table, without meaning for Markdown. Symbols keep their case."""
    if text[1:2].isalpha():
        text = f"{text[:1].upper()}{text[1:]}"
    return escape(text, quote=False).replace("|", "&#124;").replace("*", "&#42;")


def assets() -> dict[str, str]:
    """Path in the site -> text of what a page loads when a reader first grades a rule.

    Errors:
        RuntimeError when the package brython is not there.
    """
    found = find_spec("brython")
    if found is None or found.origin is None:
        raise RuntimeError("the package brython is missing: pip install -c constraints.txt brython")
    data = Path(found.origin).parent / "data"
    notice = NOTICE.format(version=version("brython"))
    texts = {
        "brython": (data / "brython.js").read_text(encoding="utf-8"),
        "library": _files(_trimmed((data / "brython_stdlib.js").read_text(encoding="utf-8"))),
        "grader": _files(grader_files()),
    }
    return {
        f"{ASSETS}/{name}.js": notice + f"specrefLive.text({json.dumps(name)}, {json.dumps(text)});"
        for name, text in texts.items()
    }


def _files(files: dict[str, list]) -> str:
    """JavaScript that gives Brython these modules."""
    return f"__BRYTHON__.use_VFS = true;\n__BRYTHON__.update_VFS({json.dumps(files)});"


def _trimmed(library: str) -> dict[str, list]:
    """The modules of _LIBRARY out of Brython's own file."""
    begin = library.index("{", library.index("var scripts"))
    modules, _ = json.JSONDecoder().raw_decode(library[begin:])
    return {name: modules[name] for name in _LIBRARY.split()}


def grader_files() -> dict[str, list]:
    """The grader and the exercises as Brython keeps modules: the file's kind, its text, what it
    imports, and 1 for a package.
    """
    files: dict[str, list] = {"specref": [".py", "", [], 1]}
    for path in sorted((PACKAGE / "exercises").rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if package else parts)
        text = path.read_text(encoding="utf-8")
        files[name] = [".py", text, [], 1] if package else [".py", text, []]
    return files


def whole_page(ids: Iterable[str] = IDS) -> str:
    """A page of its own with these exercises."""
    parts = [
        '<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>Exercises</title>',
        '<meta name="viewport" content="width=device-width">',
    ]
    for id in ids:
        parts.append(f"<h2>Part {load_exercise(id).part}: {id}</h2>\n{block(id)}")
    return "\n".join(parts) + "</html>\n"


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("give a folder: python -m docs.live FOLDER", file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    (folder / ASSETS).mkdir(parents=True, exist_ok=True)
    for name, text in assets().items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "assets" / "live.js").write_text(SCRIPT.read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "index.html").write_text(whole_page(), encoding="utf-8")
    print(f"{len(IDS)} exercises in {folder / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
