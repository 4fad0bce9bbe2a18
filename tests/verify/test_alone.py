"""A rule file copied with types and chance runs alone: that is how people are meant to take it.

Protects: the imports of verify/*.py. A rule that reaches for anything else fails here.
"""

import importlib
import re
import shutil
import sys
from pathlib import Path

import pytest
import torch

import reference
from reference.verify import RULES

HOME = Path(reference.__file__).parent


@pytest.mark.parametrize("rule", RULES)
def test_rule_runs_with_types_and_chance_alone(rule: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"alone_{rule}"
    (tmp_path / name / "verify").mkdir(parents=True)
    for file in ("types.py", "chance.py", f"verify/{rule}.py"):
        shutil.copy(HOME / file, tmp_path / name / file)
    for package in (name, f"{name}/verify"):
        (tmp_path / package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    copy = importlib.import_module(f"{name}.verify.{rule}")
    fresh = set(sys.modules) - before
    assert fresh == {name, f"{name}.types", f"{name}.chance", f"{name}.verify", f"{name}.verify.{rule}"}
    source = Path(copy.__file__ or "").read_text()
    assert not re.search(r"^\s*(from|import) reference\b", source, re.MULTILINE)  # loaded already, so never fresh
    types, chance = sys.modules[f"{name}.types"], sys.modules[f"{name}.chance"]
    p, q = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]]), torch.tensor([[[0.25, 0.75]]])
    verdict = getattr(copy, rule)(types.Draft.chain(torch.tensor([[0]]), q), p, chance.Streams([0]))
    assert verdict.emitted(types.Draft.chain(torch.tensor([[0]]))) == [[0, 0]]
