"""What a step costs on this machine, timed with the engine: the cost curve of a `DepthPolicy`."""

import time
from collections.abc import Sequence
from statistics import median

import numpy as np
import torch
from scipy.optimize import nnls

from ..data import SamplingParams
from ..draft.base import Drafter
from ..model.transformer import Transformer
from ..verify import Rule
from .depth_policy import DepthPolicy
from .engine import ServingEngine
from .settings import ServingSettings

CONTEXT = 128  # tokens of each text that is timed


def step_seconds(
    target: Transformer, drafter: Drafter, rule: Rule, gamma: int, rows: int, steps: int = 5
) -> float:
    """Median seconds of a step of `rows` rows that all draft gamma tokens."""
    context = max(1, min(CONTEXT, target.config.max_position_embeddings // 2 - 1))
    engine = ServingEngine(
        target,
        drafter,
        rule,
        ServingSettings(
            gamma=gamma,
            rows=rows,
            block_size=context,
            blocks=rows * 3 + drafter.nodes(gamma),
            chunk=context,
        ),
    )
    generator = torch.Generator().manual_seed(0)
    prompt = torch.randint(target.config.vocab_size, (context + 1,), generator=generator).tolist()
    for seed in range(rows):
        engine.add(prompt, SamplingParams(seed=seed, max_new_tokens=context - 1))
        if not seed:
            engine.step()  # the prompt is read once; the other requests find its blocks
    clock = (
        time.process_time
        if target.device.type == "cpu" and torch.get_num_threads() == 1
        else time.perf_counter
    )
    taken: list[float] = []
    engine.step()
    while len(taken) < steps and len(engine.running) == rows:
        begin = clock()
        engine.step()
        taken.append(clock() - begin)
    for name in [one.name for one in engine.by_number.values()]:
        engine.cancel(name)
    return median(taken)


def calibrate(
    target: Transformer, drafter: Drafter, rule: Rule, gamma: int, rows: int
) -> DepthPolicy:
    """A policy from timed steps of several batch sizes and depths.

    Fits seconds = a + b rows + c tokens + d levels + e drafted tokens by non-negative least squares
    of the relative errors.
    """
    sizes = sorted({1, max(1, rows // 8), max(1, rows // 2), rows})
    depths = sorted({0, (gamma + 1) // 2, gamma})
    cases: list[Sequence[float]] = []
    seconds: list[float] = []
    for size in sizes:
        for depth in depths:
            seconds.append(step_seconds(target, drafter, rule, depth, size))
            cases.append((1, size, size * (1 + drafter.nodes(depth)), depth, size * depth))
    weight = 1 / np.array(seconds)
    a, b, c, d, e = nnls(np.array(cases) * weight[:, None], np.ones(len(seconds)))[0].tolist()
    return DepthPolicy(lambda rows, tokens: a + b * rows + c * tokens, lambda rows: d + e * rows)
