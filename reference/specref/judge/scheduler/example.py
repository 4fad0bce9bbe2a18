"""A change on which a policy parts, told in words."""

from torch import Tensor

from .calls import CycleInput
from .cases import Change
from .shrink import Parting


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
    tokens = given.draft[row].tolist()
    apart = (given.draft[row] != other.draft[row]).nonzero()[:, 0].tolist()
    parts = [str(tokens[apart[0]])]
    parts += [f"token {slot} is {tokens[slot]}" for slot in apart[1:]]
    slot = _first_apart(given.q[row], other.q[row])
    if slot is not None:
        parts.append(f"q row {slot} is {_numbers(given.q[row, slot])}")
    if given.confidence is None or other.confidence is None:
        return " and ".join(parts)
    confidence = given.confidence[row, :, None]  # [K,1]
    slot = _first_apart(confidence, other.confidence[row, :, None])
    if slot is not None:
        parts.append(f"confidence {slot} is {float(confidence[slot]):.3g}")
    return " and ".join(parts)


def _first_apart(one: Tensor, other: Tensor) -> int | None:
    """The first slot in which two tensors [K,M] differ; None: in none."""
    apart = (one != other).any(1).nonzero()
    return int(apart[0]) if len(apart) else None


def _numbers(row: Tensor) -> str:
    """The first entries of a distribution [V]."""
    shown = [f"{value:.3g}" for value in row[:4].tolist()]
    if len(row) > 4:
        shown.append("...")
    return f"[{', '.join(shown)}]"


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
