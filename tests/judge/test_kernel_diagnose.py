"""Which planted bug a pattern is said to look like: its own, and none a hair away."""

import pytest
import torch
from specref.judge import cases
from specref.judge.cases import Tables
from specref.judge.subjects import RuleStep, drawn
from specref.judge.suite import kernel_diagnose as kernel_cause
from specref.judge.suite.kernel_diagnose import cause, distributions, lean, same, told
from specref.judge.suite.kernel_group import Group
from specref.judge.suite.kernel_tree import TreeGroup
from specref.judge.zoo.rules import RULE_BUGS
from torch import Tensor

P, Q = (0.7, 0.3), (0.2, 0.8)
AFTER = ((0.25, 0.75), (0.5, 0.5))


def group(certain: bool = False) -> Group:
    """One draft token of two: p = (.7, .3), q = (.2, .8)."""
    distribution = (torch.tensor([[P]]).double(), torch.tensor([AFTER]).double())
    return Group(
        "one",
        Tables(("one",), distribution, (torch.tensor([[Q]]).double(),), torch.tensor([1])),
        certain,
    )


def by_hand(name: str) -> Tensor:
    """The distribution of two tokens under some planted bugs, worked out on paper."""
    kept = [0.2, 0.8 * 0.3 / 0.8]  # min(p, q): 0 is always kept, 1 with .375
    after = torch.tensor(AFTER).double()
    first, second = torch.tensor(kept).double(), after
    rejected = 1 - sum(kept)
    if name == "resample-from-p":  # (.7, .3) after a rejection, where p - q leaves (1, 0)
        return first[:, None] * second + rejected * torch.tensor(P).double()[:, None] * after
    if name == "right":
        return torch.tensor(P).double()[:, None] * after
    raise KeyError(name)


def test_every_planted_distribution_is_a_distribution_and_what_can_be_worked_out_agrees() -> None:
    found = dict(distributions(group(), 0))
    assert len(found) > 10
    assert all(float(distribution.sum()) == pytest.approx(1) for distribution in found.values())
    assert found["resample-from-p"].tolist() == pytest.approx(
        by_hand("resample-from-p").flatten().tolist(), abs=1e-7
    )


def test_the_distributions_of_one_case_are_those_of_that_case() -> None:
    """Cases of one group are kept apart, whichever stands beside them."""
    both = Group("both", cases.turned(1, 2, cases.TWOS))
    for case, name in enumerate(cases.TWOS):
        alone = Group("alone", cases.turned(1, 2, {name: cases.TWOS[name]}))
        for (bug, distribution), (other, expected) in zip(
            distributions(both, case), distributions(alone, 0), strict=True
        ):
            assert bug == other
            assert torch.allclose(distribution, expected)
    assert not torch.allclose(
        dict(distributions(both, 0))["resample-from-p"],
        dict(distributions(both, 1))["resample-from-p"],
    )


def test_a_draft_without_its_q_has_distributions_of_its_own() -> None:
    """Proposed as if with certainty: 0 is kept with .7, 1 with .3, and what is left of p without
    the draft is certain.
    """
    distribution = dict(distributions(group(certain=True), 0))["resample-from-p"]
    kept = torch.tensor([0.2 * 0.7, 0.8 * 0.3]).double()
    first = kept + (1 - kept.sum()) * torch.tensor(P).double()
    assert distribution.view(2, 2).sum(1).tolist() == pytest.approx(first.tolist(), abs=1e-7)


def test_cases_of_more_than_100_texts_are_not_enumerated() -> None:
    for vocabulary, count in ((100, 1), (101, 0)):
        distribution = torch.full((1, 1, vocabulary), 1 / vocabulary).double()
        flat = Group(
            "flat",
            Tables(("flat",), (distribution,), (), torch.tensor([0])),
            planted=lambda tables: iter([("sure", {(0, (7,)): 1.0})]),
        )
        assert len(distributions(flat, 0)) == count
    assert distributions(Group("wide", cases.chosen(("close of 16",))), 0) == ()


def test_a_bug_is_named_for_counts_of_its_own_distribution_and_not_for_counts_of_another() -> None:
    one = group()
    distribution = dict(distributions(one, 0))["resample-from-p"]
    assert "resample-from-p" in cause(one, 0, 100_000 * distribution)
    assert cause(one, 0, 100_000 * distribution).startswith(
        "looks like a residual that is not max(p - q, 0) (in the zoo: "
    )
    away = 0.9 * distribution + 0.1 * torch.tensor([0, 0, 0, 1.0]).double()
    assert "resample-from-p" not in cause(one, 0, 100_000 * away)


def test_counts_of_the_target_itself_look_like_no_bug() -> None:
    """Bugs that do not show in a case have the target's distribution there, and are not named for
    it.
    """
    one = group()
    assert cause(one, 0, 100_000 * one.target[0]) == ""
    assert any(
        float((distribution - one.target[0]).abs().sum()) < 1e-6
        for _, distribution in distributions(one, 0)
    )


def test_what_a_distribution_rules_out_is_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """One impossible token is enough, however well the others fit."""
    fixed = (
        ("never the last", torch.tensor([1.0, 0, 0, 0]).double()),
        ("seldom", torch.tensor([0.99, 0, 0, 0.01]).double()),
    )
    monkeypatch.setattr(kernel_cause, "distributions", lambda group, case: fixed)
    monkeypatch.setattr(kernel_cause, "told", lambda names: ",".join(names))
    assert cause(group(), 0, torch.tensor([100.0, 0, 0, 1]).double()) == "seldom"
    # .99^1000 is less than 1/20
    assert cause(group(), 0, torch.tensor([1000.0, 0, 0, 0]).double()) == "never the last"


