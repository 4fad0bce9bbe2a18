"""Two ranks that share the target write what one writes, and both the same.

Protects: a split model from ranks whose coins fall differently (vLLM #17498), and from weights that
were cut in the wrong place.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import specref
import torch.distributed as dist

from tests.serve.two_ranks import model, serve


@pytest.mark.skipif(
    not dist.is_available() or not dist.is_gloo_available(), reason="torch was built without gloo"
)
def test_two_ranks_write_what_one_writes():
    root, package = Path(__file__).parents[2], Path(specref.__file__).parents[1]
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "tests.serve.two_ranks",
    ]
    run = subprocess.run(
        command,
        cwd=root,
        capture_output=True,
        text=True,
        timeout=240,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{root}{os.pathsep}{package}"},
    )
    assert run.returncode == 0, run.stderr[-2000:]
    first, second = json.loads(run.stdout)
    assert first["heads"] == second["heads"] == 8, "half of 4 query heads of width 4"
    for name in ("model", "medusa"):
        assert first[name] == second[name] == serve(model(), name, True, False)
    assert first["unseeded"] == second["unseeded"], "the coins are shared, not the seeds"
    assert first["apart"] != second["apart"], (
        "without sharing, unseeded ranks drift apart: the test can see it"
    )
