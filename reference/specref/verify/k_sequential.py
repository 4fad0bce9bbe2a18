"""K-sequential selection: k candidates from one q, each accepted with probability p / (rho q).

SpecTr (Sun et al. 2023, arXiv:2310.15141), Algorithm 3. All candidates are judged by one threshold;
rho is the smallest number at which what is accepted never exceeds p. The probability to accept one
of them is at least 1 - 1/e of what any rule can reach (its Theorem 3).
Lossless where the candidates are independent draws from one q. With one candidate it is
`rejection`.
"""

import torch
from torch import Tensor

from ..chance import Chance
from ..checks import check_judgeable
from ..data import Draft, Verdict
from .nodes import first_of
from .residual import residual
from .walk import same_q, walk

_HALVINGS = 60


def k_sequential(draft: Draft, p: Tensor, chance: Chance) -> Verdict:
    """Judge a tree whose siblings were drawn with replacement.

    Args:
        draft: N nodes; siblings share one q. p: [B,N+1,V], row 0 after the context, row i + 1 after
            node i.
    Returns:
        Verdict; its path is the walk.
    Errors:
        SpecrefError where siblings were drawn from different distributions.
    """
    check_judgeable(draft, p, chain=False)
    return walk(draft, p, chance, _select)


def _select(draft: Draft, children: Tensor, p: Tensor, chance: Chance) -> tuple[Tensor, Tensor]:
    """The first child whose coin says yes, and what is left of p [B,V] where none does."""
    q = same_q(draft, children, p)  # [B,V]
    k = children.sum(1)  # [B]
    rho = _threshold(p, q, k)[:, None]  # [B,1]
    scaled = p / rho  # [B,V]
    x = draft.index[..., 0]  # [B,N]
    ratio = scaled.gather(1, x) / q.gather(1, x)  # [B,N]; at other nodes anything, NaN too
    chances = torch.where(children, ratio, 0.0).clamp(max=1)  # [B,N]
    node = first_of(chance.accept(chances, children))  # [B]
    common = torch.minimum(scaled, q)  # [B,V]
    beta = common.sum(1)  # [B]: of one candidate
    some = _some(beta, k)  # [B]: of any of k
    each = torch.where(beta > 0, some / beta, 0.0)  # [B]
    return node, residual(p, common * each[:, None])


def _threshold(p: Tensor, q: Tensor, k: Tensor) -> Tensor:
    """rho [B] in [1, k]: the smallest with P(accept one of k) <= rho P(accept one)."""
    low = torch.ones_like(p[:, 0])  # [B]
    high = k.to(p.dtype).clamp(min=1)  # [B]
    for _ in range(_HALVINGS):
        middle = (low + high) / 2  # [B]
        beta = torch.minimum(p / middle[:, None], q).sum(1)  # [B]
        enough = _some(beta, k) <= middle * beta  # [B]
        high = torch.where(enough, middle, high)
        low = torch.where(enough, low, middle)
    return high


def _some(beta: Tensor, k: Tensor) -> Tensor:
    """1 - (1 - beta)^k: P(one of k independent coins says yes), [B]."""
    return 1 - (1 - beta).clamp(min=0) ** k
