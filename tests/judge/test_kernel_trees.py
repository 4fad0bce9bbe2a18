"""Trees of guesses: the distributions that stand along them, what they are drawn with, and which
answers follow them, all worked out node by node."""

import itertools
import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from specref.adapters.reference import Tree
from specref.judge import cases
from specref.judge.kernel.pairs import NEXT_CALL, SAME_CALL
from specref.judge.session import MisbehavedError, Session
from specref.judge.suite import kernel_tree
from specref.judge.suite.kernel_diagnose import distributions
from specref.judge.suite.kernel_stream import SampleStream
from specref.judge.suite.kernel_tree import TreeGroup, groups
from specref.judge.tree_subjects import TreeStep
from specref.judge.verdict import Verdict
from specref.judge.zoo.trees import TREE_BUGS
from torch import Tensor

SHAPES = {  # vocabulary, parents, how the nodes are guessed
    "two drawn": (4, (-1, -1), "with replacement"),
    "three of a kind": (4, (-1, -1, -1), "without replacement"),
    "three best": (4, (-1, -1, -1), "certain"),
    "two and two": (3, (-1, -1, 0, 1), "with replacement"),
    "branch by branch": (3, (-1, 0, -1, 2), "with replacement"),
    "one and two": (3, (-1, 0, 0), "without replacement"),
    "three deep": (2, (-1, -1, 0, 1, 2), "with replacement"),
}
DEPTHS = {
    "two drawn": 1,
    "three of a kind": 1,
    "three best": 1,
    "two and two": 2,
    "branch by branch": 2,
    "one and two": 2,
    "three deep": 3,
}


def small(guess: str, parents: tuple[int, ...] = (-1, -1, 0, 0, 1)) -> TreeGroup:
    """A tree two deep: two guesses, two below the first and one below the second; three tokens, two
    cases.
    """
    table: dict[str, tuple[cases.CaseRow, cases.CaseRow]] = {
        "one": ((6, 3, 1), (1, 3, 6)),
        "two": ((5, 3, 2), (2, 7, 1)),
    }
    return TreeGroup("small", cases.turned(2, 3, table), parents, guess)


def test_the_trees_that_are_tried() -> None:
    assert {name: (g.V, g.parents, g.guess) for name, g in groups().items()} == SHAPES  # type: ignore[attr-defined]
    assert {name: g.K for name, g in groups().items()} == DEPTHS
    assert all(g.nodes == len(g.parents) for g in groups().values())  # type: ignore[attr-defined]
    assert {g.tables.names for g in groups().values()} == {("opposed", "zeros"), ("opposed",)}


def above(group: TreeGroup, node: int, tokens: tuple[int, ...]) -> list[int]:
    """The text down to a node."""
    return [] if node < 0 else [*above(group, group.parents[node], tokens), tokens[node]]


def row(
    group: TreeGroup, distributions: tuple[Tensor, ...], case: int, text: list[int]
) -> list[float]:
    number = sum(token * group.V**i for i, token in enumerate(reversed(text)))
    return distributions[len(text)][case, number].tolist()


def guessed(group: TreeGroup, case: int, node: int, tokens: tuple[int, ...]) -> list[float]:
    """What a node is drawn from: without its earlier siblings, unless they are put back."""
    distribution = row(group, group.tables.q, case, above(group, group.parents[node], tokens))
    taken = {tokens[i] for i in range(node) if group.parents[i] == group.parents[node]}
    if group.guess == "with replacement":
        return distribution
    left = [0.0 if token in taken else mass for token, mass in enumerate(distribution)]
    if sum(left) == 0:
        left = [float(token not in taken) for token in range(group.V)]
    return [mass / sum(left) for mass in left]


@pytest.mark.parametrize("guess", ["with replacement", "without replacement", "certain"])
def test_every_way_to_name_the_nodes_has_its_distributions_and_its_probability(guess: str) -> None:
    group = small(guess)
    for number, tokens in enumerate(itertools.product(range(group.V), repeat=5)):
        assert group.tokens(torch.tensor([number])).tolist() == [list(tokens)]
        for case in (0, 1):
            for node in range(-1, 5):
                assert group.p[case, number, node + 1].tolist() == pytest.approx(
                    row(group, group.tables.p, case, above(group, node, tokens)), abs=1e-6
                )
            distributions = [guessed(group, case, node, tokens) for node in range(5)]
            for node, distribution in enumerate(distributions):
                assert group.q[case, number, node].tolist() == pytest.approx(distribution, abs=1e-6)
            if guess == "certain":
                drawn = float(
                    all(
                        distribution.index(max(distribution)) == token
                        for distribution, token in zip(distributions, tokens, strict=True)
                    )
                )
            else:
                drawn = math.prod(
                    distribution[token]
                    for distribution, token in zip(distributions, tokens, strict=True)
                )
            assert float(group.draft[case, number]) == pytest.approx(drawn, abs=1e-6)
    assert group.draft.sum(1).tolist() == pytest.approx([1, 1], abs=1e-12)


