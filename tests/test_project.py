"""What people meet before the code: the action, the workflows, versions that must agree."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import specref
import yaml

from tests import quick
from tests.style import ROOT

ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
TEMPLATE = ROOT / "reference" / "specref" / "judge" / "templates" / "kernel.py"


def read(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text())


def validate(folder: Path, **inputs: str) -> tuple[int, dict[str, str]]:
    """The action's own shell for its step `validate`, with its defaults: exit code and outputs."""
    step = next(step for step in ACTION["runs"]["steps"] if step.get("id") == "validate")
    given = {name: one.get("default", "") for name, one in ACTION["inputs"].items()} | inputs
    environment = {**os.environ, "GITHUB_OUTPUT": str(folder / "outputs"), "PYTHONSAFEPATH": "1"}
    environment["PYTHONPATH"] = str(ROOT / "reference")
    for name, value in step["env"].items():
        asked = re.fullmatch(r"\$\{\{ inputs\.([a-z-]+) \}\}", value)
        assert asked, f"{name}: {value} is no input"
        environment[name] = given[asked.group(1)]
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    lines = (folder / "outputs").read_text().splitlines()
    return done.returncode, dict(line.split("=", 1) for line in lines)


def test_the_action_judges_an_adapter(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(TEMPLATE.read_text())
    only = {"python": sys.executable, "engine": "mine.py:Mine", "arguments": "--only kernel.shape"}
    assert validate(tmp_path, **only) == (0, {"code": "0", "verdict": "PASS"})
    assert (tmp_path / "specref-report" / "report.html").exists()


def test_the_action_fails_with_the_judge(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(TEMPLATE.read_text().replace("cumprod(1)", "cumsum(1)"))
    only = {"python": sys.executable, "engine": "mine.py:Mine", "arguments": "--only kernel.shape"}
    code, outputs = validate(tmp_path, **only, level="kernel")
    assert (code, outputs) == (1, {"code": "1", "verdict": "FAIL"})
    (tmp_path / "outputs").unlink()
    code, outputs = validate(tmp_path, **{**only, "engine": "gone.py:Mine"}, report="other")
    assert code in (2, 3)
    assert outputs == {"code": str(code), "verdict": ""}


def test_every_input_of_the_action_is_used_and_described() -> None:
    text = (ROOT / "action.yml").read_text()
    for name, one in ACTION["inputs"].items():
        assert f"inputs.{name}" in text, name
        assert one["description"], name
        assert one.get("required") or "default" in one, name


def test_versions_agree() -> None:
    """One version in the package, the citation and the changelog; one ruff for everybody."""
    assert read("CITATION.cff")["version"] == specref.__version__
    changes = re.findall(r"^## \[([^]]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert changes[0] == specref.__version__ or changes[:2] == ["Unreleased", specref.__version__]
    pins = dict(
        line.split("==")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    )
    hooks = read(".pre-commit-config.yaml")["repos"][0]["hooks"]
    asked = {name for hook in hooks for name in hook["additional_dependencies"]}
    assert f"ruff=={pins['ruff']}" in asked


def test_torch_is_the_first_pin() -> None:
    """What asks for torch must not bring another build."""
    for name in ("constraints.txt", "constraints-engines.txt"):
        lines = (ROOT / name).read_text().splitlines()
        assert next(line for line in lines if not line.startswith("#")).startswith("torch=="), name


def test_every_tool_of_the_tests_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = (ROOT / "constraints.txt").read_text().lower()
    for group in ("test", "docs", "plot", "tokenizer"):
        for need in project["optional-dependencies"][group]:
            name = re.split(r"[\[<>=]", need)[0].lower()
            assert f"\n{name}==" in pins, name


def test_imports_are_resolved_as_python_resolves_them() -> None:
    known = quick.modules(
        ["reference/specref/data.py", "reference/specref/verify/__init__.py", "tests/style.py"]
    )
    assert known == {
        "specref.data": "reference/specref/data.py",
        "specref.verify": "reference/specref/verify/__init__.py",
        "tests.style": "tests/style.py",
    }
    text = "from ..data import Draft\ndef f():\n    from tests import style\n"
    assert quick.imports("reference/specref/verify/greedy.py", text, known) == {
        "reference/specref/data.py",
        "tests/style.py",
    }
    text = "from . import Rule\nimport torch\n"
    found = quick.imports("reference/specref/verify/greedy.py", text, known)
    assert found == {"reference/specref/verify/__init__.py"}


@pytest.mark.parametrize(
    ("changed", "first"),
    [
        ("reference/specref/verify/rejection.py", "tests/verify/"),
        ("reference/specref/probs.py", "tests/probs/"),
        ("docs/pages/validate.md", "tests/docs/"),
        ("proofs/coq/trees.v", "tests/proofs/"),
        ("tests/stats/test_power.py", "tests/stats/test_power.py"),
    ],
)
def test_quick_starts_with_the_nearest(changed: str, first: str) -> None:
    files = quick.chosen(quick.graph(), {changed})
    assert files[0].startswith(first)


def test_quick_follows_imports_through_others() -> None:
    edges = {
        "a.py": set(),
        "b.py": {"a.py"},
        "tests/x/test_b.py": {"b.py"},
        "tests/x/test_other.py": set(),
    }
    assert quick.distances(edges, {"a.py"}) == {"a.py": 0, "b.py": 1, "tests/x/test_b.py": 2}
    assert quick.chosen(edges, {"a.py"}) == ["tests/x/test_b.py"]


def test_quick_finds_what_git_says(tmp_path: Path) -> None:
    def git(*words: str) -> None:
        subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], cwd=tmp_path, check=True
        )

    git("init", "-q", "-b", "main")
    for name in ("same", "later", "edited"):
        (tmp_path / name).write_text("1")
    git("add", ".")
    git("commit", "-qm", "one")
    git("checkout", "-qb", "side")
    (tmp_path / "later").write_text("2")
    git("commit", "-qam", "two")
    (tmp_path / "edited").write_text("2")
    (tmp_path / "new").write_text("1")
    assert quick.changed(tmp_path) == {"later", "edited", "new"}
