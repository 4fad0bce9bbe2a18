"""Every candidate tree is predicted from the accuracies and the costs, and the best one is named.

Protects: `specref plan --tree`: which trees are compared, and what each is said to bring.
"""

import pytest
import torch
from specref.draft.medusa import MedusaHeads
from specref.measure.speed import tree_plan
from specref.measure.speed.tree_plan import plan_tree, predict_trees

from tests.stub import tiny

NODES = {  # at three heads; a full tree of widths a x b has a + a b nodes
    "no tree": 0,
    "chain of 1": 1,
    "chain of 2": 2,
    "chain of 3": 3,
    **{f"best tree of {n}": n for n in (2, 3, 4, 6, 8, 12, 16, 24, 32)},
    "full tree 2x2": 6,
    "full tree 2x2x2": 14,
    "full tree 3x3": 12,
    "full tree 4x2": 12,
    "full tree 4x4": 20,
}


def costs(widths: int, each: float, heads: float = 0.2) -> dict[str, float]:
    """A plain step takes 2, of which half is the draw; each further token takes `each` more."""
    curve = {f"verify {k}": 1.0 + each * (k - 1) for k in range(1, widths + 1)}
    return {"plain": 2.0, "heads": 2 * heads} | curve


def test_all_candidates_of_three_heads_are_compared() -> None:
    plan = predict_trees([[0.3] + [0.05] * 9] * 3, costs(33, 0.1))
    assert {row["shape"]: row["nodes"] for row in plan["rows"]} == NODES
    assert all(row["nodes"] == len(row["tree"]) for row in plan["rows"])


def test_heads_that_are_not_there_have_no_trees() -> None:
    rows = predict_trees([[0.3] + [0.05] * 9] * 2, costs(33, 0.1))["rows"]
    shapes = {row["shape"] for row in rows}
    assert shapes == NODES.keys() - {"chain of 3", "full tree 2x2x2"}


def test_a_tree_that_is_larger_than_the_measured_curve_is_left_out() -> None:
    """A curve to k tokens judges trees of k - 1 nodes: one forward has the pending token too."""
    rows = predict_trees([[0.3] + [0.05] * 9] * 3, costs(6, 0.1))["rows"]
    assert max(row["nodes"] for row in rows) == 4
    rows = predict_trees([[0.3] + [0.05] * 9] * 3, costs(7, 0.1))["rows"]
    assert {row["shape"] for row in rows if row["nodes"] == 6} == {
        "best tree of 6",
        "full tree 2x2",
    }


def test_a_prediction_is_tokens_over_cost() -> None:
    """Right half of the time, then a fifth: a chain of 2 brings 1 + 0.5 + 0.1 tokens. A forward
    over 3 tokens takes 1 + 2 * 0.5 / 2 plain steps, and the heads 0.2."""
    plan = predict_trees([[0.5, 0.25], [0.2, 0.1]], costs(8, 0.5))
    row = next(row for row in plan["rows"] if row["shape"] == "chain of 2")
    assert row["tokens_per_cycle"] == pytest.approx(1.6)
    assert row["cost"] == pytest.approx(1.7)
    assert row["predicted"] == pytest.approx(1.6 / 1.7)
    assert row["tree"] == [[0], [0, 0]]
    assert (plan["heads_cost"], plan["accuracy"]) == (0.2, [[0.5, 0.25], [0.2, 0.1]])
    assert plan["steps"] == pytest.approx([1, 1.25, 1.5, 1.75, 2, 2.25, 2.5, 2.75])


def test_without_a_tree_the_heads_cost_nothing_and_a_tree_must_beat_that() -> None:
    accuracy = [[0.5, 0.25], [0.2, 0.1]]
    rows = {row["shape"]: row for row in predict_trees(accuracy, costs(8, 0.5))["rows"]}
    assert (rows["no tree"]["cost"], rows["no tree"]["predicted"]) == (1, 1)
    assert predict_trees(accuracy, costs(8, 0.5, 5.0))["best"]["shape"] == "no tree"
    free = predict_trees(accuracy, costs(8, 0.0, 0.0))["best"]
    assert free["nodes"] == 6
    assert free["predicted"] == pytest.approx(1 + 0.75 + 0.75 * 0.3)


@pytest.mark.parametrize(("context", "row"), [(64, 63), (400, 256)])
@pytest.mark.parametrize("drafted", [True, False])
def test_a_plan_measures_as_far_as_its_largest_tree(
    context: int, row: int, drafted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Texts as long as the target reads, at most 256 tokens; forwards over 1 to 33 tokens, for a
    tree of 32 nodes behind the pending one; a target without a draft stands for it."""
    target = tiny(vocabulary=256, layers=1, context=context, dtype=torch.float32)
    draft = tiny(vocabulary=256, layers=1) if drafted else None
    heads = MedusaHeads.of(target, 2)
    seen: dict = {}

    def accuracy(of, model, rows):
        seen.update(heads=of, model=model, rows=rows)
        return [[0.3] * 10] * 2

    def timed(models, params, place, widths):
        seen.update(models=models, params=params, widths=widths)
        return costs(33, 0.1)

    monkeypatch.setattr(tree_plan, "head_accuracy", accuracy)
    monkeypatch.setattr(tree_plan, "step_costs", timed)
    said: list[str] = []
    plan = plan_tree(target, draft, heads, said.append)
    assert (seen["heads"], seen["model"], seen["models"].heads) == (heads, target, heads)
    assert (seen["models"].target, seen["models"].draft) == (target, draft or target)
    assert seen["models"].module is None
    assert seen["rows"].shape == (64, row + 1)
    assert seen["params"].temperature == 1
    assert list(seen["widths"]) == list(range(1, 34))
    assert max(one["nodes"] for one in plan["rows"]) == 32
    assert len(said) == 2
