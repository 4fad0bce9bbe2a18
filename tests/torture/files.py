"""Files and processes: broken checkpoints, absurd arguments, processes killed while they write."""

import contextlib
import io
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from specref.cli import main
from specref.data import SpecrefError
from specref.model.checkpoint import load, save

from tests.cli.conftest import tiny
from tests.torture.tally import Tally

VALUES: tuple[Any, ...] = (
    None, -1, 0, 1, 3, 1.5, 10**30, "x", "", [], [-1], {}, True, -1e-5, 1e39, float("nan"),
    ["a"], {"rope_type": "linear"}, "gelu",
)  # fmt: skip


def checkpoints(draw: random.Random, count: int, folder: Path) -> Tally:
    """Each has one field of its config changed, or some of its bytes."""
    tally = Tally("broken checkpoints", "it loads, or is refused in one line")
    save(tiny(0), folder / "good")
    for number in range(count):
        broken = folder / "broken"
        shutil.copytree(folder / "good", broken)
        what = _break(draw, broken)
        tally.attempt(f"{number}: {what}", SpecrefError, lambda place=broken: load(place))  # type: ignore[misc]
        shutil.rmtree(broken)
    return tally


def _break(draw: random.Random, folder: Path) -> str:
    config, weights = folder / "config.json", folder / "model.safetensors"
    if draw.random() < 0.7:
        raw = json.loads(config.read_text())
        name, value = draw.choice(sorted(raw)), draw.choice(VALUES)
        raw[name] = value
        if draw.random() < 0.3:
            del raw[name]
            value = "absent"
        config.write_text(json.dumps(raw))
        return f"{name} = {value!r}"
    path = draw.choice((config, weights))
    data = bytearray(path.read_bytes())
    if draw.random() < 0.5:
        end = draw.randrange(len(data))
        path.write_bytes(data[:end])
        return f"{path.name} cut at {end}"
    place = draw.randrange(min(len(data), 3000))
    data[place] ^= 1 << draw.randrange(8)
    path.write_bytes(data)
    return f"{path.name} changed at {place}"


def arguments(draw: random.Random, count: int, folder: Path) -> Tally:
    """Commands with one absurd value each."""
    tally = Tally("absurd arguments", "exit code 2 and one line, or the command's own result")
    save(tiny(0), folder / "target")
    options = (
        "--temperature", "--top-k", "--top-p", "--min-p", "--repetition-penalty", "--seed",
        "--presence-penalty", "--frequency-penalty", "--max-new-tokens", "--min-tokens", "--gamma",
        "--threads", "--layers", "--medusa", "--draft", "--prompt-ids", "--stop", "--json",
        "--prompt-file", "--dtype",
    )  # fmt: skip
    values = (
        "-1", "0", "1e39", "nan", "inf", "9" * 400, "1.5", "x", "", "\udc80", str(2**64), "-0",
        "/nowhere/x", str(folder), "1,1", "256", "\x00",
    )  # fmt: skip
    for _ in range(count):
        words = ["generate", "--target", str(folder / "target"), "--drafter", "ngram"]
        option, value = draw.choice(options), draw.choice(values)
        words += ["--prompt", "ab"] if option not in ("--prompt-ids", "--prompt-file") else []
        words += ["--max-new-tokens", "4"] if option != "--max-new-tokens" else []
        words += ["--threads", "1"] if option != "--threads" else []
        out, err = io.StringIO(), io.StringIO()
        code: Any = None
        try:
            with (
                contextlib.chdir(folder),  # a value may be the name of an output
                contextlib.redirect_stdout(out),
                contextlib.redirect_stderr(err),
            ):
                code = main([*words, f"{option}={value}"])
        except SystemExit as stopped:
            code = stopped.code
        except BaseException as error:
            tally.check(False, f"{option}={value!r}: {type(error).__name__}: {error}")
            continue
        told = err.getvalue()
        good = code == 0 or (code == 2 and told.count("\n") == 1)
        tally.check(good, f"{option}={value!r}: exit {code}, {told!r}")
    return tally


WRITES = """
import itertools, sys
from pathlib import Path
from specref.outputs import write_text
for number in itertools.count():
    write_text(Path(sys.argv[1]), '{"number": %d, "rest": "%s"}' % (number, "x" * 200_000))
"""


def killed_writers(draw: random.Random, count: int, folder: Path) -> Tally:
    tally = Tally("processes killed while they write a result", "the file is whole, old or new")
    file = folder / "result.json"
    for _ in range(count):
        process = subprocess.Popen([sys.executable, "-c", WRITES, str(file)])
        end = time.monotonic() + 20
        while not file.exists() and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(draw.random() * 0.3)
        process.kill()
        process.wait()
        try:
            tally.check(len(json.loads(file.read_text())["rest"]) == 200_000, "half a file")
        except (OSError, ValueError) as error:
            tally.check(False, str(error))
    return tally


def killed_training(draw: random.Random, count: int, folder: Path) -> Tally:
    """A training that is killed `count` times and begun again."""
    tally = Tally("kills of a training", "its weights are byte for byte those of a run left alone")
    words = ["train", "target", "--steps", "6", "--threads", "1", "--save-every", "1"]
    alone = _train(words, folder / "alone", None)
    for _ in range(count):
        _train(words, folder / "killed", draw.uniform(0.3, 0.9) * alone)
    _train(words, folder / "killed", None)
    first = load_file(folder / "alone" / "model.safetensors")
    second = load_file(folder / "killed" / "model.safetensors")
    same = all(bool((first[name] == second[name]).all()) for name in first)
    tally.all_of(count, same, "the weights differ")
    return tally


def _train(words: list[str], folder: Path, seconds: float | None) -> float:
    """Train, and kill it after so many seconds; returns the seconds that it ran."""
    began = time.monotonic()
    command = [sys.executable, "-m", "specref", *words, "--out", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    return time.monotonic() - began


def interrupted_judges(draw: random.Random, count: int, folder: Path) -> Tally:
    tally = Tally("judges interrupted twice", "a verdict on the terminal, and whole files")
    for number in range(count):
        out = folder / f"report-{number}"
        command = [sys.executable, "-m", "specref", "validate", "reference", "--level", "kernel"]
        command += ["--budget", "30", "--report", str(out)]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        time.sleep(draw.uniform(4, 9))
        for _ in range(40):
            process.send_signal(draw.choice((signal.SIGINT, signal.SIGTERM)))
            time.sleep(0.01)
        said, errors = process.communicate(timeout=60)
        try:
            whole = bool(json.loads((out / "report.json").read_text())["interrupted"])
        except (OSError, ValueError):
            whole = False
        good = whole and process.returncode == 4 and "interrupted" in said
        tally.check(good, f"exit {process.returncode}: {said[-100:]} {errors[-200:]}")
    return tally
