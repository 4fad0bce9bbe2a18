"""The most tokens that any lossless rule accepts of a whole draft, chain or tree, on average.

A rule accepts one text of the draft, perhaps the empty one, and emits one token behind it. Let B(s)
be the probability that the accepted text begins with s. What was not accepted up to s goes on from
the target anyway, so the output is the target's exactly if, of the mass B(s), token x comes next
with B(s) p(x | s); and B(sx) of that at most is accepted. All rules with B(sx) <= B(s) p(x | s) are
lossless with the right last token, and no others are: a linear program over what each draft accepts
(for one place it is that of `transport.py`; Sun et al. 2024, arXiv:2403.10444, for chains).
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy.optimize import linprog

from ..data import SpecrefError
from .transport import TIGHT

DraftText = tuple[int, ...]
# the texts that a draft holds, their beginnings too but not the empty one -> probability
Drafts = Mapping[frozenset[DraftText], float]


def most_accepted(p: Callable[[DraftText], Sequence[float]], drafts: Drafts) -> float:
    """The largest expected number of accepted tokens.

    Args:
        p: the target's distribution after a text.
    Errors:
        SpecrefError where the solver does not reach an optimum.
    """
    cells: list[tuple[int, DraftText]] = []  # (draft, the text accepted of it)
    for row, held in enumerate(drafts):
        cells += [(row, text) for text in ((), *sorted(held))]
    texts = [(), *sorted(set().union(*drafts))]
    place = {text: number for number, text in enumerate(texts)}
    begins = np.zeros((len(texts), len(cells)))  # B(s), as a row for each text s
    given = np.zeros((len(drafts), len(cells)))
    for column, (row, text) in enumerate(cells):
        given[row, column] = 1
        for end in range(len(text) + 1):
            number = place[text[:end]]
            begins[number, column] = 1
    limits = np.zeros_like(begins)  # B(sx) - B(s) p(x | s), at most 0
    for number, text in enumerate(texts[1:], 1):
        before, token = text[:-1], text[-1]
        share = p(before)[token]
        above = begins[place[before]]
        limits[number] = begins[number] - share * above
    lengths = np.array([len(text) for _, text in cells])
    solved = linprog(
        -lengths,
        A_ub=limits,
        b_ub=np.zeros(len(texts)),
        A_eq=given,
        b_eq=list(drafts.values()),
        method="highs",
        options=TIGHT,
    )
    if not solved.success:
        raise SpecrefError(f"the linear program has no optimum ({solved.message})")
    return float(-solved.fun)
