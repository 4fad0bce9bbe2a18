"""Pages that nobody writes: the API reference, a page for every source file, and the proofs brought
in from proofs/.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from . import source

LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s#]+)(?:#[^)\s]*)?\)")


def rooms(root: Path) -> dict[str, list[str]]:
    """Room -> its modules with something in them: `verify` -> [`reference/specref/verify/block.py`,
    ...]; files first.
    """
    top = root / "reference" / "specref"
    entries = sorted(
        (p for p in top.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()),
        key=lambda p: (p.is_dir(), p.name),
    )
    found = {
        entry.stem: source.modules(root, entry.relative_to(root).as_posix())
        for entry in entries
        if not entry.stem.startswith("__")
    }
    return {name: paths for name, paths in found.items() if paths}


def module(path: str) -> str:
    """reference/specref/verify/block.py -> specref.verify.block"""
    return (
        path.removeprefix("reference/")
        .removesuffix(".py")
        .removesuffix("/__init__")
        .replace("/", ".")
    )


def api_pages(root: Path) -> dict[str, str]:
    """src_uri -> Markdown: an overview and one page for each room, from the docstrings."""
    overview = [
        "# API reference",
        "",
        "From the docstrings: shapes, units, errors, and the paper's equation.",
    ]
    result = {}
    for name, paths in rooms(root).items():
        overview += ["", f"## [{name}]({name}.md)", ""]
        overview += [
            f"- [`{module(path)}`]({name}.md#{module(path)}):"
            f" {source.summary(source.read(root, path))}"
            for path in paths
        ]
        asked = "\n\n".join(f"::: {module(path)}" for path in paths)
        result[f"api/{name}.md"] = f"# specref.{name}\n\n{asked}\n"
    return {"api/index.md": "\n".join(overview) + "\n"} | result


def source_pages(root: Path) -> dict[str, str]:
    """src_uri -> Markdown: each file of the reference and the proofs on a page of its own, kept out
    of the search.
    """
    result = {}
    for path in source.pages(root):
        result[f"source/{path}.md"] = (
            f"---\nsearch:\n  exclude: true\nhide:\n  - toc\n---\n\n# {path}\n\n"
            + source.block(root, path, (), "")
            + "\n"
        )
    return result


def proof_files(root: Path) -> list[str]:
    """Markdown of proofs/ as it stands now: README first, then the written proofs in its order."""
    readme = root / "proofs" / "README.md"
    text = readme.read_text() if readme.exists() else ""
    written = sorted(
        (root / "proofs" / "written").glob("*.md"),
        key=lambda file: (text.find(f"/{file.name})") % (len(text) + 1), file.name),
    )
    return [file.relative_to(root).as_posix() for file in ([readme] if text else []) + written]


def navigation(root: Path) -> dict[str, list[Any]]:
    """What stands under the two entries that mkdocs.yml leaves to us; the long lists fold."""
    overview, *rooms = api_pages(root)
    files = proof_files(root)
    readme = [{"All claims": path} for path in files if path.endswith("README.md")]
    written = [path for path in files if not path.endswith("README.md")]
    return {
        "Proofs": ["proofs.md", *readme, *([{"Written proofs": written}] if written else [])],
        "API reference": [{"Overview": overview}, {"By room": rooms}],
    }


def heading(markdown: str) -> str:
    """The first heading, without its mark."""
    return next(
        (line.lstrip("# ").strip() for line in markdown.splitlines() if line.startswith("#")), ""
    )


def proofs(root: Path) -> str:
    """The list of what is proved, for the page on proofs."""
    written = [path for path in proof_files(root) if "/written/" in path]
    if not written:
        return "No written proof is in `proofs/written` yet."
    return "\n".join(f"- [{heading((root / path).read_text())}]({path})" for path in written)


def relink(markdown: str, page: str, sources: set[str], known: set[str]) -> str:
    """Links of a page that came from the repository, made right for the site.

    A link to a source file goes to its page here; a link to something that the site does not have
    keeps its words only.
    """
    here = posixpath.dirname(page)

    def one(match: re.Match[str]) -> str:
        words, target = match.group(1), match.group(2)
        if "://" in target or target.startswith("mailto:"):
            return match.group(0)
        path = posixpath.normpath(posixpath.join(here, target))
        if path in sources:
            return f"[{words}]({posixpath.relpath(f'source/{path}.md', here)})"
        return match.group(0) if path in known else words

    return LINK.sub(one, markdown)
