"""What the style test and `make density` measure on every tracked Python file.

`python -m tests.style` prints one row for each room: AST nodes, code lines, nodes per code line,
and what the house forbids. A code line is one that is neither blank nor a comment alone; the lines
of docstrings count, as they did in every earlier table. The last column leaves them out.
"""

import ast
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
TRUTH_CALLS = {"bool", "isinstance", "issubclass", "callable", "any", "all", "hasattr"}


@dataclass
class Size:
    """Counts of one file or of one room."""

    nodes: int = 0
    lines: int = 0
    docstrings: int = 0  # lines
    forbidden: int = 0

    def __iadd__(self, other: "Size") -> "Size":
        self.nodes += other.nodes
        self.lines += other.lines
        self.docstrings += other.docstrings
        self.forbidden += other.forbidden
        return self

    @property
    def density(self) -> float:
        """AST nodes per code line."""
        return self.nodes / max(self.lines, 1)

    @property
    def without_docstrings(self) -> float:
        return self.nodes / max(self.lines - self.docstrings, 1)


def tracked(root: Path = ROOT) -> list[str]:
    """Every Python file that git tracks or would track, relative to the root."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    return sorted({path for path in done.stdout.splitlines() if (root / path).exists()})


def measure(text: str) -> Size:
    """The size of one file's text."""
    tree = ast.parse(text)
    lines = [line.strip() for line in text.splitlines()]
    return Size(
        nodes=sum(1 for _ in ast.walk(tree)),
        lines=sum(1 for line in lines if line and not line.startswith("#")),
        docstrings=_docstring_lines(tree, lines),
        forbidden=len(list(forbidden(text))),
    )


def _docstring_lines(tree: ast.Module, lines: list[str]) -> int:
    found = 0
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None:
            first = node.body[0]
            place = lines[first.lineno - 1 : first.end_lineno]
            found += sum(1 for line in place if line and not line.startswith("#"))
    return found


def forbidden(text: str) -> Iterator[tuple[int, str]]:
    """The line and the name of every construct that the house does not use."""
    tree = ast.parse(text)
    truths = {
        node.arg
        for node in ast.walk(tree)
        if isinstance(node, ast.arg)
        and isinstance(node.annotation, ast.Name)
        and node.annotation.id == "bool"
    }
    for node in ast.walk(tree):
        if isinstance(node, COMPREHENSIONS) and _nested(node):
            yield node.lineno, "nested comprehension"
        if isinstance(node, ast.IfExp) and any(
            isinstance(child, ast.IfExp) for child in ast.iter_child_nodes(node)
        ):
            yield node.lineno, "chained conditional"
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            sides = (node.left, node.right)
            if any(map(_is_text, sides)) and any(_is_truth(side, truths) for side in sides):
                yield node.lineno, "text times a truth value"


def _nested(node: ast.expr) -> bool:
    return sum(isinstance(child, COMPREHENSIONS) for child in ast.walk(node)) > 1


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def _is_truth(node: ast.expr, truths: set[str]) -> bool:
    """Whether the expression can only be True or False, as far as the text alone shows."""
    if isinstance(node, ast.Name):
        return node.id in truths
    if isinstance(node, ast.Constant):
        return isinstance(node.value, bool)
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in TRUTH_CALLS
    negated = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
    return negated or isinstance(node, ast.Compare | ast.BoolOp)


def room(path: str) -> str:
    """The row of the table that a file belongs to."""
    parts = Path(path).parts
    if parts[:2] == ("reference", "specref"):
        return parts[2] if len(parts) > 3 else "core"
    return parts[0]


def table(root: Path = ROOT) -> dict[str, Size]:
    """The size of every room."""
    rooms: dict[str, Size] = defaultdict(Size)
    for path in tracked(root):
        size = measure((root / path).read_text())
        rooms[room(path)] += size
        rooms["reference/" if path.startswith("reference/") else "others"] += size
    return dict(rooms)


def main() -> None:
    print(f"{'room':12}{'nodes':>9}{'lines':>8}{'density':>9}{'forbidden':>11}{'no docstr.':>12}")
    for name, size in sorted(table().items()):
        print(
            f"{name:12}{size.nodes:9,}{size.lines:8,}{size.density:9.2f}{size.forbidden:11}"
            f"{size.without_docstrings:12.2f}"
        )


if __name__ == "__main__":
    main()
