"""The frontier of typical acceptance: lossless at distance 0, lossy at a distance that two methods
agree on.

Protects: the exact TV of the toy, the closed form behind the estimate and its standard error, the
tokens a cycle, the published distances.
"""

import json
from itertools import pairwise, product
from math import sqrt
from pathlib import Path
from typing import Any

import pytest
from specref.data import SamplingParams
from specref.draft.medusa import MedusaDrafter, best_first
from specref.draft.none import NoDrafter
from specref.exact.enumerate import distributions, total_variation
from specref.measure.acceptance import frontier
from specref.measure.acceptance.frontier import (
    THRESHOLDS,
    FrontierPoint,
    FrontierWork,
    exact_first_tokens,
    exact_tv,
    measure_point,
    random_contexts,
    tiny_target_with_heads,
)
from specref.verify import RULES, LossyMedusaTypical, LossyTypical, Rule

from tests.stub import generate_with

PUBLISHED = Path(__file__).parents[2] / "docs" / "results" / "thresholds.json"
TARGET, HEADS = tiny_target_with_heads()
PLACES = random_contexts(6, count=8)
ALONE = exact_first_tokens(RULES["rejection"], TARGET, NoDrafter(), PLACES)


def distance(rule):
    return exact_tv(rule, TARGET, HEADS, PLACES, ALONE)


def seen_in(rule, prompts, new_tokens) -> FrontierPoint:
    drafter = MedusaDrafter(HEADS, best_first(2, 2))
    return measure_point(rule, FrontierWork(TARGET, drafter, 2, prompts, new_tokens), 0.0)


def test_the_lossless_tree_rule_is_at_distance_0():
    assert distance(RULES["tree"]) < 1e-12


def test_accepting_more_moves_the_distribution_further():
    """From many contexts every step of the threshold shows: one context has only so many
    probabilities to cross.
    """
    distances = [distance(LossyTypical(epsilon, 10.0)) for epsilon in (0.6, 0.4, 0.2, 0.1, 0.02)]
    assert distances[0] > 0
    assert all(strict < loose for strict, loose in pairwise(distances))


def test_the_distance_is_the_mean_over_the_contexts():
    rule = LossyTypical(0.2, 1.0)
    each = [
        exact_tv(rule, TARGET, HEADS, [place], [distribution])
        for place, distribution in zip(PLACES, ALONE, strict=True)
    ]
    assert distance(rule) == pytest.approx(sum(each) / len(each), abs=1e-12)
    assert len({round(tv, 6) for tv in each}) > 2


def test_medusas_own_rule_is_further_from_the_target():
    """It takes the likeliest token where ours draws one."""
    for epsilon, delta in ((0.09, 0.3), (0.4, 1.0)):
        ours = distance(LossyTypical(epsilon, delta))
        assert distance(LossyMedusaTypical(epsilon, delta)) > ours + 0.05


@pytest.mark.parametrize("place", [*PLACES, [1, 2, 3]], ids=str)
def test_the_estimate_of_medusas_first_token_is_the_enumerated_distance(place):
    """The first token of every cycle is certain, so a second cycle, without a guess, counts too."""
    rule, drafter = LossyMedusaTypical(0.3, 10.0), MedusaDrafter(HEADS, best_first(2, 2))
    seen = seen_in(rule, [place], 2)
    assert (seen.epsilon, seen.delta) == (0.3, 10.0)
    cycles = round(2 / seen.tokens_per_cycle)
    far = first_token_tv(rule, drafter, place)
    if cycles == 2:
        first: Any = next(iter(exact_first_tokens(rule, TARGET, drafter, [place], tokens=1)[0]))
        far += first_token_tv(rule, drafter, [*place, *first], tokens=1)
    assert seen.tv * cycles == pytest.approx(far, abs=1e-12)
    assert far > 0.05


@pytest.mark.parametrize("place", [*PLACES, [1, 2, 3]], ids=str)
def test_the_estimate_of_the_first_token_is_the_enumerated_distance(place):
    """From one context the estimate has no noise: its sum over the cycles is the exact TV of one
    token, since of two tokens only the first cycle judges a guess.
    """
    rule = LossyTypical(0.3, 10.0)
    drafter = MedusaDrafter(HEADS, best_first(2, 2))
    seen = seen_in(rule, [place], 2)
    assert (seen.epsilon, seen.delta) == (0.3, 10.0)
    cycles = round(2 / seen.tokens_per_cycle)
    assert seen.tv * cycles == pytest.approx(first_token_tv(rule, drafter, place), abs=1e-12)


