"""Run scripts where nothing but PyTorch and what it requires can be imported.

Called as `python -I -S closed.py`: a JSON object on standard input, one on standard output. Each
script runs in a fork of its own, so that PyTorch is imported once.
"""

import json
import os
import sys
import tempfile
import traceback
from importlib.machinery import PathFinder
from typing import ClassVar


class Closed(PathFinder):
    """Finds the standard library and what is allowed; anything else is not there."""

    allowed: ClassVar[set[str]] = {*sys.stdlib_module_names}

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in cls.allowed or top.startswith("_sysconfigdata"):  # Python's own, by platform
            return super().find_spec(name, path, target)
        return None


def outcome(folder: str, script: str) -> tuple[int, str]:
    """Exit status and output of a script that runs in a folder."""
    with tempfile.TemporaryFile("w+") as output:
        child = os.fork()
        if not child:
            status = 1
            try:
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
                os.chdir(folder)
                sys.path.insert(0, folder)
                Closed.allowed |= {name.removesuffix(".py") for name in os.listdir(folder)}
                exec(compile(script, "script", "exec"), {"__name__": "__main__"})
                status = 0
            except BaseException:
                traceback.print_exc()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        output.seek(0)
        return status, output.read()


asked = json.load(sys.stdin)
sys.path.append(asked["packages"])
Closed.allowed |= {*asked["allowed"]}
sys.meta_path[:] = [Closed if finder is PathFinder else finder for finder in sys.meta_path]
import torch  # noqa: E402

torch.set_num_threads(1)
json.dump([outcome(*one) for one in asked["scripts"]], sys.stdout)
