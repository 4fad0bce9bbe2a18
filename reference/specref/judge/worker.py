"""The judge's own process: it loads the adapter, judges it, and tells the runner what happens, a
JSON object a line.

The adapter may print, hang, leave or break this process; the runner (runner.py) sees it and goes
on. Two private pipes connect the two; standard output and error are the adapter's.
"""

import json
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

import torch

from ..data import SpecrefError
from .job import Job
from .load import Adapter, NotLoadedError, load_adapter, opened, secrets
from .schedule import enough_of, judge
from .session import ALPHA, Session
from .suite import LEVELS, Check, checks
from .text.scenario import TextScenario
from .torch_state import TorchStates
from .verdict import Verdict

_FRESH = 0.3  # seconds between two reports on one check


class Teller:
    """Writes events. A check's renewed verdict is told when it changes or a while has passed, and
    at the end.
    """

    def __init__(self, pipe: int):
        self.pipe = pipe
        self.told: dict[str, tuple[str, float]] = {}
        self.untold: dict[str, Verdict] = {}

    def tell(self, event: str, **more: Any) -> None:
        line = json.dumps(
            {"event": event} | more,
            default=lambda value: value.item() if hasattr(value, "item") else str(value),
        )
        data = memoryview(line.encode() + b"\n")
        while data:
            data = data[os.write(self.pipe, data) :]

    def check(self, event: str, check: str, verdict: Verdict | None) -> None:
        if verdict is None:
            self.tell(event, check=check)
            return
        outcome, when = self.told.get(check, ("", 0.0))
        now = time.monotonic()
        if event == "renewed" and outcome == verdict.verdict and now - when < _FRESH:
            self.untold[check] = verdict
            return
        self.told[check] = verdict.verdict, now
        self.untold.pop(check, None)
        self.tell(event, check=check, verdict=verdict.as_dict())

    def rest(self) -> None:
        for check, verdict in list(self.untold.items()):
            self.tell("renewed", check=check, verdict=verdict.as_dict())


def work(job: Job, teller: Teller, start: Callable[[], dict[str, Any]]) -> None:
    """Load, tell what was loaded, wait for the checks to run, and run them."""
    torch.set_num_threads(1)
    worlds = TorchStates()
    teller.tell("call", check="", call="loading the adapter")
    with worlds.engine():
        adapter = load_adapter(job.engine, job.level, job.baseline, job.draft)
    teller.tell("secrets", values=secrets(adapter))
    teller.tell("call", check="", call="")  # what follows is the judge's own time
    known = {item.id: item for item in checks(adapter.level)}
    _refuse_unknown(job, adapter, known)
    if job.scenario:
        if adapter.level != "engine":
            raise SpecrefError(
                f"--scenario is for engines and {job.engine} is judged at the level"
                f" {adapter.level}: leave it out"
            )
        TextScenario.from_text(job.scenario)
    wanted = Session(job.engine, adapter.level, mde=job.mde)
    slow = {item.id: enough_of(item, wanted) for item in known.values() if item.slow or item.alone}
    teller.tell(
        "loaded",
        level=adapter.level,
        name=adapter.name,
        alpha=ALPHA,
        enough=wanted.enough,
        slow=slow,
        checks=[
            {
                "id": item.id,
                "since": item.since,
                "question": item.question,
                "concern": item.concern,
            }
            for item in known.values()
            if not job.only or item.id in job.only
        ],
    )
    asked = start()
    session = Session(
        job.engine,
        adapter.level,
        job.seed,
        asked["budget"],
        job.mde,
        job.options,
        asked["shares"],
        worlds=worlds,
        plain_too=job.plain_too,
        scenario=job.scenario,
    )
    session.watch = lambda call: teller.tell("call", check=session.check, call=call)
    teller.tell("call", check="", call="starting the engine")
    with opened(adapter):
        teller.tell("secrets", values=secrets(adapter))
        teller.tell("call", check="", call="")
        judge(adapter.subject, session, [known[name] for name in asked["checks"]], teller.check)
    teller.rest()
    teller.tell("done", changed=sorted(worlds.changed))


def _refuse_unknown(job: Job, adapter: Adapter, known: dict[str, Check]) -> None:
    for name in job.only:
        if name not in known:
            raise SpecrefError(
                f"there is no check {name!r} at the level {adapter.level}: give one of"
                f" {', '.join(known)}"
            )
    everything = {item.id for level in LEVELS for item in checks(level)}
    for name in job.known_failing:
        if name not in everything:
            raise SpecrefError(
                f"--known-failing names {name!r}, which is no check: take it out, or write it as in"
                " a report"
            )


def _listen(pipe: int, heard: "queue.Queue[dict[str, Any]]") -> None:
    """Pass on what the runner writes; when the runner is gone, this process has nobody to work
    for.
    """
    with open(pipe, "rb") as lines:
        for line in lines:
            heard.put(json.loads(line))
    os._exit(1)


def _main(events: int, control: int) -> None:
    """The whole life of this process, between two file descriptors."""
    os.set_inheritable(events, False)
    os.set_inheritable(control, False)
    teller = Teller(events)
    heard: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=_listen, args=(control, heard), daemon=True).start()
    asked = heard.get()
    try:
        work(
            Job(**asked | {name: tuple(asked[name]) for name in ("only", "known_failing")}),
            teller,
            heard.get,
        )
    except SpecrefError as error:
        teller.tell("refused", why=str(error))
    except NotLoadedError as error:
        teller.tell("not loaded", why=str(error))
    except Exception as error:
        traceback.print_exc()
        teller.tell("not loaded", why=f"the judge itself failed: {type(error).__name__}: {error}")
    sys.exit(0)


if __name__ == "__main__":
    _main(int(sys.argv[1]), int(sys.argv[2]))