def test_a_bug_that_is_the_target_in_this_case_is_none_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """1e-4 in sum of distances is where it begins to show."""
    one = group()
    move = torch.tensor([0.5, -0.5, 0, 0]).double()
    monkeypatch.setattr(
        kernel_cause,
        "distributions",
        lambda group, case: (
            ("hidden", one.target[0] + 0.99e-4 * move),
            ("shown", one.target[0] + 1.01e-4 * move),
        ),
    )
    monkeypatch.setattr(kernel_cause, "told", lambda names: ",".join(names))
    assert cause(one, 0, 1000 * one.target[0]) == "shown"


def test_a_planted_distribution_without_all_its_mass_in_the_tables_is_no_distribution() -> None:
    """Tokens that do not exist, too few or too many: such a bug looks like nothing that can be
    counted.
    """
    one = group()
    one.planted = lambda tables: iter(
        [
            ("right", {(0, (0,)): 0.5, (1, (1, 1)): 0.5}),
            ("outside", {(0, (0,)): 0.5, (0, (2,)): 0.5}),
            ("negative", {(0, (0,)): 0.9, (1, (1, -1)): 0.1}),
            ("long", {(0, (0,)): 0.9, (1, (1, 1, 1)): 0.1}),
            ("lost", {(0, (0,)): 1 - 2e-6}),
            ("rounded", {(0, (0,)): 1 - 5e-7}),
        ]
    )
    found = dict(distributions(one, 0))
    assert {*found} == {"right", "rounded"}
    assert found["right"].tolist() == pytest.approx([0.5 * 0.25, 0.5 * 0.75, 0, 0.5])


def test_only_bugs_that_draft_as_the_judge_does_are_compared() -> None:
    names = {name for name, _ in distributions(group(), 0)}
    others = {
        bug.name
        for bug in RULE_BUGS
        if not isinstance(bug.subject, RuleStep) or bug.subject.propose is not drawn
    }
    assert others
    assert not names & others


def test_of_the_likely_bugs_those_within_a_factor_of_20_of_the_likeliest_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """100 draws of (.5, .5), against distributions whose likelihoods are 1, 1/19 and 1/20.5 of
    it.
    """

    def distribution(ratio: float) -> Tensor:
        """p (1 - p) = ratio^(1/50) / 4."""
        p = 0.5 + (0.25 - ratio ** (1 / 50) / 4) ** 0.5
        return torch.tensor([p, 1 - p, 0, 0]).double()

    monkeypatch.setattr(
        kernel_cause,
        "distributions",
        lambda group, case: (
            ("third", distribution(1 / 20.5)),
            ("second", distribution(1 / 19)),
            ("first", distribution(1)),
        ),
    )
    monkeypatch.setattr(kernel_cause, "told", lambda names: ",".join(names))
    assert cause(group(), 0, torch.tensor([50.0, 50, 0, 0]).double()) == "second,first"


def test_an_exact_distribution_is_said_to_be_a_bugs_only_to_a_hundredth_of_its_own_distance() -> (
    None
):
    one = group()
    distribution, target = dict(distributions(one, 0))["resample-from-p"], one.target[0]
    assert "resample-from-p" in same(one, 0, distribution)
    assert "resample-from-p" in same(one, 0, target + 1.009 * (distribution - target))
    assert "resample-from-p" not in same(one, 0, target + 1.011 * (distribution - target))
    assert "resample-from-p" not in same(one, 0, target + 0.989 * (distribution - target))
    assert same(one, 0, target.flip(0)) == ""


def test_kinds_are_told_once_and_names_three_at_most() -> None:
    assert told([]) == ""
    assert (
        told(["resample-from-p"])
        == "looks like a residual that is not max(p - q, 0) (in the zoo: resample-from-p)"
    )
    names = ["resample-from-p", "residual-reversed", "bonus-from-draft", "siblings-independent"]
    assert (
        told(names)
        == "looks like a residual that is not max(p - q, 0) or a last token from the wrong"
        " distribution (in the zoo: resample-from-p, residual-reversed, bonus-from-draft)"
    )


def test_a_direction_is_told_from_60_degrees_on() -> None:
    """The error's angle to q - p: its cosine has to be .5 at least, in either sense."""
    p = torch.full((3,), 1 / 3).double()
    along, across = (
        torch.tensor([1.0, -1, 0]).double() / 2**0.5,
        torch.tensor([1.0, 1, -2]).double() / 6**0.5,
    )
    for cosine, said in (
        (0.51, "often"),
        (0.49, ""),
        (-0.49, ""),
        (-0.51, "seldom"),
        (1, "often"),
        (-1, "seldom"),
    ):
        off = 0.01 * (cosine * along + (1 - cosine**2) ** 0.5 * across)
        assert lean(p, p + off, p + 0.1 * along) == (
            f"; tokens that your draft likes come out too {said}" if said else ""
        )
    assert lean(p, p, p + 0.1 * along) == ""  # nothing is off
    assert lean(p, p + 0.01 * along, p + 2e-6 * along) != ""
    # a draft that is the target leans nowhere
    assert lean(p, p + 0.01 * along, p + 5e-7 * along) == ""


def test_a_tree_has_distributions_of_bugs_of_its_own_and_under_its_own_way_to_guess() -> None:
    flat = cases.turned(1, 2, {"opposed": cases.TWOS["opposed"]})
    for guess in ("with replacement", "certain"):
        tree = TreeGroup("two", flat, (-1, -1), guess)
        found = dict(distributions(tree, 0))
        assert "siblings-independent" in found
        assert all(float(distribution.sum()) == pytest.approx(1) for distribution in found.values())
