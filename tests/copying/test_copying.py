"""Everything that `specref copy` offers runs in a folder of its own, with PyTorch alone.

Protects: the closure of the imports, their flat form, that a copy does what the package does, the
printed examples, and that no file of anybody is ever overwritten or half written.
"""

import ast
import json
import subprocess
import sys
from importlib import import_module, metadata
from pathlib import Path

import pytest
import specref.verify
import torch
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from specref.copying import copy_item, flat_files, flat_name, items
from specref.data import SpecrefError

HOME = Path(specref.__file__).parent
ITEMS = items()
EXERCISES = [name for name, item in ITEMS.items() if item.exercise]
ALONE = [name for name in ITEMS if name not in EXERCISES]  # needs PyTorch and nothing of specref
RULES = ["greedy", "rejection", "block", "matching", "tree", "gumbel", "naive", "k-sequential"]
RULES += ["canonical", "traversal", "typical", "medusa-typical", "fly", "relaxed", "ensemble"]
RULES += ["synthetic"]
DRAFTERS = ["none", "ngram", "suffix", "model", "vocabulary", "early-exit", "medusa", "mtp"]

# What each name is used for, as a body that finds its modules as globals and leaves `result`.
USE_RULE = """
generator = torch.Generator().manual_seed(0)
p = (4 * torch.rand(64, 4, 5, generator=generator)).softmax(-1)
q = (4 * torch.rand(64, 3, 5, generator=generator)).softmax(-1)
tokens = torch.multinomial(q.flatten(0, 1), 1, generator=generator).view(64, 3)
draft = data.Draft.chain(tokens, q)
result = {rule}(draft, p, chance.Streams(range(64))).emitted(draft)
assert len({{len(row) for row in result}}) > 1
"""
USE_DRAFTER = """
torch.manual_seed(0)
target = transformer.Transformer(transformer.Config(16, 32, 64, 2, 4, 2, 8)).eval()
prompts = [[1, 2, 3, 1, 2], [4, 5, 4, 5]]
params = data.SamplingParams(temperature=0.8, seed=1, max_new_tokens=20)
done = decode.generate(target, {drafter}, {rule}.{rule}, prompts, params)
result = [[one.tokens, one.drafted, one.accepted] for one in done]
"""
USE_SPECULATE = """
import random
uniform = random.Random(0).random
p, q = torch.tensor([0.6, 0.3, 0.1]), torch.tensor([0.2, 0.2, 0.6])
result = [
    speculate.speculate(lambda _: p, lambda _: q, [], 4, speculate.sampler(uniform))
    for _ in range(50)
]
assert len({len(row) for row in result}) == 5
"""
USE_ENUMERATE = """
weights = torch.tensor([[0.25, 0.75]])
exact = enumerate.distribution(lambda chance: int(chance.draw(weights)) + int(chance.draw(weights)))
result = [exact[total] for total in (0, 1, 2)]
assert result == [0.0625, 0.375, 0.5625]
"""


def use(name: str) -> str:
    """The body for a name."""
    example = ITEMS[name].example
    if name in RULES:
        return USE_RULE.format(rule=example.splitlines()[-1].partition("(data")[0][len("print(") :])
    if name in DRAFTERS:
        call = example.partition("generate(target, ")[2].partition(", [[1,")[0]
        drafter, _, rule = call.rpartition(", ")
        return USE_DRAFTER.format(drafter=drafter, rule=rule.partition(".")[0])
    return {"speculate": USE_SPECULATE, "enumerate": USE_ENUMERATE}[name]


def modules(name: str) -> dict[str, str]:
    """Module name in the copy -> module name in the package, of all files of a copy."""
    found = {}
    for file, text in flat_files(ITEMS[name]).items():
        source = text.partition("specref/")[2].partition(";")[0]
        dotted = source.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        found[file.removesuffix(".py")] = f"specref.{dotted}"
    return found


def in_the_package(name: str) -> object:
    """What the body gives with the package's own modules."""
    space: dict[str, object] = {"torch": torch}
    space |= {flat: import_module(dotted) for flat, dotted in modules(name).items()}
    space["d"] = space.get(flat_name(ITEMS[name].sources[0]))
    exec(use(name), space)
    return space["result"]


def in_the_copy(name: str) -> str:
    """The script that does the same in the folder of the copy."""
    own = ", ".join(modules(name))
    alias = f"import {flat_name(ITEMS[name].sources[0])} as d"
    return f"import json, torch, {own}\n{alias}\n{use(name)}\nprint(json.dumps(result))\n"


def required(distribution: str) -> set[str]:
    """A distribution and all that it requires here, extras left out."""
    seen: set[str] = set()
    pending = [canonicalize_name(distribution)]
    while pending:
        name = pending.pop()
        if name not in seen:
            seen.add(name)
            lines = [Requirement(line) for line in metadata.requires(name) or []]
            wanted = [r for r in lines if r.marker is None or r.marker.evaluate({"extra": ""})]
            pending += [canonicalize_name(requirement.name) for requirement in wanted]
    return seen


