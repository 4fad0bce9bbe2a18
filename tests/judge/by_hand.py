"""Kernels made by hand, and the small cases they are tried on."""

from collections.abc import Callable, Sequence

import torch
from specref.judge.cases import Tables
from specref.judge.suite.kernel_group import Group
from torch import Tensor

# p [B,K+1,V], draft [B,K], u [B,K+1] -> [B,K+1]
Answer = Callable[[Tensor, Tensor, Tensor], Tensor]


class Given:
    """A kernel whose answer is a function of its uniforms: the coins, then the last draw. Notes
    every call.
    """

    def __init__(self, answer: Answer):
        self.answer, self.coins = answer, []  # type: ignore[var-annotated]

    def verify_with(
        self, p: Tensor, q: Tensor | None, draft: Tensor, accept_u: Tensor, final_u: Tensor
    ) -> Tensor:
        assert accept_u.shape == draft.shape
        assert accept_u.is_contiguous()
        assert final_u.is_contiguous()
        self.coins.append(torch.cat((accept_u, final_u[:, None]), 1))
        assert bool(((self.coins[-1] >= 0) & (self.coins[-1] < 1)).all())
        return self.answer(p, draft, self.coins[-1])


def empty(*distributions: tuple[float, ...]) -> Group:
    """Cases of no draft token."""
    return Group(
        "empty",
        Tables(
            tuple(f"case {i}" for i in range(len(distributions))),
            (torch.tensor(distributions).double()[:, None],),
            (),
            torch.zeros(len(distributions), dtype=torch.int64),
        ),
    )


def pair(p: tuple[float, ...], q: tuple[float, ...], after: Sequence[tuple[float, ...]]) -> Group:
    """One draft token."""
    return Group(
        "pair",
        Tables(
            ("pair",),
            (torch.tensor([[p]]).double(), torch.tensor([after]).double()),
            (torch.tensor([[q]]).double(),),
            torch.tensor([1]),
        ),
    )


class Mixed:
    """Draws every first token from (1 - w) p + w q, whatever was drafted; keeps nothing."""

    def __init__(self, w: float):
        self.w = w

    def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
        distribution = (
            p[:, 0] if q is None or not q.shape[1] else (1 - self.w) * p[:, 0] + self.w * q[:, 0]
        )
        token = torch.multinomial(distribution, 1, generator=torch.Generator().manual_seed(seed))
        return torch.nn.functional.pad(token, (0, draft.shape[1]), value=-1)
