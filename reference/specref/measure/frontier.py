"""What typical acceptance buys and what it costs: tokens a cycle against the distance from the
target's distribution.

The distance is known in two ways. Exactly, by enumeration, on a toy small enough: the distribution
of its first tokens against the target's, mean over contexts. Estimated, on the real model: at every
cycle, the distribution of the first emitted token given the context is known in closed form (a
fixed token if any guess passes, else p), so its distance from p is too; the mean over cycles is
unbiased.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev

import torch
from torch import Tensor

from ..chance import Streams
from ..data import SamplingParams
from ..decode import Cycle, decode_loop, new_requests
from ..draft.base import Drafter
from ..draft.medusa import MedusaDrafter, MedusaHeads, best_first
from ..exact.enumerate import Forking, distributions, total_variation
from ..model.transformer import Config, Transformer
from ..verify import LossyTypical, Rule


@dataclass(frozen=True)
class Point:
    """One setting. tv: mean distance of a cycle's first token; error: its standard error; exact:
    the toy's mean TV.
    """

    epsilon: float
    delta: float
    tokens_per_cycle: float
    tv: float
    error: float
    exact: float


def toy(seed: int = 0) -> tuple[Transformer, MedusaHeads]:
    """A target of 6 tokens and random heads, in float64: small enough to enumerate."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        target = Transformer(
            Config(6, 16, 24, 2, 2, 1, 8, max_position_embeddings=32, tie_word_embeddings=False)
        )
        heads = MedusaHeads.of(target, 2)
        heads.block.data.normal_(std=0.3)
    if target.head is not None:
        target.head.weight.data.mul_(3)
        heads.out.data.mul_(3)
    return target.double().eval(), heads.double().eval()


def contexts(vocabulary: int, count: int = 32, length: int = 3, seed: int = 0) -> list[list[int]]:
    """Texts for the toy to go on from."""
    random = torch.Generator().manual_seed(seed)
    return torch.randint(vocabulary, (count, length), generator=random).tolist()


def exact_distributions(
    rule: Rule, target: Transformer, drafter: Drafter, prompts: Sequence[list[int]], tokens: int = 3
) -> list[dict[Hashable, float]]:
    """The exact distribution of the first `tokens` tokens after each prompt."""

    def program(chance: Forking, root: Tensor) -> list[tuple[int, ...]]:
        requests = new_requests(
            target, [prompts[i] for i in root.tolist()], SamplingParams(max_new_tokens=tokens)
        )
        for _ in decode_loop(target, drafter, rule, requests, 2, chance):
            pass
        done = [request.completion() for request in requests]
        return [tuple(c.tokens) for c in done]

    return distributions(program, len(prompts))


def exact_tv(
    rule: Rule,
    target: Transformer,
    heads: MedusaHeads,
    prompts: Sequence[list[int]],
    alone: Sequence[Mapping[Hashable, float]],
) -> float:
    """TV between the distribution of the first tokens under this rule and `alone`, the target's
    own; mean over the prompts.
    """
    ours = exact_distributions(rule, target, MedusaDrafter(heads, best_first(2, 2)), prompts)
    return mean(total_variation(a, b) for a, b in zip(ours, alone, strict=True))


def point(
    rule: Rule,
    epsilon: float,
    delta: float,
    target: Transformer,
    drafter: Drafter,
    gamma: int,
    prompts: Sequence[list[int]],
    new_tokens: int,
    exact: float,
) -> Point:
    """Run one setting over the prompts."""
    distances: list[float] = []
    emitted: list[int] = []

    def watch(cycle: Cycle) -> None:
        for row, accepted in enumerate(cycle.verdict.accepted.tolist()):
            emitted.append(accepted + 1)
            first = cycle.draft.tokens[row, cycle.verdict.path[row, 0]] if accepted else None
            lossy = isinstance(rule, LossyTypical)
            distances.append(
                0.0 if first is None or not lossy else 1.0 - float(cycle.p[row, 0, first])
            )

    for number, prompt in enumerate(prompts):
        requests = new_requests(target, [prompt], SamplingParams(max_new_tokens=new_tokens))
        for cycle in decode_loop(target, drafter, rule, requests, gamma, Streams([number])):
            watch(cycle)
    error = stdev(distances) / len(distances) ** 0.5 if len(distances) > 1 else 0.0
    return Point(epsilon, delta, mean(emitted), mean(distances), error, exact)
