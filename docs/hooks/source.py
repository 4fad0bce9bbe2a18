"""Source code for the pages, found by name in the syntax tree: no markers in the source, no line
numbers, no copies.
"""

import ast
import re
import textwrap
from pathlib import Path

LANGUAGES = {".py": "python", ".v": "coq", ".toml": "toml", ".json": "json"}


def read(root: Path, path: str) -> str:
    """The text of a file of the repository; FileNotFoundError names what was asked for."""
    file = root / path
    if not file.is_file():
        raise FileNotFoundError(f"a page includes {path}, which does not exist")
    return file.read_text()


def find(tree: ast.Module, name: str) -> ast.stmt | None:
    """The statement that defines `name`: a function, a class, a constant, or Class.method."""
    body: list[ast.stmt] = tree.body
    found: ast.stmt | None = None
    for part in name.split("."):
        found = next((node for node in body if part in defined(node)), None)
        body = getattr(found, "body", [])
    return found


def defined(node: ast.stmt) -> set[str]:
    """The names that one statement defines."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign):
        targets = [node.target]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def extract(text: str, name: str, path: str = "the source") -> str:
    """The definition of `name` with its decorators and the comments right above it, moved to the
    left margin.

    Errors:
        LookupError when nothing of that name is defined, so that a renamed function breaks the
            build.
    """
    node = find(ast.parse(text), name)
    if node is None:
        raise LookupError(f"a page includes {name} of {path}, which defines no such name")
    lines = text.splitlines()
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))]) - 1
    while first and lines[first - 1].lstrip().startswith("#"):
        first -= 1
    return textwrap.dedent("\n".join(lines[first : node.end_lineno])) + "\n"


def shown(root: Path, path: str, names: tuple[str, ...]) -> str:
    """What a page shows of a file: the named definitions two lines apart, or the whole file."""
    text = read(root, path)
    return "\n\n".join(extract(text, name, path) for name in names) if names else text


def fenced(code: str, language: str, title: str = "") -> str:
    """A fenced block whose fence is longer than any run of backticks inside."""
    fence = "```"
    while fence in code:
        fence += "`"
    heading = f' title="{title}"' if title else ""
    return f"{fence}{language}{heading}\n{code.rstrip()}\n{fence}"


def block(root: Path, path: str, names: tuple[str, ...], whole: str) -> str:
    """Markdown for `code(path, *names)`; `whole` is the link to the page with the whole file.
    check.py reads data-*.
    """
    code = shown(root, path, names)
    title = f"{path} · {', '.join(names)}" if names else path
    link = f"\n\n[the whole file]({whole})" if names else ""
    return (
        f'<div class="source" markdown="block" data-path="{path}"'
        f' data-names="{" ".join(names)}">\n\n'
        f"{fenced(code, LANGUAGES.get(Path(path).suffix, 'text'), title)}{link}\n\n</div>"
    )


def summary(text: str) -> str:
    """The first sentence of a module's docstring, on one line."""
    doc = (ast.get_docstring(ast.parse(text)) or "").split("\n\n")[0]
    return re.split(r"(?<=[.:]) (?=[A-Z`])", " ".join(doc.split()))[0].rstrip(":.") + "."


def modules(root: Path, folder: str) -> list[str]:
    """The Python files of a room with something in them, in order; a room of one file is that
    file.
    """
    here = root / folder
    if here.is_file():
        return [folder]
    files = sorted(
        here.rglob("*.py"), key=lambda file: (len(file.relative_to(here).parts), file.as_posix())
    )
    return [file.relative_to(root).as_posix() for file in files if file.read_text().strip()]


def pages(root: Path) -> list[str]:
    """Every file that gets a page of its own: the reference and the proofs."""
    found = [
        file
        for top in ("reference", "proofs")
        for kind in ("*.py", "*.v")
        for file in (root / top).rglob(kind)
    ]
    return sorted(file.relative_to(root).as_posix() for file in found if file.read_text().strip())


def room(root: Path, folder: str, link: dict[str, str]) -> str:
    """Markdown table of a room's files: what each says of itself, and how long it is."""
    rows = ["| file | what it is | lines |", "|---|---|---:|"]
    base = Path(folder).parent if (root / folder).is_file() else Path(folder)
    for path in modules(root, folder):
        text = read(root, path)
        name = Path(path).relative_to(base).as_posix()
        words = summary(text).replace("|", r"\|")
        rows.append(f"| [`{name}`]({link[path]}) | {words} | {len(text.splitlines())} |")
    return "\n".join(rows)
