"""The exact distribution of a program: run it over every outcome of its own randomness.

The program gets a chance that forks on every question. A world is a script of answers; asked beyond
its script, a world takes the first possible answer and leaves the others to new worlds. Worlds are
rows of one batch, so a program that is batched over rows is enumerated in as many runs as it has
questions, not as many as it has outcomes.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..data import SpecrefError

Program = Callable[["Forking", Tensor], Sequence[Hashable]]


@dataclass
class World:
    root: int
    script: tuple[int, ...]
    # certain ones too: rounding may make a question certain in one batch only
    answers: tuple[int, ...] = ()
    # Probability of the answers, each as it was when its question was first met: met again, in a
    # batch of another size, a probability made of rounding (0/0 in a rule where p = q) may differ,
    # and the worlds would not add up to 1.
    weight: float = 1.0


class Forking:
    """Chance for W worlds at once; remembers the answers not taken."""

    def __init__(self, worlds: list[World], forks: list[World] | None = None):
        self.worlds = worlds
        self.forks: list[World] = [] if forks is None else forks

    def rows(self, index: Sequence[int]) -> "Forking":
        return Forking([self.worlds[row] for row in index], self.forks)

    def accept(self, probability: Tensor, asked: Tensor | None = None) -> Tensor:
        wanted = None if asked is None else asked.tolist()
        answers = torch.zeros(probability.shape, dtype=torch.bool)
        for row, coins in enumerate(probability.double().tolist()):
            for column, heads in enumerate(coins):
                if wanted is None or wanted[row][column]:
                    answers[row, column] = self._answer(row, (heads, 1.0 - heads)) == 0
        return answers.to(probability.device)

    def draw(self, distribution: Tensor, asked: Tensor | None = None) -> Tensor:
        wanted = None if asked is None else asked.tolist()
        weights = (distribution.double() / distribution.double().sum(-1, keepdim=True)).tolist()
        return torch.tensor(
            [
                0 if wanted is not None and not wanted[row] else self._answer(row, weights[row])
                for row in range(len(weights))
            ],
            device=distribution.device,
        )

    def _answer(self, row: int, distribution: Sequence[float]) -> int:
        world = self.worlds[row]
        if len(world.answers) < len(world.script):
            world.answers = (*world.answers, world.script[len(world.answers)])
            return world.answers[-1]
        possible = [answer for answer, weight in enumerate(distribution) if weight > 0]
        if not possible:
            raise SpecrefError(
                f"a question has no possible answer, its distribution is {list(distribution)[:8]}:"
                " the rule is broken"
            )
        answer = possible[0]
        self.forks.extend(
            World(world.root, (*world.answers, other), weight=world.weight * distribution[other])
            for other in possible[1:]
        )
        world.answers = (*world.answers, answer)
        world.weight *= distribution[answer]
        return answer


def distributions(
    program: Program, roots: int, limit: int = 2_000_000, chunk: int = 8192
) -> list[dict[Hashable, float]]:
    """Exact distributions of `roots` independent programs that run as rows of one batch.

    Args:
        program: called with a chance for W rows and root [W] int64, which root each row is a copy
            of; returns W outcomes. Row w may depend on root[w] and its own answers only.
        limit: the most worlds to run.
        chunk: how many at a time.
    Returns:
        for every root, outcome -> probability.
    Errors:
        SpecrefError when there are more worlds than limit.
    """
    result: list[dict[Hashable, float]] = [{} for _ in range(roots)]
    pending = [World(root, ()) for root in range(roots)]
    count = 0
    while pending:
        worlds, pending = pending[:chunk], pending[chunk:]
        count += len(worlds)
        if count > limit:
            raise SpecrefError(
                f"the program has more than {limit} outcomes: enumerate a smaller case, or"
                " sample it"
            )
        chance = Forking(worlds)
        outcomes = program(chance, torch.tensor([world.root for world in worlds]))
        for world, outcome in zip(worlds, outcomes, strict=True):
            distribution_of_root = result[world.root]
            distribution_of_root[outcome] = distribution_of_root.get(outcome, 0.0) + world.weight
        pending.extend(chance.forks)
    return result


def distribution(program: Callable[[Forking], Hashable]) -> dict[Hashable, float]:
    """Exact distribution of a program of one row: program(chance) -> outcome."""

    def rows(chance: Forking, root: Tensor) -> list[Hashable]:
        return [program(chance.rows([row])) for row in range(len(root))]

    return distributions(rows, 1)[0]


def total_variation(a: Mapping[Any, float], b: Mapping[Any, float]) -> float:
    """TV = half the L1 distance of two distributions."""
    return sum(abs(a.get(key, 0.0) - b.get(key, 0.0)) for key in a.keys() | b.keys()) / 2
