"""Where a text ends: at a stop token, at a stop sequence, or at its length."""

from collections.abc import Sequence

from .data import SamplingParams


def ends_with_stop(output: Sequence[int], params: SamplingParams) -> bool:
    """Whether the last tokens of `output` are a stop of `params`.

    Args:
        output: the tokens written so far, at least one; the prompt is not part of them.
    """
    if len(output) < params.min_tokens:
        return False
    if output[-1] in params.stop_ids:
        return True
    return any(tuple(output[-len(stop) :]) == tuple(stop) for stop in params.stop_sequences)


def finish_reason(output: Sequence[int], params: SamplingParams, limit: int) -> str | None:
    """Why the text ends with the last token of `output`: "stop", "length", or None: it goes on.

    Args:
        limit: output tokens at most. A stop on the last possible token is a stop.
    """
    if ends_with_stop(output, params):
        return "stop"
    return "length" if len(output) == limit else None
