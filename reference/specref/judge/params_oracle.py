"""What sampling parameters make of one row of scores, written a second time: plain Python, one
token after another, and nothing of probs.py, so that a mistake there has no twin here.

It also says when a row is doubtful: when float32 may fall on the other side of a filter's edge, or
of a tie. Engines break ties in several ways: the lowest id stays, another does, or all of them do.
So a row with a tie at an edge is doubtful, and nothing is asked of it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..data import SamplingParams

EDGE = 1e-4  # probability, or scores, by which a token must clear the edge of a filter
TIE = 1e-3  # scores


@dataclass(frozen=True)
class Convention:
    """Where engines differ: each way is right."""

    # presence and frequency penalties look at the prompt too, as in llama.cpp; else, as at
    counts_prompt: bool = False
    # OpenAI's and in vLLM, at the output alone. The repetition penalty always looks at both. top-p
    # and min-p before the temperature; None: where that matters nothing is said
    filters_first: bool | None = None


@dataclass(frozen=True)
class OracleRow:
    distribution: list[float]  # [V]
    doubtful: bool = False


def row(
    scores: Sequence[float],
    params: SamplingParams,
    prompt: Sequence[int] = (),
    output: Sequence[int] = (),
    convention: Convention = Convention(),
) -> OracleRow:
    """The distribution of the token after prompt and output, by the model's scores [V]."""
    adjusted = _adjusted(scores, params, prompt, output, convention.counts_prompt)
    if params.temperature == 0:
        first, second = sorted(adjusted, reverse=True)[:2]
        best = adjusted.index(first)
        return OracleRow(
            [float(token == best) for token in range(len(adjusted))], first - second < TIE
        )
    seen = {None: (params.temperature, 1.0), True: (1.0,), False: (params.temperature,)}[
        convention.filters_first
    ]
    orders = (True, False) if params.top_k and params.top_p < 1 else (True,)
    ways = [
        _kept(adjusted, params, temperature, k_first)
        for temperature in dict.fromkeys(seen)
        for k_first in orders
    ]
    kept, doubtful = ways[0][0], any(way != (ways[0][0], False) for way in ways)
    top = max(adjusted)
    weights = {token: math.exp((adjusted[token] - top) / params.temperature) for token in kept}
    total = sum(weights.values())
    return OracleRow([weights.get(token, 0.0) / total for token in range(len(adjusted))], doubtful)


def _kept(
    adjusted: Sequence[float], params: SamplingParams, temperature: float, k_first: bool
) -> tuple[list[int], bool]:
    """The tokens that the filters leave, the likeliest first; and whether one stands at an edge.
    temperature: what top-p and min-p see. k_first: whether top-p sees what top-k has left."""
    kept, doubtful = sorted(range(len(adjusted)), key=lambda token: -adjusted[token]), False
    weights = [math.exp((score - adjusted[kept[0]]) / temperature) for score in adjusted]
    for cut_to_k in (k_first, not k_first):
        if cut_to_k and 0 < params.top_k < len(kept):
            doubtful |= adjusted[kept[params.top_k - 1]] - adjusted[kept[params.top_k]] < EDGE
            kept = kept[: params.top_k]
        elif not cut_to_k and params.top_p < 1:
            total, running, count = sum(weights[token] for token in kept), 0.0, 0
            # the token that passes the edge stays
            while count < len(kept) and running < params.top_p:
                running += weights[kept[count]] / total
                count += 1
                doubtful |= abs(running - params.top_p) < EDGE
            if count < len(kept):
                doubtful |= adjusted[kept[count - 1]] - adjusted[kept[count]] < EDGE
            kept = kept[:count]
    if params.min_p:
        # the likeliest one's weight is 1
        doubtful |= any(abs(weights[token] - params.min_p) < EDGE for token in kept)
        kept = [token for token in kept if weights[token] >= params.min_p]
    return kept, doubtful


def _adjusted(
    scores: Sequence[float],
    params: SamplingParams,
    prompt: Sequence[int],
    output: Sequence[int],
    counts_prompt: bool,
) -> list[float]:
    """Bias, penalties, and no stop token before min_tokens."""
    adjusted = list(scores)
    for token, bias in params.logit_bias.items():
        adjusted[token] += bias
    seen = {*prompt, *output}
    counted = [*prompt, *output] if counts_prompt else list(output)
    for token in seen:
        if params.repetition_penalty != 1:
            adjusted[token] *= (
                params.repetition_penalty if adjusted[token] < 0 else 1 / params.repetition_penalty
            )
    for token in set(counted):
        adjusted[token] -= params.presence_penalty + params.frequency_penalty * counted.count(token)
    if len(output) < params.min_tokens:
        for token in params.stop_ids:
            adjusted[token] = -math.inf
    return adjusted


def ended(output: Sequence[int], params: SamplingParams, room: int) -> str:
    """Why a text ends with the last token of `output`: "stop", "length", or "" where it goes on."""
    if len(output) >= max(1, params.min_tokens):
        if output[-1] in params.stop_ids:
            return "stop"
        if any(list(output[-len(stop) :]) == list(stop) for stop in params.stop_sequences):
            return "stop"
    return "length" if len(output) >= min(params.max_new_tokens, room) else ""
