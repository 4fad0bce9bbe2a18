"""Is the distribution right? Three answers: greedy text compared token for token, the exact
distribution of a small case, and a sequential test of what the real models write. None of them
takes the decode loop's word for what the target says.
"""

import copy
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from ..chance import Streams
from ..data import SamplingParams, SpecrefError
from ..decode import decode_loop, new_requests
from ..draft.base import Drafter
from ..draft.model import ModelDrafter
from ..exact.enumerate import Forking, distributions, total_variation
from ..model.transformer import Config, Transformer
from ..probs import probs
from ..stats.finding import Finding
from ..stats.sequential import OneSample
from ..verify import Rule

CELLS = 16


@dataclass(frozen=True)
class Parity:
    """Greedy text against the target alone. A text counts once: at its first difference, if it has
    one.
    """

    texts: int
    tokens: int  # compared, up to the first difference of each text
    mismatches: int
    ties: int
    # of every difference: between the two tokens, in the target's float64 logits
    margins: list[float]
    errors: list[float]  # of every difference: what float rounding explains there


def greedy_parity(
    target: Transformer,
    prompts: Sequence[list[int]],
    alone: Sequence[list[int]],
    speculative: Sequence[list[int]],
    gamma: int,
) -> Parity:
    """Compare two sets of greedy texts; a difference that float rounding explains is a tie, no
    mismatch.
    """
    tokens, margins, errors = 0, [], []
    for prompt, a, b in zip(prompts, alone, speculative, strict=True):
        same = next(
            (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
        )
        tokens += same
        if same < max(len(a), len(b)):
            # one text is a beginning of the other: no tie explains that
            cut = same == min(len(a), len(b))
            margin, error = (
                (float("inf"), 0.0)
                if cut
                else _margin(target, prompt + a[:same], a[same], b[same], gamma)
            )
            margins.append(margin)
            errors.append(error)
    ties = sum(margin <= error for margin, error in zip(margins, errors, strict=True))
    return Parity(len(prompts), tokens, len(margins) - ties, ties, margins, errors)


@torch.inference_mode()
def _margin(
    target: Transformer, text: list[int], a: int, b: int, gamma: int
) -> tuple[float, float]:
    """How far from the top the worse of two tokens stands after `text` in float64, and what
    rounding explains: four times the largest error of the target's own logits, over forwards of 1
    to gamma + 1 tokens behind a cache (two texts with an error each, and as much again because
    their caches were filled in other pieces)."""
    row = torch.tensor([text], device=target.device)
    exact = copy.deepcopy(target).double()(row).logits[0, -1]
    error = 0.0
    for width in range(1, min(gamma + 1, len(text) - 1) + 1):
        cache = target.new_cache(1, len(text))
        target.states(row[:, :-width], cache)
        cache.lengths += len(text) - width
        logits = target(row[:, -width:], cache).logits[0, -1]
        error = max(error, float((logits.double() - exact).abs().max()))
    return float(exact.max() - exact[[a, b]].min()), 4 * error


@dataclass(frozen=True)
class Exact:
    """The distribution of a small case, enumerated, against the target's own."""

    tv: float
    outcomes: int  # texts of positive probability
    worlds: int  # ways in which chance could answer
    tokens: int
    vocabulary: int
    gamma: int

    @property
    def equal(self) -> bool:
        return self.tv <= 1e-12


def exact_small_case(
    rule: Rule, vocabulary: int = 3, tokens: int = 4, gamma: int = 2, seed: int = 0
) -> Exact:
    """Enumerate the decode loop with two random float64 transformers, and compare the distribution
    of its texts with the chain rule over the target's forwards, which knows neither loop, cache,
    draft nor rule."""
    target, draft = _random_model(vocabulary, seed), _random_model(vocabulary, seed + 1)
    params, prompt = SamplingParams(max_new_tokens=tokens), [0, 1]
    worlds = 0

    def program(chance: Forking, root: Tensor) -> Sequence[Hashable]:
        nonlocal worlds
        worlds += len(root)
        requests = new_requests(target, [prompt] * len(root), params)
        for _ in decode_loop(target, ModelDrafter(draft), rule, requests, gamma, chance):
            pass
        done = [request.completion() for request in requests]
        return [tuple(one.tokens) for one in done]

    distribution = distributions(program, 1)[0]
    alone: dict[Hashable, float] = {}
    with torch.inference_mode():
        texts = list(product(range(vocabulary), repeat=tokens))
        rows = torch.tensor([prompt + list(text) for text in texts])
        p = probs(target(rows[:, :-1]).logits, [params] * len(rows))[:, len(prompt) - 1 :]
        each = p.gather(2, rows[:, len(prompt) :, None])[..., 0].prod(1)
    alone.update(zip(texts, each.tolist(), strict=True))
    return Exact(
        total_variation(distribution, alone), len(distribution), worlds, tokens, vocabulary, gamma
    )


def _random_model(vocabulary: int, seed: int) -> Transformer:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Transformer(
            Config(
                vocabulary,
                16,
                32,
                2,
                4,
                2,
                4,
                max_position_embeddings=64,
                tie_word_embeddings=False,
            )
        )
    return model.double().eval().requires_grad_(False)


def sampled_distribution(
    target: Transformer,
    drafter: Drafter,
    q_model: Transformer,
    rule: Rule,
    prompts: Sequence[list[int]],
    params: SamplingParams,
    draws: int,
    alpha: float,
    gamma: int,
    seed: int = 0,
    rows: int = 64,
    report: Callable[[int], None] = lambda done: None,
) -> Finding:
    """Does every token that speculative decoding writes follow the target's distribution after the
    text before it?

    Each written token is placed in the target's own distribution, recomputed without a cache: with
    the vocabulary ordered by q/p, its place is P(tokens before it) + v p(token), v uniform. If the
    token was drawn from p, the place is uniform on [0,1] whatever came before (the probability
    integral transform), so all tokens of all texts are draws of one known distribution, in CELLS
    equal cells. The order by q/p puts what the draft prefers at the upper end, where a rule that
    leans to the draft is seen best.

    Args:
        prompts: used in turn. params: temperature 1 and no filters. draws: written tokens, about.
            rows: texts a batch at most.
    Errors:
        SpecrefError for a cut distribution: rounding decides what a filter keeps, so that a token's
            place is not known.
    """
    if params != SamplingParams(
        max_new_tokens=params.max_new_tokens, seed=params.seed, stop_ids=params.stop_ids
    ):
        raise SpecrefError(
            "the sampled distribution is tested at temperature 1 without filters and penalties:"
            " leave them out"
        )
    distribution = torch.full((CELLS + 1,), 1 / CELLS)
    distribution[CELLS] = 0  # a token to which the target gives nothing
    test = OneSample(distribution, alpha)
    placer = torch.Generator().manual_seed(seed)
    texts_wanted = -(-draws // params.max_new_tokens)
    batch, rows = 0, -(-texts_wanted // -(-texts_wanted // rows))  # batches of one size
    while test.n < draws and not test.rejected:
        numbers = range(batch * rows, (batch + 1) * rows)
        texts = [prompts[number % len(prompts)] for number in numbers]
        requests = new_requests(target, texts, params)
        for _ in decode_loop(
            target,
            drafter,
            rule,
            requests,
            gamma,
            Streams([(seed << 32) + number for number in numbers]),
        ):
            pass
        done = [request.completion() for request in requests]
        written = [one.tokens for one in done]
        for i in range(0, rows, 32):
            test.update(_cells(target, q_model, texts[i : i + 32], written[i : i + 32], placer))
        batch += 1
        report(test.n)
    return test.finding(seed)


@torch.inference_mode()
def _cells(
    target: Transformer,
    q_model: Transformer,
    prompts: Sequence[list[int]],
    written: Sequence[list[int]],
    placer: torch.Generator,
) -> Tensor:
    """Counts [CELLS + 1] of the places of all written tokens."""
    texts = [prompt + tokens for prompt, tokens in zip(prompts, written, strict=True)]
    longest = max(map(len, texts))
    # [B,L]
    rows = torch.tensor(
        [text + [0] * (longest - len(text)) for text in texts], device=target.device
    )
    ends = torch.tensor(
        [[len(prompt), len(text)] for prompt, text in zip(prompts, texts, strict=True)]
    )
    place = torch.arange(1, longest)
    # [B,L-1]: positions that were written
    ours = ((place >= ends[:, :1]) & (place < ends[:, 1:])).to(target.device)
    params = [SamplingParams()] * len(texts)
    p = probs(target(rows[:, :-1]).logits, params)[ours].double()  # [M,V]
    q = probs(q_model(rows[:, :-1]).logits, params)[ours].double()
    x = rows[:, 1:][ours][:, None]
    order = (q / p.clamp(min=1e-300)).argsort(dim=1, stable=True)
    at = (order == x).int().argmax(1, keepdim=True)
    ordered, mine = p.gather(1, order), p.gather(1, x)
    before = ordered.cumsum(1).gather(1, at) - mine
    v = torch.rand(len(x), 1, generator=placer, dtype=torch.float64).to(target.device)
    cell = ((before + v * mine) / p.sum(1, keepdim=True) * CELLS).long().clamp(0, CELLS - 1)
    return torch.bincount(torch.where(mine > 0, cell, CELLS)[:, 0], minlength=CELLS + 1).cpu()
