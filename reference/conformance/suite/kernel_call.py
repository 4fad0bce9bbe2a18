"""One call of a kernel: inputs that must not change, and an answer that must be one."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor

from ..contract import Kernel
from ..handed import whole
from ..session import MisbehavedError, Session


def called(kernel: Kernel, session: Session, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
    """One call of `verify`, with the inputs copied first and the answer checked: [B,K+1] int64.

    Errors:
        MisbehavedError for anything but tokens, then -1.
    """
    with calling(session, "verify", p=p, q=q, draft=draft):
        out = kernel.verify(p, q, draft, seed)
    return answer(out, len(draft), draft.shape[1] + 1, p.shape[2])


@contextmanager
def calling(session: Session, method: str, **inputs: Tensor | None) -> Iterator[None]:
    """Around a call whose inputs must not change."""
    before = {name: t.clone() for name, t in inputs.items() if t is not None}
    with session.calling(f"{method}, {len(next(iter(before.values())))} rows"):
        yield
    for name, old in before.items():
        if not torch.equal(old, cast(Tensor, inputs[name])):
            raise MisbehavedError(f"{method} changes its input {name}: work on a copy")


def answer(out: object, batch: int, width: int, vocabulary: int, method: str = "verify") -> Tensor:
    """The answer of a step, if it is one."""
    out = whole(out, f"{method} returns", f"int64 tokens [{batch}, {width}], padded with -1")
    if out.shape != (batch, width):
        raise MisbehavedError(f"{method} returns the shape {list(out.shape)}: return [{batch}, {width}], padded with -1")
    ended = (out == -1).cumsum(1) > 0
    if bool(ended[:, 0].any()):
        raise MisbehavedError(f"{method} emits no token for a row: every step emits at least one")
    if bool((ended & (out != -1)).any()):
        raise MisbehavedError(f"{method} returns -1 before the last token of a row: -1 stands only behind all tokens")
    wrong = ~ended & ((out < 0) | (out >= vocabulary))
    if bool(wrong.any()):
        raise MisbehavedError(f"{method} emits token {int(out[wrong][0])}, outside 0..{vocabulary - 1}")
    return out
