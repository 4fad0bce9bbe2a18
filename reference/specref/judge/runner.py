"""Runs the judge in a process of its own (worker.py) and survives whatever the adapter does to it.

A call that takes too long, or a process that dies, is a verdict on the check that ran; the others
begin again in another process. After _DEATHS deaths with no check done in between, the run is over.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

from ..data import SpecrefError
from .cleaning import Cleaner
from .job import Job
from .process import Process, ending
from .verdict import Report, Verdict

_DEATHS = 3
_QUIET = 300.0  # seconds between two calls of the engine, in which the judge computes
# a check that begins again does so at this fraction of its error rate, so that its two chances add
# up to it
_AGAIN = 1000


class _EndedError(Exception):
    """The process is gone: why, and in which check (none: while loading)."""

    def __init__(self, why: str, check: str):
        super().__init__(why)
        self.check = check


class Runner:
    """One engine, put to the judge.

    Args:
        tell: told every event of the worker, for whoever shows progress.
    """

    def __init__(self, job: Job, tell: Callable[[dict[str, Any]], None] = lambda event: None):
        self.job = job
        self.tell = tell
        self.cleaner = Cleaner()
        self.report = Report(
            self.cleaner.text(job.engine),
            job.level or "",
            job.seed,
            known_failing=frozenset(job.known_failing),
        )
        self.report.accept_inconclusive = job.accept_inconclusive
        self.process: Process | None = None
        self.check = ""  # the one that runs
        self.call, self.since = "", time.monotonic()  # what the engine was asked last, and when
        self.done: set[str] = set()  # checks that need no more work
        self.said: dict[str, Verdict] = {}
        self.began = time.monotonic()
        self.lost = 0.0  # seconds spent waiting for hanging calls

    def load(self) -> Report:
        """Load the adapter; the report then knows the level and the checks, or why there are none.

        Errors:
            SpecrefError for what the user can mend: no such engine, level, or check.
        """
        try:
            self._start()
        except _EndedError as ended:
            self._crash(str(ended))
        except BaseException:
            self.stop()
            raise
        return self.report

    def run(self, ids: Sequence[str] | None = None) -> Report:
        """Run the checks, by default all that the job asks for."""
        report = self.report
        report.expected = tuple(report.questions if ids is None else ids)
        began, deaths, attempt = time.monotonic(), 0, 0
        try:
            while not report.crashed and (
                todo := [name for name in report.expected if name not in self.done]
            ):
                before = len(self.done)
                try:
                    self._judge(
                        todo, self.job.budget - (time.monotonic() - began - self.lost), attempt
                    )
                    break
                except _EndedError as ended:
                    deaths = 1 if len(self.done) > before else deaths + 1
                    attempt += 1
                    self._convict(ended)
                    if deaths == _DEATHS:
                        self._crash(
                            f"{ended}; the process ended {_DEATHS} times in a row, so the run ends"
                            " here"
                        )
                    elif not report.crashed and {*todo} - self.done:
                        self.load()
        except KeyboardInterrupt:
            report.interrupted = True
        finally:
            self.stop()
        report.checks = [self.said[name] for name in report.expected if name in self.said]
        report.seconds = time.monotonic() - self.began
        return report

    def stop(self) -> None:
        """Leave no process behind."""
        if self.process is not None:
            process, self.process = self.process, None
            process.stop()
            self.report.noise = self.cleaner.text(process.noise)

    def _start(self) -> None:
        self.process = Process()
        self.process.tell(self.job.as_dict())
        self.check, self.call, self.since = "", "", time.monotonic()
        loaded = self._follow("loaded")
        self.report.level, self.report.name, self.report.alpha = (
            loaded["level"],
            loaded["name"],
            loaded["alpha"],
        )
        self.report.enough, self.report.slow = loaded["enough"], loaded["slow"]
        self.report.questions = {item["id"]: item["question"] for item in loaded["checks"]}
        self.report.concerns = {item["id"]: item["concern"] for item in loaded["checks"]}

    def _judge(self, todo: list[str], budget: float, attempt: int) -> None:
        assert self.process is not None
        self.process.tell({"checks": todo, "budget": budget, "shares": _AGAIN**attempt})
        changed = self._follow("done")["changed"]
        if changed:
            self.report.notes.append(
                f"the engine changes torch's default {' and '.join(changed)}: put back after each"
                " call"
            )
        _, code = self._end()
        if code:
            self.report.notes.append(f"when all was done, the process {ending(code)}")

    def _follow(self, last: str) -> dict[str, Any]:
        """Take in events until one called `last` comes."""
        assert self.process is not None
        for event in self.process.listen():
            if event is None:
                self._watch()
                continue
            self._take(event)
            if event["event"] == last:
                return self.cleaner.value(event)
        place, code = self._end()
        raise _EndedError(
            f"the process {ending(code)} in {self.call or 'the judge'}{place}", self.check
        )

    def _end(self) -> tuple[str, int]:
        """Wait for a process that ends by itself: where the engine stood, and the exit code."""
        assert self.process is not None
        process, self.process = self.process, None
        code = process.end()
        self.report.noise = self.cleaner.text(process.noise)
        return process.place(), code

    def _take(self, event: dict[str, Any]) -> None:
        kind, self.since = event["event"], time.monotonic()
        if kind == "secrets":
            self.cleaner.learn(event["values"])
            return
        event = self.cleaner.value(event)
        self.check = event.get("check") or self.check
        self.call = event.get("call", "")
        if "verdict" in event:
            self.said[self.check] = Verdict.from_dict(event["verdict"])
            if kind == "ended" or event["verdict"]["verdict"] == "FAIL":
                self.done.add(self.check)
        elif kind in ("refused", "not loaded"):
            self._end()
            if kind == "refused":
                raise SpecrefError(event["why"])
            raise _EndedError(event["why"], self.check)
        self.tell(event)

    def _watch(self) -> None:
        """End a process that has been silent for too long."""
        limit = (self.job.limit(self.report.level or "engine")) if self.call else _QUIET
        waited = time.monotonic() - self.since
        if waited < limit:
            return
        self.lost += waited
        process = self.process
        assert process is not None
        self.stop()
        raise _EndedError(
            f"hangs: {self.call or 'the judge itself'} gave no answer within {limit:g}"
            f" s{process.place()}",
            self.check,
        )

    def _convict(self, ended: _EndedError) -> None:
        """The check that ran when the process ended has failed."""
        if not ended.check:
            self._crash(str(ended))
            return
        old = self.said.get(ended.check)
        if old is None or old.verdict != "FAIL":
            self.said[ended.check] = Verdict(
                "FAIL",
                "deterministic",
                str(ended),
                n=1,
                id=ended.check,
                seed=self.job.seed,
                repro=self.cleaner.text(self.job.reproduction(self.report.level, ended.check)),
            )
        self.done.add(ended.check)
        self.tell(
            {"event": "ended", "check": ended.check, "verdict": self.said[ended.check].as_dict()}
        )

    def _crash(self, why: str) -> None:
        self.report.crashed = self.report.crashed or why
