"""A kernel is not timed by the memory of its tensors.

Protects: how many draws a run gets, and so the difference that it would have found.
"""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys, torch
from reference.chance import Streams
from reference.conformance.memory import keep_memory
from reference.types import Draft
from reference.verify.rejection import rejection
torch.set_num_threads(1)
if sys.argv[1:]: keep_memory()
law = torch.full((64, 2, 4096), 1 / 4096)
draft = Draft.chain(torch.zeros(64, 1, dtype=torch.int64), law[:, :1])
def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5): rejection(draft, law, Streams(range(64)))
before = faults()
for _ in range(20): rejection(draft, law, Streams(range(64)))
print((faults() - before) // 20)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the settings are glibc's")
def test_a_call_s_tensors_take_the_pages_of_those_before():
    """64 rows of 4,096 tokens: some MiB a call."""
    left_alone, kept = (int(subprocess.run([sys.executable, "-c", FAULTS, *more], check=True, capture_output=True).stdout)
                        for more in ([], ["keep"]))
    assert kept < left_alone / 10
