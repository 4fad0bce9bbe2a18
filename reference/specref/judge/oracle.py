"""What a loop ought to write, worked out without its machinery: every forward starts from the first
token, there is no cache, nothing is ragged, and a text is a list.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from functools import cache

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..chance import Chance
from ..data import Completion, Draft, SamplingParams
from ..exact.enumerate import Forking, distributions
from ..model.toy import toy_config, toy_transformer
from ..model.transformer import Transformer
from ..probs import history, probs
from ..verify import RULES

Texts = dict[tuple[tuple[int, ...], str], float]  # (tokens, finish reason) -> probability
TINY_CONTEXT = 40


@cache
def model(vocabulary: int, seed: int, peak: float = 1.0, noise: float = 0.0) -> Transformer:
    """A random decoder in float64, small enough to enumerate. peak scales its scores, a negative
    one turns them round; noise moves it away from the decoder that has the same seed and no
    noise."""
    random = torch.Generator().manual_seed(seed)
    config = toy_config(vocabulary, TINY_CONTEXT)
    return toy_transformer(config, random, attention=2.0, sharpness=peak, noise=noise).double()


def distribution_after(
    decoder: Transformer,
    texts: Sequence[Sequence[int]],
    prompts: Sequence[int],
    params: Sequence[SamplingParams],
) -> Tensor:
    """The distribution of the next token after each of B texts, [B,V], by one forward without a
    cache.
    """
    logits = decoder(pad_sequence([torch.tensor(text) for text in texts], batch_first=True)).logits
    last = logits[torch.arange(len(texts)), torch.tensor([len(text) - 1 for text in texts])][
        :, None
    ]
    return probs(last, params, history(texts, prompts, decoder.config.vocab_size))[:, 0]


def _ended(output: Sequence[int], params: SamplingParams, room: int) -> str:
    """ "stop", "length", or "" for a text that goes on. output: at least one token."""
    if len(output) >= params.min_tokens:
        if output[-1] in params.stop_ids:
            return "stop"
        if any(tuple(output[-len(stop) :]) == tuple(stop) for stop in params.stop_sequences):
            return "stop"
    return "length" if len(output) >= min(params.max_new_tokens, room) else ""


def texts(target: Transformer, prompt: Sequence[int], params: SamplingParams) -> Texts:
    """The exact distribution of what the target alone writes."""
    room = target.config.max_position_embeddings - len(prompt)
    done: Texts = {}
    going: dict[tuple[int, ...], float] = {(): 1.0}
    while going:
        rows = [(*prompt, *output) for output in going]
        distribution = distribution_after(
            target, rows, [len(prompt)] * len(rows), [params] * len(rows)
        ).tolist()
        longer: dict[tuple[int, ...], float] = {}
        for (output, mass), row in zip(going.items(), distribution):
            for token, probability in enumerate(row):
                if probability > 0:
                    text = (*output, token)
                    if reason := _ended(text, params, room):
                        done[text, reason] = mass * probability
                    else:
                        longer[text] = mass * probability
        going = longer
    return done


def greedy_text(
    target: Transformer, prompt: Sequence[int], params: SamplingParams
) -> tuple[tuple[int, ...], str]:
    """The one text of temperature 0, and why it ends."""
    distribution = texts(target, prompt, params)
    (only,) = distribution
    return only


@dataclass
class _Row:
    text: list[int]
    prompt: int
    done: Completion = field(default_factory=lambda: Completion([], ""))


def speculated_rows(
    target: Transformer,
    draft: Transformer,
    rule: str,
    prompts: Sequence[Sequence[int]],
    params: Sequence[SamplingParams],
    gamma: int,
    chance: Chance,
) -> list[Completion]:
    """Speculative decoding as the papers write it, rows one by one in lockstep and without a
    cache.
    """
    rows = [_Row(list(prompt), len(prompt)) for prompt in prompts]
    room = target.config.max_position_embeddings
    going = list(range(len(rows)))
    while going:
        wanted = [
            min(
                gamma,
                min(params[i].max_new_tokens, room - rows[i].prompt) - len(rows[i].done.tokens) - 1,
            )
            for i in going
        ]
        # rows with drafts of one length at a time: nothing is padded
        for width in sorted(set(wanted)):
            now = [i for i, count in zip(going, wanted) if count == width]
            _cycle(
                target,
                draft,
                rule,
                [rows[i] for i in now],
                [params[i] for i in now],
                width,
                chance.rows(now),
            )
        going = [i for i in going if not rows[i].done.finish_reason]
    return [row.done for row in rows]


def _cycle(
    target: Transformer,
    draft: Transformer,
    rule: str,
    rows: list[_Row],
    params: list[SamplingParams],
    width: int,
    chance: Chance,
) -> None:
    starts = [row.prompt for row in rows]
    drafted = [list(row.text) for row in rows]
    distributions_q, distributions_p = [], [distribution_after(target, drafted, starts, params)]
    for _ in range(width):
        distributions_q.append(distribution_after(draft, drafted, starts, params))
        for text, token in zip(drafted, chance.draw(distributions_q[-1]).tolist()):
            text.append(token)
        distributions_p.append(distribution_after(target, drafted, starts, params))
    tokens = torch.tensor([text[len(text) - width :] for text in drafted], dtype=torch.int64).view(
        len(rows), width
    )
    proposal = Draft.chain(tokens, torch.stack(distributions_q, 1) if distributions_q else None)
    verdict = RULES[rule](proposal, torch.stack(distributions_p, 1), chance)
    for row, s, emitted in zip(rows, params, verdict.emitted(proposal), strict=True):
        row.done.target_steps += 1
        row.done.drafted += width
        for i, token in enumerate(emitted):
            row.text.append(token)
            row.done.tokens.append(token)
            row.done.accepted += i < len(emitted) - 1
            row.done.finish_reason = _ended(
                row.done.tokens, s, target.config.max_position_embeddings - row.prompt
            )
            if row.done.finish_reason:
                break


def outcome(done: Completion) -> Hashable:
    """A completion as one outcome: the text, its end, and the three counts."""
    return tuple(done.tokens), done.finish_reason, done.target_steps, done.drafted, done.accepted


@cache
def speculated(
    target: Transformer,
    draft: Transformer,
    rule: str,
    prompts: tuple[tuple[int, ...], ...],
    length: int,
    gamma: int,
) -> list[dict[Hashable, float]]:
    """The exact distribution of texts and counts together, for every prompt, at temperature 1."""

    def program(chance: Forking, root: Tensor) -> list[Hashable]:
        params = [SamplingParams(max_new_tokens=length)] * len(root)
        rows = [prompts[i] for i in root.tolist()]
        return [
            outcome(done)
            for done in speculated_rows(target, draft, rule, rows, params, gamma, chance)
        ]

    return distributions(program, len(prompts))
