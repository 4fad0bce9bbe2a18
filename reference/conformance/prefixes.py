"""Do two sources of texts follow one law? One e-process over what follows every frequent beginning.

Texts of a fixed number of tokens are cut into conditionals: the first token, the second given the first, and so on. Given
its prefix, a token is a fresh draw, so each prefix has its own two-sample e-process, and both their product and their
average are e-processes again. The product gathers a small fault that shows everywhere, the single ones find a fault that
shows in one place. Nothing is ever conditioned on whether a draft was accepted, only on the text.

With a large vocabulary the outcomes are chosen on one sample and tested on the next (PyStatDP's way): the frequent tokens,
and the rest in halves that lean to the one source or the other. A further test has two outcomes, "a token that the first
source seems to like" or not, and chooses anew after every batch from all batches before. A choice made from the past keeps
every factor's mean at most 1: for any pi and any set, 2 pi(x) 2 (1 - pi(y)) has the mean 4 m (1 - m).
"""

import math
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from typing import Any

import torch

from ..law.power import PLAN, mde
from ..law.sequential import TwoSample

END = "the end"
Text = tuple[Any, ...]  # token ids or characters, and END where it ended before its length
FREQUENT, PREFIXES, OUTCOMES = 0.03, 24, 15
# Prior weights: all prefixes together, the first token, its chosen set; the other prefixes share the rest.
TOGETHER, FIRST, CHOSEN, OTHERS = 0.25, 0.25, 0.25, 0.25


class Conditional:
    """What follows one prefix in both sources."""

    def __init__(self, prefix: Text, first: Counter, second: Counter, plan: float):
        self.prefix = prefix
        often = [token for token, _ in (first + second).most_common(OUTCOMES)]
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


class Prefixes:
    """Two sources, compared text by text. Both give equally many.

    Args:
        first, second: texts to choose prefixes and outcomes from; they are not tested. alpha: false-alarm rate.
        plan: the TV to be sharpest for.
    """

    method = "two-sample e-process"

    def __init__(self, first: Sequence[Text], second: Sequence[Text], alpha: float, plan: float = PLAN):
        self.alpha, self.plan, self.largest = alpha, plan, 0.0
        seen = (_followers(first), _followers(second))
        total = {prefix: sum(seen[0].get(prefix, Counter()).values()) + sum(seen[1].get(prefix, Counter()).values())
                 for prefix in seen[0] | seen[1]}
        often = sorted((p for p in total if total[p] >= FREQUENT * total[()]), key=lambda p: (-total[p], len(p)))
        self.at = {p: Conditional(p, seen[0].get(p, Counter()), seen[1].get(p, Counter()), plan)
                   for p in often[:PREFIXES]}
        self.likes = seen[0][()].copy()
        self.likes.subtract(seen[1][()])
        self.chosen = TwoSample(2, 0.5, plan)

    @property
    def n(self) -> int:
        """Texts tested, of each source."""
        return self.at[()].test.n

    @property
    def rejected(self) -> bool:
        return self.largest >= -math.log(self.alpha)

    @property
    def mde(self) -> float:
        """The TV of a first token's law that would have been found with power .999."""
        test = self.at[()].test
        return mde(test.n, test.cells, self.alpha * FIRST, arms=2, plan=self.plan)

    def update(self, first: Sequence[Text], second: Sequence[Text]) -> bool:
        """Add equally many texts of each source; returns whether the laws are known to differ by now."""
        sets = [torch.tensor([self.likes[text[0]] > 0 for text in texts], dtype=torch.int64) for texts in (first, second)]
        self.chosen.update(*(chosen.bincount(minlength=2) for chosen in sets))
        for source, texts in enumerate((first, second)):
            for text in texts:
                for depth, token in enumerate(text):
                    if (conditional := self.at.get(text[:depth])) is not None:
                        conditional.take(source, token)
        for conditional in self.at.values():
            conditional.settle()
        self.likes.update(text[0] for text in first)
        self.likes.subtract(Counter(text[0] for text in second))
        self.largest = max(self.largest, self.log_e())
        return self.rejected

    def log_e(self) -> float:
        each = {prefix: conditional.test.log_e() for prefix, conditional in self.at.items()}
        others = [value for prefix, value in each.items() if prefix]
        parts = [math.log(TOGETHER) + sum(each.values()), math.log(FIRST) + each[()],
                 math.log(CHOSEN) + self.chosen.log_e()]
        parts += [math.log(OTHERS / len(others)) + value for value in others]
        return float(torch.logsumexp(torch.tensor(parts, dtype=torch.float64), 0))

    def worst(self) -> Conditional:
        """The prefix with the most evidence against it."""
        return max(self.at.values(), key=lambda conditional: conditional.test.log_e())


def _followers(texts: Iterable[Text]) -> dict[Text, Counter]:
    """What follows each prefix, and how often; the empty prefix is always there."""
    seen: dict[Text, Counter] = {(): Counter()}
    for text in texts:
        for depth, token in enumerate(text):
            seen.setdefault(text[:depth], Counter())[token] += 1
    return seen
