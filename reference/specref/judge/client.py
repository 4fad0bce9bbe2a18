"""HTTP to one address, and to no other: no proxy, no redirect, no name but the one given.

Whatever a server does wrong comes out as a `MisbehavedError` of one line; a refusal (HTTP 4xx or
5xx) as a `RefusedError`, which a check may have wanted.
"""

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.parse import urlsplit

from .session import MisbehavedError

FLIGHT = 32  # requests at a time, at most
_LARGEST = 1 << 26  # bytes of an answer
_A = TypeVar("_A")
_B = TypeVar("_B")


class RefusedError(MisbehavedError):
    """The server answered with an HTTP status that is no success."""

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status


class LateError(MisbehavedError):
    """The server gave no answer in time."""


class Client:
    """Keeps one connection a thread open, so that a request costs no handshake.

    Args:
        url: http or https, with a path in front of every request's where there is one.
        timeout: seconds for an answer.
    """

    def __init__(self, url: str, headers: Mapping[str, str] | None = None, timeout: float = 60.0):
        parts = urlsplit(url)
        self.url, self.timeout = url.rstrip("/"), timeout
        self.prefix = parts.path.rstrip("/")
        self.host, self.secure = parts.hostname or "", parts.scheme == "https"
        try:
            self.port = parts.port
        except ValueError:
            raise MisbehavedError(
                f"{url} has no port that a server can have: give http://HOST:PORT"
            ) from None
        self.headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            **(headers or {}),
        }
        self.kept = threading.local()
        self.pool = ThreadPoolExecutor(FLIGHT, thread_name_prefix="http")
        self.open: list[http.client.HTTPConnection] = []

    def get(self, path: str) -> bytes:
        return self._exchange("GET", path, None)

    def send(self, path: str, body: bytes) -> bytes:
        """The answer as it is, to a body that is sent as it is."""
        return self._exchange("POST", path, body)

    def post(self, path: str, body: Any) -> Any:
        """The answer's JSON."""
        data = self.send(path, json.dumps(body).encode())
        try:
            return json.loads(data)
        except ValueError:
            raise MisbehavedError(f"POST {path}: the answer is no JSON: {shown(data)}") from None

    def stream(self, path: str, body: Any, events: int | None = None) -> list[Any]:
        """The events of a streamed answer, up to [DONE]; events: hang up after so many."""
        connection = self._connect()
        try:
            with self._told("POST", path, began := time.monotonic()):
                connection.request(
                    "POST", self.prefix + path, json.dumps(body).encode(), self.headers
                )
                response = connection.getresponse()
                self._refuse("POST", path, response, began)
                return list(self._events(response, began, events, path))
        finally:
            connection.close()

    def drop(self, path: str, body: Any) -> None:
        """Ask, and hang up before the answer."""
        connection = self._connect()
        with self._told("POST", path, time.monotonic()):
            connection.request("POST", self.prefix + path, json.dumps(body).encode(), self.headers)
        connection.close()

    def many(self, call: Callable[[_A], _B], inputs: Iterable[_A]) -> list[_B | MisbehavedError]:
        """Call for all inputs, 32 in flight; results in their order, errors among them."""

        def safe(item: _A) -> _B | MisbehavedError:
            try:
                return call(item)
            except MisbehavedError as error:
                return error

        return list(self.pool.map(safe, inputs))

    def close(self) -> None:
        self.pool.shutdown(cancel_futures=True)
        for connection in self.open:
            connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self.secure else http.client.HTTPConnection
        return kind(self.host, self.port, timeout=self.timeout)

    def _exchange(self, method: str, path: str, body: bytes | None) -> bytes:
        began = time.monotonic()
        old = getattr(self.kept, "connection", None)
        # the server may have closed it since: that is no fault, and only then we ask again
        if old is not None:
            try:
                with self._told(method, path, began):
                    return self._once(old, method, path, body, began)
            except _StaleError:
                pass
        self.kept.connection = self._connect()
        self.open.append(self.kept.connection)
        with self._told(method, path, began):
            return self._once(self.kept.connection, method, path, body, began)

    def _once(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: bytes | None,
        began: float,
    ) -> bytes:
        used = connection.sock is not None
        try:
            try:
                connection.request(method, self.prefix + path, body, self.headers)
                response = connection.getresponse()
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError) as error:
                if used:
                    raise _StaleError from error
                raise
            self._refuse(method, path, response, began)
            return self._read(response, began)
        except RefusedError:
            raise
        except BaseException:
            self.kept.connection = None
            connection.close()
            raise

    def _refuse(
        self, method: str, path: str, response: http.client.HTTPResponse, began: float
    ) -> None:
        if 300 <= response.status < 400:
            raise MisbehavedError(
                f"{method} {path} is sent on to {response.getheader('Location')}: give the final"
                " address"
            )
        if response.status >= 400:
            data = self._read(response, began)
            raise RefusedError(
                response.status, f"{method} {path}: HTTP {response.status}: {shown(data)}"
            )

    def _read(self, response: http.client.HTTPResponse, began: float) -> bytes:
        data = bytearray()
        while piece := response.read1(1 << 16):
            data += piece
            if len(data) > _LARGEST:
                raise MisbehavedError(f"an answer is longer than {_LARGEST:,} bytes")
            if time.monotonic() - began > self.timeout:
                raise TimeoutError
        if response.length:  # read1 does not mind a body that ends too early
            raise http.client.IncompleteRead(bytes(data[-20:]), response.length)
        response.close()  # the answer; the connection stays
        return bytes(data)

    def _events(
        self, response: http.client.HTTPResponse, began: float, most: int | None, path: str
    ) -> Iterator[Any]:
        seen = 0
        while line := response.readline(_LARGEST):
            if time.monotonic() - began > self.timeout:
                raise TimeoutError
            name, _, data = line.strip().partition(b":")
            if name == b"error":
                raise MisbehavedError(f"POST {path}: the stream says {shown(data)}")
            if name != b"data" or not data.strip():
                continue
            if data.strip() == b"[DONE]":
                return
            try:
                yield json.loads(data)
            except ValueError:
                raise MisbehavedError(
                    f"POST {path}: an event of the stream is no JSON: {shown(data)}"
                ) from None
            seen += 1
            if seen == most:
                return

    def _told(self, method: str, path: str, began: float) -> "_Told":
        return _Told(f"{method} {self.url}{path}", self.timeout)


