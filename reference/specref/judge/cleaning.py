"""What an adapter or a server says, made fit for a terminal and a report: no secrets, no control
characters, no half characters.
"""

import re
from collections.abc import Iterable
from typing import Any

HIDDEN = "[hidden]"
_SHORTEST = 4  # characters of a secret; a shorter one would hide other words
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_USERINFO = re.compile(r"(?<=://)[^/\s@'\"]+(?=@)")


class Cleaner:
    """Cleans texts, and all texts in a JSON value.

    Control characters, those that turn the direction of writing included, and half surrogate pairs
    become escapes; line breaks and tabs stay. The user and password of a URL, and every known
    secret, become `[hidden]`.
    """

    def __init__(self) -> None:
        self.secrets: list[str] = []

    def learn(self, headers: Iterable[str]) -> None:
        """The values of headers, and their last words, are secrets from now on."""
        for value in headers:
            words = str(value).split()
            found = [str(value).strip(), *words[-1:]]
            self.secrets += [one for one in found if len(one) >= _SHORTEST]
        self.secrets.sort(key=len, reverse=True)

    def text(self, text: str) -> str:
        for secret in self.secrets:
            text = text.replace(secret, HIDDEN)
        text = _USERINFO.sub(HIDDEN, text)
        text = text.encode("utf-8", "backslashreplace").decode()
        return _CONTROL.sub(_escaped, text)

    def value(self, value: Any) -> Any:
        """The same value with clean texts; keys too."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.value(key): self.value(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(self.value(one) for one in value)
        return value


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
