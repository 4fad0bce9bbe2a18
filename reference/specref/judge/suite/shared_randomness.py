"""Do rows share all of their coins? Then they show at once: at any distance, in the calls that
follow, and one token's coins with another one's."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..session import Session
from ..verdict import Verdict
from .kernel_distribution import within
from .kernel_group import Group

ROWS = 4096  # of a call
_LATER, _SEEDS_ON = 1024, 64  # rows of a call whose seed is 2 to so many further on
# Further seeds at which row 0 may begin anew: what a row's number is likely to be multiplied by,
# and what many such divide.
STRIDES = (
    100,
    1000,
    1009,
    1013,
    1024,
    4096,
    7919,
    10_000,
    10_007,
    25_200,
    65_536,
    65_537,
    999_983,
    1_000_000,
    1_000_003,
    2**20,
    10**9 + 7,
    2_654_435_761,
)
_FEWEST = 512  # pairs of rows that a distance is judged by
_BESIDE = 64  # rows on either side whose first coin is held against a row's later ones
_COPIES = 0.8  # of the way from chance to certainty: half of it is what neighbours two by two reach


def copies(
    group: Group,
    session: Session,
    ask: Callable[[Sequence[int], Sequence[int]], list[Tensor]],
    calls: bool,
) -> Verdict | None:
    """Rows of one distribution and of one draft, the only one possible, in one call; or, where
    `calls`, in one and those whose seeds are up to 64 and STRIDES further on.

    Rows that share their coins are copies. Where the coin of a later draft token is another row's
    first one, that token is kept whenever the other row's first one is; the last token of all is
    drawn and not kept, so it is left out.

    Args:
        ask: numbers of rows, and how far on their seeds are -> the answers [n,K+1] of calls.
    Returns:
        the failure, without its first words.
    """
    p, _, draft = group.inputs(group.draft[0].argmax().view(1))
    chain = group.nodes == group.K  # of a tree only the first token is looked at
    rows = session.fit(ROWS)
    drafted = [*draft[0, : group.K].tolist(), 0]
    generator, steps = (
        session.generator("copies", group.name, calls),
        [
            *range(1, _SEEDS_ON + 1),
            *STRIDES,
        ],
    )
    # 0: the draft's token
    first, *later = [
        (continued_texts(group, answers, generator) - torch.tensor(drafted)) % group.V
        for answers in (
            ask([rows, rows, *[session.fit(_LATER)] * (len(steps) - 1)], [0, *steps])
            if calls
            else ask([rows], [0])
        )
    ]
    # where all before it are
    kept = [p[0, i].double().roll(-token) for i, token in enumerate(drafted)]
    distributions = [
        within(group, group.target[0], (i, i + 1)).roll(-token) for i, token in enumerate(drafted)
    ]
    for seeds, other in zip(steps, later, strict=True) if calls else [(0, first)]:
        reached = 1.0
        for place in range(max(1, group.K) if chain and seeds < 2 else 1):
            right = float(distributions[place] @ distributions[0])
            bound = right + _COPIES * reached * (1 - float(kept[place] @ distributions[0]))
            reached *= float(kept[place][0])
            shares = agreeing(first[: len(other), place], other[:, 0], group.V)
            alike = {
                far: share
                for far, share in shares.items()
                if share > bound
                and (
                    (far > 0 or calls)
                    if place == 0
                    else (far != 0 or calls) and abs(far) <= _BESIDE
                )
            }
            if alike:
                far = min(alike, key=abs)
                who = (
                    f"the one {abs(far)} {'behind' if far > 0 else 'before'} it"
                    if far
                    else "itself"
                )
                when = (
                    f" {seeds} seeds later" if seeds > 1 else " in the next call" if seeds else ""
                )
                what = (
                    f"a row and {who}{when} get the same first token"
                    if place == 0
                    else (
                        f"draft token {place + 1} of a row and draft token 1 of {who}{when} are"
                        " kept or replaced together"
                    )
                )
                return Verdict(
                    "FAIL",
                    "e-process",
                    f"{what} with probability {alike[far]:.3f} instead of {right:.3f}",
                    group.label(0),
                    rows,
                    session.alpha(),
                )
    return None


def continued_texts(group: Group, answers: Tensor, generator: torch.Generator) -> Tensor:
    """Answers [n,K+1] of one case's rows; what a row does not emit is drawn from the target."""
    texts = answers.clone()
    for place in range(1, group.K + 1):
        distribution = (
            within(group, group.target[0], (0, place + 1)).view(-1, group.V).clamp(min=1e-300)
        )
        before = (texts[:, :place] * group.V ** torch.arange(place - 1, -1, -1)).sum(1)
        drawn = torch.multinomial(distribution[before], 1, generator=generator)[:, 0]
        texts[:, place] = torch.where(texts[:, place] < 0, drawn, texts[:, place])
    return texts


def agreeing(a: Tensor, b: Tensor, size: int) -> dict[int, float]:
    """Row i of a call against row i + d of another: tokens a and b [B] -> for every d with pairs
    enough, how often they are one token.

    Of n pairs, those that have no row in common are half at least: by Hoeffding's inequality the
    agreement of either half is off by t with a probability of e^(-n t^2) at most, for t = .3 and
    512 pairs 1e-20, for t = .12 and 4,032 pairs 1e-25.
    """
    far = torch.arange(1 - len(a), len(a))
    once, again = (
        torch.fft.rfft(torch.nn.functional.one_hot(said, size).T.double(), 2 * len(a))
        for said in (a, b)
    )
    both = torch.fft.irfft((once.conj() * again).sum(0), 2 * len(a)).roll(len(a))[1:]
    enough = len(a) - far.abs() >= _FEWEST
    return dict(zip(far[enough].tolist(), (both / (len(a) - far.abs()))[enough].tolist()))