def test_the_contexts_of_that_test_tell_an_estimate_from_its_complement():
    """Guesses pass in some and in others none does, and no distance is one half."""
    drafter = MedusaDrafter(HEADS, best_first(2, 2))
    far = [first_token_tv(LossyTypical(0.3, 10.0), drafter, place) for place in PLACES]
    assert sum(tv > 0.01 for tv in far) >= 5
    assert sum(tv < 1e-12 for tv in far) >= 1
    assert min(abs(tv - 0.5) for tv in far) > 0.01


def test_with_one_token_to_go_nothing_is_drafted_and_nothing_is_lost():
    for place in PLACES:
        seen = seen_in(LossyTypical(0.3, 10.0), [place], 1)
        assert (seen.tv, seen.tokens_per_cycle) == (0, 1)


def first_token_tv(rule, drafter, place, tokens: int = 2) -> float:
    """TV between p and the distribution of the first of these tokens after `place`, enumerated."""

    def distribution(rule, drafter):
        def program(chance, root):
            done = generate_with(
                TARGET,
                drafter,
                rule,
                [place] * len(root),
                SamplingParams(max_new_tokens=tokens),
                gamma=2,
                chance=chance,
            )
            return [one.tokens[0] for one in done]

        return distributions(program, 1)[0]

    return total_variation(
        distribution(rule, drafter), distribution(RULES["rejection"], NoDrafter())
    )


def test_the_tree_rule_is_reported_without_distance():
    seen = seen_in(RULES["tree"], [[1, 2, 3]], 8)
    assert seen.tv == seen.error == 0
    assert seen.epsilon == seen.delta == 0


@pytest.mark.parametrize(
    ("distances", "error"),
    [([0.25], 0.0), ([0.0, 1.0], 0.5), ([0.2, 0.4, 0.6], 0.2 / sqrt(3)), ([0.5] * 5, 0.0)],
)
def test_the_error_is_the_standard_error_of_the_mean_over_the_cycles(
    distances: list[float], error: float, monkeypatch: pytest.MonkeyPatch
):
    """Prompts of one token to go are one cycle each; their distances are given."""
    given = iter(distances)
    monkeypatch.setattr(frontier, "_first_token_tv", lambda *words: next(given))
    seen = seen_in(RULES["tree"], [[1, 2, 3]] * len(distances), 1)
    assert seen.tv == pytest.approx(sum(distances) / len(distances))
    assert seen.error == pytest.approx(error)


def test_the_published_exact_distances_are_what_is_computed_today():
    """The thresholds, the toy and its contexts stand behind the published figures: whoever changes
    one has to publish anew. The toy's weights are drawn in float32, and the last bits of their
    logarithms may differ between processors.
    """
    result = json.loads(PUBLISHED.read_text())
    points = result["points"]
    medusa = result["medusa"]
    for measured in (points, medusa):
        assert [(point["epsilon"], point["delta"]) for point in measured] == THRESHOLDS
    contexts = random_contexts(TARGET.config.vocab_size)
    assert len(contexts) == result["settings"]["toy_contexts"]
    alone = exact_first_tokens(RULES["rejection"], TARGET, NoDrafter(), contexts)
    chosen = (2, 7, 14)
    rules: list[Rule] = [LossyTypical(*THRESHOLDS[number]) for number in chosen]
    published = [points[number]["exact"] for number in chosen]
    rules.append(LossyMedusaTypical(*THRESHOLDS[7]))
    published.append(medusa[7]["exact"])
    for rule, exact in zip(rules, published, strict=True):
        computed = exact_tv(rule, TARGET, HEADS, contexts, alone)
        assert computed == pytest.approx(exact, abs=1e-5)


def test_contexts_and_texts_of_unequal_number_are_refused():
    with pytest.raises(ValueError, match="argument"):
        exact_tv(RULES["tree"], TARGET, HEADS, PLACES, ALONE[:-1])


def test_the_exact_distribution_is_that_of_three_tokens():
    assert set(ALONE[0]) == set(product(range(6), repeat=3))
