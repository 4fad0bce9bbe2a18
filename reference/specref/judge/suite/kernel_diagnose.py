"""Which planted bug looks like what was seen? The distribution of each, exactly, against the
counts.
"""

import math
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ...chance import Chance
from ...stats.sequential import OneSample
from ..cases import Tables
from ..subjects import RuleStep, drawn
from .kernel_group import Group

_LARGEST = 100  # outcomes, and drafts, of a case that is enumerated for every planted bug
_LIKELY = 1e-4  # a bug whose own distribution the counts exclude at this rate is not named
_HINTS = {
    "residual": "a residual that is not max(p - q, 0)",
    "verify": "drafts judged by the wrong rule or distribution",
    "bonus": "a last token from the wrong distribution",
    "numerics": "rounding",
    "random numbers": "coins used twice",
    "tree": "a tree whose guesses are judged as if they were alone",
}


def lean(expected: Tensor, seen: Tensor, drafted: Tensor) -> str:
    """Which way the distribution is off, in words: towards the draft or away from it; nothing where
    neither.
    """
    gain, off = drafted - expected, seen - expected
    size = float(gain.norm() * off.norm())
    if float(gain.norm()) < 1e-6 or abs(float(gain @ off)) <= 0.5 * size:
        return ""
    return "; tokens that your draft likes come out too " + (
        "often" if float(gain @ off) > 0 else "seldom"
    )


def _undisclosed(distribution: Tensor, chance: Chance) -> tuple[Tensor, None]:
    return chance.draw(distribution), None


def cause(group: Group, case: int, counts: Tensor) -> str:
    """The planted bugs under whose distributions the counts [V^(K+1)] are likeliest, if they are
    likely enough.
    """
    named = []
    for name, distribution in distributions(group, case):
        if float((distribution - group.target[case]).abs().sum()) >= _LIKELY and not OneSample(
            distribution, _LIKELY
        ).update(counts):
            named.append((name, float(torch.xlogy(counts, distribution).sum())))
    return told(
        [name for name, value in named if value > max(value for _, value in named) - math.log(20)]
    )


def same(group: Group, case: int, distribution: Tensor) -> str:
    """The planted bugs that have this distribution [V^(K+1)], exactly."""
    off = float((distribution - group.target[case]).abs().sum())
    return told(
        [
            name
            for name, other in distributions(group, case)
            if float((distribution - other).abs().sum()) < 0.01 * off
        ]
    )


def told(names: list[str]) -> str:
    """A sentence about planted bugs."""
    from ..zoo.run import BUGS  # which knows every check, and is needed after a failure only

    if not names:
        return ""
    kinds = dict.fromkeys(_HINTS.get(BUGS[name].kind, BUGS[name].kind) for name in names)
    return f"looks like {' or '.join([*kinds][:2])} (in the zoo: {', '.join(names[:3])})"


@lru_cache(maxsize=32)
def distributions(group: Group, case: int) -> tuple[tuple[str, Tensor], ...]:
    """Every planted bug of a step with its distribution of K + 1 tokens [V^(K+1)]."""
    return tuple(_distributions(group, case))


def _distributions(group: Group, case: int) -> Iterator[tuple[str, Tensor]]:
    from ..exact.rule import continued

    if max(group.leaves, group.drafts) > _LARGEST:
        return
    t = group.tables
    one = Tables(
        (t.names[case],),
        tuple(distribution[[case]] for distribution in t.p),
        tuple(distribution[[case]] for distribution in t.q),
        t.lengths[[case]],
    )
    for name, found in group.planted(one) if group.planted else _planted(group, one):
        emitted: dict[tuple[int, ...], float] = {}
        for (_, block), mass in found.items():
            emitted[block] = emitted.get(block, 0.0) + mass
        distribution = torch.zeros(group.leaves, dtype=torch.float64)
        for text, mass in continued(emitted, one, 0).items():
            if all(0 <= token < group.V for token in text) and len(text) == group.K + 1:
                distribution[int(t.prefixes(torch.tensor([text])))] += mass
        if abs(float(distribution.sum()) - 1) < 1e-6:
            yield name, distribution


def _planted(group: Group, one: Tables) -> Iterator[tuple[str, dict[Any, float]]]:
    """Every planted bug of a chain's step, and the distribution of what it emits in the one
    case.
    """
    from ..exact.rule import blocks
    from ..zoo.rules import RULE_BUGS

    for bug in RULE_BUGS:
        if isinstance(bug.subject, RuleStep) and bug.subject.propose is drawn:
            with suppress(Exception):  # a bug that crashes is not what was seen
                yield (
                    bug.name,
                    blocks(
                        RuleStep(bug.subject.rule, _undisclosed if group.certain else drawn), one
                    )[0],
                )
