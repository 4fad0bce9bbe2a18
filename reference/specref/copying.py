"""A part of this package, copied flat into a folder with everything that it imports.

A copy needs PyTorch and nothing of specref: relative imports become imports of the files beside it.
An exercise is the exception: a student gets its skeleton, and `specref grade` grades it.
"""

import ast
import re
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten

from . import __version__
from .errors import SpecrefError
from .exercises.grading.catalogue import IDS, module_name
from .exercises.grading.skeleton import student_file

HOME = Path(__file__).parent

_HEADER = """\
# specref {version}, specref/{source}; changed: its imports are flat.
# License: Apache-2.0, https://www.apache.org/licenses/LICENSE-2.0
# To cite: specref {version} (software), with the paper that is named below, if one is.
"""

_FLAT, _SKELETON = "its imports are flat", "an extract"

_RULE_EXAMPLE = """\
import chance, data, {module}, torch
p, q = torch.tensor([[[0.5, 0.5], [0.9, 0.1]]]), torch.tensor([[[0.2, 0.8]]])
print({rule}(data.Draft.chain(torch.tensor([[1]]), q), p, chance.Streams([0])))"""

_DRAFTER_EXAMPLE = """\
import data, decode, {module} as d, {rule}, transformer
target = transformer.Transformer(transformer.Config(16, 32, 64, 2, 4, 2, 8)).eval()
print(decode.generate(target, {drafter}, {rule}.{rule}, [[1, 2, 3]], data.SamplingParams()))"""

_SPECULATE_EXAMPLE = """\
import random, speculate, torch
p, q = torch.tensor([0.6, 0.3, 0.1]), torch.tensor([0.2, 0.2, 0.6])
print(speculate.speculate(lambda _: p, lambda _: q, [], 4, speculate.sampler(random.random)))"""

_ENUMERATE_EXAMPLE = """\
import enumerate as exact, torch
weights = torch.tensor([[0.25, 0.75]])
print(exact.distribution(lambda chance: int(chance.draw(weights)) + int(chance.draw(weights))))"""

_EXERCISE_EXAMPLE = "specref grade {module}.py"

# name -> module in verify/, and the rule itself
_RULES = {
    "greedy": ("greedy", "greedy.greedy"),
    "rejection": ("rejection", "rejection.rejection"),
    "block": ("block", "block.block"),
    "matching": ("matching", "matching.matching"),
    "tree": ("tree", "tree.tree"),
    "gumbel": ("gumbel", "gumbel.gumbel"),
    "naive": ("naive", "naive.naive"),
    "k-sequential": ("k_sequential", "k_sequential.k_sequential"),
    "canonical": ("canonical", "canonical.canonical"),
    "traversal": ("traversal", "traversal.traversal"),
    "typical": ("typical", "typical.LossyTypical()"),
    "medusa-typical": ("medusa_typical", "medusa_typical.LossyMedusaTypical()"),
    "fly": ("fly", "fly.LossyFly()"),
    "relaxed": ("relaxed", "relaxed.LossyRelaxed()"),
    "ensemble": ("ensemble", "ensemble.LossyEnsemble()"),
    "synthetic": ("synthetic", "synthetic.LossySynthetic()"),
}

# name -> module in draft/, the rule of its example, and how the example makes it
_DRAFTERS = {
    "none": ("none", "rejection", "d.NoDrafter()"),
    "ngram": ("ngram", "rejection", "d.NGramDrafter()"),
    "suffix": ("suffix", "rejection", "d.SuffixDrafter()"),
    "model": ("model", "rejection", "d.ModelDrafter(target)"),
    "vocabulary": ("vocabulary", "rejection", "d.MappedDrafter(target, [*range(16)])"),
    "early-exit": ("early_exit", "rejection", "d.EarlyExitDrafter(target, 1)"),
    "medusa": ("medusa", "tree", "d.MedusaDrafter(d.MedusaHeads.of(target, 2), [(0,), (0, 0)])"),
    "mtp": ("mtp", "rejection", "d.MTPDrafter(d.MTPModule.of(target), target)"),
}


@dataclass(frozen=True)
class Item:
    """What can be copied. The first of `sources` names it; sources are files below specref/.

    exercise: its id, where the item is one.
    """

    sources: tuple[str, ...]
    example: str  # three lines that run in the folder, or the command that grades an exercise
    exercise: str | None = None

    @property
    def summary(self) -> str:
        """How the file that names it begins, in one line."""
        text = (
            ast.get_docstring(ast.parse((HOME / self.sources[0]).read_text(encoding="utf-8"))) or ""
        )
        return shorten(text.partition("\n\n")[0], 78, placeholder=" ...")


@dataclass(frozen=True)
class Copy:
    """What a call of `copy_item` did."""

    folder: Path
    written: list[str]  # file names
    kept: list[str]  # files that were there with the same text
    example: str


