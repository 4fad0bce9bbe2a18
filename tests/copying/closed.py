"""Run scripts where nothing but PyTorch and what it requires can be imported.

Called as `python -I -S closed.py`: a JSON object on standard input, one on standard output. Each
script runs in a fork of its own, so that PyTorch is imported once.
"""

import json
import os
import sys
import tempfile
import traceback


class Closed:
    """Refuses every import from outside the standard library but those that are allowed."""

    def __init__(self, allowed: list[str]):
        self.allowed = {*allowed, *sys.stdlib_module_names}

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in self.allowed:
            raise ModuleNotFoundError(f"{name} is closed off here", name=name)


def outcome(folder: str, script: str, allowed: list[str]) -> tuple[int, str]:
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
                here = [name.removesuffix(".py") for name in os.listdir(folder)]
                sys.meta_path.insert(0, Closed([*allowed, *here]))
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
closed = Closed(asked["allowed"])
sys.meta_path.insert(0, closed)
import torch  # noqa: E402

torch.set_num_threads(1)
sys.meta_path.remove(closed)
json.dump([outcome(*one, asked["allowed"]) for one in asked["scripts"]], sys.stdout)
