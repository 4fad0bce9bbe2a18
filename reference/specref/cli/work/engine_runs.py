"""Judge real engines one after another."""

import os
import subprocess
from importlib import metadata
from typing import Any

from ...judge.job import Job
from ...judge.runner import Runner

PACKAGES = ("transformers", "onnxruntime-genai", "onnxruntime", "gguf")


def judge_engine(job: Job) -> dict[str, Any]:
    """The report of one engine, without its pictures. `absent` says why there is none."""
    runner = Runner(job)
    runner.load()
    report = runner.run()
    result = report.as_dict()
    for check in result["checks"]:
        check.pop("pictures")
    return result | {"absent": report.crashed if not report.checks else ""}


def engine_versions() -> dict[str, str]:
    """Versions of what was judged."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    program = os.environ.get("SPECREF_LLAMA_SERVER")
    if program:
        try:
            out = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20)
        except (OSError, subprocess.TimeoutExpired):
            return found
        lines = (out.stdout + out.stderr).splitlines()
        line = next((line for line in lines if line.startswith("version")), "")
        found["llama-server"] = line.removeprefix("version:").strip()
    return found
