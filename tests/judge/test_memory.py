"""A kernel is not timed by the memory of its tensors.

Protects: how many draws a run gets, and so the difference that it would have found.
"""

import platform
import subprocess
import sys

import pytest

# Asks malloc itself: page faults are counted otherwise under huge pages, and in some sandboxes not
# at all.
FREE = """
import ctypes
from specref.judge.memory import keep_memory
class Info(ctypes.Structure):
    _fields_ = [(f"{i}", ctypes.c_int) for i in range(10)]  # the ninth: free bytes (fordblks)
libc = ctypes.CDLL(None)
libc.mallinfo.restype, libc.malloc.restype, libc.free.argtypes = Info, ctypes.c_void_p, [ctypes.c_void_p]
keep_memory()
before = getattr(libc.mallinfo(), "8")
libc.free(libc.malloc(24 * 2**20))
print(getattr(libc.mallinfo(), "8") - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the settings are glibc's")
def test_what_a_call_no_longer_needs_is_there_for_the_next():
    """24 MiB: left alone, glibc gives them back to the system at once."""
    kept = int(subprocess.run([sys.executable, "-c", FREE], check=True, capture_output=True).stdout)
    assert kept >= 24 * 2**20 - 2**16
