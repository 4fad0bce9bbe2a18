"""Run by torchrun on two ranks: serves a few requests with a split target; each rank prints what it
wrote.
"""

import gc
import json
import sys
from typing import Any

import torch.distributed as dist
from specref.data import SamplingParams
from specref.serve import ServingEngine, ServingSettings
from specref.serve.parallel import Shared, split
from torch.distributed.device_mesh import init_device_mesh

from tests.serve.players import players, rule_of
from tests.stub import tiny

PROMPTS = [[1, 2, 3, 4], [5], [2, 2]]


def model():
    return tiny(seed=8, vocabulary=7, layers=2, context=48)


def params(seeded: bool) -> list[SamplingParams]:
    return [
        SamplingParams(seed=seed if seeded else None, max_new_tokens=14, top_p=0.9)
        for seed in range(3)
    ]


def serve(target, name: str, seeded: bool, shared: bool) -> list[list[int]]:
    rule, drafter = players(model())[name]
    engine = ServingEngine(
        target,
        drafter(),
        rule_of(rule, 1),
        ServingSettings(gamma=2, blocks=24, block_size=2, rows=2),
    )
    if shared:
        own = engine.chance_of
        engine.chance_of = lambda numbers: Shared(own(numbers))
    return [done.tokens for done in engine.generate(PROMPTS, params(seeded))]


def main() -> None:
    halved = split(model(), init_device_mesh("cpu", (dist.get_world_size(),)))
    query: Any = halved.get_parameter("blocks.0.self_attn.q_proj.weight")
    said = {
        "heads": query.to_local().shape[0],
        **{name: serve(halved, name, True, True) for name in ("model", "medusa")},
        "unseeded": serve(halved, "model", False, True),
        "apart": serve(halved, "nothing", False, False),
    }
    every = [None] * dist.get_world_size()
    dist.all_gather_object(every, said)
    if dist.get_rank() == 0:
        json.dump(every, sys.stdout)
        sys.stdout.flush()


if __name__ == "__main__":
    dist.init_process_group("gloo")
    main()
    # the model's hooks hold the group, and a group that outlives the interpreter's end aborts the
    # process
    gc.collect()
    dist.destroy_process_group()
