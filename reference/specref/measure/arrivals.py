"""A day at the server in small: requests of many lengths that come at random, half of them behind a
common beginning.

Drawn once from a seed, so that every engine and setting meets the same requests at the same
moments; a result file records it.
"""

import random
from dataclasses import dataclass

from .workload import held_out_prompts

COMMON = 64  # tokens that half of the prompts share


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
    texts = held_out_prompts(count, 160)
    common = held_out_prompts(1, COMMON, skip=2)[0]
    moment, result = 0.0, []
    for number, text in enumerate(texts):
        moment += chance.expovariate(1.0)
        own = text[: chance.randint(24, 160 - COMMON if number % 2 else 160)]
        result.append(Arrival(moment, common + own if number % 2 else own, chance.randint(16, 80)))
    return result
