"""The judge's own distribution of sampling parameters: the same as ours, written twice, and where
it says that it is doubtful.
"""

import itertools
import math
import random

import pytest
import torch
from specref.data import SamplingParams
from specref.judge import params_oracle
from specref.probs import history, probs


def params_of(chooser: random.Random) -> SamplingParams:
    """Any parameters, several at once."""

    def maybe(value, default):
        return value if chooser.random() < 0.4 else default

    return SamplingParams(
        temperature=maybe(chooser.choice([0.0, 0.3, 0.7, 1.8]), 1.0),
        top_k=maybe(chooser.randint(1, 9), 0),
        top_p=maybe(chooser.uniform(0.2, 0.99), 1.0),
        min_p=maybe(chooser.uniform(0.01, 0.5), 0.0),
        repetition_penalty=maybe(chooser.uniform(0.7, 1.8), 1.0),
        presence_penalty=maybe(chooser.uniform(-1, 1), 0.0),
        frequency_penalty=maybe(chooser.uniform(-1, 1), 0.0),
        logit_bias=maybe(
            {chooser.randrange(8): chooser.choice([-math.inf, -100.0, 1.5]), 7: 0.25}, {}
        ),
        min_tokens=maybe(4, 0),
        stop_ids=(7, 3),
    )


def test_the_distribution_of_parameters_is_the_same_written_twice():
    chooser, doubtful = random.Random(0), 0
    for _ in range(3000):
        scores = [chooser.gauss(0, 2) for _ in range(8)]
        prompt = [chooser.randrange(8) for _ in range(4)]
        output = [chooser.randrange(8) for _ in range(chooser.randrange(7))]
        params = params_of(chooser)
        row = params_oracle.row(scores, params, prompt, output)
        if row.doubtful:
            doubtful += 1
            continue
        past = history([[*prompt, *output]], [len(prompt)], 8)
        right = probs(torch.tensor([[scores]], dtype=torch.float64), [params], past)[0, 0].tolist()
        assert row.distribution == pytest.approx(right, abs=1e-12), params
    # where engines differ in the order of two filters, or of a filter and the temperature
    assert doubtful < 900


def test_edges_of_filters_are_doubtful():
    scores = [math.log(0.5), math.log(0.3), math.log(0.2)]
    assert params_oracle.row(scores, SamplingParams(top_p=0.5)).doubtful
    assert params_oracle.row(scores, SamplingParams(min_p=0.4)).doubtful
    assert params_oracle.row([1.0, 1.0, 0.0], SamplingParams(top_k=1)).doubtful
    assert params_oracle.row([1.0, 1.0, 0.0], SamplingParams(temperature=0)).doubtful
    assert not params_oracle.row(scores, SamplingParams(top_p=0.7, min_p=0.3, top_k=2)).doubtful


@pytest.mark.parametrize("params", [{"temperature": 0.0}, {"top_k": 1}, {"top_p": 1e-6}])
def test_a_tie_is_doubtful_wherever_engines_may_break_it_in_their_own_way(params):
    """Two tokens are the likeliest: an engine keeps either or both."""
    assert params_oracle.row([1.0, 1.0, 0.5], SamplingParams(**params)).doubtful
    assert not params_oracle.row([1.0, 0.5, 0.5], SamplingParams(**params)).doubtful


def test_where_orders_of_filters_differ_the_distribution_is_doubtful():
    """After top-k 2 the likeliest has .625, before it .5; at temperature .5 it has .66."""
    scores = [math.log(0.5), math.log(0.3), math.log(0.2)]
    assert params_oracle.row(scores, SamplingParams(top_p=0.6, top_k=2)).doubtful
    assert params_oracle.row(scores, SamplingParams(top_p=0.6, temperature=0.5)).doubtful
    assert params_oracle.row(scores, SamplingParams(min_p=0.5, temperature=0.5)).doubtful
    for params in (
        SamplingParams(top_p=0.7, temperature=0.5),
        SamplingParams(min_p=0.3, temperature=0.9),
        SamplingParams(top_k=2, temperature=0.5),
        SamplingParams(top_p=0.7, top_k=2),
    ):
        assert not params_oracle.row(scores, params).doubtful


@pytest.mark.parametrize(("inside", "doubtful"), [(0.9, True), (1.1, False)])
def test_how_near_an_edge_is_doubtful(inside, doubtful):
    """On both sides of every edge; the distances are the module's own."""
    near, tie = inside * 1e-4, inside * 1e-3
    thirds = [math.log(0.5), math.log(0.3), math.log(0.2)]
    said = [
        params_oracle.row(scores, params).doubtful
        for scores, params in (
            ([3.0, 1.0, 1.0 - near], SamplingParams(top_k=2)),
            ([3.0, 3.0 - tie, 0.0], SamplingParams(temperature=0)),
            ([3.0, 3.0 - near, 0.0], SamplingParams(top_p=0.01)),
            (thirds, SamplingParams(top_p=0.8 - near)),
            (thirds, SamplingParams(top_p=0.8 + near)),
            (thirds, SamplingParams(min_p=0.6 - near)),
            (thirds, SamplingParams(min_p=0.6 + near)),
        )
    ]
    assert said == [doubtful] * 7


