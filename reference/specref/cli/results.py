"""Result files: what was measured, at which commit, on which machine, with which versions."""

import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch

from ..outputs import write_text

SOURCES = Path(__file__).parents[1]


def write_result(path: Path | None, command: str, result: dict[str, Any]) -> None:
    """Write command, commit, machine and versions, then the result."""
    if path is None:
        return
    about = {
        "command": command,
        "commit": source_commit(),
        "machine": machine(),
        "versions": versions(),
    }
    write_text(path, json.dumps(about | result, indent=1) + "\n")


def source_commit() -> str | None:
    """The commit of the source tree that runs, with a + when it was edited since; None for an
    installed package.
    """
    try:
        _git("ls-files", "--error-unmatch", "data.py")
        edited = "+" if _git("status", "--porcelain", "--untracked-files=no") else ""
        return _git("rev-parse", "HEAD") + edited
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(*words: str) -> str:
    command = ["git", "-C", str(SOURCES), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def machine() -> dict[str, Any]:
    """Processor, cores and accelerator; nothing that names a host or a person."""
    return {
        "cpu": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": platform.system(),
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    return {"python": platform.python_version(), "torch": torch.__version__}
