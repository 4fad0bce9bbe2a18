"""Every drafter with a rule that can judge it, for the tests of serving."""

import torch
from specref.draft.medusa import MedusaDrafter, MedusaHeads
from specref.draft.mtp import MTPDrafter, MTPModule
from specref.verify import RULES

from tests.decode.players import Bushy, drafters, greedy_tree
from tests.stub import tiny

TREE = [(0,), (1,), (0, 0), (0, 1), (1, 0)]


def medusa(model, draws: bool = False) -> MedusaDrafter:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        heads = MedusaHeads.of(model, 2).to(model.device, model.dtype)
        heads.block.data.normal_(0, 0.3)
    return MedusaDrafter(heads.requires_grad_(False), TREE, draws)


def mtp(model) -> MTPDrafter:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(6)
        return MTPDrafter(
            MTPModule.of(model).to(model.device, model.dtype).requires_grad_(False), model
        )


def players(model) -> dict:
    """Name -> (rule, maker of a drafter)."""
    chains = {name: ("rejection", make) for name, make in drafters(model, 3).items()}
    return chains | {
        "model, block": ("block", chains["model"][1]),
        "model, matching": ("matching", chains["model"][1]),
        "n-gram, tree rule": ("tree", chains["n-gram"][1]),
        "medusa": ("tree", lambda: medusa(model)),
        "medusa drawn": ("tree", lambda: medusa(model, True)),
        "mtp": ("rejection", lambda: mtp(model)),
        "bushy": ("tree", lambda: Bushy(model, 2)),
    }


def rule_of(name: str, temperature: float):
    """The rule by name; at temperature 0 the greedy ones do as well."""
    if temperature == 0 and name == "rejection":
        return RULES["greedy"]
    return greedy_tree if temperature == 0 and name == "tree" else RULES[name]


MODEL = tiny(seed=8, vocabulary=7, layers=2, context=48)
