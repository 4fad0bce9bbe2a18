"""What a student gets of an exercise: its text, its id and one function, as a file of its own."""

import ast
from pathlib import Path

from .catalogue import module_name

HOME = Path(__file__).parents[1]

_FILE = '''\
"""{text}"""

from fractions import Fraction

EXERCISE = "{id}"


{function}'''


def student_file(id: str, name: str = "attempt") -> str:
    """The file for a student, with the function `name` of the exercise as `attempt`."""
    tree = ast.parse(_source(id))
    text = ast.get_docstring(tree, clean=False) or ""
    return _FILE.format(text=text, id=id, function=student_function(id, name))


def student_function(id: str, name: str = "attempt") -> str:
    """One function of an exercise as a student writes it: called `attempt`, without types, and
    without a docstring unless it is the skeleton's.
    """
    source = _source(id)
    node = next(
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef) and node.name == name
    )
    arguments = ", ".join(argument.arg for argument in node.args.args)
    first = node.body[0].lineno
    if name != "attempt" and ast.get_docstring(node) is not None:
        first = node.body[1].lineno
    lines = source.splitlines()[first - 1 : node.end_lineno]
    return "\n".join([f"def attempt({arguments}):", *lines]) + "\n"


def _source(id: str) -> str:
    return (HOME / f"{module_name(id)}.py").read_text(encoding="utf-8")