def test_what_stands_off_by_the_whole_distance_has_cleared_the_edge(monkeypatch):
    """With distances of a quarter, which floats hold exactly."""
    monkeypatch.setattr(params_oracle, "EDGE", 0.25)
    monkeypatch.setattr(params_oracle, "TIE", 0.25)
    for scores, params in (
        ([3.0, 0.25, 0.0], SamplingParams(top_k=2)),
        ([0.25, 0.0], SamplingParams(temperature=0)),
        ([0.0, -math.inf], SamplingParams(top_p=0.75)),
        ([0.25, 0.0], SamplingParams(top_p=0.25)),
        ([0.0, math.log(0.5)], SamplingParams(min_p=0.25)),
    ):
        assert not params_oracle.row(scores, params).doubtful, params


def test_the_token_that_reaches_top_p_is_the_last_and_rounding_asks_for_no_other():
    assert params_oracle.row([0.0, 0.0], SamplingParams(top_p=0.5)).distribution == [1, 0]
    *_, short = itertools.accumulate([1 / 29] * 29)
    assert short < 1 - 2**-53, "29 shares of a 29th, added up one by one"
    assert params_oracle.row(
        [0.0] * 29, SamplingParams(top_p=1 - 2**-53)
    ).distribution == pytest.approx([1 / 29] * 29)


def test_each_convention_has_a_distribution_of_its_own():
    """Shares .5, .3, .2: top-p .6 keeps two of them before a temperature of .5 and one behind it,
    where the first has .66; min-p .5 likewise. Behind a temperature of 2 the shares are .41, .32,
    .26, and top-p .75 keeps all three."""
    scores = [math.log(0.5), math.log(0.3), math.log(0.2)]
    first, last = (
        params_oracle.Convention(filters_first=True),
        params_oracle.Convention(filters_first=False),
    )
    two, hot = [25 / 34, 9 / 34, 0.0], [5**0.5, 3**0.5, 2**0.5]
    for params, before, behind in (
        (SamplingParams(top_p=0.6, temperature=0.5), two, [1, 0, 0]),
        (SamplingParams(min_p=0.5, temperature=0.5), two, [1, 0, 0]),
        (
            SamplingParams(top_p=0.75, temperature=2.0),
            [x / sum(hot[:2]) for x in hot[:2]] + [0],
            [x / sum(hot) for x in hot],
        ),
    ):
        for convention, distribution in ((first, before), (last, behind)):
            row = params_oracle.row(scores, params, convention=convention)
            assert row.distribution == pytest.approx(distribution, abs=1e-12)
            assert not row.doubtful
        assert params_oracle.row(scores, params).doubtful, "where no convention is named"


def test_penalties_count_the_prompt_where_that_is_the_convention():
    params = SamplingParams(presence_penalty=math.log(2))
    for convention, distribution in (
        (params_oracle.Convention(), [0.4, 0.2, 0.4]),
        (params_oracle.Convention(counts_prompt=True), [0.25, 0.25, 0.5]),
    ):
        row = params_oracle.row([0.0, 0.0, 0.0], params, [0, 0], [1], convention)
        assert row.distribution == pytest.approx(distribution, abs=1e-12)


def test_a_repetition_penalty_of_2_halves_what_is_above_0_and_doubles_what_is_below():
    row = params_oracle.row([2.0, -1.0, 0.0], SamplingParams(repetition_penalty=2.0), [0, 1, 2])
    weights = [math.exp(1), math.exp(-2), 1]
    assert row.distribution == pytest.approx(
        [weight / sum(weights) for weight in weights], abs=1e-12
    )


def test_extremes_of_parameters_and_scores_have_a_distribution():
    assert params_oracle.row([1.0, 0.0], SamplingParams(min_p=1.0)).distribution == [
        1,
        0,
    ], "the likeliest token always stays"
    distribution = params_oracle.row([1000.0, 999.0], SamplingParams(temperature=0.5)).distribution
    assert distribution[1] / distribution[0] == pytest.approx(math.exp(-2))


def test_the_end_of_a_text():
    params = SamplingParams(max_new_tokens=6, min_tokens=3, stop_ids=(1,), stop_sequences=((2, 3),))
    reasons = [
        params_oracle.ended(text, params, 9)
        for text in ([1], [0, 2, 3], [0, 0, 1], [2, 3], [0] * 6, [0] * 5)
    ]
    assert reasons == ["", "stop", "stop", "", "length", ""]
    assert params_oracle.ended([0] * 5, params, 5) == "length"
    plain = SamplingParams(max_new_tokens=6, stop_ids=(1,), stop_sequences=((2, 3), (4,)))
    assert [params_oracle.ended(text, plain, 9) for text in ([1], [4], [0, 2, 3], [2])] == [
        "stop",
        "stop",
        "stop",
        "",
    ]
