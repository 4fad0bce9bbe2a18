"""probs() makes the distribution that Hugging Face transformers makes of the same parameters, in
the order that it uses. Ties it breaks in its own way; so it is given scores without ties, which it
ranks as probs() says.

Protects: every filter and penalty and their order. The processors and their order come from
transformers itself (`GenerationMixin._get_logits_processor`), so that a change there shows here.
Presence and frequency penalties, which it lacks, are in test_penalties.
"""

import types
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from specref.data import SamplingParams
from specref.probs import history, probs
from torch import Tensor

if TYPE_CHECKING:
    pass

TEXT = st.lists(st.integers(0, 7), min_size=1, max_size=6)


@st.composite
def parameters(draw: st.DrawFn) -> SamplingParams:
    """Each setting off about half of the time; V = 8, some settings beyond it."""

    def sometimes(off: Any, strategy: st.SearchStrategy[Any]) -> Any:
        return draw(st.one_of(st.just(off), strategy))

    number = st.integers(1, 39)
    return SamplingParams(
        temperature=sometimes(1.0, st.sampled_from([0.25, 0.5, 0.7, 1.3, 2.0])),
        top_k=sometimes(0, st.integers(1, 10)),
        top_p=sometimes(1.0, number.map(lambda x: x / 40)),
        min_p=sometimes(0.0, number.map(lambda x: x / 40)),
        repetition_penalty=sometimes(1.0, st.sampled_from([0.5, 1.2, 3.0])),
        logit_bias=sometimes(
            {},
            st.dictionaries(
                st.integers(0, 7),
                st.sampled_from([-100.0, -1.5, 2.0]),
                max_size=3,
            ),
        ),
        min_tokens=sometimes(0, st.integers(1, 5)),
        stop_ids=sometimes((), st.sampled_from([(0,), (3, 7)])),
    )


@st.composite
def logits(draw: st.DrawFn) -> Tensor:
    """Eight scores, ties and signs and one impossible token included."""
    one = st.one_of(st.integers(-3, 3).map(float), st.floats(-6, 6, width=32))
    row = draw(st.lists(one, min_size=8, max_size=8))
    if draw(st.booleans()):
        row[draw(st.integers(0, 7))] = -torch.inf
    return torch.tensor([row])


def processors(
    params: SamplingParams, prompt: int, do_sample: bool = True
) -> Callable[[Tensor, Tensor], Tensor]:
    """What transformers would apply for these parameters."""
    from transformers import (  # seconds, which others of the suite need not wait for
        GenerationConfig,
        GenerationMixin,
    )

    config = GenerationConfig(
        do_sample=do_sample,
        temperature=params.temperature or None,
        top_k=params.top_k,
        top_p=params.top_p,
        min_p=params.min_p or None,
        repetition_penalty=params.repetition_penalty,
        sequence_bias={(token,): bias for token, bias in params.logit_bias.items()} or None,
        min_new_tokens=params.min_tokens or None,
    )
    config._eos_token_tensor = torch.tensor(params.stop_ids) if params.stop_ids else None
    model: Any = GenerationMixin()
    model.config = types.SimpleNamespace(is_encoder_decoder=False)
    return model._get_logits_processor(config, input_ids_seq_length=prompt, device="cpu")


def transformers_distribution(
    params: SamplingParams, scores: Tensor, text: list[int], prompt: int
) -> tuple[Tensor, bool]:
    """What transformers makes of the scores, equals moved apart by a billionth before the filters,
    the lowest id first; and whether some are nearly equal.
    """
    tokens, near, apart = torch.tensor([text]), False, False
    pipeline: Any = processors(params, prompt)
    for processor in [*pipeline, None]:
        if not apart and (processor is None or type(processor).__name__.endswith("Warper")):
            gaps = scores.masked_fill(scores.isinf(), -1e9).sort(-1).values.diff(dim=-1)
            near, apart = bool(((gaps > 0) & (gaps < 1e-5)).any()), True
            scores = scores.double() - 1e-9 * torch.arange(scores.shape[-1])
        if processor is not None:
            scores = processor(tokens, scores.clone())
    return scores.softmax(-1).float(), near


@given(
    params=parameters(),
    scores=logits(),
    prompt=TEXT,
    output=st.lists(st.integers(0, 7), max_size=6),
)
@settings(max_examples=200)
def test_same_distribution_as_transformers(
    params: SamplingParams, scores: Tensor, prompt: list[int], output: list[int]
) -> None:
    text = prompt + output
    expected, near = transformers_distribution(params, scores, text, len(prompt))
    distribution = probs(scores[:, None], [params], history([text], [len(prompt)], 8))[:, 0]
    if not torch.allclose(distribution, expected, atol=2e-6, rtol=0):
        # The two round in other places, so a token that stands on the edge of top-p or min-p may
        # fall on either side. Scores that differ in the last bits may tie after the temperature.
        assume(not near and not on_the_edge(params, scores, text, len(prompt)))
    assert torch.allclose(distribution, expected, atol=2e-6, rtol=0)
    assert distribution.dtype == torch.float32


def on_the_edge(params: SamplingParams, scores: Tensor, text: list[int], prompt: int) -> bool:
    """Whether transformers itself answers otherwise when top-p and min-p move by a millionth."""
    distributions = []
    for shift in (-1e-6, 1e-6):
        moved = replace(
            params,
            top_p=min(params.top_p + shift, 1.0) if params.top_p < 1 else 1.0,
            min_p=params.min_p + shift if params.min_p else 0.0,
        )
        distributions.append(transformers_distribution(moved, scores, text, prompt)[0])
    below, above = distributions
    return not torch.allclose(below, above, atol=1e-5)


@given(
    params=parameters(),
    scores=logits(),
    prompt=TEXT,
    output=st.lists(st.integers(0, 7), max_size=6),
)
def test_temperature_0_is_transformers_greedy_choice(
    params: SamplingParams, scores: Tensor, prompt: list[int], output: list[int]
) -> None:
    """Without sampling transformers applies the penalties and takes the argmax: the lowest id of
    equals.
    """
    text = prompt + output
    greedy = replace(params, temperature=0.0)
    choice = processors(greedy, len(prompt), do_sample=False)(
        torch.tensor([text]), scores.clone()
    ).argmax(-1)
    distribution = probs(scores[:, None], [greedy], history([text], [len(prompt)], 8))[:, 0]
    assert distribution.tolist() == torch.nn.functional.one_hot(choice, 8).float().tolist()


def test_the_order_matters_on_a_known_case() -> None:
    """Temperature before top-p keeps one token here, top-p before temperature would keep two."""
    scores = torch.tensor([[2.0, 1.0, 0.0]])
    params = SamplingParams(temperature=0.5, top_p=0.8)
    distribution = probs(scores[:, None], [params])[0, 0]
    assert distribution.tolist() == [1.0, 0.0, 0.0]
    assert (
        distribution.tolist()
        == processors(params, 1)(torch.tensor([[0]]), scores).softmax(-1)[0].tolist()
    )
    assert scores.softmax(-1)[0, 0] == pytest.approx(0.665, abs=1e-3)
