"""What any depth policy must do: lengths of the right form, the same again for a seed, and no look
at a token whose verification it decides.
"""

from collections.abc import Iterator
from dataclasses import replace

import torch

from ..contract import Scheduler
from ..scheduler.calls import SchedulerHandle
from ..scheduler.cases import CaseMaker, Change, batch_shapes
from ..scheduler.example import example_case, example_sentence
from ..scheduler.shrink import Shrinker, parted
from ..scheduler.weigh import exact_distance
from ..scheduler.world import Crossing, RevealOrder, WorldResult, WorldRun, changes_of, drawn_worlds
from ..session import Session
from ..verdict import Picture, Verdict
from . import check

LOOKS_AHEAD = "the policy looks at a token whose verification it decides"
EXACT_TOLERANCE = 1e-9  # distributions here are float64; right policies are within 1e-12
CONFIDENCE_STYLES = 4  # of confidences (CaseMaker.confidence)
FIRST_SLICE = 3  # batch_shapes of at most so many slots are asked in the first slice
ONE_CYCLE, TWO_CYCLES = (3, 2, 1), (2, 2, 2)  # vocabulary, slots, cycles
WORLDS = {ONE_CYCLE: 8, TWO_CYCLES: 1}  # with confidences, and as many without


@check("scheduler.shape", since="0.2", needs=("admit",))
def scheduler_shape(scheduler: Scheduler, session: Session) -> Iterator[Verdict]:
    """Does `admit` return [B] whole numbers from 0 to K, and leave its inputs alone?

    Every combination of 0 to 8 rows, 0 to 8 slots and several vocabularies, with and without
    confidences, and after earlier cycles. The same is checked at every later call.
    """
    handle = SchedulerHandle(scheduler, session)
    maker = CaseMaker(session.generator("shapes"), handle)
    tried = 0
    empty = [(0, 3, 4), (0, 0, 4), (1, 0, 4), (8, 0, 3)]
    for rows, count, vocabulary in [*empty, *batch_shapes()]:
        for style in range(CONFIDENCE_STYLES):
            handle.answer(maker.question(rows, count, vocabulary, style))
            tried += 1
    yield Verdict("PASS", what=f"{tried} batches", n=tried)