def importable(distribution: str) -> list[str]:
    """The top-level modules of a distribution and of all that it requires."""
    wanted = required(distribution)
    return [
        module
        for module, owners in metadata.packages_distributions().items()
        if wanted.intersection(map(canonicalize_name, owners))
    ]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[int, str]]]:
    """For every name: status and output of its use, and of its printed example."""
    scripts = []
    for name in ALONE:
        folder = tmp_path_factory.mktemp(name)
        copy = copy_item(name, folder)
        body = in_the_copy(name) if name in [*RULES, *DRAFTERS, "speculate", "enumerate"] else ""
        scripts += [(str(folder), body), (str(folder), copy.example)]
    asked = {
        "packages": str(Path(torch.__file__).parents[1]),
        "allowed": importable("torch"),
        "scripts": scripts,
    }
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(Path(__file__).parent / "closed.py")],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    return {name: answers[2 * i : 2 * i + 2] for i, name in enumerate(ALONE)}


@pytest.mark.parametrize("name", [*RULES, *DRAFTERS, "speculate", "enumerate"])
def test_a_copy_does_what_the_package_does(name: str, outcomes) -> None:
    status, output = outcomes[name][0]
    assert status == 0, output
    assert json.loads(output.splitlines()[-1]) == in_the_package(name)


@pytest.mark.parametrize("name", ALONE)
def test_the_example_has_three_lines_and_runs(name: str, outcomes) -> None:
    assert len(ITEMS[name].example.splitlines()) == 3
    status, output = outcomes[name][1]
    assert status == 0, output
    assert output.strip()


def test_every_rule_and_drafter_is_offered() -> None:
    lossless = {*specref.verify.RULES, *specref.verify.RESEARCH_RULES}
    lossy = {name for name in specref.verify.__all__ if name.startswith("Lossy")}
    used = {ITEMS[name].example.partition("print(")[2].partition("(")[0] for name in RULES}
    assert {name.partition(".")[2] for name in used} == lossless | lossy
    files = {file.stem for file in (HOME / "draft").glob("*.py")} - {"__init__", "base"}
    assert {name.replace("-", "_") for name in DRAFTERS} == files
    assert {*RULES, *DRAFTERS} < ITEMS.keys()


@pytest.mark.parametrize("name", ALONE)
def test_files_are_flat_named_apart_and_shadow_nothing(name: str) -> None:
    files = flat_files(ITEMS[name])
    stems = {file.removesuffix(".py") for file in files}
    assert len({modules(name)[stem] for stem in stems}) == len(stems)
    assert not stems & {*sys.stdlib_module_names, "torch"}
    for file, text in files.items():
        assert "Apache-2.0" in text[:400]
        assert "To cite" in text[:400]
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom):
                assert not node.level, f"{file}: line {node.lineno}"


@pytest.mark.parametrize("name", EXERCISES)
def test_of_an_exercise_a_student_gets_no_answer(name: str, tmp_path: Path) -> None:
    """The skeleton alone; the solution in a second file, for who asks for it."""
    copy = copy_item(name, tmp_path)
    (file,) = copy.written
    assert copy.example == f"specref grade {file}"
    text = (tmp_path / file).read_text()
    assert "Apache-2.0" in text[:400]
    assert f'EXERCISE = "{name}"' in text
    defined = [node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
    assert defined == ["attempt"]
    assert not any(
        isinstance(node, ast.ImportFrom) and node.level for node in ast.walk(ast.parse(text))
    )
    again = copy_item(name, tmp_path, solution=True)
    assert again.kept == [file]
    assert again.written == [file.replace(".py", "_solution.py")]
    assert (tmp_path / again.written[0]).read_text() != text


def test_only_an_exercise_has_a_solution(tmp_path: Path) -> None:
    with pytest.raises(SpecrefError, match="rejection is no exercise and has no solution"):
        copy_item("rejection", tmp_path / "new", solution=True)
    assert not (tmp_path / "new").exists()


def test_no_two_sources_of_any_copies_have_one_flat_name() -> None:
    """A folder takes several copies: a name must mean the same file in all of them."""
    meaning: dict[str, str] = {}
    for name in ALONE:
        for flat, dotted in modules(name).items():
            assert meaning.setdefault(flat, dotted) == dotted


def test_one_folder_takes_several_copies(tmp_path: Path) -> None:
    first = copy_item("rejection", tmp_path / "new" / "folder")
    again = copy_item("block", tmp_path / "new" / "folder")
    assert "rejection.py" in first.written
    assert again.written == ["block.py"]
    assert "data.py" in again.kept
    assert {file.name for file in (tmp_path / "new" / "folder").iterdir()} == {
        *first.written,
        "block.py",
    }


def test_a_file_that_is_there_is_never_overwritten_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "rejection.py").write_text("mine\n")
    with pytest.raises(SpecrefError, match=r"rejection\.py is there with another content: choose"):
        copy_item("rejection", tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["rejection.py"]
    assert (tmp_path / "rejection.py").read_text() == "mine\n"


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []

    def full(path: Path, mode: str = "r", *more, **named):
        if mode == "x":
            if len(opened) == 2:
                raise OSError(28, "No space left on device")
            opened.append(path)
        return open(path, mode, *more, **named)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(SpecrefError, match="No space left on device"):
        copy_item("rejection", tmp_path)
    assert len(opened) == 2
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(SpecrefError, match=r"cannot write to .*choose another folder"):
            copy_item("greedy", folder)


def test_an_unknown_name_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(SpecrefError, match="there is no 'eagle' to copy: choose one of speculate"):
        copy_item("eagle", tmp_path / "folder")
    assert not (tmp_path / "folder").exists()
