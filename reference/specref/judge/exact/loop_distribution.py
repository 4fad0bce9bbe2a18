"""The whole loop against the target's exact distribution: several tokens over several cycles, every
outcome of every coin.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from functools import cache

from torch import Tensor

from ...data import SamplingParams
from ...exact.enumerate import Forking, distributions
from ...model.transformer import Transformer
from .. import oracle
from ..subjects import Loop
from . import Distribution, ExactFinding, compare, exact_check

DISTRIBUTION_PROMPTS = ((1, 0, 2), (2,))  # ragged
_LENGTH = SamplingParams(max_new_tokens=3)


def distribution_models() -> tuple[Transformer, Transformer]:
    """A target and a draft of 3 tokens that disagree and never rule a token out."""
    return oracle.model(3, 73, peak=2.0), oracle.model(3, 73, peak=2.0, noise=0.25)


def _enumerated(
    loop: Loop, cases: Sequence[tuple[Sequence[int], SamplingParams]]
) -> list[Distribution]:
    """For every prompt and its parameters, the exact distribution of `oracle.outcome`; all of them
    in one batch.
    """

    def program(chance: Forking, root: Tensor) -> list[Hashable]:
        chosen = [cases[i] for i in root.tolist()]
        done = loop.generate(
            [prompt for prompt, _ in chosen], [params for _, params in chosen], chance
        )
        return [oracle.outcome(completion) for completion in done]

    return distributions(program, len(cases))


@cache
def _expected(prompt: tuple[int, ...], params_key: int) -> oracle.Texts:
    return oracle.texts(distribution_models()[0], prompt, _VARIED[params_key][1])


def _texts(distribution: Distribution) -> oracle.Texts:
    """The distribution of texts alone."""
    result: oracle.Texts = {}
    for (tokens, reason, *_), mass in distribution.items():
        result[tokens, reason] = result.get((tokens, reason), 0.0) + mass
    return result


_VARIED: tuple[tuple[str, SamplingParams], ...] = (
    ("temperature 1", _LENGTH),
    ("temperature 0.5", replace(_LENGTH, temperature=0.5)),
    ("top-k 2", replace(_LENGTH, top_k=2)),
    ("top-p 0.7", replace(_LENGTH, top_p=0.7)),
    ("min-p 0.3", replace(_LENGTH, min_p=0.3)),
    ("a banned token", replace(_LENGTH, logit_bias={0: -float("inf"), 2: 1.0})),
    (
        "penalties",
        replace(_LENGTH, repetition_penalty=1.5, frequency_penalty=0.7, presence_penalty=0.4),
    ),
    ("a stop token", replace(_LENGTH, stop_ids=(2,))),
    ("a stop sequence", replace(_LENGTH, stop_sequences=((2, 1), (0, 0)))),
    ("a stop token after 2 tokens", replace(_LENGTH, stop_ids=(2,), min_tokens=2)),
)


def _check(loop: type[Loop], names: Sequence[str]) -> Iterator[ExactFinding]:
    chosen = [i for i, (name, _) in enumerate(_VARIED) if name in names]
    cases = [
        (prompt, i)
        for i in chosen
        for prompt in (
            DISTRIBUTION_PROMPTS if len(names) == 1 else DISTRIBUTION_PROMPTS[i % 2 :][:1]
        )
    ]
    found = _enumerated(
        loop(*distribution_models()), [(prompt, _VARIED[i][1]) for prompt, i in cases]
    )
    for (prompt, i), distribution in zip(cases, found, strict=True):
        yield from compare(
            f"{_VARIED[i][0]}, prompt {prompt}", _texts(distribution), _expected(prompt, i)
        )


@exact_check("loop.joint")
def loop_joint(loop: type[Loop]) -> Iterator[ExactFinding]:
    """Do several tokens over several cycles have the target's joint distribution?"""
    yield from _check(loop, ["temperature 1"])


@exact_check("loop.parameters")
def loop_parameters(loop: type[Loop]) -> Iterator[ExactFinding]:
    """Does every sampling parameter hold on drafted, replaced and bonus tokens alike?"""
    yield from _check(
        loop,
        ["temperature 0.5", "top-k 2", "top-p 0.7", "min-p 0.3", "a banned token", "penalties"],
    )


@exact_check("loop.stop-law")
def loop_stop_distribution(loop: type[Loop]) -> Iterator[ExactFinding]:
    """Do texts that a stop token or sequence may end have the target's distribution?"""
    yield from _check(loop, ["a stop token", "a stop sequence"])


@exact_check("loop.min-tokens")
def loop_min_tokens(loop: type[Loop]) -> Iterator[ExactFinding]:
    """Does no stop token come before min_tokens, counted in tokens?"""
    yield from _check(loop, ["a stop token after 2 tokens"])


@exact_check("loop.acceptance")
def loop_acceptance(loop: type[Loop]) -> Iterator[ExactFinding]:
    """Are drafts accepted exactly as often as drafts of the same model worked out without a
    cache?
    """
    if not loop.distribution:
        return
    target, draft = oracle.model(2, 67, peak=2.0), oracle.model(2, 67, peak=2.0, noise=0.4)
    prompts = ((1, 0, 1), (0,))
    expected = oracle.speculated(target, draft, loop.distribution, prompts, 4, 2)
    found = _enumerated(
        loop(target, draft), [(prompt, replace(_LENGTH, max_new_tokens=4)) for prompt in prompts]
    )
    for prompt, distribution, right in zip(prompts, found, expected, strict=True):
        for finding in compare(
            f"(steps, drafted, accepted), prompt {prompt}", _counts(distribution), _counts(right)
        ):
            yield replace(finding, tv=0.0)  # the counts are off, not the text


def _counts(distribution: Distribution) -> dict[tuple[int, int, int], float]:
    result: dict[tuple[int, int, int], float] = {}
    for (_, _, *counts), mass in distribution.items():
        key = (counts[0], counts[1], counts[2])
        result[key] = result.get(key, 0.0) + mass
    return result
