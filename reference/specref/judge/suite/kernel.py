"""What any verification step must do, whatever its distribution: the right shape, the right
padding, the same again for a seed.
"""

from collections.abc import Iterator
from itertools import product

import torch
from torch import Tensor

from ..contract import Kernel
from ..session import MisbehavedError, Session
from ..verdict import Verdict
from . import check
from .kernel_call import answer, called


def inputs(
    session: Session, batch: int, count: int, vocabulary: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Random distributions and a draft drawn from q: p [B,K+1,V], q [B,K,V], draft [B,K]."""
    generator = session.generator("inputs", batch, count, vocabulary)
    p = (4 * torch.rand(batch, count + 1, vocabulary, generator=generator)).softmax(-1)
    q = (4 * torch.rand(batch, count, vocabulary, generator=generator)).softmax(-1)
    drawn = [
        torch.multinomial(distribution, 1, generator=generator) for distribution in q.unbind(1)
    ]
    return p, q, torch.cat((torch.zeros(batch, 0, dtype=torch.int64), *drawn), 1)


_SHAPES = tuple(product((1, 17, 64), (0, 1, 4, 8), (2, 33, 64)))  # rows, draft tokens, vocabulary


@check("kernel.shape", needs=("verify",))
def shape(kernel: Kernel, session: Session) -> Iterator[Verdict]:
    """Does a step return [B,K+1] tokens, each in the vocabulary, then -1, and leave its inputs
    alone?

    Every combination of 1, 17 and 64 rows, of 0, 1, 4 and 8 draft tokens, and of 2, 33 and 64
    tokens in the vocabulary; the same is checked at every later call. One token behind the end of
    every row, where all rows differ, is padding that is no -1.
    """
    for tried, (wanted, count, size) in enumerate(_SHAPES, 1):
        rows = session.fit(wanted)
        seed = session.seed_for("shape", (rows, count, size))
        last = (
            called(kernel, session, *inputs(session, rows, count, size), seed)[:, -1]
            .unique()
            .tolist()
        )
        if wanted == 64 and rows > 7 and count == 8 and len(last) == 1 and last != [-1]:
            yield Verdict(
                "FAIL",
                what=f"all {rows} rows end with {last[0]}: behind a row's last token stands -1",
                case=f"{count} draft tokens, {size} in the vocabulary",
                n=tried,
            )
            return
        yield Verdict("PASS", what=f"{tried} shapes", n=tried)


@check("kernel.determinism", needs=("verify",), concern="determinism")
def determinism(kernel: Kernel, session: Session) -> Iterator[Verdict]:
    """Does the same seed give the same answer, whatever torch's global generator holds, and another
    seed another one?

    The same call again, after another one, and again with the global generator set elsewhere. A
    kernel that seeds the global generator itself passes. Then with each of the seed's low 31 bits
    turned: seeds that are cut to fewer come again soon. It cannot see coins that differ between
    machines.
    """

    rows = session.fit(64)

    def answer(seed: int) -> Tensor:
        return called(kernel, session, *inputs(session, rows, 3, 8), seed)

    for tried in range(1, 4):
        seed = session.seed_for("determinism", tried)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            first = answer(seed)
            answer(seed + 1)
            torch.manual_seed(1)
            again = answer(seed)
            torch.manual_seed(2)
            elsewhere = answer(seed)
        for other, why in (
            (
                again,
                (
                    "the same seed gives another answer the second time: draw every coin from a"
                    " generator made from the seed"
                ),
            ),
            (
                elsewhere,
                (
                    "the answer follows torch's global generator and not the seed alone: draw every"
                    " coin from a generator made from the seed"
                ),
            ),
        ):
            if not torch.equal(first, other):
                yield Verdict(
                    "FAIL",
                    what=why,
                    n=tried,
                    case=f"{int((first != other).any(1).sum())} of {rows} rows differ",
                )
                return
        yield Verdict("PASS", what=f"{tried} calls repeated", n=tried)
    seed = session.seed_for("determinism")
    with torch.random.fork_rng(devices=[]):
        first = answer(seed)
        alike = [bit for bit in range(_BITS) if torch.equal(answer(seed ^ 1 << bit), first)]
    # all of them: it draws no coins, which is a matter of its distribution
    if 0 < len(alike) < _BITS:
        yield Verdict(
            "FAIL",
            what=(
                f"{len(alike)} of the seed's low {_BITS} bits change nothing, bit {alike[0]} the"
                " first of them: use the whole seed"
            ),
            n=tried,
        )
        return
    yield Verdict("PASS", what=f"{tried} calls repeated, {_BITS} other seeds", n=tried)


_BITS = 31  # of a seed that every generator takes


@check("kernel.not-a-number", needs=("verify",))
def not_a_number(kernel: Kernel, session: Session) -> Iterator[Verdict]:
    """Is a row of NaN refused, or at least kept to itself?

    A model that overflows hands the kernel NaN. Raising is right, and so is any token of the
    vocabulary in that row; an id outside it is not, nor another answer in the rows beside it.
    """
    p, q, draft = inputs(session, 4, 2, 8)
    bad = p.clone()
    bad[1] = torch.nan
    seed = session.seed_for("NaN")
    beside = [0, 2, 3]
    try:
        with session.calling("verify, 4 rows, one of NaN"):
            out = kernel.verify(bad, q, draft, seed)
    except Exception:
        yield Verdict("PASS", what="refused", n=1)
        return
    try:
        out = answer(out, 4, 3, 8)
    except MisbehavedError as error:
        yield Verdict(
            "FAIL",
            what=f"a row of NaN: {error}; raise, or emit any token of the vocabulary there",
            n=1,
        )
        return
    same = torch.equal(out[beside], called(kernel, session, p, q, draft, seed)[beside])
    yield Verdict(
        "PASS" if same else "FAIL",
        what=(
            "a token of the vocabulary"
            if same
            else "a row of NaN changes the rows beside it: raise, or judge every row by itself"
        ),
        n=1,
    )
