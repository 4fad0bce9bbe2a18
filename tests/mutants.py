"""Small edits of a module, made in its syntax tree, in memory: a comparison, an operator, a number,
a condition, min for max. What is only words or only mypy's is left alone."""

import ast
import importlib.abc
import importlib.util
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# which distributions stand in its tables is no question of right and wrong; how they are made is
CASES = "judge/cases.py"

COMPARE = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
OPERATE = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
NAMES = {
    "min": "max",
    "max": "min",
    "amin": "amax",
    "amax": "amin",
    "argmax": "argmin",
    "minimum": "maximum",
    "all": "any",
    "any": "all",
    "cumsum": "cumprod",
    "log1p": "expm1",
}


@dataclass(frozen=True)
class Mutant:
    file: str  # below reference/specref/
    line: int
    edit: str
    number: int  # of the edit in its file


class Editor(ast.NodeTransformer):
    """Visits every place that can be edited; makes the edit number `wanted`, if any, and lists
    all.
    """

    def __init__(self, wanted: int | None = None, tables: bool = True):
        self.wanted, self.tables, self.found = wanted, tables, []  # type: ignore[var-annotated]

    def visit_Module(self, node: ast.Module) -> ast.AST:
        node.body = [
            (
                item
                if not self.tables and isinstance(item, (ast.Assign, ast.AnnAssign))
                else self.visit(item)
            )
            for item in node.body
        ]
        return node

    def _edit(self, node: ast.AST, text: str) -> bool:
        self.found.append((getattr(node, "lineno", 0), text))
        return len(self.found) - 1 == self.wanted

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        other = COMPARE.get(type(node.ops[0]))
        if other and self._edit(node, f"{ast.unparse(node)}: {other.__name__}"):
            node.ops[0] = other()
            return node
        return self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        other = OPERATE.get(type(node.op))
        text = isinstance(node.left, (ast.Constant, ast.JoinedStr)) and not isinstance(
            getattr(node.left, "value", 0), (int, float)
        )
        if other and not text and self._edit(node, f"{ast.unparse(node)}: {other.__name__}"):
            node.op = other()
            return node
        return self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        other = ast.Or if isinstance(node.op, ast.And) else ast.And
        if self._edit(node, f"{ast.unparse(node)}: {other.__name__}"):
            node.op = other()
            return node
        return self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        if isinstance(node.op, (ast.Not, ast.Invert)) and self._edit(
            node, f"{ast.unparse(node)}: without"
        ):
            return node.operand
        return self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, bool):
            if self._edit(node, f"{node.value}: {not node.value}"):
                return ast.copy_location(ast.Constant(not node.value), node)
        elif isinstance(node.value, (int, float)):
            value = node.value + 1 if isinstance(node.value, int) else node.value * 2 or 1.0
            if self._edit(node, f"{node.value}: {value}"):
                return ast.copy_location(ast.Constant(value), node)
        return node

    def visit_If(self, node: ast.If) -> ast.AST:
        return self._negated(node)

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        return self._negated(node)

    def _negated(self, node: ast.If | ast.IfExp) -> ast.AST:
        if self._edit(node, f"if {ast.unparse(node.test)}: negated"):
            node.test = ast.copy_location(ast.UnaryOp(ast.Not(), node.test), node.test)
            return node
        return self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if node.attr in NAMES and self._edit(node, f"{ast.unparse(node)}: {NAMES[node.attr]}"):
            node.attr = NAMES[node.attr]
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if (
            node.id in NAMES
            and isinstance(node.ctx, ast.Load)
            and self._edit(node, f"{node.id}: {NAMES[node.id]}")
        ):
            node.id = NAMES[node.id]
        return node

    def _skip(self, node: ast.AST) -> ast.AST:
        return node

    # words, and what only mypy sees
    visit_JoinedStr = visit_Raise = visit_Import = visit_ImportFrom = visit_arg = _skip  # noqa: N815

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.body = [self.visit(item) for item in node.body]
        node.args.defaults = [self.visit(item) for item in node.args.defaults]
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if node.value is not None:
            node.value = self.visit(node.value)
        return node


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def mutants(file: str, root: Path = ROOT) -> list[Mutant]:
    """Every edit that can be made in reference/specref/FILE."""
    editor = Editor(tables=file != CASES)
    editor.visit(_tree(root / "reference" / "specref" / file))
    return [Mutant(file, line, edit, number) for number, (line, edit) in enumerate(editor.found)]


class Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from an edited syntax tree."""

    def __init__(self, mutant: Mutant, root: Path = ROOT):
        self.path = root / "reference" / "specref" / mutant.file
        self.name = "specref." + mutant.file.removesuffix(".py").replace("/", ".")
        self.tree = ast.fix_missing_locations(
            Editor(mutant.number, mutant.file != CASES).visit(_tree(self.path))
        )

    def lines(self) -> tuple[str, str]:
        """The line as it stands without comments, and as the edit makes it: what a reason is kept
        under.
        """
        was, becomes = (ast.unparse(tree).splitlines() for tree in (_tree(self.path), self.tree))
        return next((old.strip(), new.strip()) for old, new in zip(was, becomes) if old != new)

    def find_spec(self, fullname, path=None, target=None):
        return (
            importlib.util.spec_from_loader(fullname, self, origin=str(self.path))
            if fullname == self.name
            else None
        )

    def exec_module(self, module) -> None:
        module.__file__ = str(self.path)
        exec(compile(self.tree, str(self.path), "exec"), module.__dict__)
