"""The speed model: what a cycle yields, what it costs, and the draft length that pays best.

Leviathan et al. 2023 (arXiv:2211.17192): with acceptance alpha at every position, a cycle of gamma
drafts yields (1 - alpha^(gamma+1))/(1 - alpha) tokens (their equation 1) for gamma draft steps and
one target forward, and is (1 - alpha^(gamma+1))/((1 - alpha)(gamma c + 1)) times as fast (Theorem
3.8). Two of their simplifications are optional here: acceptance may differ by position, and a
forward over k tokens may cost T(k) instead of T(1).

In every function: `alpha` is one acceptance rate, or one for each position of the draft, given that
every position before it was accepted. `steps[k-1]` is T(k)/T(1), a forward over k tokens in plain
steps; None means that all cost the same. `c` is the cost of one draft step, and `overhead` is the
cost of everything else in a cycle, both in plain steps.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from ...errors import SpecrefError

Acceptance = float | Sequence[float]


def expected_tokens(alpha: Acceptance, gamma: int) -> float:
    """Tokens that a cycle of gamma drafts emits on average, the replacement or bonus token
    included: 1 to gamma + 1.

    The sum over i <= gamma of the probability that the first i drafts are all accepted.
    """
    if gamma < 0:
        raise SpecrefError(f"gamma = {gamma} is not a draft length: give 0 or more")
    total = survive = 1.0
    for rate in _by_position(alpha, gamma):
        survive *= rate
        total += survive
    return total


def cycle_cost(
    gamma: int, steps: Sequence[float] | None = None, c: float = 0.0, overhead: float = 0.0
) -> float:
    """One cycle in plain steps: gamma draft steps, one forward over gamma + 1 tokens, and the
    overhead.
    """
    if not (c >= 0 and overhead >= 0):
        raise SpecrefError(
            f"c = {c} and overhead = {overhead} are costs in plain steps: give 0 or more"
        )
    if steps is not None and gamma >= len(steps):
        raise SpecrefError(
            f"the verify curve ends at {len(steps)} tokens and gamma = {gamma} verifies"
            f" {gamma + 1}: measure further"
        )
    return gamma * c + (1.0 if steps is None else steps[gamma]) + overhead


def predicted_speedup(
    alpha: Acceptance,
    gamma: int,
    steps: Sequence[float] | None = None,
    c: float = 0.0,
    overhead: float = 0.0,
) -> float:
    """Tokens a second against the plain loop. Leviathan et al. 2023, Theorem 3.8, for one alpha and
    steps None.
    """
    return expected_tokens(alpha, gamma) / cycle_cost(gamma, steps, c, overhead)


def operations_factor(alpha: Acceptance, gamma: int, c: float = 0.0) -> float:
    """Arithmetic operations a token against the plain loop: what speculation pays for its speed.

    Leviathan et al. 2023, Theorem 3.11: (1 - alpha) (gamma c + gamma + 1) / (1 - alpha^(gamma+1)).
    A cycle computes gamma draft tokens and gamma + 1 target tokens, whatever is accepted. It is at
    least 1, and where operations set the pace, as in a large batch, it is the slowdown.

    Args:
        c: operations of the draft for a token over the target's; not a ratio of times, as it is in
            the other functions.
    """
    if not c >= 0:
        raise SpecrefError(f"c = {c} is a ratio of operations: give 0 or more")
    return (gamma * c + gamma + 1) / expected_tokens(alpha, gamma)


def best_gamma(
    alpha: Acceptance,
    steps: Sequence[float] | None = None,
    c: float = 0.0,
    overhead: float = 0.0,
    most: int = 32,
) -> int:
    """The draft length with the largest predicted speedup, the shortest of equals; 0 where the
    plain loop is best.

    Looks as far as the measurements reach, and to `most` where nothing was measured.
    """
    reach = most
    if steps is not None:
        reach = min(reach, len(steps) - 1)
    if not isinstance(alpha, (int, float)):
        reach = min(reach, len(alpha))
    best, fastest = 0, 1.0
    for gamma in range(1, reach + 1):
        speed = predicted_speedup(alpha, gamma, steps, c, overhead)
        if speed > fastest:
            best, fastest = gamma, speed
    return best


def break_even_alpha(
    gamma: int, steps: Sequence[float] | None = None, c: float = 0.0, overhead: float = 0.0
) -> float | None:
    """The acceptance at which drafting gamma tokens is as fast as the plain loop; None where no
    acceptance is enough.

    With steps None and gamma = 1 it is c (Leviathan et al. 2023, Corollary 3.9).
    """
    cost = cycle_cost(gamma, steps, c, overhead)
    if expected_tokens(1.0, gamma) < cost:
        return None
    low, high = 0.0, 1.0
    while high - low > 1e-12:
        middle = (low + high) / 2
        low, high = (middle, high) if expected_tokens(middle, gamma) < cost else (low, middle)
    return high


def verify_steps(curve: Mapping[int, float]) -> list[float]:
    """`steps` from a curve measured at some token counts: divided by its value at 1, and linear
    between the counts.
    """
    counts = sorted(curve)
    if not counts or counts[0] != 1 or not all(0 < curve[count] < float("inf") for count in counts):
        raise SpecrefError(
            f"the verify curve is measured at {counts}: give positive times, the first for 1 token"
        )
    steps = [1.0]
    for before, after in pairwise(counts):
        slope = (curve[after] - curve[before]) / (after - before)
        steps += [(curve[before] + slope * i) / curve[1] for i in range(1, after - before + 1)]
    return steps


def with_prefill(speedup: float, prefill: float, factor: float = 1.0) -> float:
    """Speedup of whole requests, from the speedup of decoding.

    Args:
        prefill: its share of the plain loop's time. factor: what speculation multiplies the prefill
            by, more than 1 where the draft reads the prompt too.
    """
    if not (0 <= prefill <= 1 and speedup > 0 and factor >= 0):
        raise SpecrefError(
            f"prefill = {prefill}, speedup = {speedup}: give a share of 0 to 1 and a positive"
            " speedup"
        )
    return 1 / (prefill * factor + (1 - prefill) / speedup)


def _by_position(alpha: Acceptance, gamma: int) -> list[float]:
    if isinstance(alpha, (int, float)):
        rates = [float(alpha)] * gamma
    else:
        rates = [float(rate) for rate in alpha]
    if len(rates) < gamma:
        raise SpecrefError(
            f"acceptance is known for {len(rates)} positions and gamma = {gamma}: measure further"
        )
    if not all(0 <= rate <= 1 for rate in rates):
        raise SpecrefError(f"acceptance {rates} is not possible: give rates between 0 and 1")
    return rates[:gamma]
