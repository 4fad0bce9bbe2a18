"""A small world of two rows that share a batch: a depth policy, the rejection rule and the loop,
run over every draft, every coin and every draw.

A text that the rule emits in some cycles is continued by the target to a fixed length, so that
texts of different lengths can be compared. The joint distribution of both rows' texts is exact.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from .calls import AdmissionQuestion, CycleInput, Lengths, PastCycle, SchedulerHandle
from .cases import Change
from .rule import CycleOutcome, Outcomes, TokenText, rule_outcomes
from .shrink import parted

TextPair = tuple[TokenText, TokenText]  # of row 0 and of row 1


@dataclass(frozen=True, eq=False)
class TwoRowWorld:
    """Target and draft of two rows, as tables over every context (a text of so many tokens)."""

    name: str
    vocabulary: int
    slots: int  # K
    cycles: int
    p: Tensor  # [2,C,V] float64
    q: Tensor  # [2,C,V] float64
    confidence: Tensor | None  # [2,C] float32; of the context, so before its next token

    @property
    def length(self) -> int:
        """Tokens of a text that is as long as the cycles can make it."""
        return self.cycles * (self.slots + 1)

    def number(self, text: TokenText) -> int:
        """The number of a context: shorter ones first."""
        number = 0
        for token in text:
            number = number * self.vocabulary + token + 1
        return number

    def texts(self, most: int) -> list[TokenText]:
        """All texts of at most so many tokens, in the order of their numbers."""
        lengths = range(most + 1)
        return [text for n in lengths for text in product(range(self.vocabulary), repeat=n)]

    def drafts(self) -> list[TokenText]:
        return list(product(range(self.vocabulary), repeat=self.slots))

    def contexts(self, text: TokenText, draft: TokenText) -> list[int]:
        """The contexts of a draft's slots, and of the place behind it."""
        return [self.number((*text, *draft[:slot])) for slot in range(self.slots + 1)]

    def probability(self, row: int, text: TokenText, draft: TokenText) -> float:
        """Of a draft."""
        found = 1.0
        for context, token in zip(self.contexts(text, draft), draft):
            found *= float(self.q[row, context, token])
        return found


def drawn_worlds(
    generator: torch.Generator, count: int, size: tuple[int, int, int], confident: bool
) -> Iterator[TwoRowWorld]:
    """Worlds with random tables, from flat to sharp; the draft is a noisy target.

    Args:
        size: vocabulary, slots and cycles. confident: whether they give a confidence: the
            probability that the next draft token is accepted.
    """
    vocabulary, slots, cycles = size
    contexts = sum(vocabulary**n for n in range(cycles * (slots + 1)))
    for number in range(count):
        sharp = 1 + 4 * number / count
        target = torch.randn(2, contexts, vocabulary, generator=generator, dtype=torch.float64)
        noise = torch.randn(2, contexts, vocabulary, generator=generator, dtype=torch.float64)
        p, q = (sharp * target).softmax(-1), (sharp * (target + noise) / 1.5).softmax(-1)
        accepted = torch.minimum(p, q).sum(-1).float()
        yield TwoRowWorld(
            f"world {number}, sharpness {sharp:.2g}",
            vocabulary,
            slots,
            cycles,
            p,
            q,
            accepted if confident else None,
        )


@dataclass(frozen=True, eq=False)
class WorldResult:
    """What came out of a world."""

    world: TwoRowWorld
    joint: Tensor  # [T,T]: probability of row 0's and row 1's text
    target: Tensor  # [2,T]: the target's, of each row
    asked: int  # questions that the policy answered
    first: dict[TextPair, Lengths]  # the policy's lengths in the first cycle
    questions: dict[TextPair, AdmissionQuestion]

    def row(self, row: int) -> Tensor:
        """[T]: the distribution of one row's text."""
        return self.joint.sum(1 - row)

    def row_distance(self, row: int) -> float:
        """TV of one row's text from the target's."""
        return float((self.row(row) - self.target[row]).abs().sum() / 2)

    @property
    def joint_distance(self) -> float:
        """TV of both rows' texts from two independent texts of the target."""
        return float((self.joint - self.target[0][:, None] * self.target[1]).abs().sum() / 2)


@dataclass(frozen=True)
class _Branch:
    """A state of the loop before a cycle: both texts, and what the policy was told."""

    texts: TextPair
    past: tuple[
        tuple[TextPair, TextPair, tuple[int, int]], ...
    ] = ()  # texts, drafts, accepted counts


Asked = tuple[_Branch, TextPair]  # before which cycle, and about which drafts
Answers = dict[Asked, Lengths]
RuleKey = tuple[int, TokenText, TokenText, int]  # row, text, draft, length


