"""Torch's global state, twice: what the engine sets stays the engine's, and the judge never works
under it.

An adapter may set a default dtype or a thread count, and may draw from the global generators. The
first two are swapped around every call of it; the generators are swapped when the judge turns to
another check, so that a check sees the same global coins whichever other checks run.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy
import torch


@dataclass(frozen=True)
class TorchState:
    """The settings of torch that change what the judge's own code would do."""

    dtype: torch.dtype
    device: torch.device
    grad: bool
    threads: int

    @staticmethod
    def now() -> "TorchState":
        return TorchState(
            torch.get_default_dtype(),
            torch.get_default_device(),
            torch.is_grad_enabled(),
            torch.get_num_threads(),
        )

    def enter(self, now: "TorchState") -> None:
        """Set what differs from what is set now."""
        for name, put in (
            ("dtype", torch.set_default_dtype),
            ("device", torch.set_default_device),
            ("grad", torch.set_grad_enabled),
            ("threads", torch.set_num_threads),
        ):
            if getattr(self, name) != getattr(now, name):
                put(getattr(self, name))


class TorchStates:
    """The judge's world and the engine's, and each check's global coins."""

    def __init__(self) -> None:
        self.judges = self.engines = TorchState.now()
        self.changed: set[str] = set()  # settings that the engine was seen to change
        self._coins: dict[str, Any] = {}
        self._check = ""

    @contextmanager
    def engine(self) -> Iterator[None]:
        """The engine's world; the judge's again behind it."""
        self.engines.enter(TorchState.now())
        try:
            yield
        finally:
            self.engines = TorchState.now()
            if self.engines != self.judges:
                self.changed |= {
                    name
                    for name in vars(self.judges)
                    if getattr(self.engines, name) != getattr(self.judges, name)
                }
                self.judges.enter(self.engines)

    def turn_to(self, check: str, seed: int) -> None:
        """Give a check its own global coins: seeded when it begins, and where it left them when it
        goes on.
        """
        if check == self._check:
            return
        self._coins[self._check] = _coins()
        self._check = check
        if check in self._coins:
            _put(self._coins[check])
            return
        torch.manual_seed(seed)
        random.seed(seed)
        numpy.random.seed(seed % 2**32)


def _coins() -> tuple[Any, ...]:
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    return torch.get_rng_state(), random.getstate(), numpy.random.get_state(), cuda


def _put(coins: tuple[Any, ...]) -> None:
    torch.set_rng_state(coins[0])
    random.setstate(coins[1])
    numpy.random.set_state(coins[2])
    if coins[3] is not None:
        torch.cuda.set_rng_state_all(coins[3])
