"""A rule file copied flat, with the modules that it imports, runs alone.

Protects: the imports of verify/*.py. A rule that reaches for anything else fails here.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import specref
from specref.verify import RULES

HOME = Path(specref.__file__).parent
TRY = """
import torch, {rule}, data, chance
p, q = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]]), torch.tensor([[[0.25, 0.75]]])
verdict = {rule}.{rule}(data.Draft.chain(torch.tensor([[0]]), q), p, chance.Streams([0]))
assert verdict.emitted(data.Draft.chain(torch.tensor([[0]]))) == [[0, 0]]
"""


@pytest.mark.parametrize("rule", RULES)
def test_rule_runs_in_a_flat_folder(rule: str, tmp_path: Path) -> None:
    for file in ("data.py", "checks.py", "chance.py", "verify/residual.py", f"verify/{rule}.py"):
        text = re.sub(r"^from \.+", "from ", (HOME / file).read_text(), flags=re.MULTILINE)
        (tmp_path / Path(file).name).write_text(text)
    done = subprocess.run(
        [sys.executable, "-c", TRY.format(rule=rule)], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
