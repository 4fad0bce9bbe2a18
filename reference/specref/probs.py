"""probs(): the only place where a temperature, a filter, a penalty or a bias exists.

The draft's q, the target's p and the bonus token's distribution all come from here, so they cannot
disagree. The order is Hugging Face's, so that results compare (presence and frequency penalties,
which it lacks, stand where vLLM has them):

    logit bias -> repetition penalty -> presence and frequency penalties -> no stop token before
    min_tokens -> temperature -> top-k -> top-p -> min-p -> softmax

Everything is float32 at least. Temperature 0 is the one-hot distribution of the largest score, ties
to the lowest id.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .data import Draft, SamplingParams, SpecrefError


@dataclass(frozen=True)
class History:
    """What stands before each position: the text so far and the drafted path to it; rejected drafts
    never do.
    """

    prompt: Tensor  # [B,1,V] how often each token stands in the prompt
    output: Tensor  # [B,N,V] how often in the output, the drafted path counted in
    length: Tensor  # [B,N] output tokens so far, the drafted path counted in


def needs_history(params: Sequence[SamplingParams]) -> bool:
    return any(
        s.repetition_penalty != 1 or s.presence_penalty or s.frequency_penalty or s.min_tokens
        for s in params
    )


def history(
    tokens: Sequence[Sequence[int]],
    prompts: Sequence[int],
    vocabulary: int,
    draft: Draft | None = None,
    device: torch.device | str = "cpu",
) -> History:
    """History of the position after the text (N = 1), or of that and of each draft node's (N + 1 of
    them).

    Args:
        tokens: B texts, prompt and output. prompts: B prompt lengths.
    """

    def count(part: Sequence[int]) -> Tensor:
        return torch.bincount(torch.tensor(list(part), dtype=torch.int64), minlength=vocabulary)

    cut = list(zip(tokens, prompts, strict=True))
    prompt = torch.stack([count(text[:end]) for text, end in cut])[:, None].to(device)
    output = torch.stack([count(text[end:]) for text, end in cut])[:, None].to(device)
    length = torch.tensor([[len(text) - end] for text, end in cut], device=device)
    if draft is not None and draft.tokens.shape[1]:
        # entry 0 is the text itself, entry i + 1 ends in node i
        path, depth = [output[:, 0]], [length[:, 0]]
        rows = torch.arange(len(cut), device=device)
        for node in range(draft.tokens.shape[1]):
            parent = torch.where(draft.valid[:, node], draft.parents[:, node] + 1, 0)
            counts = torch.stack(path, 1)[rows, parent].clone()
            counts[rows, draft.index[:, node, 0]] += 1
            path.append(counts)
            depth.append(torch.stack(depth, 1)[rows, parent] + 1)
        output, length = torch.stack(path, 1), torch.stack(depth, 1)
    return History(prompt, output, length)


def probs(logits: Tensor, params: Sequence[SamplingParams], past: History | None = None) -> Tensor:
    """The distribution that every row's parameters make of its logits.

    Args:
        logits: [B,N,V], any float type. params: B of them. past: needed when a penalty or
            min_tokens is set.
    Returns:
        [B,N,V] float32, or float64 for float64 logits; every row sums to 1.
    Errors:
        SpecrefError for NaN or +inf logits, and for a row in which nothing is possible.
    """
    scores = logits if logits.dtype == torch.float64 else logits.float()
    _check_scores(scores, "the logits hold")
    if not any(s.alters for s in params):
        return scores.softmax(-1)
    scores = _penalise(scores, params, past)
    greedy = [s.temperature == 0 for s in params]
    best = (
        torch.zeros_like(scores).scatter_(-1, scores.argmax(-1, keepdim=True), 1)
        if any(greedy)
        else scores
    )
    if all(greedy):
        return best
    if any(s.temperature not in (0, 1) for s in params):
        scores = _heated(scores, params)
    if any(s.top_k for s in params):
        scores = _top_k(scores, params)
    if any(s.top_p < 1 for s in params):
        scores = _top_p(scores, params)
    if any(s.min_p for s in params):
        weights = scores.softmax(-1)
        floor = _column(params, lambda s: s.min_p, scores) * weights.amax(-1, keepdim=True)
        scores = scores.masked_fill(weights < floor, -torch.inf)
    distribution = scores.softmax(-1)
    if any(greedy):  # by the scores before the filters, which break ties in their own way
        distribution = torch.where(
            torch.tensor(greedy, device=distribution.device)[:, None, None], best, distribution
        )
    return distribution


def _column(
    params: Sequence[SamplingParams], value: Callable[[SamplingParams], float], like: Tensor
) -> Tensor:
    """One number a row, [B,1,1] in the type of `like`."""
    return torch.tensor([value(s) for s in params], dtype=like.dtype, device=like.device)[
        :, None, None
    ]


def _check_scores(scores: Tensor, who: str) -> None:
    # one look at what is hardly ever wrong
    if not scores.numel() or math.isfinite(float(scores.amax(-1).sum())):
        return
    if not bool(scores.amax(-1).isfinite().all()):
        kind = (
            "NaN"
            if bool(scores.isnan().any())
            else "+inf"
            if bool((scores == torch.inf).any())
            else "only -inf"
        )
        raise SpecrefError(
            f"{who} {kind} in a row: check the model's weights and dtype, or the bias that bans "
            "every token"
        )


def _penalise(scores: Tensor, params: Sequence[SamplingParams], past: History | None) -> Tensor:
    """Bias, penalties and the ban on early stops: what depends on the tokens before."""
    vocabulary = scores.shape[-1]
    if any(s.logit_bias for s in params):
        bias = torch.zeros(len(params), 1, vocabulary, dtype=scores.dtype, device=scores.device)
        for row, s in enumerate(params):
            for token, value in s.logit_bias.items():
                if not 0 <= token < vocabulary:
                    raise SpecrefError(
                        f"logit_bias names token {token}, outside 0..{vocabulary - 1}: remove it"
                    )
                bias[row, 0, token] = value
        scores = scores + bias
    if not needs_history(params):
        return scores if not any(s.logit_bias for s in params) else _checked(scores)
    if past is None:
        raise SpecrefError("penalties and min_tokens look at the text before: pass its history")
    if any(s.repetition_penalty != 1 for s in params):
        factor = _column(params, lambda s: s.repetition_penalty, scores)
        seen = (past.prompt + past.output) > 0
        scores = torch.where(
            seen, torch.where(scores < 0, scores * factor, scores / factor), scores
        )
    if any(s.presence_penalty or s.frequency_penalty for s in params):
        scores = scores - _column(params, lambda s: s.presence_penalty, scores) * (past.output > 0)
        scores = scores - _column(params, lambda s: s.frequency_penalty, scores) * past.output
    for row, s in enumerate(params):
        if s.min_tokens and s.stop_ids:
            early = (past.length[row] < s.min_tokens)[:, None]  # [N,1]
            stops = torch.zeros(vocabulary, dtype=torch.bool, device=scores.device)
            stops[[token for token in s.stop_ids if token < vocabulary]] = True
            scores = torch.where(
                (torch.arange(len(params), device=scores.device) == row)[:, None, None]
                & early
                & stops,
                -torch.inf,
                scores,
            )
    return _checked(scores)


def _checked(scores: Tensor) -> Tensor:
    _check_scores(scores, "after bias and penalties the scores hold")
    return scores


def _heated(scores: Tensor, params: Sequence[SamplingParams]) -> Tensor:
    """Scores over temperature; where that overflows, the largest is moved to 0 first, which changes
    no distribution.
    """
    heat = _column(params, lambda s: s.temperature or 1.0, scores).clamp(
        min=torch.finfo(scores.dtype).tiny
    )
    hot = scores / heat
    moved = (scores - scores.amax(-1, keepdim=True)) / heat
    return torch.where(hot.amax(-1, keepdim=True).isfinite(), hot, moved)


def _top_k(scores: Tensor, params: Sequence[SamplingParams]) -> Tensor:
    """Keep what is at least the k-th largest score, ties included."""
    vocabulary = scores.shape[-1]
    k = [min(s.top_k, vocabulary) or vocabulary for s in params]
    largest = scores.topk(max(k), -1).values
    index = torch.tensor([value - 1 for value in k], device=scores.device)[:, None, None]
    return scores.masked_fill(
        scores < largest.gather(-1, index.expand(*scores.shape[:2], 1)), -torch.inf
    )


def _top_p(scores: Tensor, params: Sequence[SamplingParams]) -> Tensor:
    """Drop the tail whose total is at most 1 - top_p; the largest always stays."""
    ordered, order = scores.sort(stable=True, dim=-1)  # ascending: the tail comes first
    tail = ordered.softmax(-1).cumsum(-1) <= 1 - _column(params, lambda s: s.top_p, scores)
    tail[..., -1] = False
    tail &= torch.tensor([s.top_p < 1 for s in params], device=scores.device)[:, None, None]
    return scores.masked_fill(torch.zeros_like(tail).scatter(-1, order, tail), -torch.inf)
