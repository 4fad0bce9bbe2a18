"""Calls of a kernel: inputs that must not change, and answers that must be some."""

from collections.abc import Callable, Mapping

import numpy
import torch
from torch import Tensor

from ..coerce import whole
from ..contract import Kernel
from ..session import MisbehavedError, OutOfTimeError, Session


def called(
    kernel: Kernel,
    session: Session,
    p: Tensor,
    q: Tensor | None,
    draft: Tensor,
    seed: int,
    size: int = 0,
) -> Tensor:
    """The answer of `verify` [B,K+1] int64, in one call or, where a size is given, in calls of so
    many rows, whose seeds follow each other.

    Errors:
        MisbehavedError for anything but tokens, then -1, and for inputs that change.
    """
    return asked(
        session,
        "verify",
        {"p": p, "q": q, "draft": draft},
        (draft.shape[1] + 1, p.shape[2]),
        lambda number, p, q, draft: kernel.verify(p, q, draft, seed + number),
        size,
    )


def asked(
    session: Session,
    method: str,
    inputs: Mapping[str, Tensor | None],
    shape: tuple[int, int],
    ask: Callable[..., object],
    size: int,
) -> Tensor:
    """Put copies of the inputs, `size` rows at a time (0: all), to ask(number of the call,
    *inputs). shape: tokens of a row's answer, vocabulary. What is done around small calls costs
    more than they do: a series is looked at as one."""
    rows = next(len(t) for t in inputs.values() if t is not None)
    size = size or max(rows, 1)
    given = [
        [None if t is None else t[begin : begin + size].clone() for t in inputs.values()]
        for begin in range(0, max(rows, 1), size)
    ]
    what, said = f"{method}, {size} rows", []
    with session.calling(what):
        for number, some in enumerate(given):
            if session.spent:
                raise OutOfTimeError
            said.append(_kept(ask(number, *some)))
            session.going_on(what)
    for name, all_rows, *parts in zip(inputs, inputs.values(), *given, strict=True):
        if all_rows is not None and not _same(
            parts[0] if len(parts) == 1 else torch.cat(parts), all_rows
        ):
            raise MisbehavedError(f"{method} changes its input {name}: work on a copy")
    formed = [
        _formed(out, min(size, rows - number * size), shape[0], method)
        for number, out in enumerate(said)
    ]
    return _tokens(torch.cat(formed), shape[1], method)


def _kept(out: object) -> object:
    """An answer that the next call can't write over, whatever it is made of."""
    if isinstance(out, list | tuple):
        return [_kept(one) for one in out]
    return (
        out.detach().clone()
        if isinstance(out, Tensor)
        else out.copy()
        if isinstance(out, numpy.ndarray)
        else out
    )


def _same(a: Tensor, b: Tensor) -> bool:
    """As `torch.equal`, in a third of the time."""
    return a.shape == b.shape and bool((a.detach().numpy() == b.numpy()).all())


def answer(out: object, batch: int, width: int, vocabulary: int, method: str = "verify") -> Tensor:
    """The answer of a step, if it is one."""
    return _tokens(_formed(out, batch, width, method), vocabulary, method)


def _formed(out: object, batch: int, width: int, method: str) -> Tensor:
    out = whole(out, f"{method} returns", f"int64 tokens [{batch}, {width}], padded with -1")
    if out.shape != (batch, width):
        raise MisbehavedError(
            f"{method} returns the shape {list(out.shape)}: return [{batch}, {width}], padded"
            " with -1"
        )
    return out


def _tokens(out: Tensor, vocabulary: int, method: str) -> Tensor:
    ended = (out == -1).cumsum(1) > 0
    if bool(ended[:, 0].any()):
        raise MisbehavedError(f"{method} emits no token for a row: every step emits at least one")
    if bool((ended & (out != -1)).any()):
        raise MisbehavedError(
            f"{method} returns -1 before the last token of a row: -1 stands only behind all tokens"
        )
    wrong = ~ended & ((out < 0) | (out >= vocabulary))
    if bool(wrong.any()):
        raise MisbehavedError(
            f"{method} emits token {int(out[wrong][0])}, outside 0..{vocabulary - 1}"
        )
    return out
