"""Tokens per cycle and the speed model. Leviathan et al. 2023 (arXiv:2211.17192), equation 1 and
Theorem 3.8.

Costs are in plain decoding steps of the target: c one draft step, v(gamma) one target forward over
gamma + 1 tokens, v(0) = 1. The paper has v = 1; on a CPU, and in large batches, verification is not
free.
"""

from collections.abc import Callable
from fractions import Fraction
from typing import TypeAlias

Cost: TypeAlias = Callable[[int], Fraction]


def tokens_per_cycle(alpha: Fraction, gamma: int) -> Fraction:
    """1 + alpha + ... + alpha^gamma: expected tokens of a cycle when every context accepts with
    probability alpha.
    """
    return sum((alpha**i for i in range(gamma + 1)), Fraction(0))


def speedup(alpha: Fraction, gamma: int, c: Fraction, v: Cost) -> Fraction:
    """Tokens per cycle over the cost of a cycle; 1 is plain decoding."""
    return tokens_per_cycle(alpha, gamma) / (gamma * c + v(gamma))


def linear(b: Fraction) -> Cost:
    """Verification that costs b more for every drafted token."""
    return lambda gamma: 1 + gamma * b


def best_gamma(alpha: Fraction, c: Fraction, b: Fraction) -> int:
    """The smallest best gamma under v(gamma) = 1 + gamma b, b + c > 0: go on while one more token
    pays for itself, alpha^(gamma+1) / (b + c) > speedup(gamma). Needs alpha < 1."""
    gamma = 0
    while alpha ** (gamma + 1) > (b + c) * speedup(alpha, gamma, c, linear(b)):
        gamma += 1
    return gamma
