"""From what the user names to something that can be judged."""

import importlib
import importlib.util
import socket
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..adapters import BUILT_IN
from ..data import SpecrefError
from . import contract

_METHODS = {
    "verify": "kernel",
    "verify_tree": "kernel",
    "verify_with": "kernel",
    "verify_logits": "kernel",
    "admit": "scheduler",
    "generate": "engine",
    "url": "http",
}

_URL = ("http://", "https://")


class NotLoadedError(Exception):
    """The adapter cannot be imported or made; the message is one line."""


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}".rstrip(": ")


@dataclass(frozen=True)
class Adapter:
    """An adapter, ready to be judged: a kernel or a server made, an engine's class (the judge gives
    it checkpoints).
    """

    subject: Any
    level: str
    name: str


def secrets(adapter: Adapter) -> list[str]:
    """What no report may show: the values of a server's headers."""
    headers = getattr(adapter.subject, "headers", None) or {}
    return [str(value) for value in headers.values()]


def load_adapter(
    engine: str,
    level: str | None = None,
    baseline: str | None = None,
    draft: str | None = None,
) -> Adapter:
    """Find an adapter: a URL, `file.py:Name`, `package.module:Name`, or a built-in adapter's name.

    baseline: the URL of the same target without speculation, for a server. draft: of the draft
    model.

    Errors:
        SpecrefError for a name that leads nowhere or has no such level; NotLoadedError where the
            adapter's own code fails.
    """
    given = {"baseline": baseline, "draft": draft}
    beside = {name: url for name, url in given.items() if url is not None}
    _check_urls(engine, beside)
    if engine.startswith(_URL):
        server = contract.Server()
        server.url = server.name = engine.rstrip("/")
        _name_others(server, beside)
        return Adapter(server, _level(server, engine, level), engine)
    path = engine
    if engine in BUILT_IN:
        levels = BUILT_IN[engine]
        if level is not None and level not in levels:
            raise SpecrefError(
                f"{engine} is judged at the level {' or '.join(levels)}, not {level}: leave"
                " --level out"
            )
        path = levels[level] if level else next(iter(levels.values()))
    where, colon, name = path.rpartition(":")
    if not colon or not where or not name:
        raise SpecrefError(
            f"{engine!r} names no engine: give file.py:Name, package.module:Name, a URL, or one of "
            f"{', '.join(BUILT_IN)}"
        )
    found = _attribute(_module(where), name, where)
    level = _level(found, engine, level)
    wrong = _two_ways(found) if level == "kernel" else misnamed(found)
    if wrong:
        raise SpecrefError(f"{engine}: {wrong}")
    if beside and level != "http":
        raise SpecrefError(
            f"--{next(iter(beside))} is for servers and {engine} is judged at the level {level}:"
            " leave it out"
        )
    try:
        subject = found() if isinstance(found, type) and level != "engine" else found
    except (Exception, SystemExit) as error:
        raise NotLoadedError(f"{engine} cannot be made: {_line(error)}") from error
    _name_others(subject, beside)
    return Adapter(subject, level, str(getattr(found, "name", name)))


def _check_urls(engine: str, beside: dict[str, str]) -> None:
    """Refuse what is no address. beside: option -> address."""
    meant = {"baseline": "the same target without speculation", "draft": "the draft model"}
    for name, url in beside.items():
        if not url.startswith(_URL):
            raise SpecrefError(f"--{name} {url} is no URL: give http://HOST:PORT of {meant[name]}")
    for url in (engine, *beside.values()):
        if url.startswith(_URL) and not urlsplit(url).hostname:
            raise SpecrefError(f"{url} names no host: give http://HOST:PORT")


def _name_others(subject: Any, beside: dict[str, str]) -> None:
    for name, url in beside.items():
        setattr(subject, name, url)


@contextmanager
def opened(adapter: Adapter) -> Iterator[Adapter]:
    """A server is up inside and taken down after; other adapters need neither.

    Errors:
        NotLoadedError where `start` fails or leaves no address.
    """
    if adapter.level != "http":
        yield adapter
        return
    try:
        try:
            adapter.subject.start()
        except Exception as error:
            raise NotLoadedError(f"{adapter.name} cannot be started: {_line(error)}") from error
        if not str(adapter.subject.url).startswith(_URL):
            raise NotLoadedError(
                f"{adapter.name} has the url {adapter.subject.url!r}: set http://HOST:PORT in"
                " start() or above"
            )
        subject = adapter.subject
        for url in (subject.url, subject.baseline, subject.draft):
            _listens(str(url))
        yield adapter
    finally:
        adapter.subject.close()


