"""Calls of a depth policy: a batch begins, its earlier cycles are told again, then it is asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..coerce import whole
from ..session import MisbehavedError, Session

Lengths = tuple[int, ...]  # of every row


@dataclass(frozen=True, eq=False)
class CycleInput:
    """What `admit` is given in one cycle. B rows, K slots, V vocabulary."""

    q: Tensor  # [B,K,V] float32
    draft: Tensor  # [B,K] int64
    confidence: Tensor | None  # [B,K] float32
    seed: int

    def copy(self) -> "CycleInput":
        return CycleInput(
            self.q.clone(),
            self.draft.clone(),
            None if self.confidence is None else self.confidence.clone(),
            self.seed,
        )


@dataclass(frozen=True, eq=False)
class PastCycle:
    """An earlier cycle of the same batch."""

    given: CycleInput
    accepted: Tensor  # [B] int64: how many tokens the target accepts if all K are verified


@dataclass(frozen=True, eq=False)
class AdmissionQuestion:
    """One decision: the cycle that is asked about, after those before it."""

    now: CycleInput
    past: tuple[PastCycle, ...] = ()


class SchedulerHandle:
    """A depth policy with its answers checked. `admitted` counts the slots it has admitted."""

    def __init__(self, scheduler: Any, session: Session):
        self.scheduler, self.session = scheduler, session
        self.admitted = 0
        self.sees_token = bool(getattr(scheduler, "confidence_sees_token", False))
        self.needs_confidence = bool(getattr(scheduler, "needs_confidence", False))

    @property
    def remembers(self) -> bool:
        """Whether the policy defines `begin` or `observe`, so that its past may matter."""
        own = type(self.scheduler)
        return any(_defines(own, name) for name in ("begin", "observe"))

    def answers(self, questions: Sequence[AdmissionQuestion]) -> list[Lengths]:
        """The lengths of every row, for each question.

        Errors:
            MisbehavedError for anything but B lengths from 0 to K, and for inputs that change.
        """
        answers = []
        rows = len(questions[0].now.draft) if questions else 0
        what = f"admit, {rows} rows"
        with self.session.calling(what):
            for question in questions:
                answers.append(self._answer(question))
                self.session.going_on(what)
        self.admitted += sum(map(sum, answers))
        return answers

    def answer(self, question: AdmissionQuestion) -> Lengths:
        """The lengths of every row."""
        return self.answers([question])[0]

    def _answer(self, question: AdmissionQuestion) -> Lengths:
        if begin := getattr(self.scheduler, "begin", None):
            begin(len(question.now.draft))
        observe = getattr(self.scheduler, "observe", None)
        for cycle in question.past:
            lengths = self._admit(cycle.given)
            if observe:
                observe(torch.minimum(lengths, cycle.accepted))
        return tuple(self._admit(question.now).tolist())

    def _admit(self, given: CycleInput) -> Tensor:
        """[B] int64."""
        copy = given.copy()
        lengths = _lengths(
            self.scheduler.admit(copy.q, copy.draft, copy.confidence, copy.seed), *given.draft.shape
        )
        for name in ("q", "draft", "confidence"):
            before = getattr(given, name)
            if before is not None and not torch.equal(before, getattr(copy, name)):
                raise MisbehavedError(f"admit changes its input {name}: work on a copy")
        return lengths


def _defines(own: type, name: str) -> bool:
    """Whether a class has a method of its own, not just the contract's."""
    method = getattr(own, name, None)
    return method is not None and not method.__module__.endswith("judge.contract")


def _lengths(given: object, rows: int, count: int) -> Tensor:
    """What `admit` returned, as [B] int64."""
    wanted = f"int64 lengths [{rows}], from 0 to {count}"
    lengths = whole(given, "admit returns", wanted)
    if lengths.shape != (rows,):
        raise MisbehavedError(f"admit returns the shape {list(lengths.shape)}: return {wanted}")
    if rows and not 0 <= int(lengths.min()) <= int(lengths.max()) <= count:
        wrong = int(lengths[(lengths < 0) | (lengths > count)][0])
        raise MisbehavedError(f"admit returns the length {wrong}: return {wanted}")
    # a copy: a policy may hand out the tensor that it goes on working with
    return lengths.clone()
