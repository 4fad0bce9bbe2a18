"""A kernel of logits, asked as one of distributions; and its greedy rows.

p is handed over as logits T log p + c, with a temperature T and a shift c for each row. Their
softmax at T is p, so every check of a kernel is a check of this one: of its temperature too.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from ..contract import Kernel, LogitsKernel
from ..load import has
from ..session import Session
from ..suite import check
from ..suite.kernel_call import answer as read_answer
from ..verdict import Verdict
from .scenarios import Axes, Scenario, covering

TEMPERATURES = (0.5, 1.0, 2.0)  # powers of two: T log p divided by T is log p
SHIFT = 8.0  # added to a row's logits, at most
BATCHES = 39
GREEDY_AXES = Axes((2, 5, 8, 37, 64, 300, 2053), tuple(range(9)), (1, 2, 3, 8, 13, 33, 64))


class FromLogits(Kernel):
    """A kernel of logits behind `verify`."""

    def __init__(self, kernel: LogitsKernel):
        self.kernel = kernel
        self.name, self.lossless = kernel.name, kernel.lossless

    def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
        if p.dtype != torch.float32:
            raise TypeError(f"p is {p.dtype}: its logarithm would be rounded too coarsely")
        # of the seed, as everything else is; and no neighbour has a row's own
        generator = torch.Generator().manual_seed(seed % 2**63)
        which = torch.randint(len(TEMPERATURES), (len(p),), generator=generator)
        temperature = torch.tensor(TEMPERATURES)[which]  # [B]
        shift = SHIFT * torch.rand(len(p), generator=generator)
        target, proposed = (_logits(law, temperature, shift) for law in (p, q))
        assert target is not None
        return self.verify_logits(target, proposed, draft, temperature, seed)

    def verify_logits(
        self,
        target: Tensor,
        proposed: Tensor | None,
        draft: Tensor,
        temperature: Tensor,
        seed: int,
    ) -> Tensor:
        return self.kernel.verify_logits(target, proposed, draft, temperature, seed)


def _logits(law: Tensor | None, temperature: Tensor, shift: Tensor) -> Tensor | None:
    """[B,N,V] distributions -> logits."""
    if law is None:
        return None
    return temperature[:, None, None] * law.log() + shift[:, None, None]


def as_kernel(subject: Any) -> Any:
    """A kernel as the checks ask it."""
    return FromLogits(subject) if has(subject, "verify_logits") else subject


@check("kernel.greedy", since="0.2", needs=("verify_logits",), concern="impossible tokens")
def greedy_rows(kernel: FromLogits, session: Session) -> Iterator[Verdict]:
    """Does a row at temperature 0 get the target's likeliest tokens, beside rows that are not?

    Every other row of a batch is at temperature 0, those between them are not. Such a row may emit
    its draft while that is the likeliest token, and then the likeliest token. Where two are equally
    likely, either is taken. It cannot see drafts that are dropped too early: the text is right, and
    slow.
    """
    kept = could = rows = 0
    scenarios = islice(covering(session.seed_for("greedy"), GREEDY_AXES), BATCHES)
    for number, wanted in enumerate(scenarios, 1):
        scenario = wanted.within(session)
        wrong, more, most = _greedy_batch(kernel, session, scenario, number)
        kept, could, rows = kept + more, could + most, rows + scenario.rows
        if wrong:
            yield Verdict("FAIL", what=wrong, case=str(scenario), n=rows, scenario=str(scenario))
            return
        said = (
            f"{rows:,} rows; of {could:,} drafted tokens that are the likeliest {kept:,} are kept"
        )
        yield Verdict("PASS" if number == BATCHES else "INCONCLUSIVE", what=said, n=rows)


def _greedy_batch(
    kernel: FromLogits, session: Session, scenario: Scenario, number: int
) -> tuple[str, int, int]:
    """What is wrong with one batch, tokens kept in its greedy rows, and those that could be."""
    made = scenario.batch(session.generator("greedy rows", number))
    p, q, draft = made.inputs()
    count = draft.shape[1]
    best = p == p.amax(2, keepdim=True)  # [B,K+1,V]
    # a draft that agrees now and then: else no second token is looked at
    agree = torch.rand(draft.shape, generator=session.generator("greedy drafts", number)) < 0.7
    draft = torch.where(agree, best[:, :count].long().argmax(2), draft)
    temperature = torch.where(torch.arange(len(p)) % 2 == 0, 0.0, 1.0)
    proposed = None if q is None else q.clamp(min=1e-30).log()
    with session.calling(f"verify_logits, {len(p)} rows"):
        out = kernel.verify_logits(
            p.log(), proposed, draft, temperature, session.seed_for("greedy", number)
        )
    out = read_answer(out, len(p), count + 1, p.shape[2], "verify_logits")
    is_best = best.gather(2, out.clamp(min=0)[..., None])[..., 0]  # [B,K+1]
    length = (out >= 0).sum(1)
    before = torch.arange(count) < length[:, None] - 1
    right = (is_best | (out < 0)).all(1) & (~before | (out[:, :count] == draft)).all(1)
    cold = temperature == 0
    wrong = (~right & cold).nonzero()[:, 0]
    agreed = best[:, :count].gather(2, draft[..., None])[..., 0].long().cumprod(1)
    could = int(agreed[cold].sum())
    kept = int((length[cold] - 1).sum())
    if not len(wrong):
        return "", kept, could
    row = int(wrong[0])
    said = [token for token in out[row].tolist() if token >= 0]
    likeliest = best[row].long().argmax(1).tolist()
    text = (
        f"at temperature 0 row {row} of {len(p)} emits {said} for the draft {draft[row].tolist()},"
        f" where the likeliest tokens are {likeliest}"
    )
    return text, kept, could
