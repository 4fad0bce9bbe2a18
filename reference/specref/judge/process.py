"""A process that works for us and cannot hurt us: its events come over a pipe, what it prints is
kept, its end is told.
"""

import json
import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

_TICK = 0.02  # seconds between two looks at the pipe: many small events are read at once
_KEPT = 64 * 1024  # bytes of noise kept, of the beginning and of the end
_PACKAGE = Path(__file__).resolve().parents[1]
_PLACE = re.compile(r'File "([^"]+)", line (\d+)')


class Process:
    """The judge's worker (worker.py) with the same interpreter, in a process group of its own."""

    def __init__(self) -> None:
        events, theirs = os.pipe()
        control, ours = os.pipe()
        self.events, self.control = events, ours
        self.child = subprocess.Popen(
            # -P: no import from the working folder
            [
                sys.executable,
                "-P",
                "-X",
                "faulthandler",
                "-m",
                "specref.judge.worker",
                str(theirs),
                str(control),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(theirs, control),
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        os.close(theirs)
        os.close(control)
        self.first, self.last, self.dropped = b"", b"", 0
        self.reader = threading.Thread(target=self._read_noise, daemon=True)
        self.reader.start()

    def tell(self, message: dict[str, Any]) -> None:
        with suppress(BrokenPipeError):  # its end will be seen where its events are read
            os.write(self.control, json.dumps(message).encode() + b"\n")

    def listen(self) -> Iterator[dict[str, Any] | None]:
        """Events as they come; None when a tick passes without one; ends with the process."""
        rest = b""
        while True:
            ready, _, _ = select.select([self.events], [], [], 0.1)
            if not ready:
                yield None
                continue
            data = os.read(self.events, 1 << 16)
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                yield json.loads(line)
            if len(data) < 1 << 14:
                time.sleep(_TICK)

    def stop(self) -> None:
        """End it and whatever it started; a hanging Python says where it hangs first."""
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGABRT)
        self.end(2.0)

    def end(self, patience: float = 5.0) -> int:
        """Wait for the end, and bring it about when it doesn't come. Its exit code, negative for a
        signal.
        """
        try:
            self.child.wait(patience)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        with suppress(ProcessLookupError, PermissionError):  # nothing is left of its group
            os.killpg(self.child.pid, signal.SIGKILL)
        self.reader.join(1.0)
        for pipe in (self.events, self.control):
            os.close(pipe)
        return self.child.returncode

    @property
    def noise(self) -> str:
        """What it printed."""
        gap = f"\n... {self.dropped} bytes left out ...\n".encode() if self.dropped else b""
        return (self.first + gap + self.last).decode(errors="replace")

    def _read_noise(self) -> None:
        assert self.child.stdout is not None
        while data := self.child.stdout.read1(1 << 16):  # type: ignore[attr-defined]
            room = _KEPT - len(self.first)
            self.first += data[:room]
            self.last += data[room:]
            self.dropped += max(0, len(self.last) - _KEPT)
            self.last = self.last[-_KEPT:]

    def place(self) -> str:
        """The engine's line in which it stood at its end, where Python could still say so."""
        for file, line in _PLACE.findall(self.noise.rpartition("(most recent call first)")[2]):
            if (
                not file.startswith((str(_PACKAGE), "<"))
                and f"{os.sep}lib{os.sep}python" not in file
            ):
                return f" ({Path(file).name}, line {line})"
        return ""


def ending(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name if -code in {*signal.Signals} else f"signal {-code}"
    more = {
        "SIGSEGV": ": segmentation fault",
        "SIGKILL": ": out of memory?",
        "SIGABRT": ": abort",
    }.get(name, "")
    return f"was ended by {name}{more}"
