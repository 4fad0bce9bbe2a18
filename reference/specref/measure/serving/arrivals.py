"""Requests for a server: many lengths, random arrival times, half of them with a shared prefix.

They are drawn once from a seed, so that every engine and setting gets the same requests at the same
times. A result file records them.
"""

import random
from dataclasses import dataclass

from ..held_out import held_out_prompts

_COMMON = 64  # tokens that half of the prompts share
_LONGEST = 160  # tokens of a prompt


@dataclass(frozen=True)
class Arrival:
    """One request of the trace."""

    at: float  # in units of the mean time between two arrivals
    prompt: list[int]
    new_tokens: int


def arrivals(count: int, seed: int = 0) -> list[Arrival]:
    """`count` requests: prompts of 24 to 160 bytes of held-out text, 16 to 80 new tokens, a Poisson
    process in time.
    """
    chance = random.Random(seed)
    common = held_out_prompts(1, _COMMON, skip=2)[0]
    moment, result = 0.0, []
    for number, text in enumerate(held_out_prompts(count, _LONGEST)):
        prefix = common if number % 2 else []
        moment += chance.expovariate(1.0)
        own = text[: chance.randint(24, _LONGEST - len(prefix))]
        result.append(Arrival(moment, prefix + own, chance.randint(16, 80)))
    return result
