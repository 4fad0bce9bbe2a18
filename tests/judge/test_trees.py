"""What the tree checks stand on: guesses, orders, planted trees and a target that counts; and code
that is broken under them, which they must see."""

import pytest
import torch
from specref.chance import Streams
from specref.data import SamplingParams
from specref.decode import generate
from specref.draft.medusa import MedusaDrafter
from specref.draft.none import NoDrafter
from specref.judge import cases, tree_subjects
from specref.judge.exact import EXACT_CHECKS, loop_tree
from specref.judge.exact.heads import HEADS, SIZE, counting, knowing
from specref.judge.exact.tree import outcomes
from specref.judge.tree_subjects import (
    Heads,
    TreeLoop,
    TreeStep,
    anew,
    best,
    grow,
    untried,
    without,
)
from specref.judge.zoo.run import BUGS, convict
from specref.judge.zoo.tree_loops import MTP, MedusaDrawn
from specref.judge.zoo.tree_parts import as_chain, breadth_first, depth_first
from specref.model import cache
from specref.verify.tree import tree


def test_orders_keep_the_tree_and_its_siblings_order():
    assert depth_first((-1, -1, 0, 1)) == (-1, 0, -1, 2)
    assert breadth_first((-1, 0, -1, 2)) == (-1, -1, 0, 1)
    assert depth_first((-1, -1, 0, 1, 0)) == (-1, 0, 0, -1, 3)
    assert breadth_first((-1, -1, -1)) == depth_first((-1, -1, -1)) == (-1, -1, -1)
    assert as_chain((-1, -1, 0)) == (-1, 0, 1)


def test_what_is_untried_is_a_distribution_without_the_earlier_siblings():
    distribution = torch.tensor([[0.5, 0.3, 0.2], [1.0, 0.0, 0.0]], dtype=torch.float64)
    left = untried(distribution, torch.tensor([[0], [0]]))
    assert torch.allclose(left, torch.tensor([[0, 0.6, 0.4], [0, 0.5, 0.5]], dtype=torch.float64))
    assert torch.equal(untried(distribution, torch.zeros(2, 0, dtype=torch.int64)), distribution)


@pytest.mark.parametrize("guess", [anew, without, best])
def test_a_tree_is_guessed_below_its_own_path_and_padding_stays_0(guess):
    asked = []

    def distributions(tokens):
        asked.append(tokens.tolist())
        return torch.tensor([[0.1, 0.2, 0.7]] * 2, dtype=torch.float64).roll(tokens.shape[1], 1)

    draft = grow(distributions, (-1, -1, 1), torch.tensor([3, 1]), guess, Streams([3, 4]))
    assert [len(rows[0]) for rows in asked] == [0, 0, 1]
    assert asked[2][0] == [draft.tokens[0, 1]]
    assert draft.tokens[1, 1:].tolist() == [0, 0]
    assert (draft.q is None) == (guess is best)
    if guess is not anew:
        assert draft.tokens[0, 0] != draft.tokens[0, 1]


def test_the_distribution_of_two_best_guesses_is_known():
    """p = (.6, .3, .1), and q likes token 2, then token 1: taken with p(2) = .1, then with
    .3/.9.
    """
    distribution = outcomes(TreeStep(tree, best), cases.chains(1), (-1, -1))[
        cases.chains(1).names.index("opposed, 1 draft tokens")
    ]
    taken = dict.fromkeys([(), (0,), (1,)], 0.0)
    for (path, _), mass in distribution.items():
        taken[path] += mass
    assert taken == pytest.approx({(0,): 0.1, (1,): 0.3, (): 0.6})


