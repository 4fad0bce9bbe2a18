"""Run one generation and describe every cycle."""

from collections.abc import Callable
from typing import Any

from ...decode import decode_loop, new_requests
from ...verify import RULES
from .generation_request import GenerationRequest
from .recording import WatchedRule, describe_chain, describe_tree


def trace_generation(
    request: GenerationRequest,
    most: int,
    show: Callable[[int, dict[str, Any]], None],
    tree: bool = False,
) -> dict[str, Any]:
    """Run until the text ends, or for `most` cycles.

    Args:
        show: called with the number and the description of each cycle. tree: describe them as
            trees.
    Returns:
        what `specref trace --json` writes.
    """
    rule = WatchedRule(RULES[request.rule_name])
    describe = describe_tree if tree else describe_chain
    cycles: list[dict[str, Any]] = []

    reason = None
    requests = new_requests(request.target, [request.prompt], request.params)
    for cycle in decode_loop(request.target, request.drafter, rule, requests, request.gamma):
        if len(cycles) == most:
            break
        found = describe(cycle, rule.questions)
        for token in (*found["nodes" if tree else "draft"], found["next"]):
            token["text"] = request.quoted(token["token"])
        cycles.append(found)
        show(len(cycles), found)
    else:
        reason = requests[0].reason
    tokens: list[int] = []
    for described in cycles:
        tokens += described["emitted"]
    return request.summary() | {
        "tokens": tokens,
        "text": request.text(tokens),
        "finish_reason": reason,
        "cycles": cycles,
    }
