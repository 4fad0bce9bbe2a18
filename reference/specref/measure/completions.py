"""Decode requests to their end."""

from collections.abc import Iterator

from ..data import Completion
from ..decode import Cycle, Request


def run_to_end(requests: list[Request], cycles: Iterator[Cycle]) -> list[Completion]:
    """Run the cycles of `decode_loop` until every request has ended."""
    for _ in cycles:
        pass
    return [request.completion() for request in requests]
