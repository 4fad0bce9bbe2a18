"""What typical acceptance buys and what it costs: tokens a cycle against the distance from the target's law.

The distance is known in two ways. Exactly, by enumeration, on a toy small enough: the law of its first tokens against the
target's. Estimated, on the real model: at every cycle, the law of the first emitted token given the context is known in
closed form (a fixed token if any guess passes, else p), so its distance from p is too; the mean over cycles is unbiased.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

import torch
from torch import Tensor

from ..chance import Streams
from ..decode import Cycle, generate
from ..draft.base import Drafter
from ..draft.medusa import MedusaDrafter, MedusaHeads, best_first
from ..draft.none import NoDrafter
from ..law.enumerate import Forking, laws, total_variation
from ..model.transformer import Config, Transformer
from ..types import SamplingParams
from ..verify import RULES, LossyTypical, Rule


@dataclass(frozen=True)
class Point:
    """One setting. tv: mean distance of a cycle's first token; error: its standard error; exact: the toy's TV."""

    epsilon: float
    delta: float
    tokens_per_cycle: float
    tv: float
    error: float
    exact: float


def toy(seed: int = 0) -> tuple[Transformer, MedusaHeads]:
    """A target of 4 tokens and random heads, in float64: small enough to enumerate."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        target = Transformer(Config(4, 16, 24, 2, 2, 1, 8, max_position_embeddings=32, tie_word_embeddings=False))
        heads = MedusaHeads.of(target, 2)
        heads.block.data.normal_(std=0.3)
    if target.head is not None:
        target.head.weight.data.mul_(3)
        heads.out.data.mul_(3)
    return target.double().eval(), heads.double().eval()


def exact_tv(rule: Rule, target: Transformer, heads: MedusaHeads, tokens: int = 3) -> float:
    """TV between the law of the first `tokens` tokens under this rule and under the target alone."""
    params = SamplingParams(max_new_tokens=tokens)

    def law(drafter: Drafter, rule: Rule) -> dict[object, float]:
        def program(chance: Forking, root: Tensor) -> list[tuple[int, ...]]:
            done = generate(target, drafter, rule, [[1, 2, 3]] * len(root), params, gamma=2, chance=chance)
            return [tuple(c.tokens) for c in done]
        return laws(program, 1)[0]

    return total_variation(law(MedusaDrafter(heads, best_first(2, 2)), rule), law(NoDrafter(), RULES["rejection"]))


def point(rule: Rule, epsilon: float, delta: float, target: Transformer, drafter: Drafter, gamma: int,
          prompts: Sequence[list[int]], new_tokens: int, exact: float) -> Point:
    """Run one setting over the prompts."""
    distances: list[float] = []
    emitted: list[int] = []

    def watch(cycle: Cycle) -> None:
        for row, accepted in enumerate(cycle.verdict.accepted.tolist()):
            emitted.append(accepted + 1)
            first = cycle.draft.tokens[row, cycle.verdict.path[row, 0]] if accepted else None
            lossy = isinstance(rule, LossyTypical)
            distances.append(0.0 if first is None or not lossy else 1.0 - float(cycle.p[row, 0, first]))

    for number, prompt in enumerate(prompts):
        generate(target, drafter, rule, [prompt], SamplingParams(max_new_tokens=new_tokens), gamma=gamma,
                 chance=Streams([number]), watch=watch)
    error = stdev(distances) / len(distances) ** 0.5 if len(distances) > 1 else 0.0
    return Point(epsilon, delta, mean(emitted), mean(distances), error, exact)
