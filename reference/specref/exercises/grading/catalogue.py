"""The exercises by id."""

from importlib import import_module

from .exercise import Exercise

# In the order of the course. The id is the file's name with hyphens.
IDS = (
    "bytes-and-operations",
    "greedy-loop",
    "rejection-step",
    "chain-verify",
    "block-verify",
    "draft-length",
    "expected-speedup",
    "acceptance-rate",
    "interval-by-text",
    "tree-mask",
    "sibling-rejection",
    "tree-tokens",
    "batch-rows",
    "stop-tokens",
    "cache-rollback",
    "judge-plan",
    "adapter-rows",
)


def module_name(id: str) -> str:
    return id.replace("-", "_")


def load_exercise(id: str) -> Exercise:
    """The exercise with this id, one of IDS."""
    package = __package__.rpartition(".")[0]
    return import_module(f"{package}.{module_name(id)}").EXERCISE
