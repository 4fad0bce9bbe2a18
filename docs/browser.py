"""A page in headless Chromium, through the DevTools protocol over a pipe: no driver, no package.

Chromium reads commands from its file descriptor 3 and answers on 4, each a JSON text that ends
with a zero byte.
"""

import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
SWITCHES = (
    "--headless",
    "--no-sandbox",  # a build may run as root, where the sandbox cannot start
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--remote-debugging-pipe",
)
SECONDS = 60.0  # for one answer


def browser_path() -> str | None:
    """The Chromium of this machine, or None. CHROMIUM in the environment names another."""
    named = os.environ.get("CHROMIUM")
    return named or next((path for path in map(shutil.which, NAMES) if path), None)


class Browser:
    """One Chromium with one page. Use it in a `with`."""

    def __init__(self, path: str, width: int = 1280, height: int = 900):
        self.profile = tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True)
        commands, self.commands = os.pipe()
        self.answers, answers = os.pipe()
        # Chromium wants exactly 3 and 4: the shell moves our descriptors there
        shell = f'exec "$0" "$@" 3<&{commands} 4>&{answers}'
        window = f"--window-size={width},{height}"
        words = [path, *SWITCHES, window, f"--user-data-dir={self.profile.name}", "about:blank"]
        self.process = subprocess.Popen(
            ["bash", "-c", shell, *words],
            pass_fds=(commands, answers),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(commands)
        os.close(answers)
        os.set_blocking(self.answers, False)
        self.count = 0
        self.buffer = b""
        self.session: str | None = None
        pages = self.command("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in pages if target["type"] == "page")
        attached = self.command("Target.attachToTarget", targetId=page, flatten=True)
        self.session = attached["sessionId"]
        self.command("Page.enable")

    def __enter__(self) -> "Browser":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.terminate()
        self.process.wait(20)
        os.close(self.commands)
        os.close(self.answers)
        self.profile.cleanup()

    def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of one command.

        Errors:
            RuntimeError when the browser refuses it or does not answer.
        """
        self.count += 1
        message = {"id": self.count, "method": method, "params": parameters}
        if self.session is not None:
            message["sessionId"] = self.session
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            answer = self._next()
            if answer.get("id") == self.count:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]
        raise RuntimeError(f"{method}: the browser did not answer in {SECONDS:.0f} seconds")

    def _next(self) -> dict[str, Any]:
        """The next message, or {} when none has come yet."""
        if b"\0" not in self.buffer:
            try:
                read = os.read(self.answers, 1 << 20)
            except BlockingIOError:
                time.sleep(0.01)
                return {}
            if not read:
                raise RuntimeError("the browser has ended")
            self.buffer += read
            return {}
        message, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(message)

    def open(self, page: Path) -> None:
        """Load a page from file:// and wait until it has run its scripts."""
        self.command("Page.navigate", url=page.resolve().as_uri())
        end = time.monotonic() + SECONDS
        state = "document.readyState + ' ' + location.protocol"
        while self.evaluate(state) != "complete file:":
            if time.monotonic() > end:
                raise RuntimeError(f"{page} did not load")
            time.sleep(0.02)

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression; a promise is waited for.

        Errors:
            RuntimeError with the exception that it threw.
        """
        result = self.command(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in result:
            details = result["exceptionDetails"]
            raise RuntimeError(details.get("exception", {}).get("description", details["text"]))
        return result["result"].get("value")

    def type(self, text: str) -> None:
        """Insert text where the focus is, as a keyboard does."""
        self.command("Input.insertText", text=text)

    def press(self, key: str, code: int, modifiers: int = 0) -> None:
        """Press and release one key. modifiers: 2 is Control, 8 is Shift."""
        for kind in ("rawKeyDown", "keyUp"):
            self.command(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=code,
                modifiers=modifiers,
            )

    def screenshot(self, file: Path) -> None:
        """The visible part of the page as PNG."""
        from base64 import b64decode

        file.write_bytes(b64decode(self.command("Page.captureScreenshot")["data"]))