def test_planted_trees_reach_the_judge_in_every_cycle_with_room():
    seen = loop_tree.planted(
        TreeLoop, loop_tree._tokens, loop_tree.LOOP_PROMPTS, loop_tree._params(9)
    )
    texts, draft, p = seen[1]
    assert draft.tokens.shape == (4, len(loop_tree.PARENTS))
    assert p.shape[1] == len(loop_tree.PARENTS) + 1
    first = seen[0][1].tokens[0]
    assert texts[0][:-1] == [*loop_tree.LOOP_PROMPTS[0], *first[list(loop_tree.PATH)].tolist()]
    assert len({len(p) for _, _, p in seen}) > 1  # rows end in different cycles


def test_the_counting_target_counts_and_knowing_heads_know():
    done = generate(
        counting(), NoDrafter(), tree, [(5,)], SamplingParams(temperature=0, max_new_tokens=5)
    )
    assert done[0].tokens == [6, 7, 0, 1, 2]
    state = counting().states(torch.tensor([[5]]))[0, -1]
    assert knowing(Heads())(state).argmax(-1).tolist() == [(5 + 2 + k) % SIZE for k in range(HEADS)]


def broken_compaction(self, path, accepted):
    self.lengths += accepted + 1


ALONE = BUGS["siblings-independent"].subject
assert isinstance(ALONE, TreeStep)
BROKEN = {
    "the accepted path stays where it was": (
        cache.Cache,
        "commit",
        broken_compaction,
        "loop.tree-cache",
        TreeLoop,
    ),
    "nodes see everything before them": (
        cache,
        "ancestors",
        lambda parents: torch.ones(len(parents), *[parents.shape[1]] * 2, dtype=torch.bool).tril(),
        "loop.tree-mask",
        TreeLoop,
    ),
    "depth is the index": (
        cache,
        "depths",
        lambda parents: torch.arange(parents.shape[1]).expand_as(parents),
        "loop.tree-law",
        TreeLoop,
    ),
    "a tree without its residual": (
        tree_subjects,
        "tree",
        ALONE.rule,
        "loop.joint",
        MedusaDrawn,
    ),
    "best guesses without ranks": (
        MedusaDrafter,
        "_draw",
        lambda self, distributions, lengths, chance: (
            torch.zeros(len(distributions), int(lengths.max()), dtype=torch.int64),
            distributions[:, self.depth[: int(lengths.max())]],
        ),
        "loop.joint",
        MedusaDrawn,
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_breaking_the_reference_itself_is_seen(name, monkeypatch):
    place, what, wrong, check, subject = BROKEN[name]
    assert not EXACT_CHECKS[check](subject)
    monkeypatch.setattr(place, what, wrong)
    found = EXACT_CHECKS[check](subject)
    assert found
    assert not any(finding.crash for finding in found), found


def test_a_head_that_drafts_another_place_is_seen_by_acceptance_alone():
    assert [
        item
        for item in ("heads.differ", "heads.offset", "heads.taught")
        if EXACT_CHECKS[item](BUGS["heads-one-off"].subject)
    ] == ["heads.offset"]


def test_only_acceptance_shows_that_later_siblings_are_ignored():
    conviction = convict(BUGS["later-siblings-ignored"])
    assert conviction.convicted
    assert conviction.tv == pytest.approx(0, abs=1e-12)


def test_chain_loops_have_no_tree_to_ask_about():
    assert not any(
        EXACT_CHECKS[name](MTP) for name in EXACT_CHECKS if name.startswith("loop.tree-")
    )


def test_a_tree_rule_that_crashes_is_found_and_not_convicted_by_it():
    def crashes(*_):
        raise RuntimeError("for a reason of its own")

    for item in EXACT_CHECKS.values():
        if item.level == "tree":
            findings = item(TreeStep(crashes))
            assert findings
            assert all(finding.crash for finding in findings)


def test_siblings_drawn_without_replacement_use_up_the_vocabulary():
    draft = grow(
        lambda tokens: torch.full((1, 3), 1 / 3, dtype=torch.float64),
        (-1, -1, -1),
        torch.tensor([3]),
        without,
        Streams([0]),
    )
    assert sorted(draft.tokens[0].tolist()) == [0, 1, 2]
