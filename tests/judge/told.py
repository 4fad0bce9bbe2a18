"""The judge in this process, as its worker runs it: without the second that a process of its own
takes to start.
"""

from typing import Any

from specref.judge.job import Job
from specref.judge.worker import Teller, work


class Told(Teller):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(-1)
        self.events: list[dict[str, Any]] = []

    def tell(self, event: str, **more: Any) -> None:
        self.events.append({"event": event} | more)


def here(job: Job, budget: float | None = None) -> list[dict[str, Any]]:
    """The events of a whole run. budget: 0 gives each check one slice, however long it takes."""
    told = Told()

    def start() -> dict[str, Any]:
        loaded = next(event for event in told.events if event["event"] == "loaded")
        return {
            "checks": [item["id"] for item in loaded["checks"]],
            "budget": job.budget if budget is None else budget,
            "shares": 1,
        }

    work(job, told, start)
    return told.events


def verdicts(events: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The last word on each check."""
    return {event["check"]: event["verdict"] for event in events if "verdict" in event}
