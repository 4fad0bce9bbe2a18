"""Numbers as adapters hand them over: lists, tuples, NumPy arrays and tensors of any device are
taken alike.
"""

from numbers import Integral, Real

import torch
from torch import Tensor

from .session import MisbehavedError


class _NoNumbersError(Exception):
    """What was handed over instead, in words."""


def whole(given: object, said: str, wanted: str) -> Tensor:
    """Whole numbers, as int64 on the CPU, in the shape that they have.

    Args:
        said: how a sentence about them begins, such as "verify returns".
        wanted: what it should be, for the mend.
    Errors:
        MisbehavedError, one line, for anything else: floats, truth values, text, rows of several
            lengths.
    """
    taken = numbers(given, said, wanted)
    if not taken.numel():  # an empty list is an array of floats to NumPy
        return taken.long()
    if taken.dtype.is_floating_point or taken.dtype.is_complex or taken.dtype == torch.bool:
        raise MisbehavedError(
            f"{said} {str(taken.dtype).removeprefix('torch.')} and no whole numbers: return"
            f" {wanted}"
        )
    return taken.long()


def numbers(given: object, said: str, wanted: str) -> Tensor:
    """As `whole`, of any dtype."""
    try:
        return _taken(given)
    except _NoNumbersError as error:
        raise MisbehavedError(f"{said} {error}: return {wanted}") from None


def _taken(given: object) -> Tensor:
    if isinstance(given, Tensor):
        return given.detach().cpu()
    kind = type(given).__name__
    if isinstance(given, list | tuple):
        if not all(isinstance(one, Real) and not isinstance(one, bool) for one in given):
            rows = [_taken(one) for one in given]
            if len({row.shape for row in rows}) > 1:
                raise _NoNumbersError("rows of several lengths")
            return torch.stack(rows)
        given = [int(one) if isinstance(one, Integral) else float(one) for one in given]
        dtype = torch.int64 if all(isinstance(one, int) for one in given) else torch.float64
    elif isinstance(given, Real) and not isinstance(given, bool):
        dtype = torch.int64 if isinstance(given, Integral) else torch.float64
    elif hasattr(given, "__array__"):
        dtype = None  # its own
    else:
        raise _NoNumbersError(f"a {kind}")
    try:
        return torch.as_tensor(given, dtype=dtype)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise _NoNumbersError(
            f"a {kind} that is none of numbers ({' '.join(str(error).split())[:80]})"
        ) from None
