"""python -m tests.mutation: break the statistics and the judge's kernel code, one small edit at a time, and see whether the
tests notice.

Edits are made in the syntax tree, in memory: a comparison, an operator, a number, a condition, min for max. Every mutant
runs in a process of its own, which imports the changed module and then runs the tests of its room until one fails. A sample
of the mutants of each file is tried (seeded; --all for all of them, hours). Not part of `make test`.

Exit 1 when less than 95 % are killed.
"""

import argparse
import ast
import contextlib
import importlib.abc
import importlib.util
import io
import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import hypothesis  # noqa: F401  (imported before the fork, as are the others: every mutant then starts at once)
import pytest
import scipy.stats  # noqa: F401
import torch

ROOT = Path(__file__).resolve().parents[1]
LAW = [f"tests/law/test_{name}.py" for name in ("by_hand", "power", "validity", "detection")]
KERNEL = ["tests/conformance/test_kernel_calls.py", "tests/conformance/test_kernel_checks.py"]
FILES: dict[str, list[str]] = {  # and the tests that must notice, the quickest first
    "law/sequential.py": LAW, "law/power.py": ["tests/law/test_power.py", *LAW], "law/finding.py": LAW,
    "law/pooled.py": ["tests/law/test_pooled.py"],
    "law/enumerate.py": ["tests/chance", "tests/conformance/test_oracle.py", *KERNEL],
    "conformance/oracle.py": ["tests/conformance/test_oracle.py"],
    "conformance/cases.py": ["tests/conformance/test_oracle.py", *KERNEL],
    **{f"conformance/suite/{name}.py": KERNEL for name in (
        "kernel", "kernel_call", "kernel_cause", "kernel_draws", "kernel_exact", "kernel_law", "kernel_rows",
        "kernel_tree")}}
CASES = "conformance/cases.py"  # which laws stand in its tables is no question of right and wrong; how they are made is
LIMIT = 120  # seconds for a mutant; a loop that never ends is noticed too

COMPARE = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
           ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In}
OPERATE = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
           ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd}
NAMES = {"min": "max", "max": "min", "amin": "amax", "amax": "amin", "argmax": "argmin", "minimum": "maximum",
         "all": "any", "any": "all", "cumsum": "cumprod", "log1p": "expm1"}


@dataclass(frozen=True)
class Mutant:
    file: str
    line: int
    edit: str
    number: int  # of the edit in its file


class Editor(ast.NodeTransformer):
    """Visits every place that can be edited; makes the edit number `wanted`, if any, and lists all."""

    def __init__(self, wanted: int | None = None, tables: bool = True):
        self.wanted, self.tables, self.found = wanted, tables, []  # type: ignore[var-annotated]

    def visit_Module(self, node: ast.Module) -> ast.AST:
        node.body = [item if not self.tables and isinstance(item, (ast.Assign, ast.AnnAssign)) else self.visit(item)
                     for item in node.body]
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
            getattr(node.left, "value", 0), (int, float))
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
        if isinstance(node.op, (ast.Not, ast.Invert)) and self._edit(node, f"{ast.unparse(node)}: without"):
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
        if self._edit(node, f"if {ast.unparse(node.test)}: negated"):
            node.test = ast.copy_location(ast.UnaryOp(ast.Not(), node.test), node.test)
            return node
        return self.generic_visit(node)

    visit_IfExp = visit_If  # noqa: N815

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if node.attr in NAMES and self._edit(node, f"{ast.unparse(node)}: {NAMES[node.attr]}"):
            node.attr = NAMES[node.attr]
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id in NAMES and isinstance(node.ctx, ast.Load) and self._edit(node, f"{node.id}: {NAMES[node.id]}"):
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


def mutants(file: str) -> list[Mutant]:
    editor = Editor(tables=file != CASES)
    editor.visit(ast.parse((ROOT / "reference" / file).read_text()))
    return [Mutant(file, line, edit, number) for number, (line, edit) in enumerate(editor.found)]


class Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from an edited syntax tree."""

    def __init__(self, mutant: Mutant):
        self.path = ROOT / "reference" / mutant.file
        self.name = "reference." + mutant.file.removesuffix(".py").replace("/", ".")
        tree = Editor(mutant.number, mutant.file != CASES).visit(ast.parse(self.path.read_text()))
        self.code = compile(ast.fix_missing_locations(tree), str(self.path), "exec")

    def find_spec(self, fullname, path=None, target=None):  # type: ignore[no-untyped-def]
        return importlib.util.spec_from_loader(fullname, self, origin=str(self.path)) if fullname == self.name else None

    def exec_module(self, module) -> None:  # type: ignore[no-untyped-def]
        module.__file__ = str(self.path)
        exec(self.code, module.__dict__)


def killed(mutant: Mutant | None, tests: list[str]) -> tuple[bool, float]:
    """Whether the tests notice, and the seconds they took."""
    began = time.monotonic()
    child = os.fork()
    if not child:
        code = 1
        try:
            os.setsid()
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                if mutant is not None:
                    sys.meta_path.insert(0, Changed(mutant))
                code = int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *dict.fromkeys(tests)]))
        finally:
            os._exit(min(code, 2))
    while time.monotonic() - began < LIMIT:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status != 0, time.monotonic() - began
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True, time.monotonic() - began


def chosen(each: int | None, seed: int, only: list[str] | None) -> Iterator[Mutant]:
    for file in only or FILES:
        known = mutants(file)
        sample = known if each is None else sorted(random.Random(seed).sample(known, min(each, len(known))),
                                                   key=lambda m: m.number)
        yield from sample


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=12, help="mutants of each file; default: 12")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--only", action="append", choices=FILES, help="this file alone; may be repeated")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, default=None)
    args = parser.parse_args()
    torch.set_num_threads(1)
    os.chdir(ROOT)
    for tests in {tuple(FILES[file]) for file in args.only or FILES}:
        if killed(None, list(tests))[0]:
            print(f"{' '.join(tests)} fail without any edit", file=sys.stderr)
            return 1
    rows = []
    for mutant in chosen(None if args.all else args.each, args.seed, args.only):
        dead, seconds = killed(mutant, FILES[mutant.file])
        rows.append({**asdict(mutant), "killed": dead, "seconds": round(seconds, 1)})
        said = "killed  " if dead else "SURVIVED"
        print(f"{said} {seconds:6.1f} s  {mutant.file}:{mutant.line}  {mutant.edit[:90]}", flush=True)
        if args.json:
            args.json.write_text(json.dumps(summary(rows), indent=1) + "\n")
    result = summary(rows)
    print(f"{result['killed']} of {result['mutants']} mutants killed")
    return 0 if result["killed"] >= 0.95 * result["mutants"] else 1


def summary(rows: list[dict]) -> dict:
    return {"command": "python -m tests.mutation", "mutants": len(rows), "killed": sum(row["killed"] for row in rows),
            "possible": {file: len(mutants(file)) for file in dict.fromkeys(row["file"] for row in rows)},
            "survivors": [row for row in rows if not row["killed"]]}


if __name__ == "__main__":
    sys.exit(main())
