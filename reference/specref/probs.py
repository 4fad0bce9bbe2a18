"""probs(): the only place where a temperature, a filter, a penalty or a bias exists.

The draft's q, the target's p and the bonus token's distribution all come from here, so they cannot
disagree. The order is Hugging Face's, so that results compare. Presence and frequency penalties,
which it lacks, stand where vLLM has them:

    logit bias -> repetition penalty -> presence and frequency penalties -> no stop token before
    min_tokens -> temperature -> top-k -> top-p -> min-p -> softmax

Everything is float32 at least. Temperature 0 is the one-hot distribution of the largest score.

One rule for ties: of equal scores the token of the lowest id comes first. So top-k keeps exactly k
tokens, top-k 1 and a small top-p keep the token that temperature 0 takes, and of tokens that tie at
a filter's edge the lowest ids stay. min-p ranks nothing: it keeps equals together. (Hugging Face's
top-k keeps all that tie with the k-th.)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .data import Draft, SamplingParams, SpecrefError


@dataclass(frozen=True)
class History:
    """The tokens before each position: the text so far, and the drafted path to the position."""

    prompt: Tensor  # [B,1,V] how often each token stands in the prompt
    output: Tensor  # [B,N,V] how often in the output, the drafted path counted in
    length: Tensor  # [B,N] output tokens so far, the drafted path counted in


def needs_history(params: Sequence[SamplingParams]) -> bool:
    """Whether some parameter looks at the tokens before a position."""
    return any(one.looks_back for one in params)


def history(
    tokens: Sequence[Sequence[int]],
    prompts: Sequence[int],
    vocabulary: int,
    draft: Draft | None = None,
    device: torch.device | str = "cpu",
) -> History:
    """The history of the position after each text, and of those after each node of a draft.

    Args:
        tokens: B texts, prompt and output. prompts: B prompt lengths. draft: of B rows, N nodes.
    Returns:
        History of N + 1 positions; of one without a draft.
    """
    first, after = [], []  # of each text: the prompt, the output
    for text, end in zip(tokens, prompts, strict=True):
        first.append(text[:end])
        after.append(text[end:])
    prompt = _counts(first, vocabulary).to(device)  # [B,1,V]
    output = _counts(after, vocabulary).to(device)  # [B,1,V]
    length = torch.tensor([[len(text)] for text in after], device=device)  # [B,1]
    if draft is None:
        return History(prompt, output, length)
    rows = torch.arange(len(tokens), device=device)  # [B]
    for node in range(draft.tokens.shape[1]):  # entry 0 is the text, entry i + 1 ends in node i
        parent = torch.where(draft.valid[:, node], draft.parents[:, node] + 1, 0)  # [B]
        counts = output[rows, parent]  # [B,V]
        counts[rows, draft.index[:, node, 0]] += 1
        output = torch.cat((output, counts[:, None]), 1)  # [B,node+2,V]
        longer = length[rows, parent] + 1  # [B]
        length = torch.cat((length, longer[:, None]), 1)  # [B,node+2]
    return History(prompt, output, length)


def _counts(texts: Sequence[Sequence[int]], vocabulary: int) -> Tensor:
    """How often each token stands in each text, [B,1,V]."""
    counts = []
    for text in texts:
        tokens = torch.tensor(list(text), dtype=torch.int64)
        counts.append(torch.bincount(tokens, minlength=vocabulary))
    return torch.stack(counts)[:, None]


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
    if len(logits) != len(params):
        raise SpecrefError(
            f"there are logits of {len(logits)} rows and {len(params)} sampling parameters: give"
            " one each"
        )
    scores = logits if logits.dtype == torch.float64 else logits.float()  # [B,N,V]
    _check_scores(scores, "the logits hold")
    if not any(one.alters for one in params):
        return scores.softmax(-1)
    scores = _penalised(scores, params, past)
    greedy = torch.tensor([one.temperature == 0 for one in params], device=scores.device)  # [B]
    best = torch.zeros_like(scores)  # [B,N,V]
    choice = scores.argmax(-1, keepdim=True)  # [B,N,1]
    best.scatter_(-1, choice, 1)
    if bool(greedy.all()):
        return best
    if any(one.temperature not in (0, 1) for one in params):
        scores = _heated(scores, params)
    if any(one.top_k for one in params):
        scores = _top_k(scores, params)
    if any(one.top_p < 1 for one in params):
        scores = _top_p(scores, params)
    if any(one.min_p for one in params):
        scores = _min_p(scores, params)
    greedy = greedy[:, None, None]  # [B,1,1]
    return torch.where(greedy, best, scores.softmax(-1))


def _column(
    params: Sequence[SamplingParams], value: Callable[[SamplingParams], float], like: Tensor
) -> Tensor:
    """One number a row, [B,1,1] in the type of `like`."""
    values = [value(one) for one in params]
    return torch.tensor(values, dtype=like.dtype, device=like.device)[:, None, None]


def _check_scores(scores: Tensor, who: str) -> None:
    """Refuse scores [B,N,V] whose largest entry of a row is not finite; `who` begins the error."""
    if not scores.numel() or bool(scores.amax(-1).isfinite().all()):
        return
    kind = "only -inf"
    if bool(scores.isnan().any()):
        kind = "NaN"
    elif bool((scores == torch.inf).any()):
        kind = "+inf"
    raise SpecrefError(
        f"{who} {kind} in a row: check the model's weights and dtype, or the bias that bans "
        "every token"
    )


def _penalised(scores: Tensor, params: Sequence[SamplingParams], past: History | None) -> Tensor:
    """Logit bias, penalties and the ban on early stops, [B,N,V]."""
    biased = any(one.logit_bias for one in params)
    if biased:
        scores = scores + _bias(scores, params)
    if needs_history(params):
        if past is None:
            raise SpecrefError("penalties and min_tokens look at the text before: pass its history")
        scores = _repelled(scores, params, past)
        scores = _without_early_stops(scores, params, past)
    if biased or needs_history(params):
        _check_scores(scores, "after bias and penalties the scores hold")
    return scores


def _bias(scores: Tensor, params: Sequence[SamplingParams]) -> Tensor:
    """[B,1,V]: what each row's logit_bias adds."""
    vocabulary = scores.shape[-1]
    bias = torch.zeros_like(scores[:, :1])  # [B,1,V]
    for row, one in enumerate(params):
        for token, value in one.logit_bias.items():
            if not 0 <= token < vocabulary:
                raise SpecrefError(
                    f"logit_bias names token {token}, outside 0..{vocabulary - 1}: remove it"
                )
            bias[row, 0, token] = value
    return bias


