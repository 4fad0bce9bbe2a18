"""Ties, extreme settings, number types, and logits or settings that no distribution can come
from.

Protects: temperature 0 as a one-hot distribution, float32 at least, no NaN out of small
temperatures, and clear errors.
"""

import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from specref.data import SamplingParams, SpecrefError
from specref.probs import history, probs

GREEDY = SamplingParams(temperature=0)


@given(
    scores=st.lists(st.integers(-2, 2), min_size=1, max_size=8),
    dtype=st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]),
)
def test_temperature_0_takes_the_lowest_id_of_the_largest(
    scores: list[int], dtype: torch.dtype
) -> None:
    distribution = probs(torch.tensor([[scores]], dtype=dtype), [GREEDY])[0, 0]
    assert distribution.tolist() == [
        float(i == scores.index(max(scores))) for i in range(len(scores))
    ]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_distributions_are_float32_at_least(dtype: torch.dtype) -> None:
    distribution = probs(
        torch.randn(2, 3, 1000, dtype=dtype), [SamplingParams(temperature=0.7, top_p=0.9)] * 2
    )
    assert distribution.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert torch.allclose(distribution.sum(-1), torch.ones_like(distribution[..., 0]), atol=1e-5)


@pytest.mark.parametrize(("top_p", "kept"), [(0.75, 3), (0.7501, 4), (0.5, 2), (0.25, 1)])
def test_top_p_keeps_no_token_that_it_does_not_need(top_p: float, kept: int) -> None:
    """Of four tokens of exactly 1/4: as few as reach top_p, so that 0.75 needs three of them."""
    logits = torch.zeros(1, 1, 4, dtype=torch.float64)
    distribution = probs(logits, [SamplingParams(top_p=top_p)])
    assert int((distribution > 0).sum()) == kept


@pytest.mark.parametrize("temperature", [1e-3, 1e-20, 1e-38, 1e-42, 1e-60, 1e30])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_temperature_makes_nan(temperature: float, dtype: torch.dtype) -> None:
    """Scores divided by a tiny temperature overflow; the limit is a distribution all the same."""
    distribution = probs(
        torch.tensor([[[30.0, -2.0, 29.0, -torch.inf]]], dtype=dtype),
        [SamplingParams(temperature=temperature)],
    )
    limit = [1.0, 0.0, 0.0, 0.0] if temperature < 1 else [1 / 3, 1 / 3, 1 / 3, 0.0]
    assert distribution[0, 0].tolist() == pytest.approx(limit, abs=1e-6)


@pytest.mark.parametrize(
    "params",
    [
        SamplingParams(top_k=1),
        SamplingParams(top_p=1e-9),
        SamplingParams(min_p=1.0),
        SamplingParams(top_k=1, top_p=1e-9, min_p=1.0, temperature=0.3),
    ],
)
def test_the_tightest_filter_keeps_the_largest(params: SamplingParams) -> None:
    assert probs(torch.tensor([[[0.0, 2.0, 1.0]]]), [params])[0, 0].tolist() == [0.0, 1.0, 0.0]


def ranked(scores: list[int]) -> list[int]:
    """The one rule for ties: the largest first, of equals the lowest id."""
    return sorted(range(len(scores)), key=lambda token: -scores[token])


def kept(scores: list[int], **filters: float) -> list[int]:
    """The tokens that probs() leaves."""
    distribution = probs(torch.tensor([[scores]]).double(), [SamplingParams(**filters)])  # type: ignore[arg-type]
    return distribution[0, 0].nonzero()[:, 0].tolist()


@given(st.lists(st.integers(0, 2), min_size=1, max_size=8), st.integers(1, 9))
def test_top_k_keeps_k_tokens_of_equals_the_lowest_ids(scores: list[int], k: int) -> None:
    assert kept(scores, top_k=k) == sorted(ranked(scores)[:k])


@given(st.lists(st.integers(0, 2), min_size=1, max_size=8), st.integers(1, 9))
def test_top_p_keeps_the_lowest_ids_of_equals(scores: list[int], count: int) -> None:
    """top_p lies half a token before the total of the first `count`, so that all are needed."""
    order = ranked(scores)
    count = min(count, len(scores))
    weights = torch.tensor([scores[token] for token in order]).double().softmax(0)
    top_p = float(weights[:count].sum() - weights[count - 1] / 2)
    assert kept(scores, top_p=top_p) == sorted(order[:count])


@given(st.lists(st.integers(0, 2), min_size=1, max_size=8))
def test_every_filter_that_keeps_one_token_keeps_what_temperature_0_takes(
    scores: list[int],
) -> None:
    choice = kept(scores, temperature=0)
    assert kept(scores, top_k=1) == kept(scores, top_p=1e-6) == choice


def test_min_p_ranks_nothing_and_keeps_equals_together() -> None:
    assert kept([1, 0, 1, 1], min_p=1.0) == [0, 2, 3]


