"""Rows that no model should hand over, beside rows that are right: what they must not do."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

Broken = Callable[[Tensor], Tensor]  # [..,V] -> [..,V]


def _not_a_number(rows: Tensor) -> Tensor:
    return torch.full_like(rows, torch.nan)


def _one_not_a_number(rows: Tensor) -> Tensor:
    """In the likeliest token alone."""
    return rows.scatter(-1, rows.argmax(-1, keepdim=True), torch.nan)


def _infinite(rows: Tensor) -> Tensor:
    return torch.where(rows > 0, torch.inf, rows)


def _negative(rows: Tensor) -> Tensor:
    return torch.where(rows > 0, rows - 0.5, rows)


def _twice(rows: Tensor) -> Tensor:
    return 2 * rows


BROKEN: dict[str, Broken] = {
    "NaN": _not_a_number,
    "one NaN": _one_not_a_number,
    "infinite": _infinite,
    "all 0": torch.zeros_like,
    "negative": _negative,
    "of sum 2": _twice,
}


@dataclass(frozen=True)
class BadRow:
    """side: whose rows are broken, "q" or "p"."""

    side: str
    name: str

    def __str__(self) -> str:
        return f"a row of {self.side} that is {self.name}"

    def put(self, rows: Tensor, at: int) -> Tensor:
        """[B,K,V] with row `at` broken."""
        made = rows.clone()
        made[at] = BROKEN[self.name](rows[at])
        return made


def bad_rows() -> Iterator[BadRow]:
    for side in ("q", "p"):
        for name in BROKEN:
            yield BadRow(side, name)
