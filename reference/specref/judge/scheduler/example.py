"""The smallest example of an unlawful admission: made small, told in words, and weighed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import torch
from torch import Tensor

from ...chance import Chance
from ...data import Draft
from ...exact.enumerate import distributions
from ...verify.rejection import rejection
from .calls import AdmissionQuestion, CycleInput, PastCycle, SchedulerHandle
from .cases import Change

MOST_DRAFTS, MOST_TEXTS = 256, 10_000  # an example with more is not weighed


@dataclass(frozen=True)
class Parting:
    """How a row's admission parts when the row is changed from a slot on."""

    slot: int  # the first whose admission differs
    kept: bool  # whether it is verified before the change


def parted(kept: Sequence[int], changed: Sequence[int], change: Change) -> Parting | None:
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


def example_sentence(change: Change, seen: Parting) -> str:
    """The example in one example_sentence."""
    verified, not_verified = change.question.now, change.changed
    if not seen.kept:
        verified, not_verified = not_verified, verified
    row = change.row
    place = "" if len(verified.draft) == 1 else f" of row {row}"
    one, other = (
        _values(given, not_given, row)
        for given, not_given in ((verified, not_verified), (not_verified, verified))
    )
    before = ", behind it," if change.slot > seen.slot else ""
    verb = "is"
    subject = f"token {change.slot}{before}"
    return (
        f"slot {seen.slot}{place} is verified when {subject} {verb} {one}"
        f" and not when it {verb} {other} (tokens before it equal)"
    )


def _values(given: CycleInput, other: CycleInput, row: int) -> str:
    """What the changed part of a row is: its first changed token, and what differs behind it."""
    apart = [
        slot
        for slot in range(given.draft.shape[1])
        if int(given.draft[row, slot]) != int(other.draft[row, slot])
    ]
    parts = [str(int(given.draft[row, apart[0]]))]
    parts += [f"token {slot} is {int(given.draft[row, slot])}" for slot in apart[1:]]
    if not torch.equal(given.q[row], other.q[row]):
        slot = _first_apart(given.q[row], other.q[row])
        parts.append(f"q row {slot} is {_numbers(given.q[row, slot])}")
    if given.confidence is not None and other.confidence is not None:
        mine, theirs = given.confidence[row], other.confidence[row]
        if not torch.equal(mine, theirs):
            slot = _first_apart(mine[:, None], theirs[:, None])
            parts.append(f"confidence {slot} is {float(mine[slot]):.3g}")
    return " and ".join(parts)


def _first_apart(one: Tensor, other: Tensor) -> int:
    """one, other [K,M]."""
    return int((one != other).any(1).nonzero()[0])


def _numbers(row: Tensor) -> str:
    shown = ", ".join(f"{value:.3g}" for value in row[:4].tolist())
    return f"[{shown}{', ...' if len(row) > 4 else ''}]"


def example_case(change: Change, seen: Parting) -> str:
    """The case that shows it: sizes, the drafts, and what the policy may have looked at."""
    now, row = change.question.now, change.row
    rows, count, vocabulary = now.q.shape
    verified = now if seen.kept else change.changed
    parts = [
        f"B = {rows}, K = {count}, V = {vocabulary}",
        f"draft {verified.draft.tolist()}",
        f"q row {change.slot} = {_numbers(now.q[row, change.slot])}",
    ]
    if verified.confidence is not None:
        told = [f"{value:.3g}" for value in verified.confidence[row].tolist()]
        parts.append(f"confidence [{', '.join(told)}]")
    if change.question.past:
        cycles = len(change.question.past)
        parts.append(f"after {cycles} cycle{'s' if cycles > 1 else ''}")
    return "; ".join(parts)


@dataclass(frozen=True, eq=False)
class _ExampleWorld:
    """Every draft that the example's row can have: tokens before the first differing slot as they
    are, the others drawn from q.
    """

    change: Change
    start: int  # the first slot that is drawn

    def drafts(self) -> list[tuple[int, ...]]:
        """The drawn tokens, slot `start` to the last."""
        now = self.change.question.now
        return list(product(range(now.q.shape[2]), repeat=now.draft.shape[1] - self.start))

    def question(self, tokens: Sequence[int]) -> AdmissionQuestion:
        """What the policy is asked if these tokens are drawn: behind the changed slot q and the
        confidence are those of the change if its tokens were drawn.
        """
        question, row = self.change.question, self.change.row
        drawn = self.change.slot + 1 - self.start
        changed = self.change.changed.draft[row, self.start : self.change.slot + 1].tolist()
        given = self.change.changed if list(tokens[:drawn]) == changed else question.now
        draft = question.now.draft.clone()
        draft[row, self.start :] = torch.tensor(tokens, dtype=torch.int64)
        return replace(question, now=replace(given, draft=draft))


