"""Does the output of speculative decoding have the target's distribution? Three checks.

Greedy text is compared token by token, the distribution of a small case is computed exactly, and
what the real models write goes through a sequential test. Each check computes the target's side by
itself, without the decode loop, its cache, the draft or the rule.
"""

import copy
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from itertools import product

import torch
from torch import Tensor

from ..chance import Streams
from ..data import SamplingParams
from ..decode import decode_loop, new_requests
from ..draft.base import Drafter
from ..draft.model import ModelDrafter
from ..errors import SpecrefError
from ..exact.enumerate import Forking, distributions, total_variation
from ..model.toy import toy_config, toy_transformer
from ..model.transformer import Transformer
from ..probs import probs
from ..stats.finding import Finding
from ..stats.pit import pit_ranks
from ..stats.sequential import OneSample
from ..verify import Rule
from .completions import run_to_end

_CELLS = 16  # of [0, 1), for the ranks of sampled tokens
_SCORED = 32  # texts that one forward scores


@dataclass(frozen=True)
class GreedyParity:
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
) -> GreedyParity:
    """Compare two sets of greedy texts. A difference that float rounding explains is a tie, not a
    mismatch.
    """
    tokens, margins, errors = 0, [], []
    for prompt, a, b in zip(prompts, alone, speculative, strict=True):
        same = _common_prefix(a, b)
        tokens += same
        if same == max(len(a), len(b)):
            continue
        if same == min(len(a), len(b)):  # one text is a prefix of the other: no tie explains that
            margin, error = float("inf"), 0.0
        else:
            margin, error = _margin(target, prompt + a[:same], a[same], b[same], gamma)
        margins.append(margin)
        errors.append(error)
    ties = sum(margin <= error for margin, error in zip(margins, errors, strict=True))
    return GreedyParity(len(prompts), tokens, len(margins) - ties, ties, margins, errors)


def _common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    for i, (x, y) in enumerate(zip(a, b, strict=False)):
        if x != y:
            return i
    return min(len(a), len(b))


@torch.inference_mode()
def _margin(
    target: Transformer, text: list[int], a: int, b: int, gamma: int
) -> tuple[float, float]:
    """How far the worse of two tokens is from the top after `text` in float64, and what rounding
    explains there.

    Rounding explains four times the largest error of the target's own logits, over forwards of 1 to
    gamma + 1 tokens behind a cache: two texts have an error each, and as much again because their
    caches were filled in other pieces.
    """
    row = torch.tensor([text], device=target.device)  # [1,T]
    exact = copy.deepcopy(target).double()(row).logits[0, -1]  # [V]
    error = 0.0
    for width in range(1, min(gamma + 1, len(text) - 1) + 1):
        cache = target.new_cache(1, len(text))
        target.states(row[:, :-width], cache)
        cache.lengths += len(text) - width
        logits = target(row[:, -width:], cache).logits[0, -1]
        error = max(error, float((logits.double() - exact).abs().max()))
    return float(exact.max() - exact[[a, b]].min()), 4 * error


@dataclass(frozen=True)
class ExactComparison:
    """The exact distribution of a small case, against the target's own."""

    tv: float
    outcomes: int  # texts of positive probability
    worlds: int  # outcomes of chance that were enumerated
    tokens: int
    vocabulary: int
    gamma: int

    @property
    def equal(self) -> bool:
        return self.tv <= 1e-12


def exact_small_case(
    rule: Rule, vocabulary: int = 3, tokens: int = 4, gamma: int = 2, seed: int = 0
) -> ExactComparison:
    """Enumerate the decode loop with two random float64 transformers, and compare the distribution
    of its texts with the chain rule over the target's forwards.
    """
    target, draft = _random_model(vocabulary, seed), _random_model(vocabulary, seed + 1)
    drafter, params, prompt = ModelDrafter(draft), SamplingParams(max_new_tokens=tokens), [0, 1]
    worlds = 0

    def program(chance: Forking, root: Tensor) -> Sequence[Hashable]:
        nonlocal worlds
        worlds += len(root)
        requests = new_requests(target, [prompt] * len(root), params)
        done = run_to_end(requests, decode_loop(target, drafter, rule, requests, gamma, chance))
        return [tuple(one.tokens) for one in done]

    distribution = distributions(program, 1)[0]
    alone: dict[Hashable, float] = {}
    with torch.inference_mode():
        texts = list(product(range(vocabulary), repeat=tokens))
        rows = torch.tensor([prompt + list(text) for text in texts])  # [M,2+tokens]
        p = probs(target(rows[:, :-1]).logits, [params] * len(rows))[:, len(prompt) - 1 :]
        each = p.gather(2, rows[:, len(prompt) :, None])[..., 0].prod(1)  # [M]
    alone.update(zip(texts, each.tolist(), strict=True))
    tv = total_variation(distribution, alone)
    return ExactComparison(tv, len(distribution), worlds, tokens, vocabulary, gamma)


