"""How far an example alone puts its row's text off, exactly."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import torch
from torch import Tensor

from ...exact.enumerate import total_variation
from .calls import AdmissionQuestion, SchedulerHandle
from .cases import Change
from .rule import Outcomes, TokenText, rule_outcomes
from .shrink import Parting

MOST_DRAFTS, MOST_TEXTS = 256, 10_000  # an example with more is not weighed

Masses = dict[TokenText, float]
Rows = dict[TokenText, list[float]]  # a distribution after each text


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
    answers = handle.answers(questions)
    lengths = torch.tensor([answer[change.row] for answer in answers])
    rows = torch.stack([question.now.q[change.row, seen.slot :] for question in questions])
    q = rows.double() / rows.double().sum(-1, keepdim=True)  # [N,W,V]
    tokens = torch.tensor(drafts, dtype=torch.int64)  # [N,W]
    weights = q.gather(2, tokens[..., None])[..., 0].prod(1)  # [N]
    admitted = (lengths - seen.slot).clamp(min=0)
    worst = 0.0
    for target in (q.roll(1, -1), q.flip(-1), torch.full_like(q, 1 / vocabulary)):
        p = torch.cat((target, torch.full_like(q[:, :1], 1 / vocabulary)), 1)
        outcomes = rule_outcomes(tokens, q, p, admitted)
        after = _rows_after(tokens, p)
        worst = max(worst, _text_distance(weights, outcomes, after, width + 1))
    return worst


def _text_distance(weights: Tensor, outcomes: list[Outcomes], after: Rows, length: int) -> float:
    """TV between the text of a given length that comes out and the target's. weights: [N]."""
    emitted: Masses = {}
    for weight, outcome in zip(weights.tolist(), outcomes, strict=True):
        for (_, text), mass in outcome.items():
            emitted[text] = emitted.get(text, 0.0) + weight * mass
    found = _continued(emitted, after, length)
    wanted = _continued({(): 1.0}, after, length)
    return total_variation(found, wanted)


def _rows_after(tokens: Tensor, p: Tensor) -> Rows:
    """The target's distribution after every prefix of a draft."""
    after: Rows = {}
    for draft, rows in zip(tokens.tolist(), p.tolist(), strict=True):
        for place, row in enumerate(rows):
            prefix = tuple(draft[:place])
            after[prefix] = row
    return after


def _continued(start: Masses, after: Rows, length: int) -> Masses:
    """Texts of one length that begin as `start` says and go on as the target does."""
    result = dict(start)
    for place in range(length):
        prefixes = [text for text in result if len(text) == place]
        for prefix in prefixes:
            mass = result.pop(prefix)
            for token, probability in enumerate(after[prefix]):
                text = (*prefix, token)
                result[text] = result.get(text, 0.0) + mass * probability
    return result
