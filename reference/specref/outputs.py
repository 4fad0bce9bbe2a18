"""Files that a user asked for: looked at before the work, written whole or not at all after it.

A link is followed, and the file that it names is replaced in one move. What is no regular file,
such as a pipe or a terminal, is written to and never replaced. Texts are UTF-8.
"""

import errno
import glob
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

from .errors import SpecrefError


def require_writable(path: Path | None) -> None:
    """Find out before the work, not after it, that a result cannot be written.

    Errors:
        SpecrefError: a folder, a folder that is missing, a place where one may not write.
    """
    if path is None:
        return
    try:
        place = _resolved(path)
        if place.is_dir():
            raise SpecrefError(f"{path} is a folder: give a file to write")
        for folder in (path.parent, place.parent):
            if not folder.is_dir():
                raise SpecrefError(
                    f"cannot write {path}, the folder {folder} does not exist: create it first"
                )
        asked = [place.parent] if _replaceable(place) else []
        if place.exists():
            asked.append(place)
    except OSError as error:  # a name that no file can have, a circle of links
        raise _unwritable(path, error) from None
    if not all(os.access(one, os.W_OK) for one in asked):
        raise SpecrefError(f"cannot write {path}: choose another place")


def require_folder(folder: Path | None) -> None:
    """Create the folder of a report, and find out before the work that it can be written."""
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpecrefError(
            f"cannot make the folder {folder} ({error.strerror}): choose another place"
        ) from None
    require_writable(folder / "report.json")


def write_file(path: Path, write: Callable[[Path], object]) -> None:
    """Call write(a file beside it), then move that file to `path`: a reader sees the old file or
    the new one. What is no regular file gets the bytes and stays what it is.

    Errors:
        SpecrefError where that cannot be done; what was there stays, and half a file does not.
    """
    part: Path | None = None
    try:
        place = _resolved(path)
        folder = place.parent if _replaceable(place) else Path(tempfile.gettempdir())
        _clear(folder, place.name[:64])
        part = folder / _part_name(place.name[:64], os.getpid())
        write(part)
        if _replaceable(place):
            part.replace(place)
        else:
            _pour(part.read_bytes(), place)
    except OSError as error:
        raise _unwritable(path, error) from None
    finally:
        if part is not None and part.is_file():
            part.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a text as UTF-8; what has no encoding is written as its escape."""
    data = text.encode("utf-8", "backslashreplace")
    write_file(path, lambda part: part.write_bytes(data))


def _part_name(name: str, process: int) -> str:
    """By the process: two that write the same file do not meet."""
    return f".{name}.{process}.part"


def _clear(folder: Path, name: str) -> None:
    """Remove the halves of files that processes left when they were killed."""
    for left in folder.glob(glob.escape(f".{name}.") + "*.part"):
        process = left.name.split(".")[-2]
        if process.isdecimal() and not Path(f"/proc/{process}").exists():
            left.unlink(missing_ok=True)


def _resolved(path: Path) -> Path:
    """The file that a link names; /dev/fd/1 and the like name no place, and stay as they are."""
    place = Path(os.path.realpath(path))
    if place.is_symlink():  # links in a circle
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    return place if place.exists() or not path.exists() else path


def _replaceable(place: Path) -> bool:
    """Whether it is a regular file, or nothing yet."""
    return not place.exists() or stat.S_ISREG(place.stat().st_mode)


def _pour(data: bytes, place: Path) -> None:
    """Write to a pipe, a terminal or the like. A pipe that nobody reads is an error: it would wait
    for ever.
    """
    with os.fdopen(os.open(place, os.O_WRONLY | os.O_NONBLOCK), "wb") as file:
        os.set_blocking(file.fileno(), True)
        file.write(data)


def _unwritable(path: Path, error: OSError) -> SpecrefError:
    why = error.strerror or str(error)
    return SpecrefError(f"cannot write {path} ({why}): choose another place, or free some space")
