"""The distributions that a text's tokens come from, of all its places at once.

A second writing of the sampling parameters, apart from `probs.py`. Engines differ in where the
temperature stands among the filters, and in which of equal tokens a filter keeps: a token is
possible if any of these ways keeps it, and a place is doubtful where they differ or rounding may
cross an edge.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ...data import SamplingParams
from ..params_oracle import EDGE, TIE
from .scenario import TextRequest


@dataclass(frozen=True)
class TextPlaces:
    """M places of a text, and the one behind it."""

    p: Tensor  # [M+1,V] float64
    possible: Tensor  # [M+1,V] bool: what no way of reading the parameters rules out
    doubtful: Tensor  # [M+1] bool: the ways differ, or an edge or a tie is near
    raw: Tensor  # [M+1,V] log probabilities without any parameter


def places_of(
    scores: Tensor, request: TextRequest, text: list[int], counts_prompt: bool
) -> TextPlaces:
    """Args: scores: [M+1,V] of the target, before every token of the text and behind it.
    counts_prompt: presence and frequency penalties look at the prompt too."""
    raw = scores.log_softmax(-1)
    adjusted = _adjusted(scores.clone(), request, text, counts_prompt)
    if request.params.temperature == 0:
        best = adjusted.max(-1, keepdim=True).values
        possible = adjusted >= best - TIE
        chosen = F.one_hot(adjusted.argmax(-1), scores.shape[-1]).double()
        return TextPlaces(chosen, possible, possible.sum(-1) > 1, raw)
    params = request.params
    strict = _ways(adjusted, params, 0.0)
    loose = _ways(adjusted, params, EDGE)
    doubtful = (torch.cat((strict, loose)) != strict[0]).any(-1).any(0)
    heated = (adjusted / params.temperature).masked_fill(~strict[0], -math.inf)
    return TextPlaces(heated.softmax(-1), loose.any(0), doubtful, raw)


def _adjusted(x: Tensor, request: TextRequest, text: list[int], counts_prompt: bool) -> Tensor:
    """Scores [M+1,V] with bias and penalties, and no stop token before min_tokens."""
    params, V = request.params, x.shape[-1]
    for token, bias in params.logit_bias.items():
        x[:, token] += bias
    ones = F.one_hot(torch.tensor([*text, 0]), V).double()  # [M+1,V]
    output = ones.cumsum(0) - ones  # [M+1,V] how often each token came before
    prompt = F.one_hot(torch.tensor(request.prompt), V).double().sum(0)  # [V]
    penalty = params.repetition_penalty
    x = torch.where(output + prompt > 0, torch.where(x < 0, x * penalty, x / penalty), x)
    counted = output + prompt if counts_prompt else output
    x = x - params.presence_penalty * (counted > 0) - params.frequency_penalty * counted
    x[: params.min_tokens, list(params.stop_ids)] = -math.inf
    return x


def _ways(x: Tensor, params: SamplingParams, slack: float) -> Tensor:
    """What the filters leave of scores [M,V], by every way to read them: [ways,M,V] bool."""
    orders = (True, False) if params.top_k and params.top_p < 1 else (True,)
    heats = dict.fromkeys((params.temperature, 1.0))
    found = [_kept(x / heat, params, k_first, slack) for heat in heats for k_first in orders]
    return torch.stack(found)


def _kept(x: Tensor, params: SamplingParams, k_first: bool, slack: float) -> Tensor:
    """What top-k and top-p, in this order or the other one, and min-p leave of scores [M,V]. With
    slack, what ties with the last of them stays too.
    """
    kept = x > -math.inf
    for is_k in (k_first, not k_first):
        if is_k and 0 < params.top_k < x.shape[-1]:
            first = kept & (_before(torch.ones_like(x), x) < params.top_k)
        elif not is_k and params.top_p < 1:
            mass = _before(x.masked_fill(~kept, -math.inf).softmax(-1), x)
            first = kept & (mass < params.top_p + slack)
        else:
            continue
        least = x.masked_fill(~first, math.inf).amin(-1, keepdim=True)
        kept = kept & (first | (x > least - slack))
    p = x.softmax(-1)
    return kept & (p >= params.min_p * p.amax(-1, keepdim=True) * (1 - 10 * slack))


def _before(weight: Tensor, x: Tensor) -> Tensor:
    """The weight [M,V] of all tokens before each, by score [M,V] and of equals by id."""
    order = x.sort(dim=-1, descending=True, stable=True).indices
    ordered = weight.gather(-1, order)
    return torch.empty_like(ordered).scatter(-1, order, ordered.cumsum(-1) - ordered)
