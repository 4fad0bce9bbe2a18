"""Planted bugs and controls of depth policies, which decide how many draft tokens are verified."""

import torch
from torch import Tensor

from ...adapters.serving import Depths
from ..contract import Scheduler
from ..schedule import judge
from ..session import Session
from ..suite import checks
from ..suite.scheduler import EXACT_TOLERANCE
from . import Bug, Control
from .trees import OURS

Confidence = Tensor | None


def of_tokens(q: Tensor, draft: Tensor) -> Tensor:
    """[B,K]: q of every draft token."""
    return q.gather(2, draft[..., None])[..., 0]


def before_tokens(q: Tensor, confidence: Confidence) -> Tensor:
    """[B,K]: the confidence, or the largest q where there is none. Each value is known before its
    token is drawn.
    """
    return q.amax(-1) if confidence is None else confidence


def leading_slots(good: Tensor) -> Tensor:
    """The number of slots before the first that is not good: good [B,K] bool -> [B]."""
    return good.long().cumprod(1).sum(1)


def one_slot_later(values: Tensor, first: float) -> Tensor:
    """[B,K]: slot i has the value of slot i - 1, and slot 0 has `first`."""
    return torch.cat((torch.full_like(values[:, :1], first), values[:, :-1]), 1)


def largest(values: Tensor, count: int) -> Tensor:
    """[B]: how many of the `count` largest values of the batch [B,K] are in each row. Where values
    fall along a row, they are the row's first ones: of equal values the earlier is chosen.
    """
    order = values.flatten().argsort(descending=True, stable=True)[:count]
    chosen = torch.zeros(values.numel(), dtype=torch.int64)
    chosen[order] = 1
    return chosen.view(values.shape).sum(1)


def all_slots(draft: Tensor) -> Tensor:
    """[B]: K in every row."""
    return torch.full((draft.shape[0],), draft.shape[1])


class FixedDepth(Scheduler):
    def admit(self, q: Tensor, draft: Tensor, confidence: Confidence, seed: int) -> Tensor:
        return all_slots(draft).clamp(max=2)


class StopsBehindUnsure(Scheduler):
    def admit(self, q: Tensor, draft: Tensor, confidence: Confidence, seed: int) -> Tensor:
        return leading_slots(one_slot_later(of_tokens(q, draft), 1.0) >= 0.4)


class StopsBehindUnsureConfidence(Scheduler):
    confidence_sees_token = True

    def admit(self, q: Tensor, draft: Tensor, confidence: Confidence, seed: int) -> Tensor:
        sure = of_tokens(q, draft) if confidence is None else confidence
        return leading_slots(one_slot_later(sure, 1.0) >= 0.4)


class StopsBeforeFlat(Scheduler):
    def admit(self, q: Tensor, draft: Tensor, confidence: Confidence, seed: int) -> Tensor:
        return leading_slots(before_tokens(q, confidence) >= 0.5)


class KeepsEndToken(Scheduler):
    def admit(self, q: Tensor, draft: Tensor, confidence: Confidence, seed: int) -> Tensor:
        return leading_slots(one_slot_later(draft, 1) != 0)


