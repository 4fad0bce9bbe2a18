"""The solutions against what they did not come from: the exact specification, the package, and
numbers worked by hand.

Protects: that a grader whose answers come from its own solution is right.
"""

from fractions import Fraction
from typing import Any

import pytest
import torch
from specref.data import SamplingParams
from specref.exercises import (
    acceptance_rate,
    adapter_rows,
    block_verify,
    bytes_and_operations,
    cache_rollback,
    chain_verify,
    expected_speedup,
    greedy_loop,
    interval_by_text,
    judge_plan,
    rejection_step,
    sibling_rejection,
    stop_tokens,
    tree_mask,
    tree_tokens,
)
from specref.exercises.grading.forks import Forks, exact_distribution
from specref.measure.acceptance.rates import rate_by_text
from specref.measure.speed.cost import predicted_speedup
from specref.model.tree import ancestors, depths
from specref.stops import finish_reason

from proofs.exact import chain as specification
from proofs.exact import step as one_step
from proofs.exact.program import Ret, bind, draw, law


def model(chain):
    """A Markov chain of a case as a model of the specification."""
    return lambda context: tuple(chain[context[-1] + 1] if context else chain[0])


@pytest.mark.parametrize("case", rejection_step.EXERCISE.cases)
def test_one_step_is_the_specification(case) -> None:
    p, q = tuple(case["p"]), tuple(case["q"])
    wanted = law(one_step.coupled_step(p, q))

    def program(chance: Forks):
        return rejection_step.EXERCISE.run(rejection_step.solution, case, chance)

    assert exact_distribution(program) == {key: share for key, share in wanted.items() if share}


@pytest.mark.parametrize("case", chain_verify.CHAINS)
@pytest.mark.parametrize(
    ("exercise", "verify"),
    [(chain_verify, specification.verify), (block_verify, specification.block_verify)],
)
def test_chains_and_blocks_are_the_specification(exercise, verify, case) -> None:
    """Draft and emitted tokens together, not the text alone."""
    p, q = model(case["target"]), model(case["drafter"])
    drafts = specification.draft(q, case["K"], ())
    wanted = law(bind(drafts, lambda xs: bind(verify(p, q, (), xs), lambda out: Ret((xs, out)))))

    def program(chance: Forks):
        outcome: Any = exercise.EXERCISE.run(exercise.solution, case, chance)
        return outcome[:2]

    assert exact_distribution(program) == {key: share for key, share in wanted.items() if share}


@pytest.mark.parametrize("case", sibling_rejection.EXERCISE.cases)
def test_siblings_are_the_specification(case) -> None:
    """Emitted tokens with the candidates that were drawn. The specification stops drawing at the
    first accepted one, so both are cut there.
    """
    p, drafter = tuple(case["p"]), tuple(case["drafter"])
    siblings = one_step.with_replacement if case["replacement"] else one_step.without_replacement
    wanted = law(one_step.recursive_rejection(p, siblings(drafter), case["guesses"]))

    def program(chance: Forks):
        outcome: Any = sibling_rejection.EXERCISE.run(sibling_rejection.solution, case, chance)
        return outcome[1]

    assert exact_distribution(program) == {key: share for key, share in wanted.items() if share}


def test_forks_are_the_programs_of_the_specification() -> None:
    weights = (Fraction(1, 4), Fraction(1, 2), Fraction(1, 4))
    wanted = law(bind(draw(weights), lambda x: bind(draw(weights), lambda y: Ret(x + 2 * y))))
    found = exact_distribution(lambda chance: chance.draw(weights) + 2 * chance.draw(weights))
    assert found == wanted


@pytest.mark.parametrize("case", expected_speedup.EXERCISE.cases)
def test_speedups_are_the_packages(case) -> None:
    gamma, cost = case["gamma"], float(case["verify_cost"])
    steps = [1.0] * gamma + [cost]
    wanted = predicted_speedup(float(case["alpha"]), gamma, steps, float(case["draft_cost"]))
    assert float(expected_speedup.solution(**case)) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("case", interval_by_text.EXERCISE.cases)