def exact_distance(handle: SchedulerHandle, change: Change, seen: Parting) -> float | None:
    """The exact TV that the example causes in its row's text, by the rule of `verify.rejection`.

    The largest over some targets: q turned by one, q reversed, and a flat one. The tokens before
    the first differing slot are certain under the target, so they are accepted if verified.
    None: the example has too many drafts to enumerate.
    """
    _, count, vocabulary = change.question.now.q.shape
    width = count - seen.slot
    if vocabulary**width > MOST_DRAFTS or vocabulary ** (width + 1) > MOST_TEXTS:
        return None
    world = _ExampleWorld(change, seen.slot)
    drafts = world.drafts()
    questions = [world.question(tokens) for tokens in drafts]
    lengths = [answer[change.row] for answer in handle.answers(questions)]
    rows = torch.stack([one.now.q[change.row, seen.slot :] for one in questions]).double()
    rows = rows / rows.sum(-1, keepdim=True)
    flat = torch.full_like(rows, 1 / vocabulary)
    targets = (rows.roll(1, -1), rows.flip(-1), flat)
    admitted = [max(0, length - seen.slot) for length in lengths]
    return max(_distance(drafts, rows, target, admitted) for target in targets)


def _distance(
    drafts: Sequence[tuple[int, ...]], q: Tensor, p: Tensor, admitted: Sequence[int]
) -> float:
    """TV between the text that comes out and the target's. q, p [N,W,V] of each of N drafts."""
    vocabulary, width = q.shape[2], q.shape[1]
    tokens = torch.tensor(drafts, dtype=torch.int64).view(len(drafts), width)
    behind = torch.full((len(drafts), 1, vocabulary), 1 / vocabulary, dtype=torch.float64)
    p = torch.cat((p, behind), 1)
    lengths = torch.tensor(admitted)

    def program(chance: Chance, draft: Tensor) -> list[tuple[int, ...]]:
        chain = Draft.chain(tokens[draft], q[draft], lengths[draft])
        return [tuple(one) for one in rejection(chain, p[draft], chance).emitted(chain)]

    weights = q.gather(2, tokens[..., None])[..., 0].prod(1).tolist()
    after = _rows_after(tokens, p)
    emitted: dict[tuple[int, ...], float] = {}
    for weight, outcome in zip(weights, distributions(program, len(drafts)), strict=True):
        for text, mass in outcome.items():
            assert isinstance(text, tuple)
            emitted[text] = emitted.get(text, 0.0) + weight * mass
    nothing: dict[tuple[int, ...], float] = {(): 1.0}
    found, wanted = (_continued(start, after, width + 1) for start in (emitted, nothing))
    texts = found.keys() | wanted.keys()
    return sum(abs(found.get(text, 0.0) - wanted.get(text, 0.0)) for text in texts) / 2


def _rows_after(tokens: Tensor, p: Tensor) -> dict[tuple[int, ...], list[float]]:
    """The target's distribution after every prefix of a draft."""
    after: dict[tuple[int, ...], list[float]] = {}
    for draft, rows in zip(tokens.tolist(), p.tolist(), strict=True):
        for place, row in enumerate(rows):
            after[tuple(draft[:place])] = row
    return after


def _continued(
    start: dict[tuple[int, ...], float], after: dict[tuple[int, ...], list[float]], length: int
) -> dict[tuple[int, ...], float]:
    """Texts of one length that begin as `start` says and go on as the target does."""
    result = dict(start)
    for place in range(length):
        for prefix in [text for text in result if len(text) == place]:
            mass = result.pop(prefix)
            for token, probability in enumerate(after[prefix]):
                if probability > 0:
                    text = (*prefix, token)
                    result[text] = result.get(text, 0.0) + mass * probability
    return result
