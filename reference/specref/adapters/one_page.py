"""`speculate.py`, the page for readers, as a kernel: the judge hands in the guesses and, where it
likes, the uniforms.
"""

from collections.abc import Iterator
from types import SimpleNamespace

import torch
from torch import Tensor

from ..judge.contract import InjectableKernel
from ..speculate import sampler, speculate


class OnePage(InjectableKernel):
    """One row after the other, as the page is written: slow, and nothing but the page."""

    name = "reference: speculate.py"

    def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        u = torch.rand(p.shape[:2], dtype=torch.float64, generator=generator)
        return self.verify_with(p, q, draft, u[:, :-1], u[:, -1])

    def verify_with(
        self, p: Tensor, q: Tensor | None, draft: Tensor, accept_u: Tensor, final_u: Tensor
    ) -> Tensor:
        if q is None:  # proposed with certainty: the draft's distributions are one-hot
            q = torch.zeros_like(p[:, :-1]).scatter_(2, draft[..., None], 1)
        u = torch.cat((accept_u, final_u[:, None]), 1).double().tolist()
        emitted = torch.full((len(p), p.shape[1]), -1)
        for row, guess in enumerate(draft.tolist()):
            new = _cycle(list(p[row]), list(q[row]), guess, iter(u[row]))
            emitted[row, : len(new)] = torch.tensor(new)
        return emitted


def _cycle(p: list[Tensor], q: list[Tensor], guess: list[int], u: Iterator[float]) -> list[int]:
    """One cycle from an empty text. p [K+1][V], q [K][V], guess [K]; u: K coins, then one draw."""
    own = sampler(lambda: next(u))
    given = iter(guess)

    def draw(weights: Tensor) -> int:  # the first K draws are the draft's
        token = next(given, None)
        return own.draw(weights) if token is None else token

    chance = SimpleNamespace(accept=own.accept, draw=draw)
    return speculate(lambda text: p[len(text)], lambda text: q[len(text)], [], len(guess), chance)
