"""What one step of each part costs on this machine, and the verify curve that follows from it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from ...chance import Streams
from ...data import SamplingParams
from ...draft.base import Text
from ...draft.medusa import MedusaDrafter, MedusaHeads, best_first
from ...draft.mtp import MTPModule
from ...model.transformer import Transformer
from ...probs import probs
from .timing import microseconds

Work = Callable[[], object]


@dataclass(frozen=True)
class TimedModels:
    """A target and what drafts for it; what is None is not timed."""

    target: Transformer
    draft: Transformer
    module: MTPModule | None = None
    heads: MedusaHeads | None = None


@torch.inference_mode()
def step_costs(
    models: TimedModels,
    params: SamplingParams,
    context: int,
    widths: Sequence[int],
    rounds: int = 40,
) -> dict[str, float]:
    """Median microseconds of each piece of work, measured in turn behind `context` tokens.

    Returns:
        "plain" one plain step, "draft" one draft step, "mtp" one step of the module (each with its
        distribution and its draw), "heads" one tree proposed by Medusa heads, "verify k" the
        target's forward over k tokens with their distributions, for each k of widths.
    """
    target = models.target
    works = {
        "plain": _step(target, params, context, 1),
        "draft": _step(models.draft, params, context, 1),
    }
    if models.module is not None:
        works["mtp"] = _module_step(models.module, target, params, context)
    if models.heads is not None:
        works["heads"] = _proposed_tree(models.heads, target, params, context)
    for width in widths:
        works[f"verify {width}"] = _step(target, params, context, width, draw=False)
    return microseconds(works, target.device, rounds)


def _step(
    model: Transformer, params: SamplingParams, context: int, width: int, draw: bool = True
) -> Work:
    """A forward over `width` tokens and their distributions; with draw, one token of the last."""
    chance = Streams([0])
    cache = model.new_cache(1, context + width)
    cache.lengths += context
    tokens = torch.zeros(1, width, dtype=torch.int64, device=model.device)

    def work() -> object:
        distribution = probs(model(tokens, cache).logits, [params])  # [1,width,V]
        return int(chance.draw(distribution[:, -1])) if draw else distribution

    return work


def _module_step(
    module: MTPModule, target: Transformer, params: SamplingParams, context: int
) -> Work:
    chance = Streams([0])
    cache = module.new_cache(1, context + 1)
    cache.lengths += context
    brought = module.brought(target.embedding.weight)
    token = torch.zeros(1, 1, dtype=torch.int64, device=target.device)
    state = _blank_state(target)

    def work() -> object:
        logits = target.logits(module(state, brought[token], cache))
        return int(chance.draw(probs(logits, [params])[:, -1]))

    return work


def _proposed_tree(
    heads: MedusaHeads, target: Transformer, params: SamplingParams, context: int
) -> Work:
    chance, depth, vocabulary = Streams([0]), len(heads.block), target.config.vocab_size
    drafter, budget = MedusaDrafter(heads, best_first(depth, 4)), torch.tensor([depth])
    state, new = _blank_state(target), torch.tensor([1])
    text = Text([[0] * context], [context], [params], vocabulary, state, new)
    return lambda: drafter.propose(text, budget, chance)


def _blank_state(target: Transformer) -> torch.Tensor:
    """A hidden state [1,1,H]; the time of a step does not depend on its values."""
    shape = (1, 1, target.config.hidden_size)
    return torch.zeros(shape, dtype=target.dtype, device=target.device)


def in_plain_steps(
    costs: Mapping[str, float], plain: Mapping[str, float] | None = None
) -> list[float]:
    """The verify curve as `cost` takes it: entry k - 1 is a forward over k tokens and one draw, as
    every cycle has, in units of a plain step. plain: costs of another target, to take its unit.
    """
    unit = costs if plain is None else plain
    draw = unit["plain"] - unit["verify 1"]
    count = sum(name.startswith("verify ") for name in costs)
    return [(costs[f"verify {k}"] + draw) / unit["plain"] for k in range(1, count + 1)]
