"""Recursive rejection over any tree emits the target's distribution, exactly; typical acceptance
does not, and says by how much.

Protects: the residual after each sibling, siblings drawn with and without replacement, trees chosen
with certainty, nodes in any order, ragged trees, duplicate siblings. Tolerance 1e-12, in float64.
"""

import pytest
import torch
from hypothesis import given, settings
from specref.data import Draft, SpecrefError
from specref.exact.enumerate import total_variation
from specref.verify import RULES, LossyTypical

from tests.distributions import World, continued, target_distribution
from tests.tree.trees import CERTAIN, WITH, WITHOUT, outcomes, shapes, tree_worlds

EXACT = 1e-12


def emitted(distribution):
    result: dict[tuple[int, ...], float] = {}
    for (run, _), weight in distribution.items():
        result[run] = result.get(run, 0.0) + weight
    return result


def accepted(distribution) -> float:
    return sum(weight * count for (_, count), weight in distribution.items())


@pytest.mark.parametrize("how", [WITH, WITHOUT, CERTAIN])
@settings(max_examples=25)
@given(world=tree_worlds(), parents=shapes())
def test_what_a_tree_emits_continued_to_a_fixed_length_has_the_targets_distribution(
    how, world, parents
):
    for root, distribution in enumerate(outcomes(world, parents, how, RULES["tree"])):
        joint = continued(world, root, emitted(distribution), 4)
        assert total_variation(joint, target_distribution(world, root, 4)) < EXACT


@settings(max_examples=20)
@given(world=tree_worlds(), parents=shapes(4))
def test_drawing_without_replacement_accepts_at_least_as_much_as_with_at_the_first_place(
    world, parents
):
    """Sequoia's claim, place by place; no counterexample is known to us."""
    flat = [-1] * min(3, len(parents))
    for alone, again in zip(
        outcomes(world, flat, WITHOUT, RULES["tree"]), outcomes(world, flat, WITH, RULES["tree"])
    ):
        assert accepted(alone) >= accepted(again) - EXACT


@pytest.mark.parametrize("how", [WITH, WITHOUT, CERTAIN])
@settings(max_examples=15)
@given(world=tree_worlds(), parents=shapes(4))
def test_one_more_node_never_accepts_less(how, world, parents):
    """Case 1 lacks the last node of case 0 and is otherwise made its equal."""
    twin = World(world.vocabulary, 3, [3, 3], False, [world.pools[0], world.pools[0]])
    more, less = outcomes(twin, parents, how, RULES["tree"])
    assert accepted(more) >= accepted(less) - EXACT


def test_typical_acceptance_is_lossy_and_its_distance_is_known_exactly():
    pool = [([0.6, 0.3, 0.1], [0.1, 0.8, 0.1])]
    world = World(3, 3, [3, 3], False, [pool, pool])
    distribution = outcomes(world, [-1, -1], CERTAIN, LossyTypical(epsilon=0.2, delta=10.0))[0]
    first: dict[tuple[int, ...], float] = {}
    for (run, _), weight in distribution.items():
        first[run[:1]] = first.get(run[:1], 0.0) + weight
    # Its best guess, token 1, has p = .3 > .2 and is always taken: the first token's distribution
    # is a point, TV = .7.
    assert first == pytest.approx({(1,): 1.0})
    assert total_variation(first, {(0,): 0.6, (1,): 0.3, (2,): 0.1}) == pytest.approx(0.7)
    assert not LossyTypical.lossless
    assert "lossy" in LossyTypical().__name__


def test_typical_acceptance_takes_the_deepest_path_and_judges_each_node_after_its_own_parent():
    tokens, parents = torch.tensor([[0, 1, 0, 1]]), torch.tensor([[-1, -1, 1, 2]])
    likely, unlikely = [0.5, 0.5], [0.99, 0.01]
    p = torch.tensor([[likely, unlikely, likely, likely, unlikely]], dtype=torch.float64)
    verdict = LossyTypical(0.2, 10.0)(Draft(tokens, parents, None, torch.tensor([4])), p, _First())
    assert verdict.path[0, : int(verdict.accepted)].tolist() == [1, 2, 3]


class _First:
    """Draws the likeliest token; nobody may ask for more."""

    def draw(self, distribution, asked=None):
        return distribution.argmax(-1)

    def accept(self, probability, asked=None):
        raise NotImplementedError

    def rows(self, index):
        raise NotImplementedError


@pytest.mark.parametrize("rule", ["rejection", "block", "greedy", "matching"])
def test_a_chain_rule_refuses_a_tree(rule):
    draft = Draft(torch.tensor([[0, 1]]), torch.tensor([[-1, -1]]), None, torch.tensor([2]))
    with pytest.raises(SpecrefError, match="tree rule"):
        RULES[rule](draft, torch.full((1, 3, 2), 0.5), _First())
