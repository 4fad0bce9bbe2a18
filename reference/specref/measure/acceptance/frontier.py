"""What typical acceptance gains and what it costs: tokens a cycle, against the distance from the
target's distribution. Ours, `LossyTypical`, draws the token behind the accepted guesses; Medusa's
own rule, `LossyMedusaTypical`, takes the likeliest.

The distance is computed in two ways. Exactly: on a tiny target, the distribution of the first
tokens is enumerated and compared with the target's own, mean over contexts. Estimated: on the real
model, each cycle's first emitted token has a distribution in closed form given the context (a point
mass if a guess passes, and always under Medusa's rule; else p), so its distance from p is known,
and the mean over the cycles is an unbiased estimate.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import mean, stdev
from typing import Any

import torch
from torch import Tensor

from ...chance import Streams
from ...data import SamplingParams
from ...decode import Cycle, decode_loop, new_requests
from ...draft.base import Drafter
from ...draft.medusa import MedusaDrafter, MedusaHeads, best_first
from ...draft.none import NoDrafter
from ...exact.enumerate import Forking, distributions, total_variation
from ...model.toy import toy_config, toy_transformer
from ...model.transformer import Transformer
from ...verify import LossyMedusaTypical, LossyTypical, Rule, rejection, tree
from ..completions import run_to_end

THRESHOLDS = [  # epsilon, delta
    (epsilon, delta) for epsilon in (0.02, 0.05, 0.09, 0.2, 0.4) for delta in (0.1, 0.3, 1.0)
]


@dataclass(frozen=True)
class FrontierPoint:
    """One setting. tv: mean distance of a cycle's first token; error: its standard error; exact:
    the mean TV on the tiny target. epsilon and delta are 0 for a lossless rule.
    """

    epsilon: float
    delta: float
    tokens_per_cycle: float
    tv: float
    error: float
    exact: float


@dataclass(frozen=True)
class FrontierWork:
    """What every setting decodes."""

    target: Transformer
    drafter: Drafter
    gamma: int
    prompts: Sequence[list[int]]
    new_tokens: int


def tiny_target_with_heads(seed: int = 0) -> tuple[Transformer, MedusaHeads]:
    """A target of 6 tokens and two random heads, in float64: small enough to enumerate."""
    random = torch.Generator().manual_seed(seed)
    config = replace(toy_config(6, context=32), intermediate_size=24)
    target = toy_transformer(config, random, sharpness=3.0)
    heads = MedusaHeads.of(target, 2)
    heads.block.data.normal_(std=0.3, generator=random)
    return target.double(), heads.double().eval()


def random_contexts(
    vocabulary: int, count: int = 32, length: int = 3, seed: int = 0
) -> list[list[int]]:
    """Texts that the tiny target continues."""
    random = torch.Generator().manual_seed(seed)
    return torch.randint(vocabulary, (count, length), generator=random).tolist()


def exact_first_tokens(
    rule: Rule, target: Transformer, drafter: Drafter, prompts: Sequence[list[int]], tokens: int = 3
) -> list[dict[Hashable, float]]:
    """The exact distribution of the first `tokens` tokens after each prompt."""

    def program(chance: Forking, root: Tensor) -> list[tuple[int, ...]]:
        texts = [prompts[i] for i in root.tolist()]
        params = SamplingParams(max_new_tokens=tokens)
        requests = new_requests(target, texts, params)
        done = run_to_end(requests, decode_loop(target, drafter, rule, requests, 2, chance))
        return [tuple(one.tokens) for one in done]

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
    ours = exact_first_tokens(rule, target, MedusaDrafter(heads, best_first(2, 2)), prompts)
    return mean(total_variation(a, b) for a, b in zip(ours, alone, strict=True))


def measure_point(rule: Rule, work: FrontierWork, exact: float) -> FrontierPoint:
    """Decode the work with one rule. exact: what `exact_tv` says of the rule."""
    distances: list[float] = []
    emitted: list[int] = []

    params = SamplingParams(max_new_tokens=work.new_tokens)
    for number, prompt in enumerate(work.prompts):
        requests, chance = new_requests(work.target, [prompt], params), Streams([number])
        for cycle in decode_loop(work.target, work.drafter, rule, requests, work.gamma, chance):
            accepted = int(cycle.verdict.accepted[0])
            emitted.append(accepted + 1)
            distances.append(_first_token_tv(rule, cycle, accepted))
    error = stdev(distances) / len(distances) ** 0.5 if len(distances) > 1 else 0.0
    epsilon, delta = 0.0, 0.0
    if isinstance(rule, LossyTypical | LossyMedusaTypical):
        epsilon, delta = rule.epsilon, rule.delta
    return FrontierPoint(epsilon, delta, mean(emitted), mean(distances), error, exact)


def _first_token_tv(rule: Rule, cycle: Cycle, accepted: int) -> float:
    """TV to p of a cycle's first emitted token: 1 - p(x) where x was certain to come, since it is a
    guess that was accepted without a coin or Medusa's likeliest token; else 0.
    """
    certain = isinstance(rule, LossyMedusaTypical) or (accepted and isinstance(rule, LossyTypical))
    if not certain:
        return 0.0
    return 1.0 - float(cycle.p[0, 0, cycle.emitted[0][0]])


def sweep_thresholds(
    work: FrontierWork, report: Callable[[str], None] = lambda line: None
) -> dict[str, Any]:
    """Typical acceptance under every setting, and the lossless tree rule, which is at distance 0.

    Returns:
        lossless, points and medusa, the same settings under Medusa's own rule, each as
        FrontierPoint; contexts, over which `exact` is a mean.
    """
    small, heads = tiny_target_with_heads()
    contexts = random_contexts(small.config.vocab_size)
    alone = exact_first_tokens(rejection, small, NoDrafter(), contexts)

    def measured(rule: LossyTypical | LossyMedusaTypical) -> dict[str, Any]:
        report(rule.__name__)
        exact = exact_tv(rule, small, heads, contexts, alone)
        return asdict(measure_point(rule, work, exact))

    points = [measured(LossyTypical(*setting)) for setting in THRESHOLDS]
    medusa = [measured(LossyMedusaTypical(*setting)) for setting in THRESHOLDS]
    lossless = measure_point(tree, work, exact_tv(tree, small, heads, contexts, alone))
    return {
        "lossless": asdict(lossless),
        "points": points,
        "medusa": medusa,
        "contexts": len(contexts),
    }
