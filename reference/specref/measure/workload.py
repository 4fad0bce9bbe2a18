"""The bench's work: held-out prompts, ways to decode them, and what one step of each part costs."""

from collections.abc import Callable, Mapping, Sequence

import torch

from ..chance import Streams
from ..data import Completion, SamplingParams
from ..decode import Cycle, decode_loop, new_requests
from ..draft.base import Drafter, Text
from ..draft.medusa import MedusaDrafter, MedusaHeads, best_first
from ..draft.mtp import MTPModule
from ..model.transformer import Transformer
from ..probs import probs
from ..train.corpus import held_out
from ..verify import RULES, Rule
from .plain import plain
from .timing import Stopwatch, Timed, microseconds


def held_out_prompts(count: int, length: int, skip: int = 0) -> list[list[int]]:
    """`count` prompts of `length` bytes from the held-out files of the standard library, evenly
    spread; `skip` shifts them, so that what calibrates a model of speed and what tests it do not
    overlap."""
    texts = [text for text in held_out().values() if len(text) > 4 * length]
    prompts = []
    for number in range(count):
        text = texts[number % len(texts)]
        turns = -(-count // len(texts))
        step = (len(text) - 2 * length) // turns
        start = (number // len(texts)) * step + (skip * length) % max(1, step)
        prompts.append(list(text[start : start + length]))
    return prompts


def plain_way(
    target: Transformer, prompts: Sequence[list[int]], params: SamplingParams
) -> Callable[[int], Timed]:
    """The best plain loop, for `timing.in_turn`."""

    def run(number: int) -> Timed:
        watch = Stopwatch(target.device)
        tokens = plain(
            target,
            prompts[number % len(prompts)],
            params,
            Streams([number]),
            lambda: watch.emitted(1),
        )
        return watch.stop(len(tokens))

    return run


def decode_way(
    target: Transformer,
    drafter: Drafter,
    rule: Rule,
    prompts: Sequence[list[int]],
    params: SamplingParams,
    gamma: int,
    keep: list[Completion],
) -> Callable[[int], Timed]:
    """The flow with a drafter and a rule, for `timing.in_turn`; completions go to `keep`."""

    def run(number: int) -> Timed:
        watch = Stopwatch(target.device)
        requests = new_requests(target, [prompts[number % len(prompts)]], params)
        for cycle in decode_loop(target, drafter, rule, requests, gamma, Streams([number])):
            watch.emitted(len(cycle.emitted[0]))
        done = [request.completion() for request in requests]
        keep.append(done[0])
        return watch.stop(len(done[0].tokens))

    return run


def acceptance_by_position(
    target: Transformer,
    drafter: Drafter,
    prompts: Sequence[list[int]],
    params: SamplingParams,
    gamma: int,
    rule: str = "rejection",
) -> list[float]:
    """For each depth: how often at least one token more is accepted, given that everything before
    it was.
    """
    reached, kept = [0] * gamma, [0] * gamma

    def watch(cycle: Cycle) -> None:
        for length, accepted in zip(
            cycle.draft.lengths.tolist(), cycle.verdict.accepted.tolist(), strict=True
        ):
            for depth in range(min(length, accepted + 1)):
                reached[depth] += 1
                kept[depth] += depth < accepted

    for number, prompt in enumerate(prompts):
        requests = new_requests(target, [prompt], params)
        for cycle in decode_loop(
            target, drafter, RULES[rule], requests, gamma, Streams([10_000 + number])
        ):
            watch(cycle)
    return [k / r if r else 0.0 for k, r in zip(kept, reached, strict=True)]


@torch.inference_mode()
def step_costs(
    target: Transformer,
    draft: Transformer,
    params: SamplingParams,
    context: int,
    widths: Sequence[int],
    rounds: int = 40,
    module: MTPModule | None = None,
    heads: MedusaHeads | None = None,
) -> dict[str, float]:
    """Median microseconds, measured in turn: "plain" one plain step, "draft" one draft step, "mtp"
    one of the module (each with its distribution and its draw), "heads" one tree proposed by Medusa
    heads, and "verify k" the target's forward over k tokens with their distributions."""
    chance, rows = Streams([0]), [params]

    def step(model: Transformer, width: int, draw: bool) -> Callable[[], object]:
        cache = model.new_cache(1, context + width)
        cache.lengths += context
        tokens = torch.zeros(1, width, dtype=torch.int64, device=model.device)

        def work() -> object:
            distribution = probs(model(tokens, cache).logits, rows)
            return int(chance.draw(distribution[:, -1])) if draw else distribution

        return work

    def guess(module: MTPModule) -> Callable[[], object]:
        cache = module.new_cache(1, context + 1)
        cache.lengths += context
        brought = module.brought(target.embedding.weight)
        token = torch.zeros(1, 1, dtype=torch.int64, device=target.device)
        state = torch.zeros(
            1, 1, target.config.hidden_size, dtype=target.dtype, device=target.device
        )

        def work() -> object:
            distribution = probs(target.logits(module(state, brought[token], cache)), rows)
            return int(chance.draw(distribution[:, -1]))

        return work

    def tree(heads: MedusaHeads) -> Callable[[], object]:
        depth = len(heads.block)
        drafter, budget = MedusaDrafter(heads, best_first(depth, 4)), torch.tensor([depth])
        state = torch.zeros(
            1, 1, target.config.hidden_size, dtype=target.dtype, device=target.device
        )
        text = Text(
            [[0] * context], [context], [params], target.config.vocab_size, state, torch.tensor([1])
        )
        return lambda: drafter.propose(text, budget, chance)

    ways = {"plain": step(target, 1, True), "draft": step(draft, 1, True)}
    if module is not None:
        ways["mtp"] = guess(module)
    if heads is not None:
        ways["heads"] = tree(heads)
    ways |= {f"verify {width}": step(target, width, False) for width in widths}
    return microseconds(ways, target.device, rounds)


def in_plain_steps(
    costs: Mapping[str, float], plain: Mapping[str, float] | None = None
) -> list[float]:
    """The verify curve as `cost` takes it: entry k - 1 is a forward over k tokens and one draw, as
    every cycle has, in units of a plain step, of another target where one is given."""
    plain = costs if plain is None else plain
    draw = plain["plain"] - plain["verify 1"]
    widths = range(1, 1 + sum(name.startswith("verify ") for name in costs))
    return [(costs[f"verify {k}"] + draw) / plain["plain"] for k in widths]


def tokens_per_step(completions: Sequence[Completion]) -> float:
    """Tokens per target forward, prefill not counted."""
    return sum(len(c.tokens) for c in completions) / max(
        1, sum(c.target_steps for c in completions)
    )
