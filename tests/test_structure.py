"""The package as a whole: names that stand once, and imports that point down.

Protects: that a file can be copied next to Python's own modules, that a name a reader looks up is
found in one place, and that a lower room can be read without the ones above it.
"""

import ast
import sys
from collections import defaultdict
from pathlib import Path

import pytest
import specref

HOME = Path(specref.__file__).parent
FILES = {file.relative_to(HOME).as_posix(): file for file in sorted(HOME.rglob("*.py"))}
TREES = {name: ast.parse(file.read_text(encoding="utf-8")) for name, file in FILES.items()}

# Rooms from the ground up; a file belongs to the room with the longest name that it begins with.
# A file imports from its own room and from those above it in this list, never from one below.
ROOMS = [
    "__init__.py",
    "errors.py",
    "outputs.py",
    "speculate.py",
    "data.py",
    "chance.py",
    "checks.py",
    "probs.py",
    "stops.py",
    "stats/",
    "exact/",
    "exercises/",
    "copying.py",
    "verify/",
    "model/",
    "draft/",
    "decode.py",
    "train/",
    "serve/",
    "measure/",
    "adapters/__init__.py",  # names of adapters, no adapter
    "judge/contract.py",
    "judge/templates/",
    "judge/subjects.py",
    "judge/loops.py",
    "adapters/",
    "judge/",
    "cli/",
    "judge/pytest_plugin.py",  # what pytest starts, as __main__ is what Python starts
    "__main__.py",
]

# Files that may define a name again: a user renames a template, every exercise has its `attempt`
# and its `grade`, and in these files of the suite a check's function lacks its level's prefix.
REPEATING = (
    "judge/templates/",
    "judge/suite/engine_",
    "judge/suite/http_distribution.py",
    "judge/suite/http_logprobs.py",
    "judge/suite/kernel",
    "exercises/",
)

# The contract's words, which adapters outside this project import, and the core's.
SHARED_NAMES = {
    "Completion": {"data.py", "judge/contract.py"},
    "Verdict": {"data.py", "judge/verdict.py"},
}


def room(name: str) -> int:
    """The number of a file's room."""
    found = [i for i, prefix in enumerate(ROOMS) if name.startswith(prefix)]
    return max(found, key=lambda i: len(ROOMS[i]))


def imports(name: str) -> dict[str, int]:
    """Files of the package that a file imports -> the line. Imports inside functions count."""
    found = {}
    for node in ast.walk(TREES[name]):
        if not isinstance(node, ast.ImportFrom):
            continue
        if node.level:
            parts = [*Path(name).parts[: -node.level], *(node.module or "").split(".")]
        elif str(node.module).split(".")[0] == "specref":
            parts = str(node.module).split(".")[1:]
        else:
            continue
        base = "/".join(part for part in parts if part)
        for alias in node.names:
            below = f"{base}/{alias.name}".strip("/")
            places = [f"{below}.py", f"{below}/__init__.py", f"{base}.py", f"{base}/__init__.py"]
            target = next((place for place in places if place in FILES), "__init__.py")
            found[target] = node.lineno
    return found


def public_names(name: str) -> set[str]:
    """Classes, functions and constants that a file defines at its top, without an underscore."""
    found: set[str] = set()
    for node in TREES[name].body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            nodes = [inner for target in targets for inner in ast.walk(target)]
            found |= {inner.id for inner in nodes if isinstance(inner, ast.Name)}
    return {one for one in found if not one.startswith("_")}


def test_no_file_has_the_name_of_one_of_pythons_modules() -> None:
    assert not [name for name in FILES if Path(name).stem in sys.stdlib_module_names]


def test_no_public_name_is_defined_in_two_files() -> None:
    places = defaultdict(set)
    for name in FILES:
        if not name.startswith(REPEATING):
            for public in public_names(name):
                places[public].add(name)
    assert {public: where for public, where in places.items() if len(where) > 1} == SHARED_NAMES


@pytest.mark.parametrize("name", FILES)
def test_imports_point_down(name: str) -> None:
    upward = [
        f"{name}:{line} imports {target}"
        for target, line in imports(name).items()
        if room(target) > room(name)
    ]
    assert not upward


def test_no_circle_of_imports() -> None:
    """Files whose imports are all taken away are taken away, until none is left or a circle is."""
    needs = {name: imports(name).keys() - {name} for name in FILES}
    while free := {name for name, targets in needs.items() if not targets}:
        needs = {name: targets - free for name, targets in needs.items() if name not in free}
    assert not needs


def test_every_room_is_there() -> None:
    """A room that is gone, or renamed, leaves the list too."""
    assert {room(name) for name in FILES} == {*range(len(ROOMS))}