def test_texts_have_the_targets_distribution_and_a_chains_draft_beside_it() -> None:
    group = small("with replacement")
    for case, (i, text) in itertools.product(
        (0, 1), enumerate(itertools.product(range(3), repeat=3))
    ):
        p = [row(group, group.tables.p, case, list(text[:j]))[text[j]] for j in range(3)]
        q = [row(group, group.tables.q, case, list(text[:j]))[text[j]] for j in range(2)]
        assert float(group.target[case, i]) == pytest.approx(math.prod(p), abs=1e-6)
        assert float(group.followed[case, i]) == pytest.approx(q[0] * q[1] * p[2], abs=1e-6)


def test_a_kernel_is_told_q_unless_the_guesses_are_certain() -> None:
    for guess in ("with replacement", "without replacement", "certain"):
        group = small(guess)
        assert group.certain == (guess == "certain")
        p, q, tokens = group.inputs(torch.tensor([0, 5]))
        assert p.shape == (2, 6, 3)
        assert tokens.shape == (2, 5)
        assert (q is None) == (guess == "certain")
        assert q is None or q.shape == (2, 5, 3)
        assert group.label(1) == f"two (V = 3, parents [-1, -1, 0, 0, 1], {guess})"


def paths(group: TreeGroup, tokens: tuple[int, ...]) -> set[tuple[int, ...]]:
    """Every text that stands down the tree."""
    return {(), *(tuple(above(group, node, tokens)) for node in range(group.nodes))}


@pytest.mark.parametrize("parents", [(-1, -1, 0, 1), (-1, 0, -1, 2), (-1, 0, 1)])
def test_what_follows_the_tree_is_told_from_what_does_not(parents: tuple[int, ...]) -> None:
    """For every answer to every way to name the nodes: all tokens but the last are a path."""
    group = small("with replacement", parents)
    answers = [text for length in (1, 2, 3) for text in itertools.product(range(3), repeat=length)]
    for tokens in itertools.product(range(3), repeat=len(parents)):
        said = torch.tensor([[*text, *[-1] * (3 - len(text))] for text in answers])
        drafted = torch.tensor(tokens).expand(len(answers), -1)
        off = group.astray(drafted, said, (said >= 0).sum(1)).tolist()
        assert off == [text[:-1] not in paths(group, tokens) for text in answers]


class Follows:
    """Emits the first path of the tree it finds, and a token more; notes what it is handed."""

    def __init__(self, wrong: str = ""):
        self.wrong, self.asked = wrong, []  # type: ignore[var-annotated]

    def verify_tree(
        self, p: Tensor, q: Tensor | None, tokens: Tensor, parents: Tensor, seed: int
    ) -> Tensor:
        shape = parents.tolist()
        self.asked.append((len(p), shape, seed, q is not None))
        if self.wrong in ("p", "tokens", "parents"):
            {"p": p, "tokens": tokens, "parents": parents}[self.wrong].view(-1)[:1].add_(1)
        depth: list[int] = []
        for parent in shape:
            depth.append(1 if parent < 0 else depth[parent] + 1)
        out = torch.full((len(p), max(depth) + 1), -1)
        out[:, 0] = torch.multinomial(p[:, 0], 1, generator=torch.Generator().manual_seed(seed))[
            :, 0
        ]
        if self.wrong == "coins":
            out[0, 0] = len(self.asked) % p.shape[2]
        if self.wrong == "path" and shape == [-1, -1, 0, 1]:
            out[:, 1] = out[:, 0] = (tokens[:, 0] + 1) % p.shape[2]
        if self.wrong == "support" and p.shape[2] == 4:
            out[p[:, 0, 2] == 0, 0] = 2
        return out


def asked(kernel: object, name: str = "") -> tuple[Session, list]:
    session = Session("x", "kernel", mde=0.5)
    made = {key: group for key, group in groups().items() if name in key}
    for group in made.values():
        group.call = 64
    session.kept["kernel.trees"] = SampleStream(kernel, session, made)  # type: ignore[arg-type]
    return session, list(kernel_tree.tree_path(kernel, session))


@pytest.mark.parametrize("name", ["p", "tokens", "parents"])
def test_an_input_of_a_tree_that_is_changed_is_named(name: str) -> None:
    with pytest.raises(MisbehavedError, match=f"verify_tree changes its input {name}"):
        asked(Follows(name))


def test_a_tree_kernel_gets_the_parents_once_and_a_seed_a_call() -> None:
    kernel = Follows()
    group, session = small("without replacement"), Session("x", "kernel")
    out = group.ask(kernel, session, torch.arange(7), 11)  # type: ignore[arg-type]
    assert out.shape == (7, 3)
    assert kernel.asked == [(7, [-1, -1, 0, 0, 1], 11, True)]
    kernel.verify_tree = lambda *_: torch.tensor([[3, -1, -1]] * 7)  # type: ignore[method-assign]
    with pytest.raises(MisbehavedError, match=r"verify_tree emits token 3, outside 0\.\.2"):
        group.ask(kernel, session, torch.arange(7), 11)  # type: ignore[arg-type]