def test_rows_with_other_filters_break_ties_each_for_itself() -> None:
    params = [SamplingParams(), SamplingParams(top_k=1), SamplingParams(top_k=2, top_p=1e-6)]
    params.append(SamplingParams(top_k=3))
    distribution = probs(torch.tensor([[[0.0, 1.0, 1.0, 0.0]]]).expand(4, 1, 4), params)
    assert (distribution[:, 0] > 0).tolist() == [
        [True, True, True, True],
        [False, True, False, False],
        [False, True, False, False],
        [True, True, True, False],
    ]


@pytest.mark.parametrize(
    ("scores", "what"),
    [
        ([0.0, float("nan")], "NaN"),
        ([0.0, float("inf")], "+inf"),
        ([float("-inf")] * 2, "only -inf"),
    ],
)
@pytest.mark.parametrize("params", [GREEDY, SamplingParams(), SamplingParams(top_k=1)])
def test_logits_that_are_none_are_refused(
    scores: list[float], what: str, params: SamplingParams
) -> None:
    good = [0.0, 1.0]
    with pytest.raises(SpecrefError, match=re.escape(f"the logits hold {what} in a row")):
        probs(torch.tensor([[good, scores], [good, good]]), [params] * 2)


@pytest.mark.parametrize(
    "params",
    [
        SamplingParams(logit_bias={0: -torch.inf, 1: -torch.inf}),
        SamplingParams(logit_bias={0: -torch.inf}, min_tokens=1, stop_ids=(1,)),
        SamplingParams(temperature=0, logit_bias={0: -torch.inf, 1: -torch.inf}),
    ],
)
def test_banning_every_token_is_an_error(params: SamplingParams) -> None:
    with pytest.raises(SpecrefError, match="after bias and penalties the scores hold only -inf"):
        probs(torch.zeros(1, 1, 2), [params], history([[0]], [1], 2))


def test_bias_outside_the_vocabulary_is_an_error() -> None:
    with pytest.raises(SpecrefError, match=r"logit_bias names token 2, outside 0\.\.1"):
        probs(torch.zeros(1, 1, 2), [SamplingParams(logit_bias={2: 1.0})])


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("temperature", (-1, 10**400, math.nan, math.inf, True, "1", None)),
        ("top_p", (0, 1.1, math.nan)),
        ("min_p", (-0.1, 1.1)),
        ("repetition_penalty", (0, 1e39)),
        ("presence_penalty", (math.inf, -1e39)),
        ("frequency_penalty", (math.nan,)),
        ("top_k", (-1, 1.5, 2**63)),
        ("max_new_tokens", (-1, 10**30, 4.0)),
        ("min_tokens", (-1, 65)),
        ("seed", (2**64, -(2**63) - 1, 0.5)),
        ("logit_bias", ({-1: 1.0}, {"1": 1.0}, {1: 1e39}, {1: math.nan}, {1: math.inf})),
        ("stop_ids", ((-1,), (2**63,), (1.0,))),
        ("stop_sequences", (((),), ((-1,),))),
    ],
)
def test_what_float32_and_int64_do_not_hold_is_refused_in_one_short_line(name, values) -> None:
    for value in values:
        with pytest.raises(SpecrefError, match=f"{name} = .* is not possible: give") as caught:
            SamplingParams(**{name: value})
        assert len(str(caught.value)) < 150


def test_numbers_of_numpy_are_numbers() -> None:
    numbers: dict = {"temperature": np.float32(0.5), "top_k": np.int64(3), "seed": np.int64(7)}
    params = SamplingParams(**numbers)
    assert probs(torch.zeros(1, 1, 9), [params]).shape == (1, 1, 9)


def test_penalties_without_a_history_are_an_error() -> None:
    for params in (
        SamplingParams(repetition_penalty=1.1),
        SamplingParams(presence_penalty=1.0),
        SamplingParams(frequency_penalty=1.0),
        SamplingParams(min_tokens=1),
    ):
        with pytest.raises(SpecrefError, match="pass its history"):
            probs(torch.zeros(1, 1, 2), [params])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -0.1),
        ("temperature", float("nan")),
        ("temperature", float("inf")),
        ("top_k", -1),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("top_p", float("nan")),
        ("min_p", -0.1),
        ("min_p", 1.1),
        ("repetition_penalty", 0.0),
        ("presence_penalty", float("nan")),
        ("frequency_penalty", float("inf")),
        ("logit_bias", {0: float("inf")}),
        ("logit_bias", {0: float("nan")}),
        ("max_new_tokens", -1),
        ("min_tokens", 65),
        ("stop_sequences", ((),)),
    ],
)
def test_impossible_settings_are_refused(name: str, value: object) -> None:
    with pytest.raises(SpecrefError, match=rf"^{name} = .* is not possible: give "):
        SamplingParams(**{name: value})  # type: ignore[arg-type]


def test_texts_without_the_length_of_their_prompt_are_refused() -> None:
    with pytest.raises(ValueError, match="argument"):
        history([[1], [2]], [1], 5)


@pytest.mark.parametrize(("rows", "count"), [(1, 2), (2, 1), (3, 0)])
def test_each_row_has_its_own_parameters(rows: int, count: int) -> None:
    """One row must not be spread over two requests."""
    with pytest.raises(SpecrefError, match=f"logits of {rows} rows and {count} sampling"):
        probs(torch.zeros(rows, 1, 4), [SamplingParams()] * count)