@check("scheduler.determinism", since="0.2", needs=("admit",), concern="determinism")
def scheduler_determinism(scheduler: Scheduler, session: Session) -> Iterator[Verdict]:
    """Do the same past and the same seed give the same lengths?

    Each question is asked again after another batch, and with torch's global generator set
    elsewhere. A policy with a memory must forget the other batch when `begin` is called.
    """
    handle = SchedulerHandle(scheduler, session)
    maker = CaseMaker(session.generator("determinism"), handle)
    tried = 0
    for rows, count, vocabulary in batch_shapes():
        question, other = (
            maker.question(rows, count, vocabulary, tried % CONFIDENCE_STYLES) for _ in "ab"
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            first = handle.answer(question)
            handle.answer(other)
            torch.manual_seed(1)
            again = handle.answer(question)
            torch.manual_seed(2)
            elsewhere = handle.answer(question)
        tried += 1
        why = _differs(first, again, elsewhere)
        if why:
            case = f"B = {rows}, K = {count}, V = {vocabulary}, seed {question.now.seed}"
            yield Verdict("FAIL", what=why, case=case, n=tried)
            return
    yield Verdict("PASS", what=f"{tried} questions repeated", n=tried)


def _differs(first: tuple[int, ...], again: tuple[int, ...], elsewhere: tuple[int, ...]) -> str:
    """What is wrong with answers to the same question; "" for nothing."""
    if first != again:
        return (
            f"after another batch the lengths are {list(again)} instead of {list(first)}: forget"
            " earlier batches in begin(rows)"
        )
    if first != elsewhere:
        return (
            "the lengths follow torch's global generator: draw from a generator made from the seed"
        )
    return ""


@check("scheduler.stopping", since="0.2", distribution=True, needs=("admit",))
def scheduler_stopping(scheduler: Scheduler, session: Session) -> Iterator[Verdict]:
    """Does the admission of slots up to i stay when token i, or anything behind it, changes?

    Drafts of 1 to 8 rows, 1 to 8 slots and vocabularies of 2 to 2,000; with and without
    confidences; after no, one and two cycles. In each, token i of a row is replaced: alone, with
    the tokens behind it, and with the q rows and confidences behind it. What stands before it stays
    as it is, and so do the other rows. The confidence of slot i stays, unless the policy says that
    its confidence sees token i (`confidence_sees_token`). Nothing is sampled in the verdict: one
    difference convicts. The example is made small, and the TV is the exact one that it causes in
    its row's text under the rejection rule, the largest over three targets.
    It can miss a policy that looks at a token only in situations that are not among these.
    """
    handle = SchedulerHandle(scheduler, session)
    maker = CaseMaker(session.generator("stopping"), handle)
    ordered = batch_shapes()
    slices = (
        [shape for shape in ordered if shape[1] <= FIRST_SLICE],
        [shape for shape in ordered if shape[1] > FIRST_SLICE],
    )
    compared = 0
    for part in slices:
        for rows, count, vocabulary in part:
            for style in range(CONFIDENCE_STYLES):
                compared += 1
                found = _stopping(maker, (rows, count, vocabulary), style)
                compared += found if isinstance(found, int) else 0
                if isinstance(found, Verdict):
                    yield replace(found, n=compared)
                    return
        yield Verdict(
            "PASS", "exact", f"{compared:,} changes leave the admission as it is", n=compared
        )


def _stopping(maker: CaseMaker, shape: tuple[int, int, int], style: int) -> int | Verdict:
    """One situation: how many changes left the admission alone, or the failure."""
    handle = maker.handle
    question = maker.question(*shape, style)
    changes = list(maker.changes(question, style))
    kept, *others = handle.answers([question, *(change.other for change in changes)])
    for change, changed in zip(changes, others, strict=True):
        if parted(kept, changed, change) is not None:
            return _convicted(handle, change)
    return len(changes)


def _convicted(handle: SchedulerHandle, change: Change) -> Verdict:
    """The failure that a change shows, made small."""
    change = Shrinker(handle).smallest(change)
    kept, changed = (handle.answer(one) for one in (change.question, change.other))
    seen = parted(kept, changed, change)
    assert seen is not None
    tv = exact_distance(handle, change, seen)
    caused = (
        "" if tv is None else f"; this alone puts the row's text off by an exact TV of {tv:.3g}"
    )
    case, told = example_case(change, seen), example_sentence(change, seen)
    return Verdict("FAIL", "exact", told + caused, case, tv=tv, cause=LOOKS_AHEAD)


def _worlds(handle: SchedulerHandle, size: tuple[int, int, int]) -> list[WorldResult]:
    """What comes out of the small worlds of one size; made once for the checks that read it."""
    session = handle.session

    def make() -> list[WorldResult]:
        found = []
        for confident in (True, False):
            if confident or not handle.needs_confidence:
                generator = session.generator("worlds", size)
                for world in drawn_worlds(generator, WORLDS[size], size, confident):
                    seed = session.seed_for("world", world.name, confident) % 2**31
                    found.append(WorldRun(handle, world, seed).found())
        return found

    return session.once(f"scheduler worlds {size}", make)


@check("scheduler.text", since="0.2", distribution=True, needs=("admit",))
def scheduler_text(scheduler: Scheduler, session: Session) -> Iterator[Verdict]:
    """Does each row's text have exactly the target's distribution, in small worlds?

    Two rows share a batch; 3 tokens in the vocabulary, 2 slots. The policy, the rejection rule of
    this project and the loop are run over every pair of drafts, every coin and every draw, in
    worlds from flat to sharp. A text that is cut short is continued by the target. The TV is exact.
    """
    handle = SchedulerHandle(scheduler, session)
    yield _rows_right(handle, _worlds(handle, ONE_CYCLE))


@check("scheduler.independence", since="0.2", distribution=True, needs=("admit",))
def scheduler_independence(scheduler: Scheduler, session: Session) -> Iterator[Verdict]:
    """Are the texts of two rows that share a batch exactly independent, in small worlds?

    The worlds of `scheduler.text`, and the joint distribution of both texts. It is the product of
    the targets if there is an order, which may depend on the tokens, in which every slot is decided
    before its token is looked at. If two slots wait for each other's tokens, each text is right
    and the two are not independent.
    """
    handle = SchedulerHandle(scheduler, session)
    yield _jointly_right(_worlds(handle, ONE_CYCLE))


@check("scheduler.cycles", since="0.2", distribution=True, needs=("admit",))
def scheduler_cycles(scheduler: Scheduler, session: Session) -> Iterator[Verdict]:
    """Do two rows have exactly the target's joint distribution after several cycles with a memory?

    Two cycles of two rows, 2 tokens in the vocabulary, 2 slots. The policy is told after the first
    cycle how many tokens were accepted, and may use that and all else it saw: the past is free.
    """
    handle = SchedulerHandle(scheduler, session)
    found = _worlds(handle, TWO_CYCLES)
    rows = _rows_right(handle, found)
    yield _jointly_right(found) if rows.verdict == "PASS" else rows


def _rows_right(handle: SchedulerHandle, worlds: list[WorldResult]) -> Verdict:
    """Whether each row's text has the target's distribution in every world."""
    worst, row = max(
        ((found, row) for found in worlds for row in range(2)),
        key=lambda pair: pair[0].row_distance(pair[1]),
    )
    tv, drafts = worst.row_distance(row), sum(found.asked for found in worlds)
    if not any(any(lengths) for found in worlds for lengths in found.first.values()):
        return Verdict("UNVERIFIED", "exact", "admits no token of any draft here", n=drafts)
    if tv <= EXACT_TOLERANCE:
        right = f"exact in {len(worlds)} worlds of two rows"
        return Verdict("PASS", "exact", right, n=drafts, tv=tv)
    change = min(changes_of(worst), key=_changed_tokens, default=None)
    why = "" if change is None else _convicted(handle, change).what.partition("; ")[0] + "; "
    return Verdict(
        "FAIL",
        "exact",
        f"{why}row {row}'s text is off by an exact TV of {tv:.3g}",
        worst.world.name,
        n=drafts,
        tv=tv,
        pictures=_pictures(worst, row),
    )


def _changed_tokens(change: Change) -> int:
    return int((change.question.now.draft != change.changed.draft).sum())


def _pictures(found: WorldResult, row: int) -> tuple[Picture, ...]:
    """A row's first token that is off, against the target's."""
    world = found.world
    shape = [world.vocabulary] * world.length
    observed, expected = (t.view(shape) for t in (found.row(row), found.target[row]))
    for place in range(world.length):
        others = [axis for axis in range(world.length) if axis != place]
        seen, wanted = observed.sum(others), expected.sum(others)
        if float((seen - wanted).abs().sum()) > EXACT_TOLERANCE:
            return (
                Picture(
                    f"token {place} of row {row}",
                    tuple(str(token) for token in range(world.vocabulary)),
                    tuple(wanted.tolist()),
                    tuple(seen.tolist()),
                ),
            )
    return ()


def _jointly_right(worlds: list[WorldResult]) -> Verdict:
    """Whether both rows' texts are independent, and right, in every world."""
    worst = max(worlds, key=lambda found: found.joint_distance)
    tv, drafts = worst.joint_distance, sum(found.asked for found in worlds)
    if tv <= EXACT_TOLERANCE:
        right = f"exact in {len(worlds)} worlds of two rows"
        return Verdict("PASS", "exact", right, n=drafts, tv=tv)
    off = max(worst.row_distance(row) for row in range(2))
    alone = (
        "each text alone is right and the two are not independent"
        if off <= EXACT_TOLERANCE
        else f"each text alone is off by {off:.3g} at most"
    )
    crossing = RevealOrder(worst).crossing() if off <= EXACT_TOLERANCE else None
    why = "" if crossing is None else _crossed(crossing) + "; "
    what = f"{why}{alone}: jointly they are off by an exact TV of {tv:.3g}"
    return Verdict("FAIL", "exact", what, worst.world.name, n=drafts, tv=tv)


def _crossed(crossing: Crossing) -> str:
    """Two slots that wait for each other's tokens, in words."""
    sides = []
    for row in range(2):
        verified, not_verified = crossing.tokens[row]
        sides.append(
            f"slot {crossing.slots[row]} of row {row} is verified when token"
            f" {crossing.places[row]} of row {1 - row} is {verified} and not when it is"
            f" {not_verified}"
        )
    return ", and ".join(sides)