def _repelled(scores: Tensor, params: Sequence[SamplingParams], past: History) -> Tensor:
    """Repetition, presence and frequency penalties, [B,N,V]."""
    if any(one.repetition_penalty != 1 for one in params):
        factor = _column(params, lambda one: one.repetition_penalty, scores)  # [B,1,1]
        seen = (past.prompt + past.output) > 0  # [B,N,V]
        larger, smaller = scores * factor, scores / factor  # [B,N,V] each
        lower = torch.where(scores < 0, larger, smaller)  # [B,N,V]
        scores = torch.where(seen, lower, scores)
    if any(one.presence_penalty or one.frequency_penalty for one in params):
        there = past.output > 0  # [B,N,V]
        presence = _column(params, lambda one: one.presence_penalty, scores)  # [B,1,1]
        scores = scores - presence * there
        frequency = _column(params, lambda one: one.frequency_penalty, scores)  # [B,1,1]
        scores = scores - frequency * past.output
    return scores


def _without_early_stops(scores: Tensor, params: Sequence[SamplingParams], past: History) -> Tensor:
    """Stop tokens get -inf before min_tokens, [B,N,V]."""
    banned = torch.zeros(len(params), 1, scores.shape[-1], dtype=torch.bool)  # [B,1,V]
    for row, one in enumerate(params):
        known = [token for token in one.stop_ids if token < scores.shape[-1]]
        banned[row, 0, known] = True
    least = torch.tensor([one.min_tokens for one in params])  # [B]
    least = least.to(scores.device)[:, None]  # [B,1]
    early = (past.length < least)[..., None]  # [B,N,1]
    banned = banned.to(scores.device)
    return scores.masked_fill(early & banned, -torch.inf)


def _heated(scores: Tensor, params: Sequence[SamplingParams]) -> Tensor:
    """Scores over temperature, [B,N,V].

    Where that overflows, the largest score is moved to 0 first, which changes no distribution. A
    row at temperature 0 is divided by 1; `probs` does not use it.
    """
    least = torch.finfo(scores.dtype).tiny
    heat = _column(params, lambda one: one.temperature or 1.0, scores).clamp(min=least)  # [B,1,1]
    hot = scores / heat
    largest = scores.amax(-1, keepdim=True)  # [B,N,1]
    moved = (scores - largest) / heat
    top = hot.amax(-1, keepdim=True)  # [B,N,1]
    return torch.where(top.isfinite(), hot, moved)


def _top_k(scores: Tensor, params: Sequence[SamplingParams]) -> Tensor:
    """-inf on all but the k largest scores, [B,N,V]; of those equal to the last, the lowest ids
    stay.
    """
    vocabulary = scores.shape[-1]
    sizes = [min(one.top_k, vocabulary) or vocabulary for one in params]
    k = torch.tensor(sizes)  # [B]
    largest = scores.topk(int(k.max()), -1).values  # [B,N,K]
    place = (k - 1).to(scores.device)[:, None, None]  # [B,1,1]
    place = place.expand(-1, scores.shape[1], 1)  # [B,N,1]
    bar = largest.gather(-1, place)  # [B,N,1]
    above, level = scores > bar, scores == bar  # [B,N,V] each
    room = place + 1 - above.sum(-1, keepdim=True)  # [B,N,1]: of k, left for the equals
    kept = above | (level & (level.cumsum(-1) <= room))  # [B,N,V]
    return scores.masked_fill(~kept, -torch.inf)


def _top_p(scores: Tensor, params: Sequence[SamplingParams]) -> Tensor:
    """-inf in the tail whose total is at most 1 - top_p, [B,N,V]; the largest score stays."""
    ordered, order = scores.sort(stable=True, descending=True, dim=-1)  # [B,N,V]: equals by id
    ordered, order = ordered.flip(-1), order.flip(-1)  # [B,N,V]: the tail comes first
    weights = ordered.softmax(-1)  # [B,N,V]
    total = weights.cumsum(-1)  # [B,N,V]
    top_p = _column(params, lambda one: one.top_p, scores)  # [B,1,1]
    tail = total <= 1 - top_p  # [B,N,V]
    tail[..., -1] = False
    tail &= top_p < 1  # off where it is 1
    dropped = torch.zeros_like(tail).scatter(-1, order, tail)  # [B,N,V]: in the tokens' own order
    return scores.masked_fill(dropped, -torch.inf)


def _min_p(scores: Tensor, params: Sequence[SamplingParams]) -> Tensor:
    """-inf where the probability is below min_p times the largest, [B,N,V]."""
    weights = scores.softmax(-1)  # [B,N,V]
    share = _column(params, lambda one: one.min_p, scores)  # [B,1,1]
    largest = weights.amax(-1, keepdim=True)  # [B,N,1]
    floor = share * largest  # [B,N,1]
    return scores.masked_fill(weights < floor, -torch.inf)