def _random_model(vocabulary: int, seed: int) -> Transformer:
    config = replace(
        toy_config(vocabulary),
        intermediate_size=32,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=4,
    )
    return toy_transformer(config, torch.Generator().manual_seed(seed)).double()


@dataclass(frozen=True)
class SampledCase:
    """What is sampled. draft: its q orders the vocabulary. prompts: used in turn. params:
    temperature 1 and no filters.
    """

    target: Transformer
    draft: Transformer
    drafter: Drafter
    rule: Rule
    prompts: Sequence[list[int]]
    params: SamplingParams
    gamma: int


def sampled_distribution(
    case: SampledCase,
    draws: int,
    alpha: float,
    seed: int = 0,
    rows: int = 64,
    report: Callable[[int], None] = lambda done: None,
) -> Finding:
    """Does every token that speculative decoding writes follow the target's distribution given the
    text before it?

    Each token becomes its rank in the target's own distribution, recomputed without a cache
    (`stats.pit`). If the tokens were drawn from p, the ranks are uniform on [0, 1), and a
    sequential test compares them with that in _CELLS equal cells. The vocabulary is ordered by q/p,
    smallest first: what the draft prefers is at the upper end, so a rule that leans to the draft
    moves ranks there.

    Args:
        draws: tokens, about. alpha: false-alarm rate. rows: texts a batch at most. report: called
            with the tokens so far.
    Errors:
        SpecrefError for filtered or penalised sampling: rounding decides what a filter keeps, so
            the rank of a token is not known.
    """
    params = case.params
    if params != SamplingParams(
        max_new_tokens=params.max_new_tokens, seed=params.seed, stop_ids=params.stop_ids
    ):
        raise SpecrefError(
            "the sampled distribution is tested at temperature 1 without filters and penalties:"
            " leave them out"
        )
    expected = torch.full((_CELLS + 1,), 1 / _CELLS)
    expected[_CELLS] = 0  # a token of target probability 0
    test = OneSample(expected, alpha)
    uniforms = torch.Generator().manual_seed(seed)
    texts = -(-draws // params.max_new_tokens)
    rows = -(-texts // -(-texts // rows))  # batches of one size
    first = 0
    while test.n < draws and not test.rejected:
        numbers = range(first, first + rows)
        prompts = [case.prompts[number % len(case.prompts)] for number in numbers]
        written = _write(case, prompts, [(seed << 32) + number for number in numbers])
        for i in range(0, rows, _SCORED):
            part = slice(i, i + _SCORED)
            test.update(_count_ranks(case, prompts[part], written[part], uniforms))
        first += rows
        report(test.n)
    return test.finding(seed)


def _write(
    case: SampledCase, prompts: Sequence[list[int]], seeds: Sequence[int]
) -> list[list[int]]:
    requests, chance = new_requests(case.target, prompts, case.params), Streams(seeds)
    cycles = decode_loop(case.target, case.drafter, case.rule, requests, case.gamma, chance)
    done = run_to_end(requests, cycles)
    return [one.tokens for one in done]


@torch.inference_mode()
def _count_ranks(
    case: SampledCase,
    prompts: Sequence[list[int]],
    written: Sequence[list[int]],
    uniforms: torch.Generator,
) -> Tensor:
    """How many ranks fall into each cell [_CELLS + 1]; the last counts tokens of probability 0."""
    texts = [prompt + tokens for prompt, tokens in zip(prompts, written, strict=True)]
    longest = max(map(len, texts))
    padded = [text + [0] * (longest - len(text)) for text in texts]
    rows = torch.tensor(padded, device=case.target.device)  # [B,L]
    starts = torch.tensor([[len(prompt)] for prompt in prompts])  # [B,1]
    ends = torch.tensor([[len(text)] for text in texts])  # [B,1]
    position = torch.arange(1, longest)
    ours = ((position >= starts) & (position < ends)).to(rows.device)  # [B,L-1]: was written
    params = [SamplingParams()] * len(texts)
    p = probs(case.target(rows[:, :-1]).logits, params)[ours].double()  # [M,V]
    q = probs(case.draft(rows[:, :-1]).logits, params)[ours].double()  # [M,V]
    tokens = rows[:, 1:][ours][:, None]  # [M,1]
    v = torch.rand(len(tokens), generator=uniforms, dtype=torch.float64).to(rows.device)
    ranks = pit_ranks(p / p.sum(1, keepdim=True), -q / p.clamp(min=1e-300), tokens, v)  # [M]
    cells = (ranks * _CELLS).long().clamp(0, _CELLS - 1)
    cells[p.gather(1, tokens)[:, 0] <= 0] = _CELLS
    return torch.bincount(cells, minlength=_CELLS + 1).cpu()
