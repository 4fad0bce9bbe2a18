"""The engine in a thread of its own: other threads submit requests and wait for their events.

An error of one request is that request's own event. An error of the engine itself ends the thread:
everybody who waits is told, whoever comes later is told, and `failure` says why.
"""

import queue
import threading
from collections.abc import Callable, Sequence

from ..data import Completion, SamplingParams
from ..errors import first_line
from .engine import ServingEngine
from .sequence import Event


class PendingRequest:
    """A submitted request. `events` gets its events, or an exception in place of the first one
    where the engine refuses it.

    Args:
        events: a queue that several requests share; None: one of its own.
    """

    def __init__(
        self,
        prompt: Sequence[int],
        params: SamplingParams,
        events: "queue.SimpleQueue[tuple[PendingRequest, Event | Exception]] | None" = None,
    ):
        self.prompt, self.params = prompt, params
        self.events = queue.SimpleQueue() if events is None else events
        self.name = ""

    def tell(self, event: Event | Exception) -> None:
        self.events.put((self, event))

    def end(self, reason: str) -> None:
        """Tell it that nothing more will come, and why."""
        self.tell(Event(self.name, Completion([], ""), error=reason))


class EngineThread:
    """Submits requests and cancels them. All methods may be called from any thread; `close` waits
    for the step that runs.

    Args:
        failed: called once, in the engine's thread, when the engine itself fails.
    """

    def __init__(self, engine: ServingEngine, failed: Callable[[], None] = lambda: None):
        self.engine, self.failed = engine, failed
        self.failure = ""  # why the engine failed; empty while it serves
        self.ended = ""  # why nothing is served any more
        # by the name that the engine gave; only the engine's thread uses it
        self.pending: dict[str, PendingRequest] = {}
        self.inbox: queue.SimpleQueue[tuple[str, PendingRequest | None]] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self.thread.start()

    def submit(self, pending: PendingRequest) -> None:
        self.inbox.put(("add", pending))
        if self.ended:  # the thread may not read it any more
            pending.end(self.ended)

    def cancel(self, pending: PendingRequest) -> None:
        """Forget the request; no thread waits for it any more."""
        self.inbox.put(("cancel", pending))

    def close(self, reason: str = "the server is shutting down") -> None:
        """End the thread; whoever waits is told the reason."""
        self.inbox.put((reason, None))
        self.thread.join()

    def _run(self) -> None:
        try:
            self.ended = self._serve()
        except BaseException as error:
            self.ended = self.failure = f"the server failed ({first_line(error)})"
        for pending in [*self.pending.values(), *self._unread()]:
            pending.end(self.ended)
        if self.failure:
            self.failed()

    def _unread(self) -> list[PendingRequest]:
        """Requests that came and were not read."""
        unread = []
        while not self.inbox.empty():
            what, pending = self.inbox.get()
            if what == "add" and pending is not None:
                unread.append(pending)
        return unread

    def _serve(self) -> str:
        """Serve until the thread is closed; returns the reason."""
        while True:
            while not (self.engine.busy and self.inbox.empty()):
                what, pending = self.inbox.get()
                if pending is None:
                    return what
                (self._add if what == "add" else self._cancel)(pending)
            for event in self.engine.step():
                if (one := self.pending.get(event.name)) is not None:
                    one.tell(event)
                    if event.ended:
                        del self.pending[event.name]

    def _add(self, pending: PendingRequest) -> None:
        try:
            pending.name = self.engine.add(pending.prompt, pending.params)
            self.pending[pending.name] = pending
        except Exception as error:  # this request's own
            pending.tell(error)

    def _cancel(self, pending: PendingRequest) -> None:
        if self.pending.pop(pending.name, None):
            self.engine.cancel(pending.name)