def items() -> dict[str, Item]:
    """Everything that can be copied, by name."""
    found = {
        "speculate": Item(("speculate.py",), _SPECULATE_EXAMPLE),
        "enumerate": Item(("exact/enumerate.py",), _ENUMERATE_EXAMPLE),
    }
    for name, (module, rule) in _RULES.items():
        example = _RULE_EXAMPLE.format(module=module, rule=rule)
        found[name] = Item((f"verify/{module}.py",), example)
    for name, (module, rule, drafter) in _DRAFTERS.items():
        source = f"draft/{module}.py"
        example = _DRAFTER_EXAMPLE.format(module=flat_name(source), rule=rule, drafter=drafter)
        found[name] = Item((source, f"verify/{rule}.py", "decode.py"), example)
    for name in IDS:
        module = module_name(name)
        example = _EXERCISE_EXAMPLE.format(module=module)
        found[name] = Item((f"exercises/{module}.py",), example, exercise=name)
    return found


def flat_name(source: str) -> str:
    """The module name of a copied file: its own, `model_drafter` for `draft/model.py`, and
    `model_tree` for `model/tree.py`, since a rule has the short name.
    """
    path = Path(source)
    if path.name == "__init__.py":
        return path.parent.name
    if path.parent.name == "draft":
        return f"{path.stem}_drafter"
    if path.parent.name != "verify" and (HOME / "verify" / path.name).exists():
        return f"{path.parent.name}_{path.stem}"
    return path.stem


def flat_files(item: Item) -> dict[str, str]:
    """File name -> text of everything that the item needs: its imports, theirs, and so on."""
    files: dict[str, str] = {}
    seen: dict[str, str] = {}  # file name -> source
    pending = list(item.sources)
    while pending:
        source = pending.pop()
        name = f"{flat_name(source)}.py"
        if seen.setdefault(name, source) != source:
            raise SpecrefError(f"{source} and {seen[name]} would both be {name}: rename one")
        if name not in files:
            text, needed = _flattened(source)
            files[name] = _HEADER.format(version=__version__, source=source) + text
            pending.extend(needed)
    return dict(sorted(files.items()))


def exercise_files(item: Item, solution: bool) -> dict[str, str]:
    """File name -> text of an exercise: the skeleton, and the solution where it is asked for."""
    assert item.exercise is not None
    source, module = item.sources[0], module_name(item.exercise)
    files = {f"{module}.py": student_file(item.exercise)}
    if solution:
        files[f"{module}_solution.py"] = student_file(item.exercise, "solution")
    header = _HEADER.format(version=__version__, source=source).replace(_FLAT, _SKELETON)
    return {name: header + text for name, text in files.items()}


def copy_item(name: str, folder: Path, solution: bool = False) -> Copy:
    """Write the files of `name` into `folder`, which is created where it is missing.

    A file that is there with the same text stays, so that one folder takes several copies.
    solution: write the solution of an exercise beside its skeleton.

    Errors:
        SpecrefError for an unknown name, for a solution of what is no exercise, for a file that is
        there with another text, and where the folder cannot be written. Nothing is written then.
    """
    known = items()
    if name not in known:
        raise SpecrefError(f"there is no {name!r} to copy: choose one of {', '.join(known)}")
    item = known[name]
    if solution and item.exercise is None:
        raise SpecrefError(f"{name} is no exercise and has no solution: leave out --solution")
    files = exercise_files(item, solution) if item.exercise else flat_files(item)
    kept = [file for file in files if _stands(folder / file, files[file])]
    written = [file for file in files if file not in kept]
    done: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in written:
            with (folder / file).open("x", encoding="utf-8") as stream:  # x: never another's file
                done.append(folder / file)
                stream.write(files[file])
    except OSError as error:
        for path in done:
            path.unlink()
        raise SpecrefError(
            f"cannot write to {folder} ({error.strerror}): choose another folder"
        ) from None
    return Copy(folder, written, kept, item.example)


def _stands(path: Path, text: str) -> bool:
    """Whether the file is there with this text."""
    if not path.exists():
        return False
    if path.is_file() and path.read_bytes() == text.encode():
        return True
    raise SpecrefError(f"{path} is there with another content: choose an empty folder, or move it")


def _flattened(source: str) -> tuple[str, list[str]]:
    """The text of a file with flat imports, and the files that it imports."""
    text = (HOME / source).read_text(encoding="utf-8")
    lines = text.splitlines(keepends=True)
    needed: list[str] = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.level:
            needed.append(_imported(source, node))
            line, column = node.lineno - 1, node.col_offset
            flat = re.sub(
                r"from\s+\.+[\w.]*", f"from {flat_name(needed[-1])}", lines[line][column:], count=1
            )
            lines[line] = lines[line][:column] + flat
    return "".join(lines), needed


def _imported(source: str, node: ast.ImportFrom) -> str:
    """The file below specref/ that `from ..module import name` in `source` means."""
    if node.module is None:
        raise SpecrefError(f"specref/{source} imports a package: import from its modules instead")
    base = (HOME / source).parents[node.level - 1].joinpath(*node.module.split("."))
    file = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
    return file.relative_to(HOME).as_posix()
