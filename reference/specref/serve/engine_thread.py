"""The engine in a thread of its own: others hand in requests and wait for events, the engine steps
while it has work.
"""

import queue
import threading
from collections.abc import Sequence

from ..data import SamplingParams, SpecrefError
from .engine import ServingEngine
from .sequence import Event


class PendingRequest:
    """One request handed in; its events come to `events`, an error instead of the first where it
    was refused.
    """

    def __init__(self, prompt: Sequence[int], params: SamplingParams):
        self.prompt, self.params = prompt, params
        self.events: queue.SimpleQueue[Event | SpecrefError] = queue.SimpleQueue()
        self.name = ""


class EngineThread:
    """Hand in, take back. All methods may be called from any thread; `close` waits for the step
    that runs.
    """

    def __init__(self, engine: ServingEngine):
        self.engine = engine
        # by the name that the engine gave; of the engine's thread alone
        self.tickets: dict[str, PendingRequest] = {}
        self.inbox: queue.SimpleQueue[tuple[str, PendingRequest | None]] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self.thread.start()

    def submit(self, prompt: Sequence[int], params: SamplingParams) -> PendingRequest:
        ticket = PendingRequest(prompt, params)
        self.inbox.put(("add", ticket))
        return ticket

    def cancel(self, ticket: PendingRequest) -> None:
        """Nobody waits for it any more."""
        self.inbox.put(("cancel", ticket))

    def close(self) -> None:
        self.inbox.put(("close", None))
        self.thread.join()

    def _run(self) -> None:
        while True:
            while not (self.engine.busy and self.inbox.empty()):
                what, ticket = self.inbox.get()
                if ticket is None:
                    return
                (self._add if what == "add" else self._cancel)(ticket)
            try:
                events = self.engine.step()
            # a bug of ours: whoever waits is told, and the engine begins anew
            except Exception as error:
                events = self.engine.abandon(f"the server failed ({type(error).__name__}: {error})")
            for event in events:
                if (one := self.tickets.get(event.name)) is not None:
                    one.events.put(event)
                    if event.ended:
                        del self.tickets[event.name]

    def _add(self, ticket: PendingRequest) -> None:
        try:
            ticket.name = self.engine.add(ticket.prompt, ticket.params)
            self.tickets[ticket.name] = ticket
        except SpecrefError as error:
            ticket.events.put(error)

    def _cancel(self, ticket: PendingRequest) -> None:
        if self.tickets.pop(ticket.name, None):
            self.engine.cancel(ticket.name)
