"""Do two sources of texts follow one distribution? One e-process over what follows every frequent
beginning.

Texts of a fixed number of tokens are cut into conditionals: the first token, the second given the
first, and so on. Given its prefix, a token is a fresh draw, so each prefix has its own two-sample
e-process, and both their product and their average are e-processes again. The product gathers a
small fault that shows everywhere, the single ones find a fault that shows in one place. Nothing is
ever conditioned on whether a draft was accepted, only on the text.

With a large vocabulary the outcomes are chosen on one sample and tested on the next (PyStatDP's
way): the frequent tokens, and the rest in halves that lean to the one source or the other. A
further test has two outcomes, "a text that is likelier from the first source" or not, and guesses
anew after every batch from all batches before: it sees small faults in many places at once. A
choice made from the past keeps every factor's mean at most 1: for any pi and any set of texts, 2
pi(x) 2 (1 - pi(y)) has the mean 4 m (1 - m).
"""

import math
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from ..stats.power import PLAN, mde
from ..stats.sequential import OneSample, TwoSample

TEXT_END = "the end"
Units = tuple[Any, ...]  # token ids or characters, and END where it ended before its length
_FREQUENT, _PREFIXES, _OUTCOMES = 0.03, 24, 15
_PRIOR = 4.0  # tokens that a guess has seen of each source before it has seen any
_FAIR = 0.05  # the TV that a known distribution is tested for
# Prior weights: all prefixes together, the first token, the chosen set of texts; the other prefixes
# share the rest.
_TOGETHER, _FIRST, _CHOSEN, _OTHERS = 0.25, 0.25, 0.25, 0.25


class Conditional:
    """What follows one prefix in both sources."""

    def __init__(self, prefix: Units, first: Counter, second: Counter, plan: float):
        self.prefix = prefix
        often = [token for token, _ in (first + second).most_common(_OUTCOMES)]
        self.names = [*map(str, often)]
        self.cell: dict[Any, int] = {token: i for i, token in enumerate(often)}
        rest = [token for token in first + second if token not in self.cell]
        for name, leaning in (("rare tokens (a)", True), ("rare tokens (b)", False)):
            if some := [token for token in rest if (first[token] > second[token]) == leaning]:
                self.cell |= dict.fromkeys(some, len(self.names))
                self.names.append(name)
        self.names.append("tokens not seen before")
        self.test = TwoSample(len(self.names), 0.5, plan)
        self.waiting: tuple[deque, deque] = deque(), deque()

    def take(self, source: int, token: Any) -> None:
        self.waiting[source].append(self.cell.get(token, len(self.names) - 1))

    def settle(self) -> None:
        """Test as many draws of each source as both have."""
        pairs = min(map(len, self.waiting))
        if pairs:
            cells = [torch.tensor([line.popleft() for _ in range(pairs)]) for line in self.waiting]
            self.test.update(*(c.bincount(minlength=len(self.names)) for c in cells))


class Known:
    """What follows one prefix, against a distribution that is known for its likely tokens; the
    others share the rest.

    distribution: token -> probability, in total at most 1.
    """

    def __init__(self, prefix: Units, distribution: dict[Any, float]):
        self.prefix = prefix
        self.names = [*map(str, distribution), "other tokens"]
        self.cell: dict[Any, int] = {token: i for i, token in enumerate(distribution)}
        p = torch.tensor(
            [*distribution.values(), max(1 - sum(distribution.values()), 1e-12)],
            dtype=torch.float64,
        )
        self.test = OneSample(p / p.sum(), 0.5, plan=_FAIR)
        self.waiting: list[int] = []

    def take(self, source: int, token: Any) -> None:
        self.waiting.append(self.cell.get(token, len(self.names) - 1))

    def settle(self) -> None:
        self.test.update(
            torch.tensor(self.waiting, dtype=torch.int64).bincount(minlength=len(self.names))
        )
        self.waiting = []


class SourceGuess:
    """Guesses which source a text is from: by how often its tokens came from each, given their
    place and the token before."""

    def __init__(self) -> None:
        self.seen: tuple[Counter, Counter] = Counter(), Counter()

    def learn(self, *sources: Sequence[Units]) -> None:
        for counter, texts in zip(self.seen, sources):
            for text in texts:
                for place in range(len(text)):
                    before = text[place - 1 : place]
                    counter[place, before, text[place]] += 1
                    counter[place, before] += 1

    def first(self, text: Units) -> bool:
        """Whether the first source is the likelier one."""
        score = 0.0
        for place in range(len(text)):
            context = place, text[place - 1 : place]
            token = *context, text[place]
            a, b = self.seen
            score += math.log(
                (a[token] + _PRIOR)
                / (b[token] + _PRIOR)
                * (b[context] + _PRIOR)
                / (a[context] + _PRIOR)
            )
        return score > 0


