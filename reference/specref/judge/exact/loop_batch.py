"""Rows of a batch: seeds, independence, mixed parameters, and models that do not fit together."""

from collections.abc import Iterator
from dataclasses import replace

import torch

from ...data import SamplingParams, SpecrefError
from .. import oracle
from ..subjects import Loop
from . import ExactFinding, exact_check
from .loop_text import GAMMA, GREEDY, LOOP_PROMPTS, right, text_models

_SAMPLED = SamplingParams(max_new_tokens=16)
_FALSE_ALARM = 1e-9


@exact_check("loop.seeds")
def loop_seeds(loop: type[Loop]) -> Iterator[ExactFinding]:
    """Does a seed give the same text again, alone and in any batch, and another seed another
    text?
    """
    target, draft, _ = text_models()
    rows = [
        (prompt, replace(_SAMPLED, seed=seed)) for prompt in LOOP_PROMPTS[:2] for seed in (1, 2, 3)
    ]
    engine = loop(target, draft, GAMMA)
    alone = [engine.generate([prompt], [params])[0].tokens for prompt, params in rows]
    for name, order in (
        ("in one batch", range(len(rows))),
        ("in a batch turned round", range(len(rows))[::-1]),
    ):
        batch = engine.generate([rows[i][0] for i in order], [rows[i][1] for i in order])
        for i, done in zip(order, batch, strict=True):
            if done.tokens != alone[i]:
                yield ExactFinding(
                    f"prompt {rows[i][0]}, seed {rows[i][1].seed}",
                    f"alone it writes {alone[i]}, {name} {done.tokens}",
                )
                break
    for i in range(0, len(rows), 3):
        if alone[i] == alone[i + 1] == alone[i + 2]:
            yield ExactFinding(f"prompt {rows[i][0]}", f"three seeds write the same {alone[i]}")


@exact_check("loop.streams")
def loop_streams(loop: type[Loop]) -> Iterator[ExactFinding]:
    """Are rows without a seed independent? The same prompt many times over must not write the same
    text twice.
    """
    target, draft, _ = text_models()
    prompt, count = LOOP_PROMPTS[0], 16
    done = loop(target, draft, GAMMA).generate(
        [prompt] * count, [replace(_SAMPLED, max_new_tokens=32)] * count
    )
    texts = [tuple(completion.tokens) for completion in done]
    for text in {text for text in texts if texts.count(text) > 1}:
        # that any two independent rows do this
        chance = _probability(prompt, text) * count * (count - 1) / 2
        if chance < _FALSE_ALARM:
            yield ExactFinding(
                f"prompt {prompt}, {count} rows",
                f"{texts.count(text)} rows write the same {list(text)}; "
                f"independent rows do so with probability {chance:.1g} at most",
            )


def _probability(prompt: tuple[int, ...], text: tuple[int, ...]) -> float:
    """The target's probability of a text at temperature 1."""
    rows = [(*prompt, *text[:i]) for i in range(len(text))]
    distribution = oracle.distribution_after(
        text_models()[0], rows, [len(prompt)] * len(rows), [_SAMPLED] * len(rows)
    )
    return float(distribution.gather(1, torch.tensor(text)[:, None]).log().sum().exp())


@exact_check("loop.mixed-batch")
def loop_mixed_batch(loop: type[Loop]) -> Iterator[ExactFinding]:
    """Do greedy and sampled rows keep out of each other's way in one batch?"""
    target, draft, _ = text_models()
    engine = loop(target, draft, GAMMA)
    sampled = [replace(_SAMPLED, seed=i, temperature=0.5 + i / 2) for i in range(len(LOOP_PROMPTS))]
    alone = [
        engine.generate([prompt], [params])[0].tokens
        for prompt, params in zip(LOOP_PROMPTS, sampled, strict=True)
    ]
    prompts = [prompt for prompt in LOOP_PROMPTS for _ in range(2)]
    done = engine.generate(prompts, [params for one in sampled for params in (GREEDY, one)])
    for i, prompt in enumerate(LOOP_PROMPTS):
        if tuple(done[2 * i].tokens) != right(prompt):
            yield ExactFinding(
                f"prompt {prompt}, greedy beside sampled",
                f"writes {done[2 * i].tokens} instead of {list(right(prompt))}",
                1.0,
            )
        if done[2 * i + 1].tokens != alone[i]:
            yield ExactFinding(
                f"prompt {prompt}, sampled beside greedy",
                f"alone it writes {alone[i]}, here {done[2 * i + 1].tokens}",
            )


@exact_check("loop.vocabulary")
def loop_vocabulary(loop: type[Loop]) -> Iterator[ExactFinding]:
    """Is a draft with another vocabulary refused with a clear error?"""
    if not loop.distribution:
        return
    for target, draft in ((4, 16), (16, 4)):
        try:
            done = loop(oracle.model(target, 1), oracle.model(draft, 2)).generate(
                [(1, 2)], [replace(_SAMPLED, seed=1)]
            )
        except SpecrefError:
            continue
        yield ExactFinding(
            f"target of {target} tokens, draft of {draft}",
            f"is not refused; writes {done[0].tokens}",
        )
