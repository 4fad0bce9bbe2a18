"""A change on which a policy parts, made as small as it goes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product

import torch
from torch import Tensor

from .calls import AdmissionQuestion, CycleInput, Lengths, PastCycle, SchedulerHandle
from .cases import Change


@dataclass(frozen=True)
class Parting:
    """How a row's admission parts when the row is changed from a slot on."""

    slot: int  # the first whose admission differs
    kept: bool  # whether it is verified before the change


def parted(kept: Lengths, changed: Lengths, change: Change) -> Parting | None:
    """Where the answers to both questions part: slots up to the changed one must be as before."""
    before = min(kept[change.row], change.slot + 1)
    after = min(changed[change.row], change.slot + 1)
    if before == after:
        return None
    return Parting(min(before, after), before > after)


class Shrinker:
    """Makes an example smaller as long as the policy still parts on it."""

    def __init__(self, handle: SchedulerHandle):
        self.handle = handle

    def seen(self, change: Change) -> Parting | None:
        kept, changed = (self.handle.answer(one) for one in (change.question, change.other))
        return parted(kept, changed, change)

    def smallest(self, change: Change) -> Change:
        shrinking = True
        while shrinking:
            shrinking = False
            for smaller in self._smaller(change):
                if self.seen(smaller) is not None:
                    change, shrinking = smaller, True
                    break
        return self._simple(change)

    def _simple(self, change: Change) -> Change:
        """With plain distributions wherever the policy still parts on them."""
        rows, count = change.question.now.draft.shape
        for row, slot in product(range(rows), range(count)):
            if row == change.row and slot > change.slot:
                continue  # the change may have replaced that one
            for distribution in _plain_distributions(change, row, slot):
                simpler = _with_distribution(change, (row, slot), distribution)
                if self.seen(simpler) is not None:
                    change = simpler
                    break
        return change

    def _smaller(self, change: Change) -> Iterator[Change]:
        past = change.question.past
        for cycle in range(len(past)):
            yield replace(
                change,
                question=replace(change.question, past=past[:cycle] + past[cycle + 1 :]),
            )
        rows, count = change.question.now.draft.shape
        for row in range(rows):
            if row != change.row:
                yield _without_row(change, row)
        if count > change.slot + 1:
            yield _mapped(change, lambda t: t[:, :-1])
        if change.slot:
            yield replace(_mapped(change, lambda t: t[:, 1:]), slot=change.slot - 1)
        yield from self._undone(change)
        if change.question.now.confidence is not None and not self.handle.needs_confidence:
            yield _plain(change)

    def _undone(self, change: Change) -> Iterator[Change]:
        """The change taken back behind its slot: the confidences, the q rows, then each token."""
        now, changed, row = change.question.now, change.changed, change.row
        behind = slice(change.slot + 1, None)
        if now.confidence is not None and changed.confidence is not None:
            confidence = _restored(changed.confidence, now.confidence, row, behind)
            if not torch.equal(confidence, changed.confidence):
                yield replace(change, changed=replace(changed, confidence=confidence))
        q = _restored(changed.q, now.q, row, behind)
        if not torch.equal(q, changed.q):
            yield replace(change, changed=replace(changed, q=q))
        for slot in range(change.slot + 1, now.draft.shape[1]):
            if int(changed.draft[row, slot]) != int(now.draft[row, slot]):
                draft = _restored(changed.draft, now.draft, row, slice(slot, slot + 1))
                yield replace(change, changed=replace(changed, draft=draft))


def _without_row(change: Change, row: int) -> Change:
    others = torch.tensor([other for other in range(len(change.changed.draft)) if other != row])
    smaller = _mapped(change, lambda t: t[others])
    return replace(smaller, row=change.row - (row < change.row))


def _plain_distributions(change: Change, row: int, slot: int) -> Iterator[Tensor]:
    """Distributions [V] that are easy to read: flat, or with .6 or .9 on a token drawn there."""
    now, changed = change.question.now, change.changed
    vocabulary = now.q.shape[2]
    yield torch.full((vocabulary,), 1 / vocabulary)
    tokens = sorted({int(now.draft[row, slot]), int(changed.draft[row, slot])})
    for peak, token in product((0.6, 0.9), tokens):
        peaked = torch.full((vocabulary,), (1 - peak) / (vocabulary - 1))
        peaked[token] = peak
        yield peaked


def _with_distribution(change: Change, at: tuple[int, int], distribution: Tensor) -> Change:
    """With another q row (at: row, slot) in both questions."""
    q, changed = change.question.now.q.clone(), change.changed.q.clone()
    q[at] = changed[at] = distribution
    return replace(
        change,
        question=replace(change.question, now=replace(change.question.now, q=q)),
        changed=replace(change.changed, q=changed),
    )


def _restored(changed: Tensor, now: Tensor, row: int, slots: slice) -> Tensor:
    result = changed.clone()
    result[row, slots] = now[row, slots]
    return result


def _mapped(change: Change, cut: Callable[[Tensor], Tensor]) -> Change:
    """Every tensor of a change with rows or slots left out."""
    past = tuple(
        PastCycle(_cut(cycle.given, cut), _cut_accepted(cycle, cut))
        for cycle in change.question.past
    )
    return replace(
        change,
        question=AdmissionQuestion(_cut(change.question.now, cut), past),
        changed=_cut(change.changed, cut),
    )


def _cut(given: CycleInput, cut: Callable[[Tensor], Tensor]) -> CycleInput:
    confidence = None if given.confidence is None else cut(given.confidence).clone()
    return replace(
        given, q=cut(given.q).clone(), draft=cut(given.draft).clone(), confidence=confidence
    )


def _cut_accepted(cycle: PastCycle, cut: Callable[[Tensor], Tensor]) -> Tensor:
    """The accepted counts of the rows that stay, at most the slots that stay."""
    slots = cut(cycle.accepted[:, None].expand(cycle.given.draft.shape))
    count = slots.shape[1]
    return slots[:, 0].clamp(max=count) if count else torch.zeros(len(slots), dtype=torch.int64)


def _plain(change: Change) -> Change:
    """Without confidences."""
    past = tuple(
        replace(cycle, given=replace(cycle.given, confidence=None))
        for cycle in change.question.past
    )
    now = replace(change.question.now, confidence=None)
    return replace(
        change,
        question=AdmissionQuestion(now, past),
        changed=replace(change.changed, confidence=None),
    )