class JoinedProcesses:
    """The e-processes of all prefixes as one. at: by prefix, the empty one among them."""

    def __init__(self, at: Mapping[Units, Any], alpha: float):
        self.at, self.alpha, self.largest = at, alpha, 0.0

    @property
    def n(self) -> int:
        """Texts tested, of each source."""
        return self.at[()].test.n

    @property
    def rejected(self) -> bool:
        return self.largest >= -math.log(self.alpha)

    @property
    def mde(self) -> float:
        """The TV of a first token's distribution that would have been found with power .999."""
        test = self.at[()].test
        return mde(test.n, test.cells, self.alpha * _FIRST, arms=test.arms, plan=test.plan)

    def update(self, *sources: Sequence[Units]) -> bool:
        """Add equally many texts of each source; returns whether the distributions are known to
        differ by now.
        """
        for source, texts in enumerate(sources):
            for text in texts:
                for depth, token in enumerate(text):
                    if (conditional := self.at.get(text[:depth])) is not None:
                        conditional.take(source, token)
        for conditional in self.at.values():
            conditional.settle()
        self.largest = max(self.largest, self.log_e())
        return self.rejected

    def log_e(self) -> float:
        each = {prefix: conditional.test.log_e() for prefix, conditional in self.at.items()}
        others = [value for prefix, value in each.items() if prefix]
        parts = [math.log(_TOGETHER) + sum(each.values()), math.log(_FIRST) + each[()]]
        parts += [math.log(_OTHERS / len(others)) + value for value in others]
        return float(torch.logsumexp(torch.tensor(parts, dtype=torch.float64), 0))

    def worst(self) -> Any:
        """The prefix with the most evidence against it."""
        return max(self.at.values(), key=lambda conditional: conditional.test.log_e())


class Prefixes(JoinedProcesses):
    """Two sources, compared text by text.

    Args:
        first, second: texts to choose prefixes and outcomes from; they are not tested.
        alpha: false-alarm rate.
        plan: the TV to be sharpest for.
    """

    def __init__(
        self, first: Sequence[Units], second: Sequence[Units], alpha: float, plan: float = PLAN
    ):
        seen = (_followers(first), _followers(second))
        super().__init__(
            {
                prefix: Conditional(
                    prefix, seen[0].get(prefix, Counter()), seen[1].get(prefix, Counter()), plan
                )
                for prefix in frequent([*first, *second])
            },
            alpha,
        )
        self.leaning = SourceGuess()
        self.leaning.learn(first, second)
        self.chosen = TwoSample(2, 0.5, plan)

    def update(self, *sources: Sequence[Units]) -> bool:
        sets = [
            torch.tensor([self.leaning.first(text) for text in texts], dtype=torch.int64)
            for texts in sources
        ]
        self.chosen.update(*(chosen.bincount(minlength=2) for chosen in sets))
        self.leaning.learn(*sources)
        return super().update(*sources)

    def log_e(self) -> float:
        return float(
            torch.logsumexp(
                torch.tensor(
                    [math.log(_CHOSEN) + self.chosen.log_e(), super().log_e()], dtype=torch.float64
                ),
                0,
            )
        )


def frequent(texts: Sequence[Units]) -> list[Units]:
    """The prefixes that are worth a test of their own, the empty one first."""
    total = {prefix: after.total() for prefix, after in _followers(texts).items()}
    often = sorted(
        (p for p in total if total[p] >= _FREQUENT * len(texts)), key=lambda p: (-total[p], len(p))
    )
    return list(dict.fromkeys([(), *often]))[:_PREFIXES]


def _followers(texts: Iterable[Units]) -> dict[Units, Counter]:
    """What follows each prefix, and how often; the empty prefix is always there."""
    seen: dict[Units, Counter] = {(): Counter()}
    for text in texts:
        for depth, token in enumerate(text):
            seen.setdefault(text[:depth], Counter())[token] += 1
    return seen