def _rule_keys(branch: _Branch, drafts: TextPair, lengths: Lengths) -> list[RuleKey]:
    """What the rule is given in both rows."""
    return [(row, branch.texts[row], drafts[row], lengths[row]) for row in range(2)]


class WorldRun:
    """One policy in one world."""

    def __init__(self, handle: SchedulerHandle, world: TwoRowWorld, seed: int):
        self.handle, self.world, self.seed = handle, world, seed

    def found(self) -> WorldResult:
        branches = {_Branch(((), ())): 1.0}
        questions: dict[TextPair, AdmissionQuestion] = {}
        first: dict[TextPair, Lengths] = {}
        count = 0
        for cycle in range(self.world.cycles):
            asked, answers = self._asked(list(branches))
            count += len(asked)
            if not cycle:
                questions = {drafts: question for (_, drafts), question in asked.items()}
                first = {drafts: lengths for (_, drafts), lengths in answers.items()}
            branches = self._after(branches, answers)
        begun = len(self.world.texts(self.world.length))
        both = torch.zeros(begun, begun, dtype=torch.float64)
        for branch, weight in branches.items():
            one, other = map(self.world.number, branch.texts)
            both[one, other] += weight
        ends = [self._ends(row) for row in range(2)]
        joint = ends[0].T @ both @ ends[1]
        target = torch.stack([ends[0][0], ends[1][0]])
        return WorldResult(self.world, joint, target, count, first, questions)

    def _asked(self, branches: list[_Branch]) -> tuple[dict[Asked, AdmissionQuestion], Answers]:
        """Every question of a cycle, and the answers."""
        drafts = self.world.drafts()
        pairs = list(product(drafts, drafts))
        asked = {
            (branch, pair): self._question(branch, pair) for branch in branches for pair in pairs
        }
        lengths = self.handle.answers(list(asked.values()))
        return asked, dict(zip(asked, lengths, strict=True))

    def _question(self, branch: _Branch, drafts: TextPair) -> AdmissionQuestion:
        past = tuple(
            PastCycle(self._given(texts, pair, number), torch.tensor(accepted))
            for number, (texts, pair, accepted) in enumerate(branch.past)
        )
        return AdmissionQuestion(self._given(branch.texts, drafts, len(branch.past)), past)

    def _given(self, texts: TextPair, drafts: TextPair, cycle: int) -> CycleInput:
        world = self.world
        contexts = [
            world.contexts(text, draft)[:-1] for text, draft in zip(texts, drafts, strict=True)
        ]
        q = torch.stack([world.q[row, contexts[row]] for row in range(2)]).float()
        draft = torch.tensor(drafts)
        confidence = None
        if world.confidence is not None and self.handle.sees_token:
            confidence = q.gather(2, draft[..., None])[..., 0]
        elif world.confidence is not None:
            confidence = torch.stack([world.confidence[row, contexts[row]] for row in range(2)])
        return CycleInput(q, draft, confidence, self.seed + cycle)

    def _after(self, branches: dict[_Branch, float], answers: Answers) -> dict[_Branch, float]:
        """The branches after a cycle, with their probabilities."""
        outcomes = self._outcomes(answers)
        after: dict[_Branch, float] = {}
        for (branch, drafts), lengths in answers.items():
            keys = _rule_keys(branch, drafts, lengths)
            weight = branches[branch]
            for row in range(2):
                weight *= self.world.probability(row, branch.texts[row], drafts[row])
            one, other = (outcomes[key].items() for key in keys)
            for (mine, chance), (theirs, luck) in product(one, other):
                following = self._following(branch, drafts, (mine, theirs))
                after[following] = after.get(following, 0.0) + weight * chance * luck
        return after

    def _following(
        self, branch: _Branch, drafts: TextPair, outcomes: tuple[CycleOutcome, CycleOutcome]
    ) -> _Branch:
        """The branch after one cycle's outcome in both rows."""
        (accepted, emitted), (also_accepted, also_emitted) = outcomes
        texts = (branch.texts[0] + emitted, branch.texts[1] + also_emitted)
        if not self.handle.remembers:
            return _Branch(texts)  # it is asked as if this were the first cycle
        cycle = (branch.texts, drafts, (accepted, also_accepted))
        return _Branch(texts, (*branch.past, cycle))

    def _outcomes(self, answers: Answers) -> dict[RuleKey, Outcomes]:
        """What the rule makes of every draft with its length."""
        world = self.world
        keys: dict[RuleKey, None] = {}
        for (branch, drafts), lengths in answers.items():
            keys.update(dict.fromkeys(_rule_keys(branch, drafts, lengths)))
        numbers, texts, drafts_of, lengths_of = zip(*keys, strict=True)
        rows = torch.tensor(numbers)[:, None]  # [N,1]
        contexts = torch.tensor(list(map(world.contexts, texts, drafts_of)))  # [N,K+1]
        p = world.p[rows, contexts]
        q = world.q[rows, contexts[:, :-1]]
        found = rule_outcomes(torch.tensor(drafts_of), q, p, torch.tensor(lengths_of))
        return dict(zip(keys, found, strict=True))

    def _ends(self, row: int) -> Tensor:
        """[C,T]: how likely the target makes each whole text of a text that has begun."""
        world = self.world
        begun = world.texts(world.length)
        whole = {
            text: n for n, text in enumerate(product(range(world.vocabulary), repeat=world.length))
        }
        ends = torch.zeros(len(begun), len(whole), dtype=torch.float64)
        for text in reversed(begun):  # longer ones first
            number = world.number(text)
            if len(text) == world.length:
                ends[number, whole[text]] = 1.0
                continue
            following = [world.number((*text, token)) for token in range(world.vocabulary)]
            ends[number] = world.p[row, number] @ ends[following]
        return ends


