"""The text that toy models learn from and are tried on: by default the standard library's own
sources, as bytes.
"""

import sysconfig
from pathlib import Path

import torch
from torch import Tensor

from ..data import SpecrefError

END = 0  # the byte between two documents; it never occurs in source text
HELD_OUT = (
    "argparse.py",
    "bisect.py",
    "calendar.py",
    "dataclasses.py",
    "fractions.py",
    "heapq.py",
    "queue.py",
    "shlex.py",
    "statistics.py",
    "textwrap.py",
    "asyncio/queues.py",
    "email/message.py",
    "http/cookies.py",
    "json/decoder.py",
    "logging/handlers.py",
    "unittest/mock.py",
)
LEFT_OUT = {
    "site-packages",
    "dist-packages",
    "test",
    "tests",
    "idlelib",
    "lib2to3",
    "pydoc_data",
    "encodings",
    "__pycache__",
}  # packages that come and go, tables, and text that is not source


def standard_library() -> Path:
    return Path(sysconfig.get_path("stdlib"))


def held_out() -> dict[str, bytes]:
    """The held-out files of the standard library, name -> text, without reading the others."""
    return {
        name: _text(standard_library() / name)
        for name in sorted(HELD_OUT)
        if (standard_library() / name).is_file()
    }


def corpus(folder: Path | None = None) -> tuple[Tensor, dict[str, bytes]]:
    """Training text and held-out files.

    Args:
        folder: text files to learn from; None takes the standard library's own sources.
    Returns:
        uint8 [L], documents with an END byte before each; and held-out name -> text. In a folder of
        one's own every twentieth file is held out.
    """
    root = standard_library() if folder is None else folder
    suffixes = (
        (".py",)
        if folder is None
        else (".py", ".txt", ".md", ".rst", ".c", ".rs", ".go", ".java", ".js")
    )
    names = sorted(
        path.relative_to(root).as_posix()
        for path in root.rglob("*")
        if path.suffix in suffixes
        and path.is_file()
        and (folder is not None or not LEFT_OUT & set(path.relative_to(root).parts))
    )
    held_names = set(HELD_OUT) if folder is None else set(names[::20])
    if len(names) < 2:
        raise SpecrefError(
            f"{root} holds {len(names)} text files ({', '.join(suffixes)}): at least two are needed"
        )
    texts = {name: _text(root / name) for name in names}
    held = {name: text for name, text in texts.items() if name in held_names}
    learned = b"".join(
        bytes([END]) + text for name, text in texts.items() if name not in held_names
    )
    return torch.frombuffer(bytearray(learned), dtype=torch.uint8), held


def _text(path: Path) -> bytes:
    return path.read_bytes().replace(bytes([END]), b"")


def held_out_rows(texts: dict[str, bytes], context: int, rows: int) -> Tensor:
    """At most `rows` rows [R,C+1] int64, evenly spread over the texts; texts shorter than a row
    give none.
    """
    cut = []
    for _, text in sorted(texts.items()):
        data = torch.frombuffer(bytearray(bytes([END]) + text), dtype=torch.uint8).long()
        cut.append(
            data.unfold(0, context + 1, context)
            if len(data) > context
            else data.new_zeros(0, context + 1)
        )
    every = torch.cat(cut)
    return every[torch.linspace(0, len(every) - 1, min(rows, len(every))).long()]
