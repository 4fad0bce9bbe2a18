"""What any verification step must do, whatever its law: the right shape, the right padding, the same again for a seed."""

from collections.abc import Iterator

import torch
from torch import Tensor

from ..contract import Kernel
from ..session import MisbehavedError, Session
from ..verdict import Verdict
from . import check


def called(kernel: Kernel, session: Session, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
    """One call of `verify`, with the inputs copied first and the answer checked: [B,K+1] int64.

    Errors:
        MisbehavedError for anything but tokens, then -1.
    """
    before = [None if t is None else t.clone() for t in (p, q, draft)]
    with session.calling(f"verify, {len(draft)} rows"):
        out = kernel.verify(p, q, draft, seed)
    for name, old, new in zip(("p", "q", "draft"), before, (p, q, draft)):
        if old is not None and new is not None and not torch.equal(old, new):
            raise MisbehavedError(f"verify changes its input {name}: work on a copy")
    return answer(out, len(draft), draft.shape[1] + 1, p.shape[2])


def answer(out: object, batch: int, width: int, vocabulary: int) -> Tensor:
    """The answer of a step, if it is one."""
    if not isinstance(out, Tensor):
        raise MisbehavedError(f"verify returns a {type(out).__name__}: return an int64 tensor [{batch}, {width}]")
    if out.shape != (batch, width):
        raise MisbehavedError(f"verify returns the shape {list(out.shape)}: return [{batch}, {width}], padded with -1")
    if out.dtype.is_floating_point or out.dtype == torch.bool:
        raise MisbehavedError(f"verify returns {str(out.dtype).removeprefix('torch.')}: return int64 tokens")
    out = out.long().cpu()
    ended = (out == -1).cumsum(1) > 0
    if bool(ended[:, 0].any()):
        raise MisbehavedError("verify emits no token for a row: every step emits at least one")
    if bool((ended & (out != -1)).any()):
        raise MisbehavedError("verify returns -1 before the last token of a row: -1 stands only behind all tokens")
    wrong = ~ended & ((out < 0) | (out >= vocabulary))
    if bool(wrong.any()):
        raise MisbehavedError(f"verify emits token {int(out[wrong][0])}, outside 0..{vocabulary - 1}")
    return out


@check("kernel.shape", needs=("verify",))
def shape(kernel: Kernel, session: Session) -> Iterator[Verdict]:
    """Does a step return [B,K+1] tokens, then -1, and leave its inputs alone?"""
    for tried, (batch, count, vocabulary) in enumerate(((1, 1, 2), (3, 4, 8), (64, 2, 16), (2, 0, 8), (1, 8, 64)), 1):
        generator = session.generator("shape", batch, count)
        p = torch.rand(batch, count + 1, vocabulary, generator=generator).softmax(-1)
        q = torch.rand(batch, count, vocabulary, generator=generator).softmax(-1)
        draft = torch.randint(vocabulary, (batch, count), generator=generator)
        called(kernel, session, p, q, draft, session.seed_for("shape", batch))
        yield Verdict("PASS", what=f"{tried} shapes", n=tried)
