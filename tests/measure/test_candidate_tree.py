"""The candidate tree is the best one of its size, and a plan says when no tree pays.

Protects: the best tree against brute force, whatever the order of the accuracies, the value of a
node, the shapes it is compared with, the accuracy that it is built from.
"""

from itertools import combinations
from random import Random

import pytest
import torch
from specref.data import SpecrefError
from specref.draft.medusa import MedusaHeads, chain
from specref.measure.speed.candidate_tree import (
    best_budget,
    best_tree,
    best_trees,
    cartesian,
    expected_tree_tokens,
    head_accuracy,
    node_value,
)

from tests.stub import tiny

ACCURACY = [[0.55, 0.2, 0.1], [0.5, 0.25, 0.05]]


def is_tree(nodes):
    """Each node's parent is there, and the sibling that is a rank better."""
    parents = {node[:-1] for node in nodes if len(node) > 1}
    better = {(*node[:-1], node[-1] - 1) for node in nodes if node[-1]}
    return parents | better <= {*nodes}


def test_the_best_tree_is_the_best_of_all_trees_of_its_size():
    every = cartesian([3, 3])
    for size in range(1, 7):
        possible = filter(is_tree, combinations(every, size))
        best = max(expected_tree_tokens(tree, ACCURACY) for tree in possible)
        assert expected_tree_tokens(best_tree(ACCURACY, size), ACCURACY) == pytest.approx(
            best, abs=1e-12
        )


@pytest.mark.parametrize("shape", [(2, 2), (3, 2), (2, 2, 1), (4, 1), (1, 2, 2)])
def test_the_best_tree_is_best_where_accuracies_are_in_no_order(shape):
    """60 heads of each shape, every size: all trees are tried."""
    chooser, every = Random(sum(shape)), cartesian(shape)
    trees: dict[int, list] = {}
    for size in range(1, len(every) + 1):
        trees[size] = [*filter(is_tree, combinations(every, size))]
    for _ in range(60):
        accuracy = []
        for ranks in shape:
            accuracy.append([chooser.choice((0.0, 0.05, 0.1, 0.3, 0.5)) for _ in range(ranks)])
        for size, tree in enumerate(best_trees(accuracy, len(every)), 1):
            best = max(expected_tree_tokens(other, accuracy) for other in trees[size])
            assert len(tree) == len(set(tree)) == size
            assert is_tree(tree)
            assert expected_tree_tokens(tree, accuracy) == pytest.approx(best, abs=1e-12)


def test_a_good_guess_behind_a_bad_one_is_reached_in_time():
    """The second guess is worth more than the child of the first, which growing by the largest
    value would take.
    """
    assert best_tree([[0.3, 0.1, 0.6], [0.5]], 3) == [(0,), (1,), (2,)]


def test_a_node_is_worth_the_product_of_its_path():
    assert node_value((0, 1), ACCURACY) == pytest.approx(0.55 * 0.25)
    assert expected_tree_tokens(chain(2), ACCURACY) == pytest.approx(1 + 0.55 + 0.55 * 0.5)


def test_a_full_tree_has_every_combination_once():
    tree = cartesian([2, 3])
    assert len(tree) == len(set(tree)) == 2 + 6
    assert sorted(len(node) for node in tree) == [1, 1, 2, 2, 2, 2, 2, 2]


def test_a_tree_stops_growing_when_the_guesses_run_out():
    assert len(best_tree(ACCURACY, 100)) == 3 + 9


@pytest.mark.parametrize("budget", [0, -1])
def test_an_empty_budget_is_refused(budget):
    with pytest.raises(SpecrefError, match="1 or more"):
        best_tree(ACCURACY, budget)


def test_no_tree_pays_where_verification_costs_as_much_as_it_brings():
    assert best_budget(ACCURACY, [1.0, 2.0, 3.0, 4.0]) == (0, 1.0)
    nodes, speed = best_budget(ACCURACY, [1.0] * 13)
    assert nodes == 12
    assert speed == pytest.approx(expected_tree_tokens(cartesian([3, 3]), ACCURACY))


def test_the_best_size_is_where_one_more_node_brings_less_than_it_costs():
    """A node that is right in half of the cycles for a tenth of a step, a second one that is never
    right, and the heads' own work."""
    accuracy = [[0.5, 0.0]]
    nodes, speed = best_budget(accuracy, [1.0, 1.1, 3.0])
    assert (nodes, speed) == (1, pytest.approx(1.5 / 1.1))
    nodes, speed = best_budget(accuracy, [1.0, 1.1, 3.0], heads_cost=0.15)
    assert (nodes, speed) == (1, pytest.approx(1.5 / 1.25))
    assert best_budget(accuracy, [1.0, 1.0, 1.0]) == (1, 1.5), "of equal sizes the smallest"
    assert best_budget(accuracy, [1.0, 1.5, 1.5]) == (0, 1.0), "as fast as without a tree"


def test_head_accuracy_has_ten_ranks_unless_others_are_asked_for():
    target = tiny(seed=4, vocabulary=12)
    rows = torch.randint(12, (20, 12), generator=torch.Generator().manual_seed(1))
    heads = MedusaHeads.of(target, 2).double().requires_grad_(False)
    accuracy = head_accuracy(heads, target, rows)
    assert [len(ranks) for ranks in accuracy] == [10, 10]
    halves = [head_accuracy(heads, target, part) for part in rows.split(10)]
    for k in range(2):
        for rank in range(10):
            mean = (halves[0][k][rank] + halves[1][k][rank]) / 2
            assert accuracy[k][rank] == pytest.approx(mean), "every row counts alike"


def test_head_accuracy_is_the_targets_own_probability_of_each_guess():
    target = tiny(seed=4, vocabulary=5)
    heads = MedusaHeads.of(target, 2).double()
    heads.out.data.add_(
        torch.randn(
            heads.out.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
        )
    )
    rows = torch.randint(5, (3, 12), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        output = target(rows)
        p, order = output.logits.softmax(-1), heads(output.hidden).argsort(-1, descending=True)
    for k in range(2):
        for rank in range(3):
            right = [
                float(p[row, place + k + 1, order[row, place, k, rank]])
                for row in range(3)
                for place in range(12 - k - 1)
            ]
            assert head_accuracy(heads, target, rows, 3)[k][rank] == pytest.approx(
                sum(right) / len(right)
            )