def test_every_tree_is_asked_twice_with_one_seed_and_then_drawn_once() -> None:
    kernel = Follows()
    session, said = asked(kernel)
    trees = session.kept["kernel.trees"].groups
    twice = kernel.asked[: 2 * len(trees)]
    assert [a == b for a, b in zip(twice[::2], twice[1::2], strict=True)] == [True] * len(trees)
    assert [rows for rows, *_ in twice] == [64] * 2 * len(trees)
    assert [parents for _, parents, *_ in twice[::2]] == [
        list(parents) for _, parents, _ in SHAPES.values()
    ]
    assert [len(group.slices) for group in trees.values()] == [1] * len(trees)
    drawn = sum(group.drawn for group in trees.values())
    assert [v.verdict for v in said] == ["INCONCLUSIVE"] * (len(trees) - 1) + ["PASS"]
    assert said[-1].n == drawn
    assert said[-1].what == f"{drawn:,} trees"


def test_another_answer_for_the_same_tree_and_seed_is_a_failure() -> None:
    _, said = asked(Follows("coins"))
    assert [v.verdict for v in said] == ["FAIL"]
    assert said[0].what == "the same seed gives another answer the second time"
    assert (said[0].case, said[0].n) == ("opposed (V = 4, parents [-1, -1], with replacement)", 64)


@pytest.mark.parametrize(
    ("wrong", "case", "what"),
    [
        (
            "path",
            "opposed (V = 3, parents [-1, -1, 0, 1], with replacement): emits [",
            "what stands before the last token is no path of that tree",
        ),
        (
            "support",
            "zeros (V = 4, parents [-1, -1], with replacement): emits [2] after the draft [",
            "to which the target gives probability 0",
        ),
    ],
)
def test_an_answer_off_the_tree_or_off_the_target_is_a_failure_and_the_end(
    wrong: str, case: str, what: str
) -> None:
    _, said = asked(Follows(wrong))
    assert [v.verdict for v in said[:-1]] == ["INCONCLUSIVE"] * (len(said) - 1)
    assert said[-1].verdict == "FAIL"
    assert said[-1].what.startswith(case)
    assert said[-1].what.endswith(what)
    # of the whole run: others may have drawn it
    assert said[-1].repro == "specref validate x --level kernel --seed 0"


@pytest.mark.parametrize(
    ("check", "look"), [("tree_first_token", "first"), ("tree_joint", "windows")]
)
def test_all_trees_are_held_against_the_targets_distribution(
    monkeypatch: pytest.MonkeyPatch, check: str, look: str
) -> None:
    given = []

    def asking(found: Any, session: Session, names: Any, look: Any) -> Iterator[Verdict]:
        given.append((names, look))
        return iter(())

    monkeypatch.setattr(kernel_tree, "distribution", asking)
    list(getattr(kernel_tree, check)(Tree(), Session("x", "kernel")))
    assert given == [(tuple(SHAPES), getattr(kernel_tree, look))]


def test_planted_bugs_are_known_over_whole_trees_guessed_as_the_judge_guesses() -> None:
    """p = (.7, .3), q = (.2, .8), two guesses, each judged alone: 1 is kept with 3/8, and after two
    refusals comes 0.
    """
    tree = TreeGroup(
        "two", cases.turned(1, 2, {"opposed": cases.TWOS["opposed"]}), (-1, -1), "with replacement"
    )
    found = dict(distributions(tree, 0))
    one = 0.8 * 0.375 + 0.8 * 0.625 * 0.8 * 0.375
    assert found["siblings-independent"].view(2, 2).sum(1).tolist() == pytest.approx(
        [1 - one, one], abs=1e-6
    )
    # a guess of its own: what is drawn is not what the judge draws
    assert "siblings-q-with-replacement" not in found
    assert {*found} == {
        bug.name
        for bug in TREE_BUGS
        if isinstance(bug.subject, TreeStep) and bug.subject.guess in kernel_tree.GUESSES.values()
    }


def test_trees_of_one_distribution_are_compared_with_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[tuple] = []

    def noted(*what: Any) -> Iterator[Verdict]:
        given.append(what)
        return iter(())

    for name in ("apart", "near"):
        monkeypatch.setattr(kernel_tree, name, noted)
    for check in ("tree_independence", "tree_seeds", "tree_near_equal"):
        list(getattr(kernel_tree, check)(Tree(), Session("x", "kernel")))
    (rows, _, first), (calls, _, second), (*_, close) = given
    assert close.tables.names == cases.off_by_rounding().names
    assert (close.parents, close.guess) == ((-1, -1), "with replacement")
    assert (first, second) == (SAME_CALL, NEXT_CALL)
    for alike in (rows.groups, calls.groups):
        assert [(g.name, g.V, g.K, g.parents, g.guess) for g in alike] == [
            ("siblings", 3, 1, (-1, -1), "with replacement"),
            ("branches", 3, 2, (-1, 0, -1, 2), "with replacement"),
            ("two best", 3, 1, (-1, -1), "certain"),
        ]
        assert all(g.tables.names == ("cyclic",) for g in alike)
        for g in alike:  # more than one token is left after a refusal, so that a last coin shows
            assert int((g.tables.p[0][0, 0] > g.tables.q[0][0, 0]).sum()) == 2