def changes_of(found: WorldResult) -> Iterator[Change]:
    """Pairs of first drafts that differ in one row from one slot on, if the policy's lengths part
    where they must not; those that differ in the first slots last.
    """
    for (drafts, question), row in product(found.questions.items(), range(2)):
        for other in found.world.drafts():
            pair = (other, drafts[1]) if row == 0 else (drafts[0], other)
            apart = [slot for slot in range(found.world.slots) if drafts[row][slot] != other[slot]]
            if not apart:
                continue
            change = Change(question, found.questions[pair].now, row, apart[0])
            if parted(found.first[drafts], found.first[pair], change) is not None:
                yield change


@dataclass(frozen=True)
class Crossing:
    """Both rows' next slots hang on what the other has not shown yet."""

    slots: tuple[int, int]  # of row 0 and of row 1
    tokens: tuple[tuple[int, int], tuple[int, int]]  # of the other row: verified with, and not with
    places: tuple[int, int]  # which token of the other row that is


class RevealOrder:
    """Looks for an order in which every slot is decided before its token is looked at."""

    def __init__(self, found: WorldResult):
        self.world, self.lengths = found.world, found.first

    def crossing(self) -> Crossing | None:
        """Where there is no such order; None: there is one."""
        return self._from((), ())

    def _from(self, one: TokenText, other: TokenText) -> Crossing | None:
        """one, other: the tokens that are looked at already. A row whose next slot is not admitted
        is done, and the rest of its draft may be looked at.
        """
        shown = (one, other)
        open_rows = [row for row in range(2) if len(shown[row]) < self.world.slots]
        if not open_rows:
            return None
        for row in open_rows:
            answers = {answer for *_, answer in self._answers(shown, row)}
            if len(answers) == 1:
                width = 1 if answers == {True} else self.world.slots - len(shown[row])
                return self._further(shown, row, width)
        # a row alone that waits for its own token is no matter between rows
        return self._told(shown) if len(open_rows) == 2 else None

    def _further(self, shown: TextPair, row: int, width: int) -> Crossing | None:
        for tokens in product(range(self.world.vocabulary), repeat=width):
            following = [*shown]
            following[row] = (*shown[row], *tokens)
            if crossing := self._from(following[0], following[1]):
                return crossing
        return None

    def _answers(self, shown: TextPair, row: int) -> list[tuple[TokenText, TokenText, bool]]:
        """Whether a row's next slot is admitted, over all drafts that begin as shown."""
        slot = len(shown[row])
        return [
            (*drafts, lengths[row] > slot)
            for drafts, lengths in self.lengths.items()
            if drafts[0][: len(shown[0])] == shown[0] and drafts[1][: len(shown[1])] == shown[1]
        ]

    def _told(self, shown: TextPair) -> Crossing | None:
        one, other = (self._by_other(shown, row) for row in range(2))
        if one is None or other is None:
            return None
        slots = (len(shown[0]), len(shown[1]))
        return Crossing(slots, (one[1], other[1]), (one[0], other[0]))

    def _by_other(self, shown: TextPair, row: int) -> tuple[int, tuple[int, int]] | None:
        """Which token of the other row decides, and two of its values: verified, and not."""
        answers = {(one, other): yes for one, other, yes in self._answers(shown, row)}
        places = range(len(shown[1 - row]), self.world.slots)
        for place, token in product(places, range(self.world.vocabulary)):
            for drafts, admitted in answers.items():
                text = drafts[1 - row]
                changed = [*drafts]
                changed[1 - row] = (*text[:place], token, *text[place + 1 :])
                if admitted and not answers[changed[0], changed[1]]:
                    return place, (text[place], token)
        return None
