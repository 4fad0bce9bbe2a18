"""Speculative sampling on one page (Leviathan et al. 2023, arXiv:2211.17192, Algorithm 1)."""

from collections.abc import Callable
from types import SimpleNamespace

import torch

Model = Callable[[list[int]], torch.Tensor]  # the tokens so far -> distribution [V] of the next


def speculate(
    target: Model, draft: Model, text: list[int], gamma: int, chance: SimpleNamespace
) -> list[int]:
    """1 to gamma + 1 new tokens, as the target would draw them. One-hot models decode greedily."""
    # 1. Draft: gamma guesses, each drawn from the draft's distribution q.
    guess: list[int] = []
    q: list[torch.Tensor] = []
    for _ in range(gamma):
        q.append(draft(text + guess))
        guess.append(chance.draw(q[-1]))
    # 2. Score: p after every prefix of the guess. An engine does this in ONE target forward.
    p = [target(text + guess[:i]) for i in range(gamma + 1)]
    # 3. Accept guess x with probability min(1, p(x) / q(x)), up to the first rejection.
    coins = [chance.accept(min(1.0, float(p[i][x] / q[i][x]))) for i, x in enumerate(guess)]
    kept = [*coins, False].index(False)
    # 4. Replace the rejected guess by a token of max(p - q, 0). No rejection: a bonus token of p.
    last = p[kept]
    if kept < gamma and (p[kept] > q[kept]).any():  # false for p = q: rejected by rounding alone
        last = (p[kept] - q[kept]).clamp(min=0)
    return [*guess[:kept], chance.draw(last)]


def sampler(uniform: Callable[[], float]) -> SimpleNamespace:
    """Chance from numbers u in [0, 1), such as random.Random(seed).random gives."""

    def draw(weights: torch.Tensor) -> int:  # the first token whose cumulative weight exceeds u
        cumulative = weights.double().cumsum(0)
        return int((cumulative <= uniform() * cumulative[-1]).sum())

    return SimpleNamespace(accept=lambda probability: uniform() < probability, draw=draw)
