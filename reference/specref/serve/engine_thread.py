"""The engine in a thread of its own: other threads submit requests and wait for their events."""

import queue
import threading
from collections.abc import Sequence

from ..data import SamplingParams, SpecrefError
from .engine import ServingEngine
from .sequence import Event


class PendingRequest:
    """A submitted request. `events` gets its events, or an error in place of the first one where
    the engine refuses it.
    """

    def __init__(self, prompt: Sequence[int], params: SamplingParams):
        self.prompt, self.params = prompt, params
        self.events: queue.SimpleQueue[Event | SpecrefError] = queue.SimpleQueue()
        self.name = ""


class EngineThread:
    """Submits requests and cancels them. All methods may be called from any thread; `close` waits
    for the step that runs.
    """

    def __init__(self, engine: ServingEngine):
        self.engine = engine
        # by the name that the engine gave; only the engine's thread uses it
        self.pending: dict[str, PendingRequest] = {}
        self.inbox: queue.SimpleQueue[tuple[str, PendingRequest | None]] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self.thread.start()

    def submit(self, prompt: Sequence[int], params: SamplingParams) -> PendingRequest:
        pending = PendingRequest(prompt, params)
        self.inbox.put(("add", pending))
        return pending

    def cancel(self, pending: PendingRequest) -> None:
        """Forget the request; no thread waits for it any more."""
        self.inbox.put(("cancel", pending))

    def close(self) -> None:
        self.inbox.put(("close", None))
        self.thread.join()

    def _run(self) -> None:
        while True:
            while not (self.engine.busy and self.inbox.empty()):
                what, pending = self.inbox.get()
                if pending is None:
                    return
                (self._add if what == "add" else self._cancel)(pending)
            try:
                events = self.engine.step()
            # a bug of ours: the waiting threads get it as an event, and the engine starts afresh
            except Exception as error:
                events = self.engine.abandon(f"the server failed ({type(error).__name__}: {error})")
            for event in events:
                if (one := self.pending.get(event.name)) is not None:
                    one.events.put(event)
                    if event.ended:
                        del self.pending[event.name]

    def _add(self, pending: PendingRequest) -> None:
        try:
            pending.name = self.engine.add(pending.prompt, pending.params)
            self.pending[pending.name] = pending
        except SpecrefError as error:
            pending.events.put(error)

    def _cancel(self, pending: PendingRequest) -> None:
        if self.pending.pop(pending.name, None):
            self.engine.cancel(pending.name)
