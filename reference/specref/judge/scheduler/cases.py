"""Situations that a depth policy is put in, and the changes that must not matter.

A situation is a batch of drafts, perhaps after some cycles. A change replaces token i of one row,
and may replace what stands behind it. What stands before it, q row i, the other rows and the past
stay. The confidence of slot i stays too, unless the policy says that its confidence sees token i.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import torch
from torch import Generator, Tensor

from .calls import AdmissionQuestion, CycleInput, PastCycle, SchedulerHandle

_ROWS, _SLOTS, _VOCABULARIES = (1, 2, 3, 8), (1, 2, 3, 5, 8), (2, 3, 64)
WIDE_SHAPE = (2, 3, 2000)  # one shape with a real model's order of vocabulary
SHARPNESS = (0.0, 2.0, 4.0, 8.0)  # of a distribution: 0 is flat
UNLIKELY = 0.3  # how often a draft token is any token instead of one drawn from q
LEVELS_OF_CONFIDENCE = (0.05, 0.3, 0.5, 0.7, 0.95)
ROWS_CHANGED = 2  # in batches of more rows, so many are changed


@dataclass(frozen=True, eq=False)
class Change:
    """A question, and the same with a row changed from a slot on."""

    question: AdmissionQuestion
    changed: CycleInput
    row: int
    slot: int

    @property
    def other(self) -> AdmissionQuestion:
        return replace(self.question, now=self.changed)


def batch_shapes() -> list[tuple[int, int, int]]:
    """(rows, slots, vocabulary), the smallest first."""
    found = sorted(product(_ROWS, _SLOTS, _VOCABULARIES), key=lambda s: s[0] * s[1] * s[2])
    return [*found, WIDE_SHAPE]


class CaseMaker:
    """Draws situations and changes from a generator."""

    def __init__(self, generator: Generator, handle: SchedulerHandle):
        self.generator, self.handle = generator, handle

    def pick(self, count: int) -> int:
        return int(torch.randint(count, (), generator=self.generator))

    def distributions(self, rows: int, count: int, vocabulary: int) -> Tensor:
        """[B,K,V] float32, each as sharp as it falls out."""
        sharp = torch.tensor(SHARPNESS)
        which = torch.randint(len(sharp), (rows, count, 1), generator=self.generator)
        noise = torch.randn(rows, count, vocabulary, generator=self.generator)
        return (sharp[which] * noise).softmax(-1)

    def tokens(self, q: Tensor) -> Tensor:
        """q [B,K,V] -> [B,K]: drawn from q, or sometimes any token."""
        rows, count, vocabulary = q.shape
        if not rows * count:
            return torch.zeros(rows, count, dtype=torch.int64)
        drawn = torch.multinomial(q.flatten(0, 1), 1, generator=self.generator).view(rows, count)
        free = torch.randint(vocabulary, (rows, count), generator=self.generator)
        return torch.where(
            torch.rand(rows, count, generator=self.generator) < UNLIKELY, free, drawn
        )

    def confidence(self, q: Tensor, draft: Tensor, style: int) -> Tensor | None:
        """[B,K] float32 in one of several styles: none at all, from q, on a grid, or free."""
        if style == 0 and not self.handle.needs_confidence:
            return None
        if style == 1 and self.handle.sees_token:
            return q.gather(2, draft[..., None])[..., 0]
        if style == 1:
            return q.amax(-1)
        if style == 2:
            levels = torch.tensor(LEVELS_OF_CONFIDENCE)
            return levels[torch.randint(len(levels), draft.shape, generator=self.generator)]
        return torch.rand(draft.shape, generator=self.generator)

    def cycle(self, rows: int, count: int, vocabulary: int, style: int) -> CycleInput:
        q = self.distributions(rows, count, vocabulary)
        draft = self.tokens(q)
        return CycleInput(q, draft, self.confidence(q, draft, style), self.pick(2**31))

    def question(self, rows: int, count: int, vocabulary: int, style: int) -> AdmissionQuestion:
        """A situation after no, one or two cycles."""
        past = []
        for _ in range(self.pick(3)):
            accepted = torch.randint(count + 1, (rows,), generator=self.generator)
            past.append(PastCycle(self.cycle(rows, count, vocabulary, style), accepted))
        return AdmissionQuestion(self.cycle(rows, count, vocabulary, style), tuple(past))

    def changes(self, question: AdmissionQuestion, style: int) -> Iterator[Change]:
        """Token i alone, with the tokens behind it, and with q and the confidence behind it; for
        every slot of some rows.
        """
        rows, count = question.now.draft.shape
        chosen = torch.randperm(rows, generator=self.generator)[:ROWS_CHANGED].tolist()
        for row, slot in product(sorted(chosen), range(count)):
            for token in self.others(question.now, row, slot):
                alone = self.with_token(question.now, (row, slot, token), style)
                yield Change(question, alone, row, slot)
                if slot + 1 < count:
                    behind = self.with_tokens_behind(alone, row, slot, style)
                    yield Change(question, behind, row, slot)
                    everything = self.with_all_behind(alone, row, slot, style)
                    yield Change(question, everything, row, slot)

    def others(self, now: CycleInput, row: int, slot: int) -> list[int]:
        """Tokens to put in a slot: the likeliest, the least likely, and any one."""
        q = now.q[row, slot]
        token = int(now.draft[row, slot])
        likeliest, least_likely = int(q.argmax()), int(q.argmin())
        wanted = {likeliest, least_likely, self.pick(len(q))}
        wanted.discard(token)
        if not wanted:
            wanted.add((token + 1) % len(q))
        return sorted(wanted)

    def with_token(self, now: CycleInput, at: tuple[int, int, int], style: int) -> CycleInput:
        """at: row, slot, token. The confidence of the slot is another if it sees the token."""
        row, slot, token = at
        draft = now.draft.clone()
        draft[row, slot] = token
        first = slot if self.handle.sees_token else slot + 1
        return self._settled(now, now.q, draft, (row, first, slot + 1), style)

    def with_tokens_behind(self, now: CycleInput, row: int, slot: int, style: int) -> CycleInput:
        """Other tokens behind a slot. The confidences behind it follow them only if they are made
        of the tokens themselves.
        """
        draft = now.draft.clone()
        draft[row, slot + 1 :] = self.tokens(now.q[row : row + 1, slot + 1 :])[0]
        last = draft.shape[1] if self.handle.sees_token else slot + 1
        return self._settled(now, now.q, draft, (row, slot + 1, last), style)

    def with_all_behind(self, now: CycleInput, row: int, slot: int, style: int) -> CycleInput:
        """Other tokens, other q rows and other confidences behind a slot."""
        q = now.q.clone()
        draft = now.draft.clone()
        _, count, vocabulary = q.shape
        fresh = self.distributions(1, count - slot - 1, vocabulary)
        q[row, slot + 1 :] = fresh[0]
        draft[row, slot + 1 :] = self.tokens(fresh)[0]
        return self._settled(now, q, draft, (row, slot + 1, count), style)

    def _settled(
        self, now: CycleInput, q: Tensor, draft: Tensor, span: tuple[int, int, int], style: int
    ) -> CycleInput:
        """With fresh confidences in one row, from one slot up to another."""
        row, first, last = span
        if now.confidence is None or first >= last:
            return replace(now, q=q, draft=draft)
        fresh = self.confidence(q[row : row + 1], draft[row : row + 1], style)
        assert fresh is not None
        confidence = now.confidence.clone()
        confidence[row, first:last] = fresh[0, first:last]
        return replace(now, q=q, draft=draft, confidence=confidence)