class SeededDepth(Scheduler):
    def admit(self, q: Tensor, draft: Tensor, confidence: Confidence, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return torch.randint(draft.shape[1] + 1, (len(draft),), generator=generator)


class AdaptsToPast(Scheduler):
    """The depth grows by one after a full acceptance and shrinks by one after a rejection."""

    def begin(self, rows: int) -> None:
        self.depth = torch.full((rows,), 2)
        self.lengths = torch.zeros(rows, dtype=torch.int64)

    def admit(self, q: Tensor, draft: Tensor, confidence: Confidence, seed: int) -> Tensor:
        self.lengths = torch.minimum(self.depth, all_slots(draft))
        return self.lengths

    def observe(self, accepted: Tensor) -> None:
        self.depth = (self.depth + torch.where(accepted == self.lengths, 1, -1)).clamp(min=1)


class StaleBudget(Scheduler):
    """Verifies two tokens a row on average. The rows with the largest survival in the last cycle
    get them.
    """

    def begin(self, rows: int) -> None:
        self.stale: Tensor | None = None

    def admit(self, q: Tensor, draft: Tensor, confidence: Confidence, seed: int) -> Tensor:
        known, self.stale = self.stale, before_tokens(q, confidence)
        if known is None or known.shape != draft.shape:
            return all_slots(draft).clamp(max=2)
        return largest(known.cumprod(1), 2 * len(draft))


class StaleBudgetLiveOrder(Scheduler):
    """The last cycle's values set the budget. Slots get it in the order of their survival; the
    survival of slot i depends only on the tokens before it.
    """

    confidence_sees_token = True

    def begin(self, rows: int) -> None:
        self.budget = rows

    def admit(self, q: Tensor, draft: Tensor, confidence: Confidence, seed: int) -> Tensor:
        sure = of_tokens(q, draft) if confidence is None else confidence
        lengths = largest(one_slot_later(sure, 1.0).cumprod(1), self.budget)
        self.budget = max(len(draft), int((sure.cumprod(1) > 0.3).sum()))
        return lengths


def best_count(survival: Tensor, step: int) -> int:
    """The number of slots for which a batch emits most tokens a unit of time. Slots are chosen by
    survival, the largest first.

    survival: [B,K], falling along a row. step: tokens by which a forward's time grows at once, as
    where batches are padded.
    """
    rows = len(survival)
    kept = survival.flatten().sort(descending=True).values.double().cumsum(0)
    tokens = torch.arange(len(kept) + 1, dtype=torch.float64) + rows
    expected = torch.cat((torch.zeros(1, dtype=torch.float64), kept)) + rows
    return int((expected / (12 + (tokens / step).ceil() * step)).argmax()) if rows else 0


class LiveBudgetEvenCost(Scheduler):
    """The best count of slots by this cycle's values, each known before its token. The time grows
    evenly, so the count ends at the first slot that does not pay, and no value behind that slot is
    used.
    """

    step = 1

    def admit(self, q: Tensor, draft: Tensor, confidence: Confidence, seed: int) -> Tensor:
        survival = before_tokens(q, confidence).cumprod(1)
        return largest(survival, best_count(survival, self.step))


class FirstRowDecides(Scheduler):
    """Every second row is verified if the row before it begins with token 0."""

    def admit(self, q: Tensor, draft: Tensor, confidence: Confidence, seed: int) -> Tensor:
        lengths = all_slots(draft)
        if draft.shape[1]:
            lengths[1::2] *= draft[:-1:2, 0] == 0
        return lengths


class CutsKnowingly(Scheduler):
    lossless = False

    def admit(self, q: Tensor, draft: Tensor, confidence: Confidence, seed: int) -> Tensor:
        return leading_slots(of_tokens(q, draft) >= 0.4)


class LiveBudget(LiveBudgetEvenCost):
    """The time grows in steps of four tokens. Whether the first slot pays depends on whether the
    slots behind it fill the step.
    """

    step = 4


class LiveOwnSurvival(Scheduler):
    """The survival of a slot includes the q of its own token."""

    def admit(self, q: Tensor, draft: Tensor, confidence: Confidence, seed: int) -> Tensor:
        return largest(of_tokens(q, draft).cumprod(1), 2 * len(draft))


class ClearsShortDrafts(Scheduler):
    """Stops before a flat q row, which is right. Then it drops drafts shorter than two, which is
    wrong.
    """

    def admit(self, q: Tensor, draft: Tensor, confidence: Confidence, seed: int) -> Tensor:
        lengths = leading_slots(q.amax(-1) >= 0.5)
        return torch.where(lengths < 2, 0, lengths)


class StopsBeforeUnsure(Scheduler):
    confidence_sees_token = True

    def admit(self, q: Tensor, draft: Tensor, confidence: Confidence, seed: int) -> Tensor:
        sure = of_tokens(q, draft) if confidence is None else confidence
        return leading_slots(sure >= 0.4)


class CutsBelowMinimum(Scheduler):
    def admit(self, q: Tensor, draft: Tensor, confidence: Confidence, seed: int) -> Tensor:
        return leading_slots(of_tokens(q, draft) >= 0.2)


class BudgetToSurestRow(Scheduler):
    """The row whose draft has the largest probability under q gets the whole budget."""

    def admit(self, q: Tensor, draft: Tensor, confidence: Confidence, seed: int) -> Tensor:
        lengths = all_slots(draft)
        likely = of_tokens(q, draft).log().sum(1)
        return torch.where(likely == likely.amax(), lengths, 0) if len(draft) else lengths


class DropsEndToken(Scheduler):
    def admit(self, q: Tensor, draft: Tensor, confidence: Confidence, seed: int) -> Tensor:
        return leading_slots(draft != 0)


class AllOrNothing(Scheduler):
    def admit(self, q: Tensor, draft: Tensor, confidence: Confidence, seed: int) -> Tensor:
        return all_slots(draft) * (of_tokens(q, draft).mean(1) > 0.4)


class DropsRepeats(Scheduler):
    def admit(self, q: Tensor, draft: Tensor, confidence: Confidence, seed: int) -> Tensor:
        return leading_slots(draft != one_slot_later(draft, -1))


class TrimsLongDrafts(FixedDepth):
    """A draft of five tokens or more loses its last token if that is unlikely."""

    def admit(self, q: Tensor, draft: Tensor, confidence: Confidence, seed: int) -> Tensor:
        lengths = all_slots(draft)
        return (
            lengths - (of_tokens(q, draft)[:, -1] < 0.2).long() if draft.shape[1] > 4 else lengths
        )


class CutsHighIds(Scheduler):
    def admit(self, q: Tensor, draft: Tensor, confidence: Confidence, seed: int) -> Tensor:
        return leading_slots(draft < 1024)


class PeeksAfterRejection(AdaptsToPast):
    """After the first rejection of a draft, unsure tokens are dropped."""

    def begin(self, rows: int) -> None:
        super().begin(rows)
        self.careful = False

    def admit(self, q: Tensor, draft: Tensor, confidence: Confidence, seed: int) -> Tensor:
        self.lengths = all_slots(draft)
        if self.careful:
            self.lengths = leading_slots(of_tokens(q, draft) >= 0.4)
        return self.lengths

    def observe(self, accepted: Tensor) -> None:
        self.careful |= bool((accepted < self.lengths).any())


class RowsCrosswise(Scheduler):
    """Each row is verified if the row beside it begins with token 0."""

    def admit(self, q: Tensor, draft: Tensor, confidence: Confidence, seed: int) -> Tensor:
        lengths = all_slots(draft)
        if draft.shape[1] and len(draft) > 1:
            lengths = lengths * (draft[:, 0].roll(1) == 0)
        return lengths


class CrosswiseAfterRejection(PeeksAfterRejection):
    """As RowsCrosswise, from the first rejection on."""

    def admit(self, q: Tensor, draft: Tensor, confidence: Confidence, seed: int) -> Tensor:
        self.lengths = all_slots(draft)
        if self.careful and draft.shape[1] and len(draft) > 1:
            self.lengths = self.lengths * (draft[:, 0].roll(1) == 0)
        return self.lengths


class ForgetsNothing(AdaptsToPast):
    def begin(self, rows: int) -> None:
        if not hasattr(self, "depth") or len(self.depth) != rows:
            super().begin(rows)


class GlobalCoins(Scheduler):
    def admit(self, q: Tensor, draft: Tensor, confidence: Confidence, seed: int) -> Tensor:
        return torch.randint(draft.shape[1] + 1, (len(draft),))


class AddsBonus(Scheduler):
    def admit(self, q: Tensor, draft: Tensor, confidence: Confidence, seed: int) -> Tensor:
        return all_slots(draft) + 1


class MasksDraft(StopsBehindUnsure):
    def admit(self, q: Tensor, draft: Tensor, confidence: Confidence, seed: int) -> Tensor:
        lengths = super().admit(q, draft, confidence, seed)
        draft[torch.arange(draft.shape[1]) >= lengths[:, None]] = -1
        return lengths


class CrashesWithoutRows(Scheduler):
    def admit(self, q: Tensor, draft: Tensor, confidence: Confidence, seed: int) -> Tensor:
        return all_slots(draft).clamp(max=int(q.amax(-1).mean(1).max() * 8))


_LLAMA, _ADAPTIVE = "llama.cpp n_min, as read", "TensorRT-LLM #17056, as described"
_OWN, _LIVE, _ROWS, _FORM = 66, 67, 68, 69  # numbers of the kinds
_BIASED = "tokens that the draft likes come out too often"
_DEPENDENT = "texts of one batch are not independent"


def _bug(number: int, source: str, subject: type[Scheduler], by: str, symptom: str) -> Bug:
    """A bug whose name is made from its class's name."""
    name = "depth" + "".join(f"-{c.lower()}" if c.isupper() else c for c in subject.__name__)
    crashes = subject is CrashesWithoutRows
    kind = "draft length"
    return Bug(name, number, source, kind, symptom, f"scheduler.{by}", subject, crashes)


SCHEDULER_BUGS = (
    _bug(_OWN, OURS, StopsBeforeUnsure, "stopping", _BIASED),
    _bug(_OWN, _ADAPTIVE, CutsBelowMinimum, "stopping", _BIASED),
    _bug(_OWN, _LLAMA, ClearsShortDrafts, "stopping", _BIASED),
    _bug(_OWN, OURS, AllOrNothing, "stopping", _BIASED),
    _bug(_OWN, OURS, DropsEndToken, "stopping", "the end token's probability is off"),
    _bug(_OWN, OURS, DropsRepeats, "stopping", "the probability of a repeat is off"),
    _bug(_OWN, OURS, TrimsLongDrafts, "stopping", _BIASED),
    _bug(_OWN, OURS, CutsHighIds, "stopping", "the probabilities of high ids are off"),
    _bug(_OWN, OURS, PeeksAfterRejection, "stopping", _BIASED),
    _bug(_LIVE, _ADAPTIVE, LiveBudget, "stopping", _BIASED),
    _bug(_LIVE, _ADAPTIVE, LiveOwnSurvival, "stopping", _BIASED),
    _bug(_LIVE, OURS, BudgetToSurestRow, "stopping", _BIASED),
    _bug(_ROWS, OURS, RowsCrosswise, "independence", _DEPENDENT),
    _bug(_ROWS, OURS, CrosswiseAfterRejection, "cycles", _DEPENDENT),
    _bug(_FORM, OURS, ForgetsNothing, "determinism", "a text depends on the batches before it"),
    _bug(_FORM, OURS, GlobalCoins, "determinism", "a seed does not give the same lengths again"),
    _bug(_FORM, OURS, AddsBonus, "shape", "the engine reads behind the draft"),
    _bug(_FORM, OURS, MasksDraft, "shape", "-1 stands in the text"),
    _bug(_FORM, OURS, CrashesWithoutRows, "shape", "crashes when no request is left"),
)
SCHEDULER_CONTROLS = tuple(
    Control(name, why, subject)
    for name, why, subject in (
        ("depth fixed", "it looks at nothing", FixedDepth),
        ("depth behind an unsure token", "the token stays in the draft", StopsBehindUnsure),
        (
            "depth behind an unsure token, by its confidence",
            "the confidence sees the token, and decides the next slot",
            StopsBehindUnsureConfidence,
        ),
        (
            "depth before a flat distribution",
            "q row i is known before token i is drawn",
            StopsBeforeFlat,
        ),
        ("depth with the end token", "what is behind it is dropped, not it", KeepsEndToken),
        ("depth by a coin", "the seed knows nothing of the draft", SeededDepth),
        ("depth by the past", "accepted counts of earlier cycles are free", AdaptsToPast),
        ("depth under a stale budget", "it looks at the last cycle only", StaleBudget),
        (
            "depth of vLLM's allocator, as read",
            "a stale budget; slot i by the tokens before it",
            StaleBudgetLiveOrder,
        ),
        (
            "depth under a live budget of even cost",
            "it stops where the next slot does not pay, before that slot's token is looked at",
            LiveBudgetEvenCost,
        ),
        (
            "depth by another row's tokens",
            "one row looks at the other, not both at each other",
            FirstRowDecides,
        ),
        ("depth of our server", "it looks at accepted counts only", Depths),
        ("depth cut knowingly", "declared lossy", CutsKnowingly),
    )
)


def scheduler_distance(scheduler: Scheduler) -> float | None:
    """The exact TV of a policy, from the small worlds. Where it does not show there, the TV of the
    example that convicts it; None where it changes no distribution.
    """
    chosen = [item for item in checks("scheduler") if item.distribution]
    said = judge(scheduler, Session(scheduler.name, "scheduler"), chosen)
    found = {verdict.id: verdict.tv or 0.0 for verdict in said}
    example = found.pop("scheduler.stopping")
    known = [tv for tv in (max(found.values()), example) if tv > EXACT_TOLERANCE]
    return known[0] if known else None