class _StaleError(Exception):
    """A kept connection was closed while it was idle."""


class _Told:
    """Inside, what goes wrong on the way is told in one line."""

    def __init__(self, what: str, timeout: float):
        self.what, self.timeout = what, timeout

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, TimeoutError):
            raise LateError(f"{self.what}: no answer within {self.timeout:g} s") from None
        if isinstance(error, ConnectionRefusedError):
            raise MisbehavedError(f"{self.what}: nothing listens there") from None
        if isinstance(
            error, http.client.IncompleteRead | http.client.RemoteDisconnected | ConnectionError
        ):
            raise MisbehavedError(
                f"{self.what}: the connection closes before the answer is complete"
            ) from None
        if isinstance(error, http.client.HTTPException):
            raise MisbehavedError(
                f"{self.what}: the answer is no HTTP: {type(error).__name__} {shown(error)}"
            ) from None
        if isinstance(error, socket.gaierror):
            raise MisbehavedError(f"{self.what}: there is no such host") from None
        if isinstance(error, OSError):
            raise MisbehavedError(f"{self.what}: {shown(error)}") from None


def shown(data: object) -> str:
    """At most 200 characters of an answer, on one line."""
    text = data.decode(errors="replace") if isinstance(data, bytes | bytearray) else str(data)
    text = " ".join(text.split())
    return text if len(text) <= 200 else f"{text[:197]}..."