def test_the_variance_by_text_is_the_packages(case) -> None:
    """The package says it as an effective size: r (1 - r) / variance, before Student's factor,
    which 10,000 copies of the texts take to 1.
    """
    texts = case["texts"] * 10_000
    accepted, judged = zip(*texts)
    rate = rate_by_text(accepted, judged)
    variance = float(interval_by_text.solution(texts))
    if variance:
        wanted = min(rate.estimate * (1 - rate.estimate) / variance, sum(judged))
        assert rate.independent == pytest.approx(wanted, rel=1e-3)


@pytest.mark.parametrize("case", tree_mask.EXERCISE.cases)
def test_masks_and_positions_are_the_packages(case) -> None:
    parents = torch.tensor([case["parents"]])
    mask, positions = tree_mask.solution(**case)
    assert mask == ancestors(parents)[0].int().tolist()
    assert positions == (depths(parents)[0] + case["length"]).tolist()


@pytest.mark.parametrize("case", stop_tokens.EXERCISE.cases)
def test_endings_are_the_packages_token_by_token(case) -> None:
    params = SamplingParams(stop_ids=tuple(case["stops"]))
    for end in range(1, len(case["run"]) + 1):
        reason = finish_reason(case["run"][:end], params, case["room"])
        if reason is not None:
            break
    assert stop_tokens.solution(**case) == (case["run"][:end], reason)


@pytest.mark.parametrize("case", tree_tokens.EXERCISE.cases)
def test_tokens_of_a_tree_by_walking_down(case) -> None:
    """The expectation over the node at which the walk ends."""
    parents, accept = case["parents"], case["accept"]
    children: dict[int, list[int]] = {node: [] for node in range(-1, len(parents))}
    for i, parent in enumerate(parents):
        children[parent].append(i)

    def walk(node: int, depth: int, share: Fraction) -> Fraction:
        ends = share * (1 - sum((accept[i] for i in children[node]), Fraction(0)))
        deeper = [walk(i, depth + 1, share * accept[i]) for i in children[node]]
        return ends * (depth + 1) + sum(deeper, Fraction(0))

    assert tree_tokens.solution(**case) == walk(-1, 0, Fraction(1))


@pytest.mark.parametrize("case", greedy_loop.EXERCISE.cases)
def test_the_greedy_text_is_the_targets_own_and_forwards_are_saved(case) -> None:
    wanted: Any = greedy_loop.EXERCISE.wanted(case)
    ((tokens, forwards),) = wanted
    text = list(case["prompt"])
    for _ in range(case["count"]):
        scores = greedy_loop.scores(case["seed"], text)
        text.append(max(range(len(scores)), key=lambda token: (scores[token], -token)))
    assert list(tokens) == text[len(case["prompt"]) :]
    assert case["count"] / (case["gamma"] + 1) <= forwards < case["count"]


def test_numbers_by_hand() -> None:
    layer = bytes_and_operations.solution(1000, 1000, 2, 3, 1_000_000, 1_000_000)
    assert layer == 6  # 2,012,000 bytes take 2.012; 6,000,000 operations take 6
    assert bytes_and_operations.solution(1000, 1000, 2, 3, 1_000_000, 10**7) == Fraction(2012, 1000)
    assert acceptance_rate.solution([(4, 4), (4, 0), (4, 2)]) == Fraction(6, 8)
    assert interval_by_text.solution([(1, 2), (2, 2)]) == Fraction(1, 16)  # residuals -+ 1/2
    assert cache_rollback.solution(10, 4, 2) == 13  # ten, the pending token, two accepted ones
    assert judge_plan.solution(Fraction(1, 2), Fraction(1, 4)) == 2
    assert judge_plan.solution(Fraction(1, 100), Fraction(1, 20)) == 299  # not 300
    assert adapter_rows.solution([[3, 1, 4]], [2], [5]) == [[3, 1, 5, -1]]