def _listens(url: str) -> None:
    """Whether somebody listens at a server's address, "" for none."""
    parts = urlsplit(url)
    try:
        if url:
            port = parts.port or (443 if parts.scheme == "https" else 80)
            socket.create_connection((parts.hostname or "", port), 10).close()
    except (OSError, ValueError) as error:
        raise NotLoadedError(
            f"nothing listens at {url} ({error}): start the server first"
        ) from None


def has(subject: Any, need: str) -> bool:
    """Whether an adapter has a capability, or a method of its own (not just the contract's)."""
    if need in _METHODS:
        method = getattr(subject, need, None)
        kind = subject if isinstance(subject, type) else type(subject)
        return method is not None and getattr(kind, need, None) not in _inherited(need)
    return need in getattr(subject, "supports", ())


def misnamed(subject: Any) -> str:
    """What is wrong with the capabilities that an adapter says it has; "" for nothing."""
    supports = getattr(subject, "supports", ())
    if isinstance(supports, property):  # known once it is made
        return ""
    if isinstance(supports, str) or not isinstance(supports, Collection):
        return f"supports is {supports!r}: give a set of names"
    strange = sorted({str(name) for name in supports} - contract.CAPABILITIES)
    return (
        f"supports names {strange[0]!r}, which is no capability: give of"
        f" {', '.join(sorted(contract.CAPABILITIES))}"
        if strange
        else ""
    )


def _two_ways(subject: Any) -> str:
    """What is wrong with a kernel that takes distributions and logits; "" for nothing."""
    others = [name for name in ("verify", "verify_tree", "verify_with") if has(subject, name)]
    if not others or not has(subject, "verify_logits"):
        return ""
    return f"it has {others[0]} and verify_logits: give a class for each, judged one by one"


def _inherited(need: str) -> list[Any]:
    return [
        getattr(base, need)
        for base in vars(contract).values()
        if isinstance(base, type) and need in vars(base)
    ]


def _module(where: str) -> Any:
    file = Path(where)
    if file.suffix != ".py":
        try:
            return importlib.import_module(where)
        except ModuleNotFoundError as error:
            if where.split(".")[0] == (error.name or "").split(".")[0]:
                raise SpecrefError(
                    f"there is no module {where}: give file.py:Name for a file, or install the"
                    " package"
                ) from None
            raise NotLoadedError(f"{where} cannot be imported: {_line(error)}") from error
        except (Exception, SystemExit) as error:
            raise NotLoadedError(f"{where} cannot be imported: {_line(error)}") from error
    if not file.is_file():
        raise SpecrefError(
            f"there is no file {where}: give the path of your adapter, as in"
            " path/to/adapter.py:Name"
        )
    spec = importlib.util.spec_from_file_location(f"adapter_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    # behind everything installed: its helpers, and no shadows
    sys.path.append(str(file.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise NotLoadedError(f"{where} cannot be imported: {_line(error)}") from error
    return module


def _attribute(module: Any, name: str, where: str) -> Any:
    if not hasattr(module, name):
        known = [
            key
            for key, value in vars(module).items()
            if isinstance(value, type) and any(has(value, method) for method in _METHODS)
        ]
        raise SpecrefError(
            f"{where} has no {name}: "
            + (
                f"it has {', '.join(known)}"
                if known
                else "define an adapter class there (specref validate --init)"
            )
        )
    return getattr(module, name)


def _level(found: Any, engine: str, level: str | None) -> str:
    levels = list(
        dict.fromkeys(
            at
            for method, at in _METHODS.items()
            if has(found, method)
            or (method == "url" and isinstance(found, contract.Server))
            or (method == "url" and isinstance(found, type) and issubclass(found, contract.Server))
        )
    )
    if not levels:
        raise SpecrefError(
            f"{engine} has no verify, admit, generate or url: it is no adapter; write one with "
            "`specref validate --init kernel FILE`"
        )
    if level is not None and level not in levels:
        raise SpecrefError(
            f"{engine} has the methods of the level {' or '.join(levels)}, not {level}: leave"
            " --level out"
        )
    return level or levels[0]
